"""Your own folder of images and label maps."""

from dataclasses import replace

from globalconv.data.transform_settings import Augmentation
from globalconv.training.recipe import DataSettings, Recipe
from globalconv.training.recipes.camvid import camvid


def folder() -> Recipe:
    """Your own data in any layout that is recognised (docs/data.md); settings of `camvid`, 256x256 crops.

    Not in the paper. No score can be stated: it is your data.
    """
    street = camvid()
    return replace(
        street,
        data=DataSettings(augmentation=Augmentation(crop=(256, 256), scale=(0.5, 1.5))),
        evaluate_every=500,
    )

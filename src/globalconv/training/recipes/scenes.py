"""The built-in generated scenes: what `globalconv demo` trains on."""

from globalconv.data.augment import Augmentation
from globalconv.training.recipe import DataSettings, ModelSettings, OptimSettings, Recipe


def scenes() -> Recipe:
    """Generated scenes (192x192), ResNet-18 from scratch, GCN k = 15 (11 after res-5) + BR.

    Not in the paper. Ours: what `globalconv demo` prints, which trains it beside the Baseline in minutes. Each of the
    4,000 training scenes is seen once, made as it is needed.
    """
    return Recipe(
        model=ModelSettings(backbone="resnet18", kernel_size=(15, 15, 15, 11)),
        data=DataSettings(layout="scenes", augmentation=Augmentation(crop=(192, 192)), batch_size=8),
        optim=OptimSettings(
            algorithm="adamw", lr=2e-3, weight_decay=0.05, warmup_steps=50, clip_norm=1.0, ema_decay=0.99,
            class_weights="sqrt-median",
        ),
        epochs=1,
        evaluate_every=250,
    )  # fmt: skip

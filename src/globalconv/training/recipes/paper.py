"""What the paper's recipes have in common: Section 4's settings to the letter, and how one would set them today."""

from dataclasses import replace

from globalconv.data.transform_settings import PAPER_AUGMENTATION, Augmentation
from globalconv.training.recipe import DataSettings, ModelSettings, OptimSettings, Recipe

SUMMED_RATE = 1e-10
"""FCN's rate for a loss that is summed over pixels; for the mean it is multiplied by their number."""


def literal(train_split: str, val_split: str, images: int, crop: int, epochs: int, kernel_size: int = 15) -> Recipe:
    """Return a training of GCN + BR over ResNet-152 on so many `images`, padded or cropped to `crop`.

    Batch 1, momentum 0.99, weight decay 0.0005, flips, frozen batch norm; scored four times.
    """
    return Recipe(
        model=ModelSettings(
            backbone="resnet152", backbone_weights="tv_in1k", backbone_norm="frozen", kernel_size=(kernel_size,)
        ),
        data=DataSettings(
            train_split=train_split,
            val_split=val_split,
            batch_size=1,
            augmentation=replace(PAPER_AUGMENTATION, crop=(crop, crop)),
        ),
        optim=OptimSettings(lr=SUMMED_RATE * crop**2, momentum=0.99, weight_decay=5e-4, schedule="poly"),
        epochs=epochs,
        evaluate_every=epochs * images // 4,
        checkpoint_every=1000,
    )


def modern(recipe: Recipe, lr: float, epochs: int, backbone_weights: str = "a1h_in1k") -> Recipe:
    """Return `recipe` with batch 16, momentum 0.9, live batch norm, warm-up and random scales."""
    augmentation = Augmentation(crop=recipe.data.augmentation.crop, scale=(0.5, 2.0))
    return replace(
        recipe,
        model=replace(recipe.model, backbone_weights=backbone_weights, backbone_norm="train"),
        data=replace(recipe.data, batch_size=16, augmentation=augmentation),
        optim=OptimSettings(lr=lr, weight_decay=1e-4, warmup_steps=500),
        epochs=epochs,
        evaluate_every=2000,
    )

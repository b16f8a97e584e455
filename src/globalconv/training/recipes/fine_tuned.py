"""What the recipes for small data sets have in common: a small pre-trained backbone, under a decoder of features."""

from globalconv.training.recipe import DataSettings, ModelSettings, OptimSettings, Recipe


def fine_tuned(data: DataSettings, dice_weight: float, epochs: float, evaluate_every: int) -> Recipe:
    """Return a training on `data` of EfficientNet-Lite0 with ImageNet's weights, of which what precedes res-3 stays.

    k = 15 after res-4 and res-5, in the decoder that sums features. AdamW; the backbone learns at a tenth of the rate.
    """
    return Recipe(
        model=ModelSettings(
            "tf_efficientnet_lite0", (15,), head=("pointwise", "pointwise", "gcn", "gcn"), decoder="features",
            backbone_weights="imagenet", frozen_stages=1,
        ),
        data=data,
        optim=OptimSettings(
            algorithm="adamw", lr=3e-3, backbone_lr_scale=0.1, weight_decay=0.05, schedule="poly", warmup_steps=60,
            clip_norm=1.0, ema_decay=0.995, class_weights="sqrt-median", dice_weight=dice_weight,
        ),
        epochs=epochs,
        evaluate_every=evaluate_every,
    )  # fmt: skip

"""Cityscapes in the paper's two stages (Section 4.3, Table 9)."""

from dataclasses import replace

from globalconv.data.augment import PAPER, Augmentation
from globalconv.training.recipe import DataSettings, ModelSettings, OptimSettings, Recipe, StagedRecipe
from globalconv.training.recipes.voc import SUMMED_RATE

SPLITS = {"coarse": "cityscapes:coarse+cityscapes:train", "fine": "cityscapes:train"}
"""What each stage learns from: 22,973 and 2,975 images."""
CROP = 800


def cityscapes() -> StagedRecipe:
    """Table 9, to the letter where it is known: coarse + train, then train; 800x800 crops, k = 25, for res-5 is 25x25.

    Paper, mIoU on val of GCN + BR: 73.0 after the first stage, 76.9 after the second. Ours: not run at full scale.
    Baseline: `--model.head pointwise --model.no-boundary-refinement`; GCN: `--model.no-boundary-refinement`.

    ResNet-152 from timm's `resnet152.tv_in1k`; batch 1, momentum 0.99, weight decay 0.0005, flips, frozen norms. The
    paper states neither rate nor schedule nor length; chosen: FCN's 1e-10 for a summed loss, 6.4e-5 for the mean over
    800 x 800 pixels, poly in each stage, 4 and 20 epochs: 91,892 and 59,500 steps. Whole images are scored in one pass;
    the paper fuses four crops: `globalconv evaluate --tile 1024`. What a step costs on a GPU has not been measured
    here, so neither are the hours: they are 42 for every second that a step takes.
    """
    epochs, images = {"coarse": 4, "fine": 20}, {"coarse": 22_973, "fine": 2_975}
    return StagedRecipe(
        {
            name: Recipe(
                model=ModelSettings(
                    backbone="resnet152", backbone_weights="tv_in1k", backbone_norm="frozen", kernel_size=(25,)
                ),
                data=DataSettings(
                    train_split=split, val_split="cityscapes:val", batch_size=1,
                    augmentation=replace(PAPER, crop=(CROP, CROP)),
                ),
                optim=OptimSettings(lr=SUMMED_RATE * CROP**2, momentum=0.99, weight_decay=5e-4, schedule="poly"),
                epochs=epochs[name],
                evaluate_every=epochs[name] * images[name] // 4,
                checkpoint_every=1000,
            )
            for name, split in SPLITS.items()
        }
    )  # fmt: skip


def cityscapes_modern() -> StagedRecipe:
    """The two stages of `cityscapes` as one would train them today: batch 16, momentum 0.9, live batch norm, scales.

    Not in the paper, whose scores are beside `cityscapes`. Ours: not run at full scale.
    Baseline and GCN as in `cityscapes`; the hardest pixels only: `--optim.hardest 0.25`.

    ResNet-152 from timm's `resnet152.a1h_in1k`. SGD at 0.01 and 0.005 with 500 steps of warm-up, poly, decay 1e-4,
    scales from 0.5 to 2; 20 and 200 epochs: 28,717 and 37,188 steps. Where memory is short, `--data.batch-size 4
    --optim.accumulate 4` makes the same steps but for batch norm's statistics. What a step costs on a GPU has not been
    measured here: the hours are 18 for every second that a step takes.
    """
    rates, epochs = {"coarse": 0.01, "fine": 0.005}, {"coarse": 20, "fine": 200}
    return StagedRecipe(
        {
            name: replace(
                stage,
                model=replace(stage.model, backbone_weights="a1h_in1k", backbone_norm="train"),
                data=replace(
                    stage.data, batch_size=16, augmentation=Augmentation(crop=(CROP, CROP), scale=(0.5, 2.0))
                ),
                optim=OptimSettings(lr=rates[name], weight_decay=1e-4, warmup_steps=500),
                epochs=epochs[name],
                evaluate_every=2000,
            )
            for name, stage in cityscapes().stages.items()
        }
    )  # fmt: skip

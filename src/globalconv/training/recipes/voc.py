"""PASCAL VOC 2012 in the paper's three stages (Section 4.2, Table 7)."""

from dataclasses import replace

from globalconv.data.augment import PAPER, Augmentation
from globalconv.training.recipe import DataSettings, ModelSettings, OptimSettings, Recipe, StagedRecipe

SPLITS = {
    "coco": "coco:train+coco:val+sbd:train+sbd:val+voc:train",
    "sbd": "sbd:train+sbd:val+voc:train",
    "voc": "voc:train",
}
"""What each stage learns from: 109,892, 10,582 and 1,464 images. COCO's train alone has fewer than the first takes."""

SUMMED_RATE = 1e-10
"""FCN's rate for a loss that is summed over pixels; for the mean it is multiplied by their number."""


def voc() -> StagedRecipe:
    """Table 7, to the letter where it is known: COCO + SBD + VOC padded to 640, then SBD + VOC, then VOC at 512.

    Paper, mIoU on VOC val after each stage: Baseline 69.6, 72.4, 74.0; GCN 74.1, 77.6, 78.7; GCN + BR 75.0, 78.6, 80.3.
    Ours: not run at full scale.
    Baseline: `--model.head pointwise --model.no-boundary-refinement`; GCN: `--model.no-boundary-refinement`.

    ResNet-152 from timm's `resnet152.tv_in1k`, whose training is nearest to that of the Caffe weights of the paper;
    k = 15, batch 1, momentum 0.99, weight decay 0.0005, flips, batch norm frozen. The paper states neither rate nor
    schedule nor length; chosen: FCN's 1e-10 for a summed loss (4.1e-5 for the mean over 640 x 640 pixels, 2.6e-5 over
    512 x 512), poly in each stage, and 4, 10 and 20 epochs: 439,568, 105,820 and 29,280 steps. What a step costs on a
    GPU has not been measured here, so neither are the hours: they are 160 for every second that a step takes.
    """
    model = ModelSettings(
        backbone="resnet152", backbone_weights="tv_in1k", backbone_norm="frozen", kernel_size=(15,)
    )  # fmt: skip
    optim = OptimSettings(momentum=0.99, weight_decay=5e-4, schedule="poly")
    sizes, epochs = {"coco": 640, "sbd": 512, "voc": 512}, {"coco": 4, "sbd": 10, "voc": 20}
    images = {"coco": 109_892, "sbd": 10_582, "voc": 1_464}
    return StagedRecipe(
        {
            name: Recipe(
                model=model,
                data=DataSettings(
                    train_split=split, val_split="voc:val", batch_size=1,
                    augmentation=replace(PAPER, crop=(sizes[name], sizes[name])),
                ),
                optim=replace(optim, lr=SUMMED_RATE * sizes[name] ** 2),
                epochs=epochs[name],
                evaluate_every=epochs[name] * images[name] // 4,
                checkpoint_every=1000,
            )
            for name, split in SPLITS.items()
        }
    )  # fmt: skip


def voc_modern() -> StagedRecipe:
    """The three stages of `voc` as one would train them today: batch 16, momentum 0.9, live batch norm, random scales.

    Not in the paper, whose scores are beside `voc`. Ours: not run at full scale.
    Baseline and GCN as in `voc`; the hardest pixels only: `--optim.hardest 0.25`.

    ResNet-152 from timm's `resnet152.a1h_in1k`. SGD at 0.01, 0.005 and 0.002 with 500 steps of warm-up, poly, weight
    decay 1e-4, scales from 0.5 to 2; 10, 30 and 50 epochs: 68,683, 19,842 and 4,575 steps. Memory: 16 crops of 640x640
    hardly fit one GPU; `--data.batch-size 4 --optim.accumulate 4` makes the same steps but for batch norm's statistics.
    What a step costs on a GPU has not been measured here: the hours are 26 for every second that a step takes.
    """
    rates, epochs = {"coco": 0.01, "sbd": 0.005, "voc": 0.002}, {"coco": 10, "sbd": 30, "voc": 50}
    return StagedRecipe(
        {
            name: replace(
                stage,
                model=replace(stage.model, backbone_weights="a1h_in1k", backbone_norm="train"),
                data=replace(
                    stage.data, batch_size=16,
                    augmentation=Augmentation(crop=stage.data.augmentation.crop, scale=(0.5, 2.0)),
                ),
                optim=OptimSettings(lr=rates[name], weight_decay=1e-4, warmup_steps=500),
                epochs=epochs[name],
                evaluate_every=2000,
            )
            for name, stage in voc().stages.items()
        }
    )  # fmt: skip

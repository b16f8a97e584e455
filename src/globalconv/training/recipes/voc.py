"""PASCAL VOC 2012 in the paper's three stages (Section 4.2, Table 7)."""

from globalconv.training.recipe import StagedRecipe
from globalconv.training.recipes.paper import literal, modern

SPLITS = {
    "coco": "coco:train+coco:val+sbd:train+sbd:val+voc:train",
    "sbd": "sbd:train+sbd:val+voc:train",
    "voc": "voc:train",
}
"""What each stage learns from: 109,892, 10,582 and 1,464 images. COCO's train alone has fewer than the first takes."""


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
    return StagedRecipe(
        {
            "coco": literal(SPLITS["coco"], "voc:val", images=109_892, crop=640, epochs=4),
            "sbd": literal(SPLITS["sbd"], "voc:val", images=10_582, crop=512, epochs=10),
            "voc": literal(SPLITS["voc"], "voc:val", images=1_464, crop=512, epochs=20),
        }
    )


def voc_modern() -> StagedRecipe:
    """The three stages of `voc` as one would train them today: batch 16, momentum 0.9, live batch norm, random scales.

    Not in the paper, whose scores are beside `voc`. Ours: not run at full scale.
    Baseline and GCN as in `voc`; the hardest pixels only: `--optim.hardest 0.25`.

    ResNet-152 from timm's `resnet152.a1h_in1k`. SGD at 0.01, 0.005 and 0.002 with 500 steps of warm-up, poly, weight
    decay 1e-4, scales from 0.5 to 2; 10, 30 and 50 epochs: 68,683, 19,842 and 4,575 steps. Memory: 16 crops of 640x640
    hardly fit one GPU; `--data.batch-size 4 --optim.accumulate 4` makes the same steps but for batch norm's statistics.
    What a step costs on a GPU has not been measured here: the hours are 26 for every second that a step takes.
    """
    plan = {"coco": (0.01, 10), "sbd": (0.005, 30), "voc": (0.002, 50)}
    return StagedRecipe({name: modern(stage, *plan[name]) for name, stage in voc().stages.items()})

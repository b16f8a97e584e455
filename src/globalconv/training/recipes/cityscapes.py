"""Cityscapes in the paper's two stages (Section 4.3, Table 9)."""

from globalconv.training.recipe import StagedRecipe
from globalconv.training.recipes.paper import literal, modern

SPLITS = {"coarse": "cityscapes:coarse+cityscapes:train", "fine": "cityscapes:train"}
"""What each stage learns from: 22,973 and 2,975 images."""


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
    return StagedRecipe(
        {
            "coarse": literal(SPLITS["coarse"], "cityscapes:val", images=22_973, crop=800, epochs=4, kernel_size=25),
            "fine": literal(SPLITS["fine"], "cityscapes:val", images=2_975, crop=800, epochs=20, kernel_size=25),
        }
    )


def cityscapes_modern() -> StagedRecipe:
    """The two stages of `cityscapes` as one would train them today: batch 16, momentum 0.9, live batch norm, scales.

    Not in the paper, whose scores are beside `cityscapes`. Ours: not run at full scale.
    Baseline and GCN as in `cityscapes`; the hardest pixels only: `--optim.hardest 0.25`.

    ResNet-152 from timm's `resnet152.a1h_in1k`. SGD at 0.01 and 0.005 with 500 steps of warm-up, poly, decay 1e-4,
    scales from 0.5 to 2; 20 and 200 epochs: 28,717 and 37,188 steps. Where memory is short, `--data.batch-size 4
    --optim.accumulate 4` makes the same steps but for batch norm's statistics. What a step costs on a GPU has not been
    measured here: the hours are 18 for every second that a step takes.
    """
    plan = {"coarse": (0.01, 20), "fine": (0.005, 200)}
    return StagedRecipe({name: modern(stage, *plan[name]) for name, stage in cityscapes().stages.items()})

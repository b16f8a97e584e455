"""The paper's tables (Section 4) as specifications: what is compared, on which recipe, and the printed numbers.

A variant is the recipe with other fields of `model`, perhaps an earlier stage of it, perhaps another prediction.
Printed numbers are as in the paper: scores in per cent, by the names of `results.SCORES`; parameters of the head after
res-5 in full ("260K" is 260,000), under "head_parameters".
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from globalconv.runtime.text import align_columns

HEADS = {"gcn": "GCN", "conv": "conv", "stack": "stack"}
"""Heads with a kernel, by what the tables call them."""


@dataclass(frozen=True)
class Variant:
    """A row of a table: a network, and how it is trained and used where rows differ in that."""

    name: str
    model: Mapping[str, Any]
    """Fields of `ModelSettings` that differ from the recipe's; `WIDTHS` may stand for a stack's width."""
    printed: Mapping[str, float] = field(default_factory=dict)
    series: str = ""
    """Rows that a plot joins: GCN, conv, stack."""
    k: int | None = None
    """Where the row stands on a plot's axis; the baseline, a 1x1 convolution, is k = 1."""
    stage: int | None = None
    """How many stages of a staged recipe are trained; None for all."""
    inference: Mapping[str, Any] = field(default_factory=dict)
    """Fields of `InferenceSettings`."""
    first: bool = False
    """Whether it is trained before the others: the few that show whether there is anything to see."""


@dataclass(frozen=True)
class Table:
    """A table of the paper that is made of trainings."""

    name: str
    title: str
    recipe: str
    """The paper's own, by its name among the recipes."""
    variants: tuple[Variant, ...]
    scores: tuple[str, ...] = ("miou",)
    """What it compares, of `results.SCORES`; the last one is the table's own."""
    notes: tuple[str, ...] = ()

    def variant(self, name: str) -> Variant:
        """Return the variant of that name."""
        return next(variant for variant in self.variants if variant.name == name)


WIDTHS = ("full", "half", "narrow")
"""Widths of a stack in Table 4: all of a level's channels, half of them, and the third one (`paper.widths`)."""

BASELINE = {"head": ("pointwise",), "boundary_refinement": False}


def _head(kind: str, k: int, score: float | None, parameters: float | None = None, **model: Any) -> Variant:
    """Return one of Figure 4's heads of size k, without refinement, with what is printed of it (K parameters)."""
    printed = {} if score is None else {"miou": score}
    printed |= {} if parameters is None else {"head_parameters": 1000 * parameters}
    settings = {"head": (kind,), "kernel_size": (k,), "boundary_refinement": False, **model}
    first = kind == "gcn" and k in (3, 7, 15)
    return Variant(f"{HEADS[kind]} k={k}", settings, printed, HEADS[kind], k, first=first)


def _base(**printed: float) -> Variant:
    return Variant("Baseline", BASELINE, printed, "GCN", 1, first=True)


def _gcn(name: str, refined: bool, k: int = 15, **printed: float) -> Variant:
    settings = {"head": ("gcn",), "kernel_size": (k,), "boundary_refinement": refined}
    return Variant(name, settings, printed, name, k, first=True)


def _widths(scores: Mapping[str, tuple[int, float, float]]) -> tuple[Variant, ...]:
    """Return stacks of k = 7 by width: name -> (the paper's m, score, K parameters)."""
    return tuple(
        Variant(
            f"stack m={width} ({m} of 2048)",
            {"head": ("stack",), "kernel_size": (7,), "boundary_refinement": False, "stack_width": width},
            {"miou": score, "head_parameters": 1000 * parameters},
            f"stack m={width}", 7,
        )
        for width, (m, score, parameters) in scores.items()
    )  # fmt: skip


KERNELS = {3: 70.1, 5: 71.1, 7: 72.8, 9: 73.4, 11: 73.7, 13: 74.0, 15: 74.5}
"""Table 1: mIoU of GCN by k."""

PARAMETERS = {"gcn": {3: 260, 5: 434, 7: 608, 9: 782}, "conv": {3: 387, 5: 1075, 7: 2107, 9: 3484}}
"""Table 2: thousands of parameters by head and k."""

CONVS = {3: 69.8, 5: 70.4, 7: 69.6, 9: 68.8}
STACKS = {3: 69.8, 5: 71.8, 7: 71.3, 9: 69.5, 11: 67.5}


def _in_stages(name: str, model: Mapping[str, Any], scores: tuple[float, ...]) -> list[Variant]:
    """Return a network after each stage."""
    return [
        Variant(f"{name} Stage-{stage}", model, {"miou": score}, name, stage=stage)
        for stage, score in enumerate(scores, start=1)
    ]


REFINED = {"head": ("gcn",), "boundary_refinement": True}
PLAIN_GCN = {"head": ("gcn",), "boundary_refinement": False}
SCALES = {"scales": (0.5, 0.75, 1.0, 1.25, 1.5), "flip": True}
"""Of "MS", which the paper does not describe."""

CRF = {**SCALES, "crf": "deeplabv2-voc"}
CROPS = {"tile": 1024}
"""Section 4.3 fuses crops of 1024 x 1024; smaller images are whole all the same."""


def _after(name: str, stage: int, inference: Mapping[str, Any], score: float) -> Variant:
    """Return GCN + BR after a stage, predicted in another way."""
    return Variant(name, REFINED, {"miou": score}, "GCN + BR", stage=stage, inference=inference)


_TABLES = (
    Table(
        "table1",
        "Table 1: size of the kernel, Global Convolutional Network without refinement",
        "paper-ablation",
        (_base(miou=69.0), *(_head("gcn", k, score) for k, score in KERNELS.items())),
    ),
    Table(
        "table2",
        "Table 2: GCN against one k x k convolution",
        "paper-ablation",
        (
            *(_head("gcn", k, KERNELS[k], count) for k, count in PARAMETERS["gcn"].items()),
            *(_head("conv", k, CONVS[k], count) for k, count in PARAMETERS["conv"].items()),
        ),
    ),
    Table(
        "table3",
        "Table 3: GCN against a stack of 3 x 3 convolutions",
        "paper-ablation",
        (
            *(_head("gcn", k, KERNELS[k]) for k in STACKS),
            *(_head("stack", k, score) for k, score in STACKS.items()),
        ),
    ),
    Table(
        "table4",
        "Table 4: width m of the stack, k = 7",
        "paper-ablation",
        (
            *_widths({"full": (2048, 71.3, 75885), "half": (1024, 70.4, 28505), "narrow": (210, 68.8, 4307)}),
            _head("gcn", 7, 72.8, 608),
        ),
    ),
    Table(
        "table5",
        "Table 5: boundary and internal accuracy",
        "paper-ablation",
        (
            _base(boundary_accuracy=71.3, internal_accuracy=93.9, miou=69.0),
            _gcn("GCN", False, boundary_accuracy=71.5, internal_accuracy=95.0, miou=74.5),
            _gcn("GCN + BR", True, boundary_accuracy=73.4, internal_accuracy=95.1, miou=74.7),
        ),
        ("boundary_accuracy", "internal_accuracy", "miou"),
    ),
    Table(
        "table6",
        "Table 6: backbones without and with large kernels inside",
        "table6",
        tuple(
            Variant(f"{title}, {head}", {**model, "backbone": backbone}, {"miou": score}, title)
            for title, backbone, scores in (
                ("ResNet50", "resnet50", (65.7, 72.3)),
                ("ResNet50-GCN", "resnet50_gcn", (71.2, 72.5)),
            )
            for head, model, score in zip(("Baseline", "GCN + BR"), (BASELINE, REFINED), scores, strict=True)
        ),
        notes=("ImageNet top-5 error, printed: ResNet50 7.7, ResNet50-GCN 7.9 (globalconv pretrain measures ours)",),
    ),
    Table(
        "table7",
        "Table 7: PASCAL VOC 2012 val after each stage",
        "voc",
        (
            *_in_stages("Baseline", BASELINE, (69.6, 72.4, 74.0)),
            *_in_stages("GCN", PLAIN_GCN, (74.1, 77.6, 78.7)),
            *_in_stages("GCN + BR", REFINED, (75.0, 78.6, 80.3)),
            _after("GCN + BR Stage-3-MS", 3, SCALES, 80.4),
            _after("GCN + BR Stage-3-MS-CRF", 3, CRF, 81.0),
        ),
    ),
    Table(
        "table9",
        "Table 9: Cityscapes val after each stage, GCN + BR",
        "cityscapes",
        (
            _after("Stage-1", 1, CROPS, 73.0),
            _after("Stage-2", 2, CROPS, 76.9),
            _after("Stage-2-MS", 2, {**CROPS, **SCALES}, 77.2),
            _after("Stage-2-MS-CRF", 2, {**CROPS, **CRF}, 77.4),
        ),
    ),
)

TABLES: dict[str, Table] = {table.name: table for table in _TABLES}
"""The tables that are made of trainings, by name."""


@dataclass(frozen=True)
class Ranking:
    """A table of scores that a test server gave: other methods' as printed, and the paper's own."""

    name: str
    title: str
    benchmark: str
    """Whose server: a name that `globalconv submit` takes."""
    archive: str
    recipe: str
    printed: Mapping[str, float]
    """mIoU by method, in per cent; the last one is the paper's."""


RANKINGS: dict[str, Ranking] = {
    "table8": Ranking(
        "table8", "Table 8: PASCAL VOC 2012 test", "voc", "submission.tgz", "voc",
        {
            "FCN-8s-heavy": 67.2, "TTI_zoomout_v2": 69.6, "MSRA_BoxSup": 71.0, "DeepLab-MSc-CRF-LargeFOV": 71.6,
            "Oxford_TVG_CRF_RNN_COCO": 74.7, "CUHK_DPN_COCO": 77.5, "Oxford_TVG_HO_CRF": 77.9,
            "CASIA_IVA_OASeg": 78.3, "Adelaide_VeryDeep_FCN_VOC": 79.1, "LRR_4x_ResNet_COCO": 79.3,
            "Deeplabv2-CRF": 79.7, "CentraleSupelec Deep G-CRF": 80.2, "this paper": 82.2,
        },
    ),
    "table10": Ranking(
        "table10", "Table 10: Cityscapes test", "cityscapes", "submission.zip", "cityscapes",
        {
            "FCN 8s": 65.3, "DPN": 59.1, "CRFasRNN": 62.5, "Scale-invariant CNN + CRF": 66.3, "Dilation10": 67.1,
            "DeepLabv2-CRF": 70.4, "Adelaide_context": 71.6, "LRR-4x": 71.8, "this paper": 76.9,
        },
    ),
}  # fmt: skip
"""The tables that only a test server can add a row to."""


def ranking_text(ranking: Ranking) -> str:
    """Return a table of a test server as printed, and how to get a row of one's own."""
    rows = [[method, f"{score:.1f}"] for method, score in ranking.printed.items()]
    command = f"globalconv submit {ranking.benchmark} RUN --data PATH --out {ranking.archive}"
    own = f"ours: not submitted; RUN being a training of the recipe {ranking.recipe}:\n  {command}"
    return "\n".join([f"{ranking.title}, mIoU % as printed", *align_columns(rows), own])

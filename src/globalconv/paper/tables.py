"""Tables 1 to 10 of the paper (Section 4): the networks that each compares, their training, and the printed numbers.

A variant is a row: the recipe with other fields of `model`, perhaps an earlier stage, perhaps another prediction.
Printed numbers are as in the paper: scores in per cent, by the names of `results.SCORES`; the weights of the head after
res-5 in full ("260K" is 260,000), under "head_parameters".
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from globalconv.runtime.text import align_columns


@dataclass(frozen=True)
class Variant:
    """A row of a table: a network, and how it is trained and used where rows differ in that."""

    name: str
    model: Mapping[str, Any]
    """Fields of `ModelSettings` that differ from the recipe's; one of `WIDTHS` stands for the width of a stack."""
    printed: Mapping[str, float] = field(default_factory=dict)
    series: str = ""
    """Rows that a plot joins: GCN, conv, stack."""
    k: int | None = None
    """Kernel size, the row's place on a plot's axis; the baseline, a 1x1 convolution, is k = 1."""
    stage: int | None = None
    """How many stages of a staged recipe are trained; None for all."""
    inference: Mapping[str, Any] = field(default_factory=dict)
    """Fields of `InferenceSettings`."""
    first: bool = False
    """Trained before the others: the few rows that show most (`--first` trains only these)."""


@dataclass(frozen=True)
class PaperTable:
    """A table of the paper that is made of trainings."""

    name: str
    title: str
    recipe: str
    """The paper's own, by its name among the recipes."""
    variants: tuple[Variant, ...]
    scores: tuple[str, ...] = ("miou",)
    """The scores that it compares, of `results.SCORES`."""
    notes: tuple[str, ...] = ()


WIDTHS = ("full", "half", "narrow")
"""Widths of a stack in Table 4: all of a level's channels, half of them, and the third one (`plan.stack_width`)."""

POINTWISE = {"head": ("pointwise",), "boundary_refinement": False}
GCN = {"head": ("gcn",), "boundary_refinement": False}
GCN_BR = {"head": ("gcn",), "boundary_refinement": True}

MULTI_SCALE = {"scales": (0.5, 0.75, 1.0, 1.25, 1.5), "flip": True}
"""The paper's "MS", which it does not describe."""
MULTI_SCALE_CRF = {**MULTI_SCALE, "crf": "deeplabv2-voc"}
CROPS = {"tile": 1024}
"""Section 4.3 fuses crops of 1024 x 1024; smaller images are predicted whole."""

GCN_SCORES = {3: 70.1, 5: 71.1, 7: 72.8, 9: 73.4, 11: 73.7, 13: 74.0, 15: 74.5}
"""Table 1: mIoU of GCN by k."""
CONV_SCORES = {3: 69.8, 5: 70.4, 7: 69.6, 9: 68.8}
"""Table 2: mIoU of one k x k convolution by k."""
STACK_SCORES = {3: 69.8, 5: 71.8, 7: 71.3, 9: 69.5, 11: 67.5}
"""Table 3: mIoU of a stack of 3 x 3 convolutions by k."""
KILO_PARAMETERS = {"gcn": {3: 260, 5: 434, 7: 608, 9: 782}, "conv": {3: 387, 5: 1075, 7: 2107, 9: 3484}}
"""Table 2: thousands of weights by head and k."""
STACK_WIDTHS = {"full": (2048, 71.3, 75885), "half": (1024, 70.4, 28505), "narrow": (210, 68.8, 4307)}
"""Table 4: m, mIoU and thousands of weights by width."""


def _baseline(**printed: float) -> Variant:
    return Variant("Baseline", POINTWISE, printed, "GCN", 1, first=True)


def _head(kind: str, k: int, score: float, kilo_parameters: float | None = None) -> Variant:
    """Return one of Figure 4's heads of size k, without Boundary Refinement."""
    printed = {"miou": score} | ({} if kilo_parameters is None else {"head_parameters": 1000 * kilo_parameters})
    model = {"head": (kind,), "kernel_size": (k,), "boundary_refinement": False}
    series = {"gcn": "GCN", "conv": "conv", "stack": "stack"}[kind]
    return Variant(f"{series} k={k}", model, printed, series, k, first=kind == "gcn" and k in (3, 7, 15))


def _largest_gcn(name: str, refined: bool, **printed: float) -> Variant:
    """Return GCN of k = 15, with Boundary Refinement or without."""
    model = {"head": ("gcn",), "kernel_size": (15,), "boundary_refinement": refined}
    return Variant(name, model, printed, name, 15, first=True)


def _stages(name: str, model: Mapping[str, Any], scores: tuple[float, ...]) -> list[Variant]:
    """Return a network after each stage."""
    return [
        Variant(f"{name} Stage-{stage}", model, {"miou": score}, name, stage=stage)
        for stage, score in enumerate(scores, start=1)
    ]


def _predicted(name: str, stage: int, inference: Mapping[str, Any], score: float) -> Variant:
    """Return GCN + BR after a stage, predicted in another way than by one pass over the image."""
    return Variant(name, GCN_BR, {"miou": score}, "GCN + BR", stage=stage, inference=inference)


_TABLES = (
    PaperTable(
        "table1",
        "Table 1: size of the kernel, Global Convolutional Network without refinement",
        "paper-ablation",
        (_baseline(miou=69.0), *(_head("gcn", k, score) for k, score in GCN_SCORES.items())),
    ),
    PaperTable(
        "table2",
        "Table 2: GCN against one k x k convolution",
        "paper-ablation",
        (
            *(_head("gcn", k, GCN_SCORES[k], count) for k, count in KILO_PARAMETERS["gcn"].items()),
            *(_head("conv", k, CONV_SCORES[k], count) for k, count in KILO_PARAMETERS["conv"].items()),
        ),
    ),
    PaperTable(
        "table3",
        "Table 3: GCN against a stack of 3 x 3 convolutions",
        "paper-ablation",
        (
            *(_head("gcn", k, GCN_SCORES[k]) for k in STACK_SCORES),
            *(_head("stack", k, score) for k, score in STACK_SCORES.items()),
        ),
    ),
    PaperTable(
        "table4",
        "Table 4: width m of the stack, k = 7",
        "paper-ablation",
        (
            *(
                Variant(
                    f"stack m={width} ({m} of 2048)",
                    {"head": ("stack",), "kernel_size": (7,), "boundary_refinement": False, "stack_width": width},
                    {"miou": score, "head_parameters": 1000 * kilo_parameters},
                    f"stack m={width}",
                    7,
                )
                for width, (m, score, kilo_parameters) in STACK_WIDTHS.items()
            ),
            _head("gcn", 7, 72.8, 608),
        ),
    ),
    PaperTable(
        "table5",
        "Table 5: boundary and internal accuracy",
        "paper-ablation",
        (
            _baseline(boundary_accuracy=71.3, internal_accuracy=93.9, miou=69.0),
            _largest_gcn("GCN", False, boundary_accuracy=71.5, internal_accuracy=95.0, miou=74.5),
            _largest_gcn("GCN + BR", True, boundary_accuracy=73.4, internal_accuracy=95.1, miou=74.7),
        ),
        ("boundary_accuracy", "internal_accuracy", "miou"),
    ),
    PaperTable(
        "table6",
        "Table 6: backbones without and with large kernels inside",
        "table6",
        tuple(
            Variant(f"{title}, {head}", {**model, "backbone": backbone}, {"miou": score}, title)
            for title, backbone, scores in (
                ("ResNet50", "resnet50", (65.7, 72.3)),
                ("ResNet50-GCN", "resnet50_gcn", (71.2, 72.5)),
            )
            for head, model, score in zip(("Baseline", "GCN + BR"), (POINTWISE, GCN_BR), scores, strict=True)
        ),
        notes=("ImageNet top-5 error, printed: ResNet50 7.7, ResNet50-GCN 7.9 (globalconv pretrain measures ours)",),
    ),
    PaperTable(
        "table7",
        "Table 7: PASCAL VOC 2012 val after each stage",
        "voc",
        (
            *_stages("Baseline", POINTWISE, (69.6, 72.4, 74.0)),
            *_stages("GCN", GCN, (74.1, 77.6, 78.7)),
            *_stages("GCN + BR", GCN_BR, (75.0, 78.6, 80.3)),
            _predicted("GCN + BR Stage-3-MS", 3, MULTI_SCALE, 80.4),
            _predicted("GCN + BR Stage-3-MS-CRF", 3, MULTI_SCALE_CRF, 81.0),
        ),
    ),
    PaperTable(
        "table9",
        "Table 9: Cityscapes val after each stage, GCN + BR",
        "cityscapes",
        (
            _predicted("Stage-1", 1, CROPS, 73.0),
            _predicted("Stage-2", 2, CROPS, 76.9),
            _predicted("Stage-2-MS", 2, {**CROPS, **MULTI_SCALE}, 77.2),
            _predicted("Stage-2-MS-CRF", 2, {**CROPS, **MULTI_SCALE_CRF}, 77.4),
        ),
    ),
)

TABLES: dict[str, PaperTable] = {table.name: table for table in _TABLES}
"""The tables that are made of trainings, by name."""


@dataclass(frozen=True)
class Ranking:
    """A table of scores on a test server: other methods' as printed, and the paper's own."""

    name: str
    title: str
    benchmark: str
    """The test server, by its name in `globalconv submit`."""
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
    """Return the table of a test server as printed, and the command that makes a submission of one's own."""
    rows = [[method, f"{score:.1f}"] for method, score in ranking.printed.items()]
    command = f"globalconv submit {ranking.benchmark} RUN --data PATH --out {ranking.archive}"
    own = f"ours: not submitted; RUN being a training of the recipe {ranking.recipe}:\n  {command}"
    return "\n".join([f"{ranking.title}, mIoU % as printed", *align_columns(rows), own])

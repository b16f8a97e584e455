"""What was wanted of the speed beside what was measured, as `table.py` puts it on the first page of figures.

Each goal is a figure made from one report of `results/`; a machine has a table of those goals that were measured on it.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from common import machine

Tables = Mapping[str, Sequence[Mapping[str, Any]]]

AS_RUN, PLAIN = "network, optimised, bfloat16", "network, float32, NCHW"


@dataclass(frozen=True)
class Goal:
    """`figure` of a report's tables should be at most, or `at_least`, `wanted`; `bound` says what is in the way."""

    what: str
    report: str
    wanted: float
    figure: Callable[[Tables], float]
    unit: str = ""
    at_least: bool = False
    bound: str = ""

    def row(self, report: Mapping[str, Any]) -> dict[str, Any]:
        """Return the goal beside what was measured."""
        measured = self.figure(report["tables"])
        reached = measured >= self.wanted if self.at_least else measured <= self.wanted
        return {
            "what": self.what,
            "wanted": f"{'>=' if self.at_least else '<='} {self.wanted:g}{self.unit}",
            "measured": f"{measured:.3g}{self.unit}",
            "reached": "yes" if reached else "no: " + self.bound if self.bound else "no",
            "command": f"`{report['command']}`",
        }


def over(above: str, below: str, column: str = "median_ms") -> Callable[[Tables], float]:
    """Return what takes one case as a multiple of another one."""
    return lambda tables: value(tables, above, column) / value(tables, below, column)


def over_fastest_peer(case: str, kind: str) -> Callable[[Tables], float]:
    """Return what takes a case as a multiple of the fastest decoder of segmentation-models-pytorch of that kind."""
    return lambda tables: (
        value(tables, case)
        / min(row["median_ms"] for name, row in cases(tables).items() if re.fullmatch(rf"smp \S+, {kind}", name))
    )


def cases(tables: Tables) -> dict[str, Mapping[str, Any]]:
    """Return every row that has a name."""
    return {row["case"]: row for rows in tables.values() for row in rows if "case" in row}


def value(tables: Tables, case: str, column: str = "median_ms") -> float:
    found: float = cases(tables)[case][column]
    return found


def off_the_line(tables: Tables) -> float:
    """Return by how much the heads' time is off a straight line over k at most, in per cent, where k is not tiny."""
    rows = tables["four heads of GCN: a straight line"]
    return max(abs(float(row["off"].rstrip("%"))) for row in rows if row["k"] > 3)


def growth_of_tiles(tables: Tables) -> float:
    """Return what tiles of the largest image take, as a multiple of those of the smallest."""
    rows = [row["the rest"] for row in tables["memory of tiles, MB"] if row["in and out"] == "arrays"]
    grown: float = rows[-1] / rows[0]
    return grown


LANES = "21 channels fill two thirds of the vectors they take; LOG.md has the arithmetic"
NO_AMX = "without matrix units (AMX) bfloat16 is about twice as fast as float32"
RESNET50, STEP = "network_over_backbone.resnet50", "training_step.resnet50"

GOALS = (
    Goal("image to class map, over timm's ResNet-50 alone", RESNET50, 1.35, over(AS_RUN, "backbone, bfloat16")),
    Goal(
        "image to class map, over a compiled ResNet-50 alone", RESNET50, 1.3,
        over(AS_RUN, "backbone, compiled, bfloat16"), bound=LANES,
    ),
    Goal(
        "image to class map, over timm's ResNet-18 alone", "network_over_backbone.resnet18", 1.7,
        over(AS_RUN, "backbone, bfloat16"), bound=LANES,
    ),
    Goal(
        "image to class map, times as fast as a plain float32 implementation", RESNET50, 7, over(PLAIN, AS_RUN),
        at_least=True, bound=NO_AMX,
    ),
    Goal(
        "image to class map, over the fastest smp decoder as written", RESNET50, 1,
        over_fastest_peer(AS_RUN, "bfloat16"),
    ),
    Goal(
        "image to class map, over the fastest smp decoder compiled", RESNET50, 1,
        over_fastest_peer(AS_RUN, "compiled, bfloat16"),
        bound="FPN ends with 21 channels at a quarter of the size, Figure 2 refines them at full size",
    ),
    Goal(
        "training step, over ResNet-50's own forward and backward", STEP, 1.35,
        over("GCN + BR, bfloat16", "backbone, bfloat16"), bound=LANES,
    ),
    Goal(
        "training step, times as fast as a plain float32 implementation", STEP, 4,
        over("GCN + BR, float32, NCHW", "GCN + BR, bfloat16"), at_least=True, bound=NO_AMX,
    ),
    Goal(
        "training step, over the fastest smp decoder", STEP, 1, over_fastest_peer("GCN + BR, bfloat16", "bfloat16"),
        bound="as above: refinements at full size",
    ),
    Goal(
        "memory of a training step, over a plain float32 implementation", "step_memory", 1,
        over("network, bfloat16", PLAIN, "MB"),
    ),
    Goal(
        "share of a training step that waits for samples", "data_wait", 2,
        lambda tables: 100 * tables["data wait"][0]["share_of_time"], "%",
    ),
    Goal(
        "`predict`, files to files, share of the network's own rate, ResNet-50", "predict.resnet50", 85,
        lambda tables: 100 / over("batch 1", "network alone")(tables), "%", at_least=True,
    ),
    Goal(
        "memory of tiles, 16000x16000 over 4000x4000, image and class map apart", "tiles", 1.1, growth_of_tiles,
        bound="a band of scores as wide as the image waits for the tiles below it",
    ),
    Goal("heads over k = 7 to 63, off a straight line", "heads", 5, off_the_line, "%"),
    Goal(
        "points of mIoU between the faster form and the network as written", "optimised", 0.1,
        lambda tables: max(abs(row["points"]) for row in tables["mIoU in the faster form"]),
    ),
    Goal("`--help`, s", "startup", 0.4, lambda tables: value(tables, "globalconv --help") / 1000),
    Goal("`predict` of one image, cold, s", "startup", 4, lambda tables: value(tables, "globalconv predict") / 1000),
)  # fmt: skip


def tables(reports: Mapping[str, Mapping[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    """Return a table for each machine in `reports`, which have the names of their files: SCRIPT[.WHAT].HARDWARE.

    A goal whose cases were not measured, because nobody asked for peers or for compiling, is left out.
    """
    found: dict[str, list[dict[str, Any]]] = {}
    for goal in GOALS:
        for name, report in reports.items():
            if name.rpartition(".")[0] == goal.report:
                with suppress(KeyError, ValueError):
                    row = goal.row(report)
                    found.setdefault(machine(report["hardware"]), []).append(row)
    return found

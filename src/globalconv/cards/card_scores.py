"""The scores on a card: with intervals where images were scored one by one, else those that the training logged."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeGuard

from globalconv.evaluation.bootstrap import Interval, iou_intervals, miou_interval
from globalconv.labels import LabelSpace
from globalconv.reports.findings import Result
from globalconv.reports.history import History


@dataclass(frozen=True)
class ClassScore:
    """A class, its IoU in [0, 1], nan where it did not occur, and its 95 % interval where one was made."""

    name: str
    iou: float = math.nan
    interval: Interval | None = None


@dataclass(frozen=True)
class CardScores:
    """The scores that a card shows, and how they came about."""

    miou: float
    classes: Sequence[ClassScore]
    split: str
    precision: str
    images: int | None = None
    interval: Interval | None = None
    pixel_accuracy: float | None = None
    by_image: bool = False
    """Whether images were scored one by one, as intervals need it; otherwise these are numbers of a training's log."""


def scores_of(result: Result, split: str) -> CardScores:
    """Return what was just scored, image by image, with intervals where there are images enough for them."""
    score = result.score
    per_class = zip(
        score.labels.class_names, score.matrix.iou(), iou_intervals(result.hits_NK, result.unions_NK), strict=True
    )
    return CardScores(
        miou=score.miou,
        classes=[ClassScore(name, float(iou), interval) for name, iou, interval in per_class],
        split=split,
        precision=score.precision,
        images=score.images,
        interval=miou_interval(result.hits_NK, result.unions_NK),
        pixel_accuracy=score.matrix.pixel_accuracy(),
        by_image=True,
    )


def logged_scores(info: Mapping[str, Any], history: History, labels: LabelSpace, split: str) -> CardScores | None:
    """Return the scores on `split` that the training logged when it saved this network; None where it logged none.

    The scores of classes are those of the evaluation at the step of the network, where the log has it.
    """
    step, miou = info.get("step"), info.get("miou")
    logged: dict[str, Any] = next(
        (event for event in reversed(history.events_of("evaluation")) if event["step"] == step), {}
    )
    miou = logged.get("miou", miou)
    if not _is_score(miou):
        return None
    ious: Any = logged.get("iou")
    ious = ious if isinstance(ious, dict) else {}
    images, accuracy = logged.get("images"), logged.get("pixel_accuracy")
    return CardScores(
        miou=float(miou),
        classes=[
            ClassScore(name, float(ious[name]) if _is_score(ious.get(name)) else math.nan)
            for name in labels.class_names
        ],
        split=split,
        precision="bfloat16" if info.get("precision") == "bfloat16" else "float32",
        images=images if type(images) is int else None,
        pixel_accuracy=float(accuracy) if _is_score(accuracy) else None,
    )


def _is_score(value: Any) -> TypeGuard[float]:
    return type(value) in (int, float) and 0 <= value <= 1

"""The scores with intervals that a training makes at its end, kept in the run folder: `scores.json`.

They are of one network: the file has its digest, and after another one was saved they mean nothing.
"""

import json
import math
from dataclasses import asdict
from pathlib import Path
from typing import Any

from globalconv.cards.card_scores import CardScores, ClassScore
from globalconv.errors import InputError
from globalconv.evaluation.bootstrap import Interval
from globalconv.labels import LabelSpace
from globalconv.runtime.files import write_json
from globalconv.runtime.text import one_line
from globalconv.weights import MODEL_FILE

SCORES_FILE = "scores.json"


def keep_scores(folder: Path, scores: CardScores) -> None:
    """Write `scores` of the network in a run folder beside it."""
    values = asdict(scores)
    for score in values["classes"]:
        score["iou"] = None if math.isnan(score["iou"]) else score["iou"]  # JSON has no NaN
    write_json(folder / SCORES_FILE, {"digest": _digest(folder), **values})


def kept_scores(folder: Path, labels: LabelSpace) -> CardScores | None:
    """Return the scores that were kept with the network in a run folder; None where none were, or of another one.

    Classes are called as they are now. `InputError` for a file that is damaged.
    """
    file = folder / SCORES_FILE
    if not file.is_file():
        return None
    try:
        values: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
        if values.pop("digest") != _digest(folder):
            return None
        classes = [
            ClassScore(
                name,
                math.nan if score["iou"] is None else _score(score["iou"]),
                _interval(score["interval"]),
            )
            for name, score in zip(labels.class_names, values.pop("classes"), strict=True)
        ]
        return CardScores(
            miou=_score(values["miou"]),
            classes=classes,
            split=str(values["split"]),
            precision=str(values["precision"]),
            images=int(values["images"]),
            interval=_interval(values["interval"]),
            pixel_accuracy=_score(values["pixel_accuracy"]),
            by_image=True,
        )
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, OverflowError) as error:
        raise InputError(f"{file}: damaged ({one_line(error)}); restore it, or remove it") from error


def _digest(folder: Path) -> str:
    """Return the digest in the description of the network in a folder."""
    return str(json.loads((folder / MODEL_FILE).read_text(encoding="utf-8")).get("digest"))


def _score(value: Any) -> float:
    if not 0 <= value <= 1:
        raise ValueError(f"{value!r} is no score")
    return float(value)


def _interval(ends: Any) -> Interval | None:
    return None if ends is None else (_score(ends[0]), _score(ends[1]))

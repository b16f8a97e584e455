"""The result of one training as a file: all numbers that tables, intervals and plots are made of. Imports no torch.

`RESULTS/KEY.json`, one for each training and way of prediction; files of other names in that folder are ignored.
"""

import dataclasses
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from globalconv.errors import InputError
from globalconv.runtime.files import write_text

SCORE_LABELS = {
    "miou": "mIoU", "pixel_accuracy": "pixels", "mean_accuracy": "classes",
    "boundary_accuracy": "boundary", "internal_accuracy": "internal",
}  # fmt: skip
"""Names in `RunResult.scores` -> labels in tables; each score is a share from 0 to 1, or null."""

SCORES = tuple(SCORE_LABELS)


@dataclass(frozen=True)
class RunResult:
    """Scores, in float32, of the last weights of a training (their moving average where the recipe has one).

    Of K classes and a validation split of N images; the counts of each image allow anybody to resample them.
    """

    key: str
    """12 hexadecimal digits: the recipe without what changes nothing, the way of prediction, and the data."""
    recipe: Mapping[str, Any]
    """`Recipe.to_json()`; of a stage of a staged recipe `{"stages": {...}}` up to that stage."""
    data: Mapping[str, Any]
    """name, train_split, val_split, train_images, val_images, fingerprint, class_names."""
    seed: int
    scores: Mapping[str, float | None]
    """By the names in `SCORES`; null where there is no such pixel, or the training diverged."""
    region: Mapping[str, Any]
    """What a boundary region is: width in pixels, metric."""
    images: list[str]
    """Names of the validation samples, in order."""
    hits: list[list[int]]
    """(N, K): correct pixels of each image and class."""
    unions: list[list[int]]
    """(N, K): pixels of each image that have the class in the label map or in the class map."""
    regions: list[list[int]]
    """(N, 4): boundary correct, boundary, internal correct, internal pixels of each image."""
    final_loss: float | None
    """Mean of the last 10 % of the logged training losses; null if none was logged."""
    steps: int
    """Optimiser steps of the last stage."""
    parameters: int
    head_parameters: int
    """Weights, without biases, of the head after res-5: the paper's count."""
    multiply_adds: int
    """Of one training crop through the whole network."""
    crop: list[int]
    """Height and width of a training crop."""
    minutes: float
    """Time of the training steps of the last stage and of scoring."""
    machine: str
    precision: str
    """Of the training; scores are computed in float32."""
    versions: Mapping[str, str]
    date: str
    diverged: bool = False
    """The loss became infinite or not a number; such a result has no scores."""
    inference: Mapping[str, Any] = field(default_factory=dict)
    """Scales, tiles or CRF of the prediction, as `InferenceSettings.changes()`; {} for one pass of the network."""


def result_file(folder: Path, key: str) -> Path:
    """Return the path of the result with this key."""
    return folder / f"{key}.json"


def write_result(folder: Path, result: RunResult) -> None:
    """Write a result into `folder`, atomically, one field per line."""
    folder.mkdir(parents=True, exist_ok=True)
    lines = [f"  {json.dumps(name)}: {json.dumps(value)}" for name, value in dataclasses.asdict(result).items()]
    write_text(result_file(folder, result.key), "{\n" + ",\n".join(lines) + "\n}\n")


def read_results(folder: Path) -> dict[str, RunResult]:
    """Return all results in `folder` by their keys, {} where there is no such folder; `InputError` for a broken one."""
    results = {}
    for file in sorted(folder.iterdir()) if folder.is_dir() else []:
        if not re.fullmatch(r"[0-9a-f]{12}\.json", file.name):
            continue
        try:
            results[file.stem] = RunResult(**json.loads(file.read_text()))
        except (ValueError, TypeError) as error:
            raise InputError(
                f"{file}: not a result of globalconv paper of this version ({error}); move it away, and its run is"
                " scored again"
            ) from error
    return results

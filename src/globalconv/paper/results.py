"""The result of one training as a file: everything that a table, an interval or a plot is made of, and no torch.

`RESULTS/KEY.json`, one per training and way of prediction; files of other names in that folder are not looked at.
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

WORDS = {
    "miou": "mIoU", "pixel_accuracy": "pixels", "mean_accuracy": "classes",
    "boundary_accuracy": "boundary", "internal_accuracy": "internal",
}  # fmt: skip
"""Names in `RunResult.scores` -> what people call them; each is a share from 0 to 1, or null."""

SCORES = tuple(WORDS)

NAME = re.compile(r"[0-9a-f]{12}\.json")


@dataclass(frozen=True)
class RunResult:
    """What a training gave: scores of its last weights (their moving average where the recipe has one), in float32.

    Of K classes and a validation split of N images; per-image counts are there so that anybody can resample them.
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
    """(N, K): pixels of each image and class that are right."""
    unions: list[list[int]]
    """(N, K): pixels of each image that are of a class in truth or prediction."""
    regions: list[list[int]]
    """(N, 4): boundary right, boundary, internal right, internal pixels of each image."""
    final_loss: float | None
    """Mean of the last 10 % of the logged training losses; null if none was logged."""
    steps: int
    """Of the optimiser, taken by the last stage."""
    parameters: int
    head_parameters: int
    """Weights, without biases, of the head after res-5: the paper's count."""
    multiply_adds: int
    """Of one training crop through the whole network."""
    crop: list[int]
    """Height and width of a training crop."""
    minutes: float
    """Spent in the training steps of the last stage and in scoring."""
    machine: str
    precision: str
    """Of the training; scores are computed in float32."""
    versions: Mapping[str, str]
    date: str
    diverged: bool = False
    """The loss became infinite or no number: a result, without scores."""
    inference: Mapping[str, Any] = field(default_factory=dict)
    """Scales, tiles or CRF of the prediction, as `InferenceSettings.changes()`; {} for one pass of the network."""


def result_file(folder: Path, key: str) -> Path:
    """Return where the result of this key is, or would be."""
    return folder / f"{key}.json"


def write_result(folder: Path, result: RunResult) -> None:
    """Write a result into `folder`, atomically, one field per line."""
    folder.mkdir(parents=True, exist_ok=True)
    lines = [f"  {json.dumps(name)}: {json.dumps(value)}" for name, value in dataclasses.asdict(result).items()]
    write_text(result_file(folder, result.key), "{\n" + ",\n".join(lines) + "\n}\n")


def read_result(path: Path) -> RunResult:
    """Return the result in a file; `InputError` for anything else."""
    try:
        return RunResult(**json.loads(path.read_text()))
    except (ValueError, TypeError) as error:
        raise InputError(
            f"{path}: not a result of globalconv paper of this version ({error}); move it away, and its run is"
            " scored again"
        ) from error


def read_results(folder: Path) -> dict[str, RunResult]:
    """Return all results in `folder` by their keys; none where there is no such folder."""
    files = sorted(folder.iterdir()) if folder.is_dir() else []
    return {file.stem: read_result(file) for file in files if NAME.fullmatch(file.name)}

"""Results of trainings, as files and as tables for the terminal; imports no torch.

A file `RESULTS/KEY.json` for each training and way of prediction has all numbers that tables, intervals and plots are
made of; files of other names in that folder are ignored.
"""

import dataclasses
import json
import re
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from globalconv.errors import InputError
from globalconv.paper.plan import Run
from globalconv.paper.tables import PaperTable
from globalconv.runtime.files import write_text
from globalconv.runtime.text import align_columns, one_line

SCORE_LABELS = {
    "miou": "mIoU", "pixel_accuracy": "pixels", "mean_accuracy": "classes",
    "boundary_accuracy": "boundary", "internal_accuracy": "internal",
}  # fmt: skip
"""Names in `RunResult.scores` -> labels in tables; each score is a share from 0 to 1, or null."""

SCORES = tuple(SCORE_LABELS)

MIOU_OF_ALL = "miou_of_all"
"""Name of the mean over all classes, where the report's mean is over some."""


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
        except (ValueError, TypeError, RecursionError) as error:
            raise InputError(
                f"{file}: not a result of globalconv paper of this version ({one_line(error)}); move it away, and its"
                " run is scored again"
            ) from error
    return results


def table_text(table: PaperTable, done: Sequence[tuple[Run, RunResult]], planned: Sequence[Run]) -> str:
    """Return a table of the paper: the variants of all `planned` runs, with the results of those that are `done`.

    A score is its mean over runs in per cent, ± its standard deviation where there are several, and the printed one.
    """
    header = ["", "runs", *(f"{SCORE_LABELS[score]} % (paper)" for score in table.scores), "loss", "head", "GMAC"]
    rows = [header]
    for variant in table.variants:
        count = sum(run.table is table and run.variant is variant for run in planned)
        if count == 0:
            continue
        results = [result for run, result in done if run.table is table and run.variant is variant]
        diverged = sum(result.diverged for result in results)
        row = [variant.name, f"{len(results)}/{count}" + (f", {diverged} diverged" if diverged else "")]
        for score in table.scores:
            values = [100 * value for result in results if (value := result.scores[score]) is not None]
            measured = f"{statistics.fmean(values):.1f}" if values else "-"
            spread = f" ± {statistics.stdev(values):.1f}" if len(values) > 1 else ""
            printed = f"{variant.printed[score]:.1f}" if score in variant.printed else "-"
            row.append(f"{measured + spread:>12} ({printed})")
        losses = [result.final_loss for result in results if result.final_loss is not None and not result.diverged]
        row.append(f"{statistics.fmean(losses):.3f}" if losses else "-")
        row += [f"{results[0].head_parameters:,}", f"{results[0].multiply_adds / 1e9:.2f}"] if results else ["-", "-"]
        rows.append(row)
    return "\n".join([table.title, *align_columns(rows), *table.notes])


def list_text(runs: Sequence[tuple[str, Run]], results: Mapping[str, RunResult]) -> str:
    """Return runs in their order, each with its key, whether it is done, and the minutes that it took."""
    rows = [["key", "", "minutes", "run"]]
    for key, run in runs:
        result = results.get(key)
        state = "-" if result is None else "diverged" if result.diverged else "done"
        minutes = "" if result is None else f"{result.minutes:.1f}"
        rows.append([key, state, minutes, f"{run.table.name}: {run.description}"])
    return "\n".join(align_columns(rows))

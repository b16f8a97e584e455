"""The only way any score is made: one prediction after another against a source, into one confusion matrix."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import numpy.typing as npt

from globalconv.data.masks import read_label_map
from globalconv.data.sources.source import Source
from globalconv.errors import InputError
from globalconv.evaluation.confusion import ConfusionMatrix, Floats
from globalconv.labels import LabelSpace

Image = npt.NDArray[np.uint8]
ClassMap = npt.NDArray[np.uint8]
OnImage = Callable[[int, ConfusionMatrix], object]
"""Called after every image with the number of images done and the matrix so far; may raise to stop."""


@dataclass(frozen=True)
class Score:
    """What was counted over a whole source, and what the numbers need to be understood."""

    matrix: ConfusionMatrix
    labels: LabelSpace
    images: int
    precision: str
    seconds: float
    """Time the scoring took, reading and predicting included."""

    @property
    def miou(self) -> float:
        return self.matrix.miou()

    @property
    def absent_classes(self) -> list[str]:
        """Names of the classes left out of the mean: neither in the truth nor in the predictions."""
        return [self.labels.class_names[index] for index in self.matrix.absent_classes()]

    def to_json(self) -> dict[str, Any]:
        """Return the scores as JSON values; the IoU of an absent class is null."""
        return {
            "miou": self.miou,
            "iou": dict(zip(self.labels.class_names, map(_or_none, self.matrix.iou()), strict=True)),
            "pixel_accuracy": self.matrix.pixel_accuracy(),
            "mean_accuracy": self.matrix.mean_accuracy(),
            "images": self.images,
            "precision": self.precision,
            "absent_classes": self.absent_classes,
            "seconds": round(self.seconds, 3),
        }

    def table(self) -> str:
        """Return the scores as lines for a terminal: one per class, then the means."""
        matrix = self.matrix
        share = matrix.counts.sum(1) / matrix.counts.sum()
        width = max(len("class"), *map(len, self.labels.class_names))
        rows = zip(self.labels.class_names, _cells(matrix.iou()), _cells(matrix.accuracy()), share, strict=True)
        lines = [f"{'class':<{width}}     IoU  accuracy  pixels"]
        lines += [f"{name:<{width}}  {iou}    {accuracy}  {part:6.2%}" for name, iou, accuracy, part in rows]
        lines += [f"{'mean':<{width}}  {self.miou:6.4f}    {matrix.mean_accuracy():6.4f}"]
        images = f"{self.images} image{'s' if self.images != 1 else ''}"
        lines += [f"pixel accuracy {matrix.pixel_accuracy():.4f}, {images}, {self.precision}"]
        if absent := self.absent_classes:
            lines += [f"not in the mean, because in neither truth nor predictions: {', '.join(absent)}"]
        return "\n".join(lines)


def score_source(
    predict: Callable[[Image], ClassMap], source: Source, precision: str, on_image: OnImage | None = None
) -> Score:
    """Score `predict` (image -> class map of its size) over every image of `source`."""
    return score_maps(lambda index: predict(source.image(index)), source, precision, on_image)


def score_predictions(folder: Path, source: Source, on_image: OnImage | None = None) -> Score:
    """Score class maps that lie in `folder`, made by anything: index or palette PNGs called like the samples.

    A sample `day/0001` is looked for as `day/0001.png`, or, where last parts of names are unique, as `0001.png`.
    All files must be there before the first is read.
    """
    files = _class_map_files(folder, source)
    return score_maps(lambda index: read_label_map(files[index], source.labels), source, "class maps", on_image)


def score_maps(
    class_map: Callable[[int], ClassMap], source: Source, precision: str, on_image: OnImage | None = None
) -> Score:
    """Score the class map of every index of `source`; memory does not grow with the number of images."""
    start = time.perf_counter()
    matrix = ConfusionMatrix(source.labels.num_classes)
    for index in range(len(source)):
        predicted, truth = class_map(index), source.label_map(index)
        try:
            matrix.update(predicted, truth)
        except InputError as error:
            raise InputError(f"{source.name}, {source.sample_name(index)}: {error}") from error
        if on_image is not None:
            on_image(index + 1, matrix)
    if not matrix.counts.any():
        raise InputError(f"{source.name}: not one labelled pixel in {len(source)} images, so there is nothing to score")
    return Score(matrix, source.labels, len(source), precision, time.perf_counter() - start)


def _class_map_files(folder: Path, source: Source) -> list[Path]:
    if not folder.is_dir():
        raise InputError(f"predictions={folder}: no such folder; give the folder that holds the class maps")
    names = [source.sample_name(index) for index in range(len(source))]
    files = [folder / f"{name}.png" for name in names]
    short = [folder / f"{PurePosixPath(name).name}.png" for name in names]
    if len(set(short)) == len(short) and not any(file.is_file() for file in files):
        files = short
    if missing := [file for file in files if not file.is_file()]:
        raise InputError(
            f"predictions={folder}: {len(missing)} of {len(files)} class maps are not there, the first is {missing[0]};"
            f" {source.name} needs one PNG per image, called like it"
        )
    return files


def _or_none(value: float) -> float | None:
    return None if np.isnan(value) else float(value)


def _cells(values: Floats) -> list[str]:
    return [f"{'-':>6}" if np.isnan(value) else f"{value:6.4f}" for value in values]

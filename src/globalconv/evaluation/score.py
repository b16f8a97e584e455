"""The only way any score is made: one prediction after another against a source, into one confusion matrix."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from globalconv.arrays import Float64Array, Int64Array, Uint8Array
from globalconv.data.masks import read_label_map
from globalconv.data.source import Prefetcher, Source, Subset
from globalconv.errors import InputError
from globalconv.evaluation.confusion import ConfusionMatrix
from globalconv.evaluation.region_curves import RegionTally, known
from globalconv.evaluation.regions import RegionSettings
from globalconv.labels import LabelSpace
from globalconv.runtime.processes import Shard
from globalconv.runtime.threads import StageTimes

PARTS = ("decode", "network", "count")
"""What the time of `score_source` goes into."""

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
    """Time that reading and predicting the images took."""
    inference: Mapping[str, Any] = field(default_factory=dict)
    """What the prediction was beyond one pass of the network: tiles, scales, mirror images."""
    regions: RegionTally | None = None
    """Where the right and wrong pixels lie, where it was asked for."""

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
            "iou": dict(zip(self.labels.class_names, map(known, self.matrix.iou()), strict=True)),
            "pixel_accuracy": self.matrix.pixel_accuracy(),
            "mean_accuracy": self.matrix.mean_accuracy(),
            **self._accuracies(),
            "images": self.images,
            "precision": self.precision,
            "absent_classes": self.absent_classes,
            "seconds": round(self.seconds, 3),
            **({"inference": dict(self.inference)} if self.inference else {}),
            **({"regions": self.regions.to_json(self.labels.class_names)} if self.regions else {}),
        }

    def _accuracies(self) -> dict[str, float | None]:
        if self.regions is None:
            return {}
        counts = self.regions.counts()
        return {
            "boundary_accuracy": known(counts.boundary_accuracy()),
            "internal_accuracy": known(counts.internal_accuracy()),
        }

    def table(self) -> str:
        """Return the scores as lines for a terminal: one per class, then the means."""
        matrix = self.matrix
        share = matrix.counts.sum(1) / matrix.counts.sum()
        width = max(len("class"), *map(len, self.labels.class_names))
        edges, mean = self._boundary_ious()
        rows = zip(self.labels.class_names, _cells(matrix.iou()), edges, _cells(matrix.accuracy()), share, strict=True)
        lines = [f"{'class':<{width}}     IoU{'  boundary IoU' if mean else ''}  accuracy  pixels"]
        lines += [
            f"{name:<{width}}  {iou}{edge}    {accuracy}  {part:6.2%}" for name, iou, edge, accuracy, part in rows
        ]
        lines += [f"{'mean':<{width}}  {self.miou:6.4f}{mean}    {matrix.mean_accuracy():6.4f}"]
        images = f"{self.images} image{'s' if self.images != 1 else ''}"
        how = "".join(f", {name} {value}" for name, value in self.inference.items())
        lines += [f"pixel accuracy {matrix.pixel_accuracy():.4f}, {images}, {self.precision}{how}"]
        lines += [] if self.regions is None else self.regions.lines()
        if absent := self.absent_classes:
            lines += [f"not in the mean, because in neither truth nor predictions: {', '.join(absent)}"]
        return "\n".join(lines)

    def _boundary_ious(self) -> tuple[list[str], str]:
        """Return the cells of a column and that of its mean; empty where there is no such column."""
        if self.regions is None:
            return [""] * self.labels.num_classes, ""
        *cells, mean = _cells(np.append(self.regions.boundary_iou(), self.regions.mean_boundary_iou()))
        return [f"  {cell:>12}" for cell in cells], f"  {mean:>12}"


@dataclass(frozen=True)
class Contender:
    """Whatever gives the class map of every index of a source, and the precision it computes in."""

    class_map: Callable[[int], Uint8Array]
    precision: str


@dataclass(frozen=True)
class ScoredImage:
    """One image after its scoring, with a class map, a matrix of its own and one of all so far per contender."""

    index: int
    label_map: Uint8Array
    class_maps: list[Uint8Array]
    matrices: list[ConfusionMatrix]
    totals: list[ConfusionMatrix]


def score_source(
    predict: Callable[[Uint8Array], Uint8Array],
    source: Source,
    precision: str,
    on_image: OnImage | None = None,
    regions: RegionSettings | None = None,
) -> Score:
    """Score `predict` (image -> class map of its size) over every image of `source`."""
    return score_batches(lambda images: [predict(images[0])], source, precision, on_image=on_image, regions=regions)


def score_shard(
    predict: Callable[[Uint8Array], Uint8Array],
    source: Source,
    precision: str,
    shard: Shard,
    add: Callable[[Int64Array], Int64Array],
    on_image: OnImage | None = None,
) -> Score:
    """Score all images of `source`, of which this process predicts its `shard`; `add` sums all processes' counts."""
    part = Subset(source.name, source, tuple(range(shard.index, len(source), shard.count)))
    matrix, start = ConfusionMatrix(source.labels.num_classes), time.perf_counter()
    with Prefetcher(part, 1, StageTimes(*PARTS)) as samples:
        for index in range(len(samples)):
            matrix.counts += _counted(predict(samples.image(index)), samples.label_map(index), samples, index).counts
            if on_image is not None:
                on_image(index + 1, matrix)
    whole = ConfusionMatrix.from_counts(add(matrix.counts))
    _check_labelled(whole, source)
    return Score(whole, source.labels, len(source), precision, time.perf_counter() - start)


def _check_labelled(matrix: ConfusionMatrix, source: Source) -> None:
    if not matrix.counts.any():
        raise InputError(f"{source.name}: not one labelled pixel in {len(source)} images, so there is nothing to score")


def score_batches(
    predict: Callable[[Sequence[Uint8Array]], Sequence[Uint8Array]],
    source: Source,
    precision: str,
    batch_size: int = 1,
    on_image: OnImage | None = None,
    times: StageTimes | None = None,
    regions: RegionSettings | None = None,
) -> Score:
    """Score `predict` (up to `batch_size` images of equal size -> their class maps) over every image of `source`.

    Samples are read ahead by a thread; `times` counts the time of each part. With `regions` the score says where the
    right and wrong pixels lie.
    """
    times = times or StageTimes(*PARTS)
    with Prefetcher(source, batch_size, times) as samples:
        batches = _Batches(predict, samples, batch_size, times)
        return score_maps(Contender(batches.class_map, precision), samples, on_image, times, regions)


def predicted(predict: Callable[[Uint8Array], Uint8Array], source: Source, precision: str) -> Contender:
    """Return what `predict` (image -> class map of its size) says about the images of `source`."""
    return Contender(lambda index: predict(source.image(index)), precision)


def score_predictions(
    folder: Path, source: Source, on_image: OnImage | None = None, regions: RegionSettings | None = None
) -> Score:
    """Score the class maps that lie in `folder`."""
    return score_maps(class_maps_in(folder, source), source, on_image, regions=regions)


def class_maps_in(folder: Path, source: Source) -> Contender:
    """Return class maps made by anything: index or palette PNGs in `folder`, called like the samples.

    A sample `day/0001` is looked for as `day/0001.png`, or, where last parts of names are unique, as `0001.png`.
    All files must be there before the first is read.
    """
    files = _class_map_files(folder, source)
    return Contender(lambda index: read_label_map(files[index], source.labels), "class maps")


def score_maps(
    contender: Contender,
    source: Source,
    on_image: OnImage | None = None,
    times: StageTimes | None = None,
    regions: RegionSettings | None = None,
) -> Score:
    """Score the class map of every index of `source`; memory does not grow with the number of images."""

    def on_scored(image: ScoredImage) -> None:
        if on_image is not None:
            on_image(image.index + 1, image.totals[0])

    return score_together([contender], source, on_scored, times, regions)[0]


def score_together(
    contenders: Sequence[Contender],
    source: Source,
    on_scored: Callable[[ScoredImage], object],
    times: StageTimes | None = None,
    regions: RegionSettings | None = None,
) -> list[Score]:
    """Score several contenders image by image, so that what they say about one image can be compared.

    Each gets the score that it gets alone.
    """
    times = times or StageTimes()
    totals = [ConfusionMatrix(source.labels.num_classes) for _ in contenders]
    seconds = [0.0 for _ in contenders]
    with _Tallying(len(contenders), source, regions) as tallying:
        for index in range(len(source)):
            class_maps = []
            for number, contender in enumerate(contenders):
                start = time.perf_counter()
                class_maps.append(contender.class_map(index))
                seconds[number] += time.perf_counter() - start
            label_map = source.label_map(index)
            with times.stage("count"):
                counted = [_counted(class_map, label_map, source, index) for class_map in class_maps]
                for total, matrix in zip(totals, counted, strict=True):
                    total.counts += matrix.counts
                tallying.add(index, class_maps, label_map)
            on_scored(ScoredImage(index, label_map, class_maps, counted, totals))
    _check_labelled(totals[0], source)
    tallies: Sequence[RegionTally | None] = tallying.tallies or [None] * len(contenders)
    return [
        Score(total, source.labels, len(source), contender.precision, taken, regions=tally)
        for contender, total, taken, tally in zip(contenders, totals, seconds, tallies, strict=True)
    ]


class _Tallying:
    """A tally per contender, or none if not asked for: a thread counts an image while the next one is predicted."""

    def __init__(self, contenders: int, source: Source, settings: RegionSettings | None) -> None:
        self.source = source
        self.tallies = [RegionTally(source.labels.num_classes, settings) for _ in range(contenders)] if settings else []
        self._thread, self._last = ThreadPoolExecutor(1), Future[None]()
        self._last.set_result(None)

    def __enter__(self) -> "_Tallying":
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._thread.shutdown()
        if kind is None:
            self._last.result()

    def add(self, index: int, class_maps: Sequence[Uint8Array], label_map: Uint8Array) -> None:
        """Count an image, as soon as the one before it is counted."""
        if self.tallies:
            self._last.result()
            self._last = self._thread.submit(self._count, index, class_maps, label_map)

    def _count(self, index: int, class_maps: Sequence[Uint8Array], label_map: Uint8Array) -> None:
        with _naming(self.source, index):
            for tally, class_map in zip(self.tallies, class_maps, strict=True):
                tally.update(class_map, label_map)


class _Batches:
    """Class maps by index, made of several images of equal size at a time where the next ones have it."""

    def __init__(
        self,
        predict: Callable[[Sequence[Uint8Array]], Sequence[Uint8Array]],
        source: Source,
        batch_size: int,
        times: StageTimes,
    ) -> None:
        self.predict, self.source, self.batch_size, self.times = predict, source, batch_size, times
        self._made: dict[int, Uint8Array] = {}
        self._read: dict[int, Uint8Array] = {}

    def class_map(self, index: int) -> Uint8Array:
        if index not in self._made:
            images = self._alike_from(index)
            with self.times.stage("network"):
                self._made.update(enumerate(self.predict(images), index))
        return self._made.pop(index)

    def _alike_from(self, index: int) -> list[Uint8Array]:
        """Return the image at `index` and those after it that have its size; the first that has not is kept."""
        images = [self._image(index)]
        for following in range(index + 1, min(index + self.batch_size, len(self.source))):
            image = self._image(following)
            if image.shape != images[0].shape:
                self._read[following] = image
                break
            images.append(image)
        return images

    def _image(self, index: int) -> Uint8Array:
        kept = self._read.pop(index, None)
        return self.source.image(index) if kept is None else kept


def _counted(class_map: Uint8Array, label_map: Uint8Array, source: Source, index: int) -> ConfusionMatrix:
    """Return the confusion matrix of one image."""
    matrix = ConfusionMatrix(source.labels.num_classes)
    with _naming(source, index):
        matrix.update(class_map, label_map)
    return matrix


@contextmanager
def _naming(source: Source, index: int) -> Iterator[None]:
    """Say of which image it is what is refused inside."""
    try:
        yield
    except InputError as error:
        raise InputError(f"{source.name}, {source.sample_name(index)}: {error}") from error


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


def _cells(values: Float64Array) -> list[str]:
    return [f"{'-':>6}" if np.isnan(value) else f"{value:6.4f}" for value in values]

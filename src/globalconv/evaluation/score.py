"""Scores over a whole source: predictions are compared with label maps image by image, into one confusion matrix.

`score_source` runs a network, `score_predictions` takes class maps from anywhere, `score_together` compares several.
All of them go through `score_together`; only `score_shard`, one process of several in training, adds up by itself.
"""

import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from globalconv.arrays import Int64Array, Uint8Array
from globalconv.data.file_names import composed, name_of
from globalconv.data.formats.pairing import describe_similar, list_files
from globalconv.data.mask_survey import settle_predictions
from globalconv.data.masks import INDEX_MASKS, read_label_map
from globalconv.data.source import FileSource, Prefetcher, Source, Subset, resolve_sample
from globalconv.data.suffixes import IMAGE_SUFFIXES, is_image
from globalconv.errors import InputError
from globalconv.evaluation.confusion import ConfusionMatrix
from globalconv.evaluation.region_curves import RegionScores, score_json, score_text
from globalconv.evaluation.regions import RegionSettings
from globalconv.labels import LabelSpace
from globalconv.runtime.processes import Shard
from globalconv.runtime.text import printable
from globalconv.runtime.threads import StageTimes, group_consecutive

STAGES = ("decode", "network", "count")
"""What the time of `score_source` goes into."""

Predict = Callable[[Sequence[Uint8Array]], Sequence[Uint8Array]]
"""Images of one size -> their class maps."""

OnImage = Callable[[int, ConfusionMatrix], object]
"""Called after every image with the number of images done and the matrix so far; may raise to stop."""


@dataclass(frozen=True)
class Score:
    """What was counted over a whole source, and how it was computed."""

    matrix: ConfusionMatrix
    labels: LabelSpace
    images: int
    precision: str
    seconds: float
    """Time that reading and predicting the images took."""
    inference: Mapping[str, Any] = field(default_factory=dict)
    """Inference settings that differ from one plain pass of the network: tiles, scales, mirror images."""
    regions: RegionScores | None = None
    """Scores by regions, where they were asked for."""

    @property
    def miou(self) -> float:
        return self.matrix.miou()

    @property
    def absent_classes(self) -> list[str]:
        """Names of the classes left out of the mean: neither in the truth nor in the predictions."""
        return [self.labels.class_names[index] for index in self.matrix.absent_classes()]

    def to_json(self) -> dict[str, Any]:
        """Return the scores as JSON values; the IoU of an absent class is null."""
        values: dict[str, Any] = {
            "miou": self.miou,
            "iou": dict(zip(self.labels.class_names, map(score_json, self.matrix.iou()), strict=True)),
            "pixel_accuracy": self.matrix.pixel_accuracy(),
            "mean_accuracy": self.matrix.mean_accuracy(),
        }
        if self.regions is not None:
            counts = self.regions.counts()
            values["boundary_accuracy"] = score_json(counts.boundary_accuracy())
            values["internal_accuracy"] = score_json(counts.internal_accuracy())
        values |= {
            "images": self.images,
            "precision": self.precision,
            "absent_classes": self.absent_classes,
            "seconds": round(self.seconds, 3),
        }
        if self.inference:
            values["inference"] = dict(self.inference)
        if self.regions is not None:
            values["regions"] = self.regions.to_json(self.labels.class_names)
        return values

    def table(self) -> str:
        """Return the scores as lines for a terminal: one per class, then the means."""
        matrix, names = self.matrix, [*map(printable, self.labels.class_names)]
        width = max(len("class"), *map(len, names))
        title, edges, mean_edge = "", [""] * len(names), ""
        if self.regions is not None:
            title = "  boundary IoU"
            edges = [f"  {score_text(iou):>12}" for iou in self.regions.boundary_iou()]
            mean_edge = f"  {score_text(self.regions.mean_boundary_iou()):>12}"
        share_K = matrix.counts.sum(1) / matrix.counts.sum()
        rows = zip(names, matrix.iou(), edges, matrix.accuracy(), share_K, strict=True)
        lines = [f"{'class':<{width}}     IoU{title}  accuracy  pixels"]
        lines += [
            f"{name:<{width}}  {score_text(iou):>6}{edge}    {score_text(accuracy):>6}  {share:6.2%}"
            for name, iou, edge, accuracy, share in rows
        ]
        lines += [f"{'mean':<{width}}  {self.miou:6.4f}{mean_edge}    {matrix.mean_accuracy():6.4f}"]
        images = f"{self.images} image{'s' if self.images != 1 else ''}"
        inference = "".join(f", {name} {value}" for name, value in self.inference.items())
        lines += [f"pixel accuracy {matrix.pixel_accuracy():.4f}, {images}, {self.precision}{inference}"]
        lines += [] if self.regions is None else self.regions.lines()
        if absent := self.absent_classes:
            lines += [f"not in the mean, because in neither truth nor predictions: {', '.join(map(printable, absent))}"]
        return "\n".join(lines)


@dataclass(frozen=True)
class Predictions:
    """The class map of every index of a source, wherever it comes from, and the precision it is computed in."""

    class_map: Callable[[int], Uint8Array]
    precision: str
    files: Sequence[Path] = ()
    """The file of each class map, where they are read from files."""


@dataclass(frozen=True)
class ScoredImage:
    """One image after it is scored: a class map and a confusion matrix from each of the `Predictions`."""

    index: int
    label_map: Uint8Array
    class_maps: list[Uint8Array]
    matrices: list[ConfusionMatrix]
    totals: list[ConfusionMatrix]
    """Over all images so far."""


def score_source(
    predict: Predict,
    source: Source,
    precision: str,
    batch_size: int = 1,
    on_image: OnImage | None = None,
    times: StageTimes | None = None,
    regions: RegionSettings | None = None,
) -> Score:
    """Score `predict` over every image of `source`; it gets up to `batch_size` images of equal size at a time.

    A thread reads samples ahead; `times` counts the time of each of `STAGES`. `regions` adds the scores by regions.
    """
    times = times or StageTimes(*STAGES)
    with Prefetcher(source, batch_size, times) as samples:

        def class_maps() -> Iterator[Uint8Array]:
            images = map(samples.image, range(len(samples)))
            for batch in group_consecutive(images, lambda image, first: image.shape == first.shape, batch_size):
                with times.stage("network"):
                    predicted = predict(batch)
                yield from predicted

        in_order = class_maps()
        predictions = Predictions(lambda index: next(in_order), precision)
        return score_predictions(predictions, samples, on_image, times, regions)


def score_shard(
    predict: Predict,
    source: Source,
    precision: str,
    shard: Shard,
    add: Callable[[Int64Array], Int64Array],
    on_image: OnImage | None = None,
) -> Score:
    """Score all images of `source`, of which this process predicts its `shard`; `add` sums all processes' counts."""
    part = Subset(source.name, source, tuple(range(shard.index, len(source), shard.count)))
    matrix, start = ConfusionMatrix(source.labels.num_classes), time.perf_counter()
    with Prefetcher(part, 1, StageTimes(*STAGES)) as samples:
        for index in range(len(samples)):
            class_map, label_map = predict([samples.image(index)])[0], samples.label_map(index)
            with _naming_sample(samples, index):
                matrix.update(class_map, label_map)
            if on_image is not None:
                on_image(index + 1, matrix)
    whole = ConfusionMatrix.from_counts(add(matrix.counts))
    _check_labelled(whole, source)
    return Score(whole, source.labels, len(source), precision, time.perf_counter() - start)


def score_predictions(
    predictions: Predictions,
    source: Source,
    on_image: OnImage | None = None,
    times: StageTimes | None = None,
    regions: RegionSettings | None = None,
) -> Score:
    """Score the class map of every index of `source`; memory does not grow with the number of images."""

    def on_scored(image: ScoredImage) -> None:
        if on_image is not None:
            on_image(image.index + 1, image.totals[0])

    return score_together([predictions], source, on_scored, times, regions)[0]


def predictions_in(folder: Path, source: Source) -> Predictions:
    """Return the class maps in `folder`, made by anything: images with the names of the samples.

    They are read as masks are, in the way that they show together: indices, 0 and 255, colours of the classes.

    A sample `day/0001` is looked for as `day/0001.png`, in any Unicode form, then with another suffix of an image; or,
    where the last parts of all names differ, as `0001` in the same ways. `InputError` unless all files are there,
    before the first is read.
    """
    if not folder.is_dir():
        raise InputError(f"predictions={folder}: no such folder; give the folder that holds the class maps")
    names = [source.sample_name(index) for index in range(len(source))]
    files = _find_class_maps(folder, names)
    if missing := [(name, file) for name, file in zip(names, files, strict=True) if not file.is_file()]:
        name, file = missing[0]
        hint = describe_similar(folder / name) or describe_similar(file.with_suffix(""))
        raise InputError(
            f"predictions={folder}: {len(missing)} of {len(files)} class maps are not there, the first is {file}{hint};"
            f" {source.name} needs one PNG per image, called like it"
        )
    first = resolve_sample(source, 0)[0] if names else None
    truth = first.masks if isinstance(first, FileSource) else INDEX_MASKS
    masks = settle_predictions(source.labels, truth, files)
    return Predictions(lambda index: read_label_map(files[index], source.labels, masks), "class maps", files)


def _find_class_maps(folder: Path, names: Sequence[str]) -> list[Path]:
    """Return the file in `folder` of each of the `names` of samples: one that is not there where there is none."""
    files = [folder / f"{name}.png" for name in names]
    if all(map(os.path.isfile, files)):
        return files
    by_name: dict[str, list[Path]] = {}
    for path in filter(is_image, list_files(folder)):
        by_name.setdefault(name_of(path.relative_to(folder), IMAGE_SUFFIXES), []).append(path)
    names = [composed(name) for name in names]
    flat = [PurePosixPath(name).name for name in names]
    if len(set(flat)) == len(names) and by_name.keys().isdisjoint(names):
        names = flat

    def find(name: str) -> Path:
        found = by_name.get(name, [folder / f"{name}.png"])
        found = [path for path in found if path.suffix.lower() == ".png"] or found
        if len(found) > 1:
            raise InputError(
                f"predictions={folder}: {found[0].name} and {found[1].name} are both the class map of {name!r}; remove"
                " or rename one"
            )
        return found[0]

    return list(map(find, names))


def score_together(
    several: Sequence[Predictions],
    source: Source,
    on_scored: Callable[[ScoredImage], object],
    times: StageTimes | None = None,
    regions: RegionSettings | None = None,
) -> list[Score]:
    """Score several predictions image by image, so that they can be compared on each image.

    Each gets the score that it would get alone. With `regions`, a thread counts the regions of an image while the next
    one is predicted.
    """
    times = times or StageTimes()
    classes = source.labels.num_classes
    totals = [ConfusionMatrix(classes) for _ in several]
    seconds = [0.0 for _ in several]
    by_region = [RegionScores(classes, regions) if regions is not None else None for _ in several]

    def count_regions(index: int, class_maps: Sequence[Uint8Array], label_map: Uint8Array) -> None:
        with _naming_sample(source, index):
            for region_scores, class_map in zip(by_region, class_maps, strict=True):
                assert region_scores is not None
                region_scores.update(class_map, label_map)

    counting: Future[None] | None = None
    with ThreadPoolExecutor(1) as thread:
        for index in range(len(source)):
            class_maps = []
            for number, predictions in enumerate(several):
                start = time.perf_counter()
                class_maps.append(predictions.class_map(index))
                seconds[number] += time.perf_counter() - start
            label_map = source.label_map(index)
            with times.stage("count"):
                matrices = [ConfusionMatrix(classes) for _ in several]
                for matrix, total, class_map, predictions in zip(matrices, totals, class_maps, several, strict=True):
                    with _naming_sample(source, index, predictions.files):
                        matrix.update(class_map, label_map)
                    total.counts += matrix.counts
                if counting is not None:
                    counting.result()  # at most one image waits, and its error is raised here
                if regions is not None:
                    counting = thread.submit(count_regions, index, class_maps, label_map)
            on_scored(ScoredImage(index, label_map, class_maps, matrices, totals))
        if counting is not None:
            counting.result()
    _check_labelled(totals[0], source)
    results = zip(several, totals, seconds, by_region, strict=True)
    return [
        Score(total, source.labels, len(source), predictions.precision, taken, regions=region_scores)
        for predictions, total, taken, region_scores in results
    ]


def _check_labelled(matrix: ConfusionMatrix, source: Source) -> None:
    if not matrix.counts.any():
        raise InputError(f"{source.name}: not one labelled pixel in {len(source)} images, so there is nothing to score")


@contextmanager
def _naming_sample(source: Source, index: int, files: Sequence[Path] = ()) -> Iterator[None]:
    """Put the names of source and sample, or the sample's of `files`, before the message of an `InputError` inside."""
    try:
        yield
    except InputError as error:
        if files:
            raise InputError(f"{files[index]}: {error}") from error
        raise InputError(f"{source.name}, {source.sample_name(index)}: {error}") from error

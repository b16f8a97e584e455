"""One pass over the images: the scores of all networks, and what a report says about single images.

Shapes: N images, K classes. Of an image only numbers are kept; the images that are shown are predicted again.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from pathlib import Path

import numpy as np

from globalconv.arrays import Float64Array, Int64Array
from globalconv.data.source import Source
from globalconv.evaluation.region_curves import RegionScores
from globalconv.evaluation.regions import REGIONS, RegionSettings
from globalconv.evaluation.score import OnImage, Predictions, Score, ScoredImage, score_together
from globalconv.infer.predictor import Predictor
from globalconv.labels import IGNORE
from globalconv.model.wrapped import custom_class
from globalconv.reports.history import History, read_history
from globalconv.training.recipe import flatten


@dataclass(frozen=True)
class Subject:
    """A network, or a folder of class maps, to report on."""

    name: str
    predictions: Predictions
    history: History
    predictor: Predictor | None = None


def network_subject(name: str, predictor: Predictor, source: Source, folder: Path | None) -> Subject:
    """Return a network as the subject of a report; `folder` is its run, where it has one."""
    recipe = predictor.info.get("recipe", {})
    history = History(flatten(recipe)) if folder is None else read_history(folder, recipe)
    if network_class := custom_class(predictor.network):
        # The recipe's model settings describe another network than this one, which the user's own code built.
        used = {option: value for option, value in history.settings.items() if not option.startswith("model.")}
        history = replace(history, settings={"network": network_class, **used})
    predictions = Predictions(lambda index: predictor.class_map(source.image(index)), predictor.precision)
    return Subject(name, predictions, history, predictor)


@dataclass(frozen=True)
class Result:
    """The score of one subject, as a whole and per image."""

    subject: Subject
    score: Score
    hits_NK: Int64Array
    """Pixels of each class that were predicted right."""
    unions_NK: Int64Array
    """Pixels that are of the class in truth or prediction."""
    wrong_N: Int64Array

    @property
    def name(self) -> str:
        return self.subject.name

    @property
    def regions(self) -> RegionScores:
        """Where the right and wrong pixels lie."""
        assert self.score.regions is not None
        return self.score.regions

    def image_mious(self) -> Float64Array:
        """Return the mIoU of each image over the classes in its truth or prediction; nan where no pixel counts."""
        with np.errstate(invalid="ignore"):
            ious_NK = self.hits_NK / self.unions_NK
        classes_N = (~np.isnan(ious_NK)).sum(1)
        return np.where(classes_N > 0, np.nansum(ious_NK, 1) / np.maximum(1, classes_N), np.nan)


@dataclass(frozen=True)
class Findings:
    """Everything that a report is written from."""

    source: Source
    results: list[Result]
    counted_N: Int64Array
    """Pixels that count."""
    disputed_N: Int64Array
    """Those to which the subjects give different classes."""
    sizes: Counter[tuple[int, int]]
    """(width, height) -> number of images."""
    pixels: int

    @property
    def names(self) -> list[str]:
        """What the subjects are called."""
        return [result.name for result in self.results]

    def shares(self, pixels_N: Int64Array) -> Float64Array:
        """Return pixels of each image as shares of those that count; nan where none does."""
        with np.errstate(invalid="ignore"):
            return np.asarray(pixels_N / self.counted_N, np.float64)


def gather(
    subjects: Sequence[Subject], source: Source, on_image: OnImage, regions: RegionSettings = REGIONS
) -> Findings:
    """Score `subjects` on every image of `source`; `on_image` gets the matrix of the first one."""
    n, k = len(source), source.labels.num_classes
    hits_SNK, unions_SNK = np.zeros((2, len(subjects), n, k), np.int64)  # S subjects
    wrong_SN = np.zeros((len(subjects), n), np.int64)
    counted_N, disputed_N = np.zeros((2, n), np.int64)
    sizes: Counter[tuple[int, int]] = Counter()

    def on_scored(image: ScoredImage) -> None:
        valid = image.label_map != IGNORE
        for number, matrix in enumerate(image.matrices):
            hits_SNK[number, image.index], unions_SNK[number, image.index] = matrix.overlap()
            wrong_SN[number, image.index] = matrix.counts.sum() - matrix.counts.trace()
        counted_N[image.index] = valid.sum()
        pairs = combinations(image.class_maps, 2)
        disputed_N[image.index] = (sum((a != b for a, b in pairs), start=np.zeros_like(valid)) & valid).sum()
        sizes[image.label_map.shape[1], image.label_map.shape[0]] += 1
        on_image(image.index + 1, image.totals[0])

    scores = score_together([subject.predictions for subject in subjects], source, on_scored, regions=regions)
    results = [Result(*parts) for parts in zip(subjects, scores, hits_SNK, unions_SNK, wrong_SN, strict=True)]
    pixels = sum(width * height * count for (width, height), count in sizes.items())
    return Findings(source, results, counted_N, disputed_N, sizes, pixels)

"""One pass over the images: the scores, and what the report says about single images.

Shapes: N images, K classes. Of an image only numbers are kept; the pictures that are shown are predicted again.
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import numpy.typing as npt

from globalconv.data.sources.source import Source
from globalconv.evaluation.confusion import ConfusionMatrix
from globalconv.evaluation.regions import REGIONS, RegionSettings
from globalconv.evaluation.score import Contender, Score, ScoredImage, score_together
from globalconv.evaluation.tally import RegionTally
from globalconv.infer.predictor import Predictor
from globalconv.labels import IGNORE
from globalconv.reporting.history import History

Counts = npt.NDArray[np.int64]
OnImage = Callable[[int, ConfusionMatrix], object]


@dataclass(frozen=True)
class Subject:
    """A network, or a folder of class maps, to report on."""

    name: str
    contender: Contender
    history: History
    predictor: Predictor | None = None


@dataclass(frozen=True)
class Result:
    """What one subject reached, as a whole and per image."""

    subject: Subject
    score: Score
    hits_NK: Counts
    """Pixels of each class that were predicted right."""
    unions_NK: Counts
    """Pixels that are of the class in truth or prediction."""
    wrong_N: Counts

    @property
    def regions(self) -> RegionTally:
        """Where the right and wrong pixels lie."""
        assert self.score.regions is not None
        return self.score.regions

    @property
    def name(self) -> str:
        return self.subject.name

    def image_mious(self) -> npt.NDArray[np.float64]:
        """mIoU of each image alone, over the classes in its truth or prediction; nan where nothing counts."""
        with np.errstate(invalid="ignore"):
            ious_NK = self.hits_NK / self.unions_NK
        known_N = (~np.isnan(ious_NK)).sum(1)
        return np.where(known_N > 0, np.nansum(ious_NK, 1) / np.maximum(1, known_N), np.nan)


@dataclass(frozen=True)
class Findings:
    """Everything that a report is written from."""

    source: Source
    results: list[Result]
    counted_N: Counts
    """Pixels that count."""
    disputed_N: Counts
    """Those to which the subjects give different classes."""
    sizes: Counter[tuple[int, int]]
    """(width, height) -> number of images."""
    pixels: int

    def shares(self, pixels_N: Counts) -> npt.NDArray[np.float64]:
        """Return pixels of each image as shares of those that count; nan where none does."""
        with np.errstate(invalid="ignore"):
            return np.asarray(pixels_N / self.counted_N, np.float64)


def gather(subjects: list[Subject], source: Source, on_image: OnImage, regions: RegionSettings = REGIONS) -> Findings:
    """Score `subjects` on every image of `source`."""
    n, k = len(source), source.labels.num_classes
    hits, unions = np.zeros((2, len(subjects), n, k), np.int64)
    wrong = np.zeros((len(subjects), n), np.int64)
    counted, disputed = np.zeros((2, n), np.int64)
    sizes: Counter[tuple[int, int]] = Counter()

    def on_scored(image: ScoredImage) -> None:
        valid = image.label_map != IGNORE
        for number, matrix in enumerate(image.matrices):
            hits[number, image.index], unions[number, image.index] = matrix.overlap()
            wrong[number, image.index] = matrix.counts.sum() - matrix.counts.trace()
        counted[image.index] = valid.sum()
        pairs = combinations(image.class_maps, 2)
        disputed[image.index] = (sum((a != b for a, b in pairs), start=np.zeros_like(valid)) & valid).sum()
        sizes[image.label_map.shape[1], image.label_map.shape[0]] += 1
        on_image(image.index + 1, image.totals[0])

    scores = score_together([subject.contender for subject in subjects], source, on_scored, regions=regions)
    results = [Result(*parts) for parts in zip(subjects, scores, hits, unions, wrong, strict=True)]
    pixels = sum(width * height * count for (width, height), count in sizes.items())
    return Findings(source, results, counted, disputed, sizes, pixels)

"""Candidates for a CRF, and what each scores on samples whose probabilities are kept on disk.

K classes, H x W pixels. A tally is int64 (2, K): of every class the pixels that are right, and those that are of the
class in truth or prediction.
"""

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import count, product
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from globalconv.arrays import Int64Array, Uint8Array
from globalconv.crf.dense import PRESETS, DenseCRF
from globalconv.crf_search.search_settings import Grid
from globalconv.data.source import Source, Subset
from globalconv.evaluation.confusion import ConfusionMatrix
from globalconv.evaluation.score import Predictions, score_predictions
from globalconv.infer.predictor import Predictor
from globalconv.runtime.files import write_atomic
from globalconv.runtime.processes import map_in_processes

OnImage = Callable[[int], object]
"""Called with the number of images done."""


@dataclass(frozen=True)
class Candidate:
    """A CRF to try, and what it is called; None is no CRF at all."""

    name: str
    crf: DenseCRF | None

    def class_map(self, image: npt.NDArray[np.uint8], probabilities_KHW: npt.NDArray[Any]) -> npt.NDArray[np.uint8]:
        """Return the class map (H, W)."""
        refined_KHW = probabilities_KHW if self.crf is None else self.crf(image, probabilities_KHW)
        return np.asarray(refined_KHW.argmax(0), np.uint8)


@dataclass(frozen=True)
class Trial:
    """What a candidate scored."""

    candidate: Candidate
    miou: float

    @property
    def crf(self) -> DenseCRF:
        """The candidate's CRF, where it is one."""
        assert self.candidate.crf is not None
        return self.candidate.crf


NO_CRF = Candidate("no CRF", None)


def published() -> list[Candidate]:
    """Return what is tried in any case: no CRF, and the published settings."""
    return [NO_CRF, *(Candidate(name, crf) for name, crf in PRESETS.items())]


def coarse(grid: Grid) -> list[Candidate]:
    """Return all points of a grid; `InputError` for values that no CRF takes."""
    return [_point(grid, values) for values in product(*grid.axes().values())]


def fine(grid: Grid, best: DenseCRF) -> list[Candidate]:
    """Return the points half a step of the grid around its best one, in every parameter that has several values."""
    around = []
    for name, values in grid.axes().items():
        here = getattr(best, name)
        step = min(np.diff(values)) / 2 if len(values) > 1 else 0.0
        around.append(sorted({value for value in (here - step, here, here + step) if value > 0 or value == here}))
    return [found for values in product(*around) if (found := _point(grid, values)).crf != best]


def at_the_end(grid: Grid, best: DenseCRF) -> list[str]:
    """Return the parameters whose best value is the first or the last of several: a better one may lie beyond."""
    return [name for name, values in grid.axes().items() if len(values) > 1 and getattr(best, name) in _ends(values)]


def _ends(values: tuple[float, ...]) -> tuple[float, float]:
    return values[0], values[-1]


def _point(grid: Grid, values: Sequence[float]) -> Candidate:
    fields: dict[str, Any] = dict(zip(grid.axes(), map(float, values), strict=True))
    crf = DenseCRF(grid.iterations, **fields)
    return Candidate(described(crf), crf)


def described(crf: DenseCRF) -> str:
    """Return the parameters in a few words."""
    return (
        f"appearance {crf.appearance_weight:g}/{crf.appearance_xy:g}/{crf.appearance_rgb:g},"
        f" smoothness {crf.smoothness_weight:g}/{crf.smoothness_xy:g}"
    )


@dataclass(frozen=True)
class Sample:
    """A sample of a source, and the file of what a network thinks of its pixels."""

    source: Source
    index: int
    probabilities: Path

    @property
    def name(self) -> str:
        return self.source.sample_name(self.index)


def keep_probabilities(predictor: Predictor, source: Source, folder: Path, on_image: OnImage) -> list[Sample]:
    """Write probabilities_KHW of every sample to `folder`, unless they are there already, and return the samples.

    They are kept in float16 (2 bytes a class and pixel), which DenseCRF takes as it is.
    """
    folder.mkdir(parents=True, exist_ok=True)
    samples = [Sample(source, index, folder / f"{index:06d}.npy") for index in range(len(source))]
    for sample in samples:
        if not sample.probabilities.is_file():
            shares = predictor(source.image(sample.index), probabilities=True).probabilities
            assert shares is not None
            half = shares.astype(np.float16)
            write_atomic(sample.probabilities, lambda file, half=half: np.save(file, half))  # type: ignore[misc]
        on_image(sample.index + 1)
    return samples


def matrices(
    candidates: Sequence[Candidate], samples: Sequence[Sample], workers: int, on_image: OnImage
) -> Iterator[ConfusionMatrix]:
    """Yield the matrix of each candidate over samples of one source, refined by `workers` processes of one thread."""
    source, made = Subset("the search part", samples[0].source, tuple(sample.index for sample in samples)), count(1)
    jobs = [(candidate, sample) for candidate in candidates for sample in range(len(samples))]
    if workers <= 1:
        _begin(samples)
        maps: Iterator[Uint8Array] = map(_class_map, jobs)
    else:
        maps = map_in_processes(_class_map, jobs, workers, lambda job: samples[job[1]].name, _begin_alone, (samples,))
    for _ in candidates:
        predictions = Predictions(lambda index: next(maps), "float32")
        yield score_predictions(predictions, source, lambda done, matrix: on_image(next(made))).matrix


_samples: list[Sample] = []
"""What this process counts on."""


def _begin(samples: Sequence[Sample]) -> None:
    _samples[:] = samples


def _begin_alone(samples: Sequence[Sample]) -> None:
    os.environ["OMP_NUM_THREADS"] = "1"  # which the CRF obeys: images side by side leave no core idle
    _begin(samples)


def _class_map(job: tuple[Candidate, int]) -> Uint8Array:
    candidate, sample = job[0], _samples[job[1]]
    return candidate.class_map(sample.source.image(sample.index), np.load(sample.probabilities))


def tally(matrix: ConfusionMatrix) -> Int64Array:
    """Return what `matrix` says about every class."""
    return np.stack(matrix.overlap())

"""The CRFs to try, and the mIoU of each over samples whose probabilities are kept on disk.

K classes, H x W pixels.
"""

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import count, product
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from globalconv.arrays import Uint8Array
from globalconv.crf.dense import PRESETS, DenseCRF
from globalconv.crf_tuning.search_settings import ParameterGrid
from globalconv.data.source import Source, Subset
from globalconv.evaluation.confusion import ConfusionMatrix
from globalconv.evaluation.score import Predictions, score_predictions
from globalconv.infer.predictor import Predictor
from globalconv.runtime.files import write_atomic
from globalconv.runtime.processes import map_in_processes

OnImage = Callable[[int], object]
"""Called with the number of images done."""


@dataclass(frozen=True)
class CrfCandidate:
    """A CRF to try, or None for no CRF at all, and its name."""

    name: str
    crf: DenseCRF | None

    def class_map(self, image: Uint8Array, probabilities_KHW: npt.NDArray[Any]) -> Uint8Array:
        """Return the class map (H, W)."""
        refined_KHW = probabilities_KHW if self.crf is None else self.crf(image, probabilities_KHW)
        return np.asarray(refined_KHW.argmax(0), np.uint8)


@dataclass(frozen=True)
class Trial:
    """A candidate and its score."""

    candidate: CrfCandidate
    miou: float

    @property
    def crf(self) -> DenseCRF:
        """The candidate's CRF, of a candidate that is not `NO_CRF`."""
        assert self.candidate.crf is not None
        return self.candidate.crf


NO_CRF = CrfCandidate("no CRF", None)


def published() -> list[CrfCandidate]:
    """Return the candidates of every search: no CRF, and the published settings."""
    return [NO_CRF, *(CrfCandidate(name, crf) for name, crf in PRESETS.items())]


def coarse(grid: ParameterGrid) -> list[CrfCandidate]:
    """Return all points of a grid; `InputError` for values that no CRF takes."""
    return [_point(grid, values) for values in product(*grid.axes().values())]


def fine(grid: ParameterGrid, best: DenseCRF) -> list[CrfCandidate]:
    """Return the points half a step of the grid around its best one, in every parameter that has several values."""
    around = []
    for name, values in grid.axes().items():
        here = getattr(best, name)
        step = min(np.diff(values)) / 2 if len(values) > 1 else 0.0
        around.append(sorted({value for value in (here - step, here, here + step) if value > 0 or value == here}))
    return [point for values in product(*around) if (point := _point(grid, values)).crf != best]


def _point(grid: ParameterGrid, values: Sequence[float]) -> CrfCandidate:
    parameters: dict[str, Any] = dict(zip(grid.axes(), map(float, values), strict=True))
    crf = DenseCRF(grid.iterations, **parameters)
    return CrfCandidate(described(crf), crf)


def at_the_end(grid: ParameterGrid, best: DenseCRF) -> list[str]:
    """Return the parameters whose best value is the first or the last of several: a better one may lie beyond."""
    ends = {name: (values[0], values[-1]) for name, values in grid.axes().items() if len(values) > 1}
    return [name for name, values in ends.items() if getattr(best, name) in values]


def described(crf: DenseCRF) -> str:
    """Return the parameters in a few words."""
    return (
        f"appearance {crf.appearance_weight:g}/{crf.appearance_xy:g}/{crf.appearance_rgb:g},"
        f" smoothness {crf.smoothness_weight:g}/{crf.smoothness_xy:g}"
    )


@dataclass(frozen=True)
class StoredSample:
    """A sample of a source, and the file of a network's probabilities of its pixels."""

    source: Source
    index: int
    probabilities: Path

    @property
    def name(self) -> str:
        return self.source.sample_name(self.index)


def keep_probabilities(predictor: Predictor, source: Source, folder: Path, on_image: OnImage) -> list[StoredSample]:
    """Write probabilities_KHW of every sample to `folder`, unless they are there already, and return the samples.

    They are kept in float16 (2 bytes per class and pixel), which DenseCRF takes as it is.
    """
    folder.mkdir(parents=True, exist_ok=True)
    samples = [StoredSample(source, index, folder / f"{index:06d}.npy") for index in range(len(source))]
    for sample in samples:
        if not sample.probabilities.is_file():
            probabilities_KHW = predictor(source.image(sample.index), probabilities=True).probabilities
            assert probabilities_KHW is not None
            half_KHW = probabilities_KHW.astype(np.float16)
            write_atomic(sample.probabilities, lambda file, half=half_KHW: np.save(file, half))  # type: ignore[misc]
        on_image(sample.index + 1)
    return samples


def matrices(
    candidates: Sequence[CrfCandidate], samples: Sequence[StoredSample], workers: int, on_image: OnImage
) -> Iterator[ConfusionMatrix]:
    """Yield the matrix of each candidate over samples of one source, refined by `workers` processes of one thread."""
    source = Subset("the search part", samples[0].source, tuple(sample.index for sample in samples))
    jobs = [(candidate, number) for candidate in candidates for number in range(len(samples))]
    if workers <= 1:
        _set_samples(samples)
        class_maps: Iterator[Uint8Array] = map(_class_map, jobs)
    else:
        class_maps = map_in_processes(
            _class_map, jobs, workers, lambda job: samples[job[1]].name, _set_samples, (samples, True)
        )
    numbers = count(1)
    for _ in candidates:
        predictions = Predictions(lambda index: next(class_maps), "float32")
        yield score_predictions(predictions, source, lambda done, matrix: on_image(next(numbers))).matrix


_samples: list[StoredSample] = []
"""The samples that this process refines: they are handed to a worker once, not with every job."""


def _set_samples(samples: Sequence[StoredSample], single_threaded: bool = False) -> None:
    if single_threaded:  # images side by side leave no core idle
        os.environ["OMP_NUM_THREADS"] = "1"
    _samples[:] = samples


def _class_map(job: tuple[CrfCandidate, int]) -> Uint8Array:
    candidate, sample = job[0], _samples[job[1]]
    return candidate.class_map(sample.source.image(sample.index), np.load(sample.probabilities))

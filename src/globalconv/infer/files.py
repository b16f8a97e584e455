"""Many image files in, a folder of predictions out, and what could not be done; three threads share the work."""

import errno
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from globalconv.data.images import pixel_limit, read_image
from globalconv.errors import InputError
from globalconv.files import write_json
from globalconv.infer.jobs import Job, list_jobs
from globalconv.infer.prediction import Prediction, check_replaceable
from globalconv.infer.predictor import Predictor
from globalconv.infer.tiff import is_large_tiff, segment_tiff
from globalconv.pipeline import Shares, ahead, alike

Uint8Array = npt.NDArray[np.uint8]

PARTS = ("decode", "network", "write")
"""What the time of `predict_files` goes into."""

FAILURES_FILE = "failures.json"

_HOPELESS = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)
"""What is wrong with the whole disk and not with one file."""


@dataclass(frozen=True)
class Failure:
    """One file that was skipped, and why."""

    path: str
    error: str


OnFile = Callable[[int, int, Path, Failure | None], object]
"""Called after every file with how many are done, how many there are, its path and its failure; may raise to stop."""


def predict_files(
    predictor: Predictor,
    inputs: Sequence[str],
    out: Path,
    on_file: OnFile | None = None,
    shares: Shares | None = None,
) -> list[Failure]:
    """Predict every image that `inputs` (files, folders, globs) name, and save the results under `out`.

    A folder's subfolders are mirrored. A file that fails is skipped; all such are returned and listed in
    `failures.json`. No picture that globalconv did not write itself is ever overwritten, and no file is deleted.
    Images are read ahead by one thread and written by another; `shares` counts the time of each part.
    """
    jobs = list_jobs(inputs, out)
    if out.exists() and not out.is_dir():
        raise InputError(f"out={out}: is a file; name a folder")
    out.mkdir(parents=True, exist_ok=True)
    if not os.access(out, os.W_OK | os.X_OK):  # else every image would be predicted for nothing
        raise InputError(f"out={out}: this user may not write there; correct its permissions or choose another folder")
    work = _Work(predictor, out, {job.path.resolve() for job in jobs}, shares or Shares(*PARTS))
    failures: list[Failure] = []
    try:
        with pixel_limit(predictor.settings.max_pixels):
            for number, (job, failure) in enumerate(work.done(jobs), 1):
                if failure:
                    failures.append(failure)
                if on_file is not None:
                    on_file(number, len(jobs), job.path, failure)
    finally:
        if failures or (out / FAILURES_FILE).exists():  # a list of an earlier call would mislead
            write_json(out / FAILURES_FILE, [asdict(failure) for failure in failures])
    return failures


class _LargeTiff:
    """Stands for the pixels of a file that is read by windows."""


Read = tuple[Job, "Uint8Array | _LargeTiff | Failure"]
Made = tuple[Job, "Prediction | Failure | None"]


@dataclass(frozen=True)
class _Work:
    """Reading, predicting and writing, each in a thread of its own, with the results in order.

    Held at most: the images of two batches being read and predicted, one that waits, one that is being written.
    """

    predictor: Predictor
    out: Path
    taken: set[Path]
    """The images themselves, which no result may replace."""
    shares: Shares

    def done(self, jobs: Sequence[Job]) -> Iterator[tuple[Job, Failure | None]]:
        """Yield every job once its results are on disk. Nothing of the next is written before the caller comes back.

        What would fail for every other file as well is raised.
        """
        waiting: tuple[Job, Future[Failure | None]] | None = None
        with ThreadPoolExecutor(1) as writer:
            for job, made in self._predicted(jobs):
                if waiting:
                    yield waiting[0], waiting[1].result()
                waiting = job, writer.submit(self._write, job, made)
            if waiting:
                yield waiting[0], waiting[1].result()

    def _predicted(self, jobs: Sequence[Job]) -> Iterator[Made]:
        for batch in alike(self._read_ahead(jobs), _alike, self.predictor.images_at_once):
            with self.shares.part("network"):
                made = self._predict(batch)
            yield from made

    def _read_ahead(self, jobs: Sequence[Job]) -> Iterator[Read]:
        for job, future in zip(jobs, ahead(self._read, jobs, self.predictor.images_at_once), strict=True):
            yield job, future.result()

    def _read(self, job: Job) -> "Uint8Array | _LargeTiff | Failure":
        try:
            with self.shares.part("decode"):
                return _LargeTiff() if is_large_tiff(job.path) else read_image(job.path)
        except InputError as error:
            return Failure(str(job.path), str(error))

    def _predict(self, batch: list[Read]) -> list[Made]:
        """Predict images of one size, or pass on what is no image; a large TIFF is written right here."""
        job, first = batch[0]
        if isinstance(first, Failure):
            return [(job, first)]
        if isinstance(first, _LargeTiff):
            return [(job, self._attempt(job, lambda: self._write_tiff(job)))]
        images = [image for _, image in batch if isinstance(image, np.ndarray)]
        try:
            class_maps = self.predictor.class_maps(images)
        except InputError as error:
            return [(job, Failure(str(job.path), str(error))) for job, _ in batch]
        made = (Prediction(*parts, self.predictor.labels) for parts in zip(images, class_maps, strict=True))
        return list(zip((job for job, _ in batch), made, strict=True))

    def _write(self, job: Job, made: Prediction | Failure | None) -> Failure | None:
        if not isinstance(made, Prediction):
            return made
        with self.shares.part("write"):
            return self._attempt(job, lambda: self._save(job, made))

    def _save(self, job: Job, prediction: Prediction) -> None:
        self._check_not_taken(*prediction.file_names(job.name))
        prediction.save(self.out, job.name)

    def _write_tiff(self, job: Job) -> None:
        target = self.out / f"{job.name}.tif"
        self._check_not_taken(f"{job.name}.tif")
        check_replaceable(target)
        target.parent.mkdir(parents=True, exist_ok=True)
        segment_tiff(self.predictor, job.path, target)

    def _check_not_taken(self, *files: str) -> None:
        for target in (self.out / file for file in files):
            if target.resolve() in self.taken:
                raise InputError(f"{target} is one of the images to predict; choose another folder for the results")

    def _attempt(self, job: Job, save: Callable[[], None]) -> Failure | None:
        """Call `save`; return why it failed, unless that would be so for every other file as well."""
        try:
            save()
        except InputError as error:
            return Failure(str(job.path), str(error))
        except OSError as error:
            if error.errno in _HOPELESS:
                raise
            return Failure(str(job.path), f"cannot be saved as {job.name!r} ({error.strerror})")
        return None


def _alike(one: Read, other: Read) -> bool:
    """Say whether both are images of equal size; everything else is worked on by itself."""
    return isinstance(one[1], np.ndarray) and isinstance(other[1], np.ndarray) and one[1].shape == other[1].shape

"""Many image files in, a folder of predictions out, and what could not be done; three threads share the work.

Which images files, folders and globs name, and under which names their results go.
"""

import errno
import glob
import itertools
import os
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path, PurePosixPath

import numpy as np

from globalconv.arrays import Uint8Array
from globalconv.data.images import IMAGE_SUFFIXES, pixel_limit, read_image
from globalconv.errors import InputError
from globalconv.infer.geotiff import is_large_tiff, segment_tiff
from globalconv.infer.prediction import Prediction, check_replaceable
from globalconv.infer.predictor import Predictor
from globalconv.runtime.files import write_json
from globalconv.runtime.threads import StageTimes, group_consecutive, prefetch


@dataclass(frozen=True)
class Job:
    """One image file, and the relative name its results get."""

    path: Path
    name: str


def list_jobs(inputs: Sequence[str], out: Path) -> list[Job]:
    """Return the images that `inputs` name, each once, with distinct names; `InputError` for an input without any."""
    found: dict[Path, tuple[Path, PurePosixPath]] = {}
    for text in inputs:
        if not text:  # a variable of the shell that is not set; as a path it would be the folder one is in
            raise InputError("an image's name is empty: name image files, folders or globs")
        matches = list(_matches(text, out))
        if not matches:
            raise InputError(f"{text}: {_why_nothing(text)}")
        for path, relative in matches:
            found.setdefault(path.absolute(), (path, relative))
    names = _distinct_names([relative for _, relative in found.values()])
    return [Job(path, name) for (path, _), name in zip(found.values(), names, strict=True)]


def _matches(text: str, out: Path) -> Iterator[tuple[Path, PurePosixPath]]:
    """Yield the files that one input names, with the path that each has below `out`.

    A file named in full is tried whatever it is called; folders and globs yield only what has an image's suffix.
    """
    path = Path(text)
    if path.is_dir():
        yield from _folder(path, path, _results_inside(path, out))
    elif path.exists():
        yield path, PurePosixPath(path.name)
    elif glob.has_magic(text):
        base = _fixed_part(path)
        results = _results_inside(base, out)
        # Path.glob refuses patterns such as a**b, and its ** has changed its meaning between versions of Python.
        for match in sorted(map(Path, glob.glob(text, recursive=True))):  # noqa: PTH207
            if results in (place := match.resolve(), *place.parents):
                continue
            if match.is_dir():
                yield from _folder(match, base, results)
            elif _is_image(match.name):
                yield match, PurePosixPath(match.relative_to(base).as_posix())


def _results_inside(base: Path, out: Path) -> Path | None:
    """Return the resolved `out` if it lies below `base`: results of earlier calls are no images of it."""
    here, results = base.resolve(), out.resolve()
    if here == results:
        raise InputError(f"out={out} is the folder of the images; choose another one, results would mix with them")
    return results if here in results.parents else None


def _folder(folder: Path, base: Path, results: Path | None) -> Iterator[tuple[Path, PurePosixPath]]:
    """Yield the images below `folder`, sorted, without those below `results`."""
    for place, folders, files in os.walk(folder, onerror=_cannot_list):
        folders[:] = sorted(name for name in folders if name[0] != "." and (Path(place) / name).resolve() != results)
        for path in (Path(place) / name for name in sorted(files) if _is_image(name)):
            yield path, PurePosixPath(path.relative_to(base).as_posix())


def _cannot_list(error: OSError) -> None:
    raise InputError(f"{error.filename}: this folder cannot be listed ({error.strerror}); correct its permissions")


def _is_image(name: str) -> bool:
    return name[0] != "." and PurePosixPath(name).suffix.lower() in IMAGE_SUFFIXES


def _fixed_part(pattern: Path) -> Path:
    """Return the folder at the start of a glob whose name holds no wildcard."""
    fixed = itertools.takewhile(lambda part: not glob.has_magic(part), pattern.parts)
    return Path(*fixed)


def _why_nothing(text: str) -> str:
    if Path(text).is_dir():
        return f"no image in this folder (looked for {' '.join(sorted(IMAGE_SUFFIXES))})"
    return "matches no image" if glob.has_magic(text) else "there is no such file or folder"


def _distinct_names(relatives: Sequence[PurePosixPath]) -> list[str]:
    """Return a name without suffix for every path; a.jpg and a.png, which would share one, keep their suffixes.

    Names are told apart as file systems do that ignore case.
    """
    plain = [str(relative.with_name(relative.stem)) for relative in relatives]
    counts = Counter(name.casefold() for name in plain)
    names: list[str] = []
    used = {name for name, count in counts.items() if count == 1}
    for name, relative in zip(plain, relatives, strict=True):
        if counts[name.casefold()] > 1:
            choices = itertools.chain([str(relative)], (f"{relative}-{number}" for number in itertools.count(2)))
            name = next(choice for choice in choices if choice.casefold() not in used)
            used.add(name.casefold())
        names.append(name)
    return names


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
    times: StageTimes | None = None,
) -> list[Failure]:
    """Predict every image that `inputs` (files, folders, globs) name, and save the results under `out`.

    A folder's subfolders are mirrored. A file that fails is skipped; all such are returned and listed in
    `failures.json`. No image that globalconv did not write itself is ever overwritten, and no file is deleted.
    Images are read ahead by one thread and written by another; `times` counts the time of each part.
    """
    jobs = list_jobs(inputs, out)
    if out.exists() and not out.is_dir():
        raise InputError(f"out={out}: is a file; name a folder")
    out.mkdir(parents=True, exist_ok=True)
    if not os.access(out, os.W_OK | os.X_OK):  # else every image would be predicted for nothing
        raise InputError(f"out={out}: this user may not write there; correct its permissions or choose another folder")
    work = _Work(predictor, out, {job.path.resolve() for job in jobs}, times or StageTimes(*PARTS))
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
    times: StageTimes

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
        for batch in group_consecutive(self._read_ahead(jobs), _alike, self.predictor.images_at_once):
            with self.times.stage("network"):
                made = self._predict(batch)
            yield from made

    def _read_ahead(self, jobs: Sequence[Job]) -> Iterator[Read]:
        for job, future in zip(jobs, prefetch(self._read, jobs, self.predictor.images_at_once), strict=True):
            yield job, future.result()

    def _read(self, job: Job) -> "Uint8Array | _LargeTiff | Failure":
        try:
            with self.times.stage("decode"):
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
        with self.times.stage("write"):
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

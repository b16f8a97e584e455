"""Many image files in, a folder of predictions out; three threads share the work, and failures are listed.

`list_image_files` finds the images that files, folders and globs name, and gives each a name for its results;
`predict_files` reads, predicts and writes them.
"""

import errno
import glob
import itertools
import os
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path, PurePosixPath

from globalconv.arrays import Uint8Array
from globalconv.data.file_names import composed, is_hidden, name_of
from globalconv.data.formats.pairing import list_files
from globalconv.data.image_format import ImageFormat
from globalconv.data.images import pixel_limit, read_image
from globalconv.data.suffixes import IMAGE_SUFFIXES, SUFFIX_EXAMPLES, is_image, is_unread_image
from globalconv.errors import InputError, InputWarning
from globalconv.infer.geotiff import TIFF_SUFFIXES, is_large_tiff, segment_tiff
from globalconv.infer.prediction import Prediction, check_replaceable
from globalconv.infer.predictor import Predictor
from globalconv.runtime.files import write_json
from globalconv.runtime.text import is_utf8
from globalconv.runtime.threads import StageTimes, group_consecutive, prefetch


@dataclass(frozen=True)
class ImageFile:
    """One image to predict, and the name of its results: a path below the output folder, without suffix."""

    path: Path
    name: str


def list_image_files(
    inputs: Sequence[str], out: Path, on_left_out: Callable[[Path], object] = lambda path: None
) -> list[ImageFile]:
    """Return the images that `inputs` name, each once, with distinct names; `InputError` for an input without any.

    A file named in full is tried whatever its suffix; of folders and globs the files with an image's suffix are taken,
    and those that are images all the same (`is_unread_image`) go to `on_left_out`. Results are named like their image,
    without its suffix; a.jpg and a.png, which would share a name, keep theirs. Names that differ in case alone are not
    distinct, because some file systems ignore case.
    """
    images: dict[Path, tuple[Path, PurePosixPath]] = {}
    for text in inputs:
        if not text:  # a variable of the shell that is not set; as a path it would be the current folder
            raise InputError("an image's name is empty: name image files, folders or globs")
        path = Path(text)
        named = path.exists() and not path.is_dir()
        files = [(path, PurePosixPath(path.name))] if named else list(_files_in(text, out))
        unread = [] if named else [file for file, _ in files if is_unread_image(file)]
        matches = files if named else [match for match in files if is_image(match[0])]
        if not matches:
            if path.is_dir():
                reason = f"no image in this folder (looked for {SUFFIX_EXAMPLES})"
            else:
                reason = "matches no image" if glob.has_magic(text) else "there is no such file or folder"
            raise InputError(f"{text}: {reason}" + (f"; {describe_left_out(unread)}" if unread else ""))
        for file, relative in matches:
            images.setdefault(file.absolute(), (file, relative))
        for file in unread:
            on_left_out(file)

    plain_names = [name_of(relative, IMAGE_SUFFIXES) for _, relative in images.values()]
    counts = Counter(name.casefold() for name in plain_names)
    used = {name for name, count in counts.items() if count == 1}
    files_with_names = []
    for (path, relative), name in zip(images.values(), plain_names, strict=True):
        if counts[name.casefold()] > 1:
            whole = composed(str(relative))
            choices = itertools.chain([whole], (f"{whole}-{number}" for number in itertools.count(2)))
            name = next(choice for choice in choices if choice.casefold() not in used)
            used.add(name.casefold())
        files_with_names.append(ImageFile(path, name))
    return files_with_names


def describe_left_out(files: Sequence[Path]) -> str:
    """Return a line about images that are left out: how many, of which kinds, the first of them, and what to do."""
    kinds = Counter(file.suffix.lower() or "without suffix" for file in files).most_common()
    counts = ", ".join(f"{count} {kind}" for kind, count in kinds[:8]) + (", ..." if kinds[8:] else "")
    first = ", ".join(map(str, files[:3])) + (", ..." if files[3:] else "")
    what = "1 file that looks like an image is" if len(files) == 1 else f"{len(files)} files that look like images are"
    return (
        f"{what} left out, of a format or with a suffix that is not read ({counts}): {first}; convert them to PNG or"
        " JPEG, or give each the suffix of what it is"
    )


def _files_in(text: str, out: Path) -> Iterator[tuple[Path, PurePosixPath]]:
    """Yield the files in the folder, or that fit the glob, that one input names, with the path of each below `out`."""
    path = Path(text)
    if path.is_dir():
        yield from _files_below(path, path, _results_inside(path, out))
    elif glob.has_magic(text):
        # Results mirror what lies below the folders at the start of the pattern that have no wildcard.
        base = Path(*itertools.takewhile(lambda part: not glob.has_magic(part), path.parts))
        results = _results_inside(base, out)
        # Path.glob refuses patterns such as a**b, and its ** has changed its meaning between versions of Python.
        for match in sorted(map(Path, glob.glob(text, recursive=True))):  # noqa: PTH207
            relative = match.relative_to(base)
            if results in (place := match.resolve(), *place.parents) or any(map(is_hidden, relative.parts)):
                continue
            if match.is_dir():
                yield from _files_below(match, base, results)
            else:
                yield match, PurePosixPath(relative.as_posix())


def _results_inside(base: Path, out: Path) -> Path | None:
    """Return the resolved `out` if it lies below `base`: results of earlier calls are not images to predict."""
    here, results = base.resolve(), out.resolve()
    if here == results:
        raise InputError(f"out={out} is the folder of the images; choose another one, results would mix with them")
    return results if here in results.parents else None


def _files_below(folder: Path, base: Path, results: Path | None) -> Iterator[tuple[Path, PurePosixPath]]:
    """Yield the files below `folder`, sorted, without those below `results`, with their paths relative to `base`."""
    for path in list_files(folder, without=results):
        yield path, PurePosixPath(path.relative_to(base).as_posix())


STAGES = ("decode", "network", "write")
"""The stages whose time `predict_files` measures."""

FAILURES_FILE = "failures.json"

_WHOLE_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)
"""Errors of the whole disk, which every other file would meet as well."""


@dataclass(frozen=True)
class Failure:
    """A file that was skipped, and why."""

    path: str
    error: str
    left_out: bool = False
    """Whether it was never tried, because its format or suffix is not read."""


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
    Images are read ahead by one thread and written by another; `times` measures the stages.
    """
    unread: list[Path] = []
    files = list_image_files(inputs, out, unread.append)
    if out.exists() and not out.is_dir():
        raise InputError(f"out={out}: is a file; name a folder")
    out.mkdir(parents=True, exist_ok=True)
    if not os.access(out, os.W_OK | os.X_OK):  # else every image would be predicted for nothing
        raise InputError(f"out={out}: this user may not write there; correct its permissions or choose another folder")
    failures = _leave_out(list(dict.fromkeys(unread)), files)
    try:
        with pixel_limit(predictor.settings.max_pixels):
            image_format = predictor.image_format_for([(file.name, file.path) for file in files])
            paths = {file.path.resolve() for file in files}
            pipeline = _Pipeline(predictor, image_format, out, paths, times or StageTimes(*STAGES))
            for number, (file, failure) in enumerate(pipeline.run(files), 1):
                if failure:
                    failures.append(failure)
                if on_file is not None:
                    on_file(number, len(files), file.path, failure)
    finally:
        if failures or (out / FAILURES_FILE).exists():  # a list of an earlier call would mislead
            write_json(out / FAILURES_FILE, [asdict(failure) for failure in failures])
    return failures


def _leave_out(unread: Sequence[Path], files: Sequence[ImageFile]) -> list[Failure]:
    """Tell of the images that are left out, in a line, and return them; a raw file beside its JPEG is none of them."""
    taken = {file.path.with_suffix("") for file in files}
    alone = [path for path in unread if path.with_suffix("") not in taken]
    if alone:
        warnings.warn(InputWarning(describe_left_out(alone), "left-out", list(map(str, alone))), stacklevel=3)
    if beside := [path for path in unread if path.with_suffix("") in taken]:
        message = f"beside images of their names, {describe_left_out(beside)}"
        warnings.warn(InputWarning(message, "left-out", list(map(str, beside)), "note"), stacklevel=3)
    error = "looks like an image, and is of a format or with a suffix that is not read; convert it to PNG or JPEG"
    return [Failure(str(path), error, left_out=True) for path in alone]


@dataclass(eq=False)
class _Work:
    """One file on its way through the pipeline; each stage fills in its result, or why the file is skipped."""

    file: ImageFile
    image: Uint8Array | None = None
    """None for a large TIFF, which is read by windows."""
    prediction: Prediction | None = None
    failure: Failure | None = None

    def is_like(self, other: "_Work") -> bool:
        """Return whether both are images of equal size; everything else is predicted by itself."""
        return self.image is not None and other.image is not None and self.image.shape == other.image.shape


@dataclass(frozen=True)
class _Pipeline:
    """Reads in one thread, predicts in this one and writes in a third, with the results in order.

    Held at most: the images of two batches being read and predicted, one that waits, one that is being written.
    """

    predictor: Predictor
    image_format: ImageFormat
    out: Path
    image_paths: set[Path]
    """The images themselves, which no result may replace."""
    times: StageTimes

    def run(self, files: Sequence[ImageFile]) -> Iterator[tuple[ImageFile, Failure | None]]:
        """Yield every file once its results are on disk. Nothing of the next is written before the caller comes back.

        An error of the whole disk is raised, because every other file would meet it too.
        """
        at_once = self.predictor.images_at_once
        reads = (future.result() for future in prefetch(self._read, iter(files), at_once))
        pending: tuple[ImageFile, Future[Failure | None]] | None = None
        with ThreadPoolExecutor(1) as writer:
            for batch in group_consecutive(reads, _Work.is_like, at_once):
                self._predict(batch)
                for work in batch:
                    if pending:
                        yield pending[0], pending[1].result()
                    pending = work.file, writer.submit(self._write, work)
            if pending:
                yield pending[0], pending[1].result()

    def _read(self, file: ImageFile) -> _Work:
        try:
            with self.times.stage("decode"):
                # rasterio takes no path that is no UTF-8.
                by_windows = (
                    file.path.suffix.lower() in TIFF_SUFFIXES
                    and is_utf8(f"{file.path.absolute()}{self.out.absolute()}")
                    and is_large_tiff(file.path)
                )
                return _Work(file, None if by_windows else read_image(file.path, self.image_format))
        except InputError as error:
            return _Work(file, failure=Failure(str(file.path), str(error)))

    def _predict(self, batch: Sequence[_Work]) -> None:
        """Predict images of one size. A large TIFF is written while it is predicted, so it is saved right here."""
        images = [work.image for work in batch if work.image is not None]
        with self.times.stage("network"):
            if not images and batch[0].failure is None:
                batch[0].failure = self._save(batch[0])
            try:
                class_maps = self.predictor.class_maps(images) if images else []
            except InputError as error:
                for work in batch:
                    work.failure = Failure(str(work.file.path), str(error))
                return
        if images:  # else a large TIFF, or what cannot be read
            for work, image, class_map in zip(batch, images, class_maps, strict=True):
                work.prediction = Prediction(image, class_map, self.predictor.labels)

    def _write(self, work: _Work) -> Failure | None:
        if work.prediction is None:
            return work.failure
        with self.times.stage("write"):
            return self._save(work)

    def _save(self, work: _Work) -> Failure | None:
        """Write the results of one file; return why that failed, unless it is an error of the whole disk."""
        path, name, prediction = work.file.path, work.file.name, work.prediction
        try:
            result_names = (f"{name}.tif",) if prediction is None else prediction.file_names(name)
            for target in (self.out / result_name for result_name in result_names):
                if target.resolve() in self.image_paths:
                    raise InputError(f"{target} is one of the images to predict; choose another folder for the results")
            if prediction is None:
                target = self.out / f"{name}.tif"
                check_replaceable(target)
                target.parent.mkdir(parents=True, exist_ok=True)
                segment_tiff(self.predictor, path, target, self.image_format)
            else:
                prediction.save(self.out, name)
        except InputError as error:
            return Failure(str(path), str(error))
        except OSError as error:
            if error.errno in _WHOLE_DISK:
                raise
            return Failure(str(path), f"cannot be saved as {name!r} ({error.strerror})")
        return None

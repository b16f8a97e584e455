"""Many image files in, a folder of predictions out: which files, under which names, and what could not be done."""

import errno
import glob
import itertools
import os
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path, PurePosixPath

from globalconv.data.images import IMAGE_SUFFIXES
from globalconv.errors import InputError
from globalconv.files import write_json
from globalconv.infer.predictor import Predictor

FAILURES_FILE = "failures.json"

_HOPELESS = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)
"""What is wrong with the whole disk and not with one file."""


@dataclass(frozen=True)
class Job:
    """One image file, and the relative name its results get."""

    path: Path
    name: str


@dataclass(frozen=True)
class Failure:
    """One file that was skipped, and why."""

    path: str
    error: str


OnFile = Callable[[int, int, Path, Failure | None], object]
"""Called after every file with how many are done, how many there are, its path and its failure; may raise to stop."""


def predict_files(
    predictor: Predictor, inputs: Sequence[str], out: Path, on_file: OnFile | None = None
) -> list[Failure]:
    """Predict every image that `inputs` (files, folders, globs) name, and save the results under `out`.

    A folder's subfolders are mirrored. A file that fails is skipped; all such are returned and listed in
    `failures.json`. No picture that globalconv did not write itself is ever overwritten, and no file is deleted.
    """
    jobs = list_jobs(inputs, out)
    out.mkdir(parents=True, exist_ok=True)
    taken = {job.path.resolve() for job in jobs}
    failures: list[Failure] = []
    try:
        for number, job in enumerate(jobs, 1):
            failure = _predict_one(predictor, job, out, taken)
            if failure:
                failures.append(failure)
            if on_file is not None:
                on_file(number, len(jobs), job.path, failure)
    finally:
        if failures or (out / FAILURES_FILE).exists():  # a list of an earlier call would mislead
            write_json(out / FAILURES_FILE, [asdict(failure) for failure in failures])
    return failures


def list_jobs(inputs: Sequence[str], out: Path) -> list[Job]:
    """Return the images that `inputs` name, each once, with distinct names; `InputError` for an input without any."""
    found: dict[Path, tuple[Path, PurePosixPath]] = {}
    for text in inputs:
        matches = list(_matches(text, out))
        if not matches:
            raise InputError(f"{text}: {_why_nothing(text)}")
        for path, relative in matches:
            found.setdefault(path.absolute(), (path, relative))
    names = _distinct_names([relative for _, relative in found.values()])
    return [Job(path, name) for (path, _), name in zip(found.values(), names, strict=True)]


def _predict_one(predictor: Predictor, job: Job, out: Path, taken: set[Path]) -> Failure | None:
    """Predict and save one file; return why it failed. Only what would fail for every other file as well is raised."""
    try:
        prediction = predictor(job.path)
        for target in (out / file for file in prediction.file_names(job.name)):
            if target.resolve() in taken:
                raise InputError(f"{target} is one of the images to predict; choose another folder for the results")
        prediction.save(out, job.name)
    except InputError as error:
        return Failure(str(job.path), str(error))
    except OSError as error:
        if error.errno in _HOPELESS:
            raise
        return Failure(str(job.path), f"cannot be saved as {job.name!r} ({error.strerror})")
    return None


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
    for place, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if name[0] != "." and (Path(place) / name).resolve() != results)
        for path in (Path(place) / name for name in sorted(files) if _is_image(name)):
            yield path, PurePosixPath(path.relative_to(base).as_posix())


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

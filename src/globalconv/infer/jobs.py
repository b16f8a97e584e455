"""Which images files, folders and globs name, and under which names their results go."""

import glob
import itertools
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from globalconv.data.images import IMAGE_SUFFIXES
from globalconv.errors import InputError


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

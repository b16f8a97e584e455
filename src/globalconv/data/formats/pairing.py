"""Finding the files of a data set, and what is reported of files that others need and that are not there.

Names are relative paths without suffix, with "/" between folders.
"""

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path, PurePath

from globalconv.data.file_names import composed, is_hidden, name_of, names_in
from globalconv.data.suffixes import IMAGE_SUFFIXES, OTHER_IMAGE_SUFFIXES, is_image
from globalconv.errors import InputError, OnError, raise_error
from globalconv.runtime.files import cache_by_file


def list_files(folder: Path, without: Path | None = None) -> Iterator[Path]:
    """Yield all files below `folder`, through links to folders too, but never twice through the same one.

    Those below `without` are left out.

    Hidden files and folders are left out (`is_hidden`), and so are pipes and devices. Links to nothing are files, and
    so is whatever has an image's suffix: whoever opens it reports it.
    """
    seen = set() if without is None else {os.path.realpath(without)}
    waiting = [str(folder)]
    while waiting:
        place = waiting.pop()
        if (real := os.path.realpath(place)) in seen:
            continue
        seen.add(real)
        try:
            with os.scandir(place) as scan:
                entries = sorted((entry for entry in scan if not is_hidden(entry.name)), key=lambda entry: entry.name)
        except OSError as error:
            raise InputError(
                f"{error.filename}: the folder cannot be listed ({error.strerror}); correct its permissions"
            ) from None
        subfolders = []
        for entry in entries:
            path = Path(entry.path)
            # The methods of an entry are fast, and raise where links run in a circle.
            if path.is_dir() if entry.is_symlink() else entry.is_dir():
                subfolders.append(entry.path)
            elif entry.is_symlink() or entry.is_file() or is_image(path):
                yield path
        waiting += reversed(subfolders)


def list_images(folder: Path, on_error: OnError = raise_error) -> dict[str, Path]:
    """Return the images below `folder` by name; a second image of one name goes to `on_error`."""
    images: dict[str, Path] = {}
    for path in filter(is_image, list_files(folder)):
        name = name_of(path.relative_to(folder), IMAGE_SUFFIXES)
        if name in images:
            twins = composed(images[name].name) == composed(path.name)
            how = " but for accents as one character or as two" if twins else ""
            message = f"{path}: {images[name].name} has the same name{how}; names without suffix must be unique"
            on_error(InputError(message, "names"))
            continue
        images[name] = path
    return images


def images_called(folder: Path, name: str) -> Sequence[Path]:
    """Return the images right in `folder` that are called `name` but for the suffix, in any Unicode form."""
    try:
        return _images_by_name(folder).get(composed(name), ())
    except OSError:
        return ()


@cache_by_file(maxsize=64)
def _images_by_name(folder: Path) -> Mapping[str, Sequence[Path]]:
    images: dict[str, list[Path]] = {}
    for name in sorted(name for names in names_in(folder).values() for name in names):
        if not is_hidden(name) and is_image(Path(name)):
            images.setdefault(name_of(PurePath(name), IMAGE_SUFFIXES), []).append(folder / name)
    return images


def report_unpaired(folder: Path, names: Sequence[str], what: str, other: Path, on_error: OnError) -> None:
    """Report the files `names` in `folder`, each a `what`, that have no partner in the folder `other`."""
    if not names:
        return
    first = ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")
    message = (
        f"{folder}: {len(names)} {what}{'s' if len(names) > 1 else ''} without a partner in {other} ({first})"
        f"{describe_similar(other / names[0])}; names must be equal up to the suffix of an image: add the missing"
        " files or move these away"
    )
    on_error(InputError(message, "partner", names))


def describe_similar(path: Path) -> str:
    """Return the part of a message about a file there whose name begins as that of `path`, which has no suffix."""
    start = composed(path.name).casefold()
    rests = {name: name.casefold().removeprefix(start) for name in names_in(path.parent)}
    similar = sorted(
        (name for name, rest in rests.items() if name.casefold() != rest and not rest[:1].isalnum()), key=len
    )
    for name in similar:
        if Path(name).suffix.lower() in OTHER_IMAGE_SUFFIXES:
            return f": {name} is of a format that is not read"
        if not is_image(Path(name)):
            return f": {name} is no image by its suffix"
        if (path.parent / name).is_dir():
            return f": {name} is a folder"
        if not name.startswith(composed(path.name)):
            return f": {name} differs in the case of letters"
    return f": {similar[0]} is not equal" if similar else ""


def report_missing(
    split: str, listed: Sequence[str], folders: Mapping[Path, Mapping[str, Path]], on_error: OnError
) -> None:
    """Report, once a folder, the names that a split lists and the folder does not hold."""
    for folder, files in folders.items():
        if missing := [name for name in listed if name not in files]:
            more = f" (and {len(missing) - 1} more of its {len(listed)})" if missing[1:] else ""
            message = f"{folder}: has no {missing[0]!r}, which the split {split!r} lists{more}; put the file there"
            on_error(InputError(message, "partner", missing))

"""Finding the files of a data set, and what is reported of files that others need and that are not there.

Names are relative paths without suffix, with "/" between folders.
"""

import glob
import os
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from globalconv.data.images import IMAGE_SUFFIXES
from globalconv.errors import InputError, OnError, raise_error


def list_files(folder: Path) -> Iterator[Path]:
    """Yield all files below `folder`, through links to folders too, but never twice through the same one.

    Hidden files and folders are left out.
    """

    def refuse(error: OSError) -> None:
        raise InputError(
            f"{error.filename}: the folder cannot be listed ({error.strerror}); correct its permissions"
        ) from None

    seen: set[str] = set()
    for place, subfolders, names in os.walk(folder, followlinks=True, onerror=refuse):
        real = os.path.realpath(place)
        if real in seen:
            subfolders.clear()
            continue
        seen.add(real)
        subfolders[:] = sorted(name for name in subfolders if not name.startswith("."))
        yield from (Path(place, name) for name in sorted(names) if not name.startswith("."))


def is_image(path: Path) -> bool:
    """Return whether a file is an image by its suffix."""
    return path.suffix.lower() in IMAGE_SUFFIXES


def list_images(folder: Path, on_error: OnError = raise_error) -> dict[str, Path]:
    """Return the images below `folder` by name; a second image of one name goes to `on_error`."""
    images: dict[str, Path] = {}
    for path in filter(is_image, list_files(folder)):
        # A letter with its accent may be one character or two: macOS writes two, and nobody sees the difference.
        name = unicodedata.normalize("NFC", path.relative_to(folder).with_suffix("").as_posix())
        if name in images:
            message = f"{path}: {images[name].name} has the same name; names without suffix must be unique"
            on_error(InputError(message, "names"))
            continue
        images[name] = path
    return images


def report_unpaired(folder: Path, names: Sequence[str], what: str, other: Path, on_error: OnError) -> None:
    """Report the files `names` in `folder`, each a `what`, that have no partner in the folder `other`."""
    if not names:
        return
    first = ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")
    similar = next((path.name for path in other.glob(f"{glob.escape(names[0])}*") if path.is_file()), "")
    hint = f" ({similar} is not)" if similar else ""
    message = (
        f"{folder}: {len(names)} {what}{'s' if len(names) > 1 else ''} without a partner in {other} ({first});"
        f" names must be equal up to the suffix of an image{hint}: add the missing files or move these away"
    )
    on_error(InputError(message, "partner", names))


def report_missing(
    split: str, listed: Sequence[str], folders: Mapping[Path, Mapping[str, Path]], on_error: OnError
) -> None:
    """Report, once a folder, the names that a split lists and the folder does not hold."""
    for folder, files in folders.items():
        if missing := [name for name in listed if name not in files]:
            more = f" (and {len(missing) - 1} more of its {len(listed)})" if missing[1:] else ""
            message = f"{folder}: has no {missing[0]!r}, which the split {split!r} lists{more}; put the file there"
            on_error(InputError(message, "partner", missing))

"""Names of files: which of them are never data, how a name that was written down meets the one on disk.

An accented letter is one character or two: macOS and some archives write two, and nobody sees the difference. So names
are compared in Unicode's composed form (NFC) wherever two of them meet, and names of samples are in that form. Names
that are no UTF-8, as archives from Windows may hold, are kept as Python decodes them (surrogate escapes).
"""

import os
import unicodedata
from collections.abc import Iterable, Mapping
from pathlib import Path, PurePath

from globalconv.errors import InputError
from globalconv.runtime.files import cache_by_file

NOT_DATA = frozenset({"__macosx", "@eadir", "#recycle", "$recycle.bin", "system volume information", "lost+found"})
"""Folders, in small letters, that systems put beside data; inside are copies, thumbnails or other files' attributes."""


def is_hidden(name: str) -> bool:
    """Return whether a file or folder of this name is never data: dot files, and the folders that systems make."""
    return name.startswith(".") or name.casefold() in NOT_DATA


def glob_files(folder: Path, pattern: str) -> list[Path]:
    """Return the files in `folder` that fit `pattern`, sorted, without anything hidden; pipes and devices are none.

    A link to nothing is returned: whoever opens it reports it.
    """
    return sorted(
        path
        for path in folder.glob(pattern)
        if not any(map(is_hidden, path.relative_to(folder).parts)) and (path.is_file() or not path.exists())
    )


def list_subfolders(folder: Path) -> list[Path]:
    """Return the folders in `folder`, sorted, without hidden ones; none where it is no folder."""
    if not folder.is_dir():
        return []
    return sorted(child for child in folder.iterdir() if not is_hidden(child.name) and child.is_dir())


def find_subfolder(folder: Path, name: str) -> Path | None:
    """Return the folder `name` in `folder`: exactly so, else the only one in another case of letters."""
    if (folder / name).is_dir():
        return folder / name
    others = [actual for form, actual in names_in(folder).items() if form.casefold() == name.casefold()]
    found = [folder / actual for names in others for actual in names if (folder / actual).is_dir()]
    return found[0] if len(found) == 1 else None


def composed(name: str) -> str:
    """Return `name` in Unicode's composed form, in which names are compared."""
    return name if name.isascii() else unicodedata.normalize("NFC", name)


def name_of(path: PurePath, suffixes: Iterable[str]) -> str:
    """Return the name of a sample from its relative path: composed, "/" between folders, without one of `suffixes`.

    Any other ending belongs to the name: that of 2021.05.01 is no suffix.
    """
    known = path.suffix.lower() in suffixes and path.stem
    return composed((path.with_suffix("") if known else path).as_posix())


def find_file(candidates: Iterable[Path]) -> Path | None:
    """Return the first of `candidates` that is a file, else the first that is one in another Unicode form, else None.

    Two files on disk that one written name means are an `InputError`.
    """
    tried = []
    for path in candidates:
        if os.path.isfile(path):  # noqa: PTH113 (False, and no error, for names that are too long)
            return path
        tried.append(path)
    for path in tried:
        if not path.as_posix().isascii() and (found := _find(path)) is not None and found.is_file():
            return found
    return None


def _find(path: Path) -> Path | None:
    """Return the file or folder on disk whose path is `path` but for the Unicode form of its parts."""
    if os.path.lexists(path):
        return path
    parent = None if path.parent == path else _find(path.parent)
    names = () if parent is None else names_in(parent).get(composed(path.name), ())
    if len(names) > 1:
        raise InputError(
            f"{parent}: holds {len(names)} files that look the same, called {path.name!r} with accents as one"
            " character and as two; remove or rename one",
            "names",
        )
    return parent / names[0] if parent is not None and names else None


def names_in(folder: Path) -> Mapping[str, tuple[str, ...]]:
    """Return the names of everything in `folder` by their composed form; nothing where it cannot be listed."""
    try:
        return _index(folder)
    except (OSError, ValueError):
        return {}


@cache_by_file(maxsize=64)
def _index(folder: Path) -> Mapping[str, tuple[str, ...]]:
    index: dict[str, tuple[str, ...]] = {}
    for name in sorted(os.listdir(folder)):  # noqa: PTH208 (ten times as fast)
        index[composed(name)] = (*index.get(composed(name), ()), name)
    return index

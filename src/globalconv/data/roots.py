"""Where data lie: one folder, or a folder for each of the paper's data sets by its name."""

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from globalconv.errors import InputError, suggest
from globalconv.runtime.files import as_path

Root = Path | Mapping[str, Path]
"""The root of a data set, or of several that lie together, or the root of each by its name."""

Data = str | Path | Mapping[str, str | Path] | None
"""A root as people write it in Python; None are the generated scenes."""

PAPER_DATASETS = ("voc", "sbd", "coco", "cityscapes")


def require_folder(root: Path) -> Path:
    """Return `root`; anything but a folder is an `InputError`."""
    if not root.is_dir():
        raise InputError(f"{root}: {'is a file' if root.exists() else 'there is no such folder'}; give a data folder")
    return root


def as_root(data: Data) -> Root | None:
    """Return what names data as a root; None are the generated scenes. Unknown names are refused."""
    if not isinstance(data, Mapping):
        return None if data is None else as_path("data", data)
    if unknown := [name for name in data if name not in PAPER_DATASETS]:
        raise InputError(f"`data` {unknown[0]}={data[unknown[0]]}: {suggest(unknown[0], PAPER_DATASETS)}")
    if not data:
        raise InputError("`data`: names no place; give the root of a data set")
    return {name: as_path(f"data {name}", place) for name, place in data.items()}


def parse_data(words: Sequence[str]) -> Root | None:
    """Return what `data` says: nothing, one PATH, or several NAME=PATH."""
    if not words:
        return None
    pairs = [_name_and_path(word) for word in words]
    plain = [path for name, path in pairs if not name]
    if plain and len(pairs) > 1:
        raise InputError(f"`data` {plain[0]}: one folder, or several with their names (voc=PATH sbd=PATH), not both")
    if plain:
        return Path(plain[0])
    if repeated := [name for place, (name, _) in enumerate(pairs) if name in dict(pairs[:place])]:
        raise InputError(f"`data` {repeated[0]}=...: is given twice; give one place for each")
    return as_root(dict(pairs))


def _name_and_path(word: str) -> tuple[str, str]:
    """Return (name, path) of NAME=PATH, and ("", path) of anything else: a path that exists may hold a "="."""
    name, equals, path = word.partition("=")
    if not equals or not re.fullmatch(r"\w+", name) or Path(word).exists():
        return "", word
    if not path:
        raise InputError(f"`data` {word}: names no folder; write {name}=PATH")
    return name, os.path.expanduser(path)  # noqa: PTH111 (which fails for ~ of a user that there is not)


def root_to_json(root: Root | None) -> str | dict[str, str] | None:
    """Return a root as a run records it; `as_root` reads it again."""
    if root is None or isinstance(root, Path):
        return None if root is None else str(root)
    return {name: str(place) for name, place in root.items()}


def format_root(root: Root | None) -> str:
    """Return a root as one would type it after `data`."""
    if isinstance(root, Mapping):
        return " ".join(f"{name}={place}" for name, place in root.items())
    return str(root)

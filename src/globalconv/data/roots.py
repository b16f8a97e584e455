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
"""A root as Python callers write it; None is the generated scenes."""

PAPER_DATASETS = ("voc", "sbd", "coco", "cityscapes")


def require_folder(root: Path) -> Path:
    """Return `root`; anything but a folder is an `InputError`."""
    if not root.is_dir():
        raise InputError(f"{root}: {'is a file' if root.exists() else 'there is no such folder'}; give a data folder")
    return root


def as_root(data: Data) -> Root | None:
    """Return the root that `data` names; None is the generated scenes. Unknown names are refused."""
    if not isinstance(data, Mapping):
        return None if data is None else as_path("data", data)
    if unknown := [name for name in data if name not in PAPER_DATASETS]:
        raise InputError(f"`data` {unknown[0]}={data[unknown[0]]}: {suggest(unknown[0], PAPER_DATASETS)}")
    if not data:
        raise InputError("`data`: names no place; give the root of a data set")
    return {name: as_path(f"data {name}", path) for name, path in data.items()}


def parse_data(words: Sequence[str]) -> Root | None:
    """Return the root that the words of `data` name: nothing, one PATH, or several NAME=PATH."""
    pairs: list[tuple[str, str]] = []
    for word in words:
        name, equals, path = word.partition("=")
        if not equals or not re.fullmatch(r"\w+", name) or Path(word).exists():  # A path may hold a "=" itself.
            pairs.append(("", word))
        elif not path:
            raise InputError(f"`data` {word}: names no folder; write {name}=PATH")
        else:
            pairs.append((name, os.path.expanduser(path)))  # noqa: PTH111 (which fails for ~ of an unknown user)
    if not pairs:
        return None
    if plain := [path for name, path in pairs if not name]:
        if len(pairs) > 1:
            raise InputError(
                f"`data` {plain[0]}: one folder, or several with their names (voc=PATH sbd=PATH), not both"
            )
        return Path(plain[0])
    names = [name for name, _ in pairs]
    if repeated := [name for index, name in enumerate(names) if name in names[:index]]:
        raise InputError(f"`data` {repeated[0]}=...: is given twice; give one place for each")
    return as_root(dict(pairs))


def root_to_json(root: Root | None) -> str | dict[str, str] | None:
    """Return a root as a run records it; `as_root` reads it again."""
    if root is None or isinstance(root, Path):
        return None if root is None else str(root)
    return {name: str(path) for name, path in root.items()}


def format_root(root: Root | None) -> str:
    """Return a root as it is written after `data` on the command line."""
    if isinstance(root, Mapping):
        return " ".join(f"{name}={path}" for name, path in root.items())
    return str(root)

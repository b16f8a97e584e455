"""Plain folders: `images/` and `labels/`, files paired by their path without suffix.

Three forms, subfolders allowed in each:

    ROOT/images/a.jpg        ROOT/labels/a.png          no splits on disk: "train" and "val" are a fixed hold-out
    ROOT/images/train/a.jpg  ROOT/labels/train/a.png    splits inside
    ROOT/train/images/a.jpg  ROOT/train/labels/a.png    splits outside

The split "all" is everything. The hold-out puts an image into "val" if the hash of its name says so (one in ten, at
least one), so the same image is always on the same side, whatever is added later.
"""

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

from globalconv.data.images import IMAGE_SUFFIXES
from globalconv.data.sources.source import Pair
from globalconv.errors import InputError

ALL = "all"
HOLD_OUT = 0.1


def is_folder_layout(root: Path) -> bool:
    """Say whether there are `images/` and `labels/` at `root`, or splits that have them."""
    return bool(_folders(root))


def folder_splits(root: Path) -> list[str]:
    """Return the splits of `root`, for messages and completion."""
    return [*(sorted(name for name in _folders(root) if name) or ["train", "val"]), ALL]


def read_folder(root: Path, split: str) -> tuple[Pair, ...]:
    """Return the pairs of one split; images without a label, or labels without an image, are an `InputError`."""
    folders = _folders(root)
    if not folders:
        raise InputError(f"{root}: has no images/ beside labels/ (nor splits that do); create both folders")
    if split in folders:
        return _pairs(split, *folders[split])
    if split != ALL and ("" not in folders or split not in ("train", "val")):
        raise InputError(f"split {split!r}: {root} has the splits {', '.join(folder_splits(root))}; name one of them")
    pairs = tuple(pair for name, (images, labels) in sorted(folders.items()) for pair in _pairs(name, images, labels))
    return pairs if split == ALL else _hold_out(pairs, split, root)


def _folders(root: Path) -> dict[str, tuple[Path, Path]]:
    """Return (images, labels) by split; the split "" means that there are none on disk."""
    images, labels = root / "images", root / "labels"
    if images.is_dir() and labels.is_dir():
        inside = {f.name: (f, labels / f.name) for f in _subfolders(images) if (labels / f.name).is_dir()}
        return inside if "train" in inside else {"": (images, labels)}
    outside = {f.name: (f / "images", f / "labels") for f in _subfolders(root)}
    return {name: pair for name, pair in outside.items() if pair[0].is_dir() and pair[1].is_dir()}


def _subfolders(folder: Path) -> list[Path]:
    if not folder.is_dir():
        return []
    return sorted(child for child in folder.iterdir() if child.is_dir() and not child.name.startswith("."))


def _pairs(split: str, images: Path, labels: Path) -> tuple[Pair, ...]:
    image_files, label_files = _pictures(images), _pictures(labels)
    _refuse_singles(images, sorted(image_files.keys() - label_files.keys()), "image", labels)
    _refuse_singles(labels, sorted(label_files.keys() - image_files.keys()), "label", images)
    if not image_files:
        raise InputError(f"{images}: holds no pictures ({', '.join(sorted(IMAGE_SUFFIXES))}); put the images there")
    prefix = f"{split}/" if split else ""
    return tuple(Pair(prefix + name, image_files[name], label_files[name]) for name in sorted(image_files))


def _pictures(folder: Path) -> dict[str, Path]:
    """Return the pictures under `folder` by their path without suffix."""
    found: dict[str, Path] = {}
    for path in _files(folder):
        if path.suffix.lower() not in IMAGE_SUFFIXES or path.name.startswith("."):
            continue
        name = path.relative_to(folder).with_suffix("").as_posix()
        if name in found:
            raise InputError(f"{path}: {found[name].name} has the same name; names without suffix must be unique")
        found[name] = path
    return found


def _files(folder: Path) -> Iterator[Path]:
    """Yield all files under `folder`, through links to folders too, but never twice through the same one."""
    seen: set[str] = set()
    for place, subfolders, names in os.walk(folder, followlinks=True):
        real = os.path.realpath(place)
        if real in seen:
            subfolders.clear()
            continue
        seen.add(real)
        subfolders.sort()
        yield from (Path(place, name) for name in sorted(names))


def _refuse_singles(folder: Path, names: list[str], what: str, other: Path) -> None:
    if names:
        few = ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")
        raise InputError(
            f"{folder}: {len(names)} {what}{'s' if len(names) > 1 else ''} without a partner in {other} ({few});"
            " names must be equal up to the suffix: add the missing files or move these away"
        )


def _hold_out(pairs: tuple[Pair, ...], split: str, root: Path) -> tuple[Pair, ...]:
    if len(pairs) < 2:
        raise InputError(f"split {split!r}: {root} holds a single image, which cannot be divided; use split 'all'")
    rank = {pair.name: _hash(pair.name) for pair in pairs}
    held = {name for name, value in rank.items() if value < HOLD_OUT}
    if not held or len(held) == len(pairs):
        held = {min(rank, key=lambda name: rank[name])}
    return tuple(pair for pair in pairs if (pair.name in held) == (split == "val"))


def _hash(name: str) -> float:
    """Return a number in [0, 1) that depends on the name only."""
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big") / 2**64

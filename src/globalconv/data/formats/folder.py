"""Plain folders: `images/` and `labels/` (or `masks/`), files paired by their path without suffix.

Three forms, subfolders allowed in each:

    ROOT/images/a.jpg        ROOT/labels/a.png          no splits on disk: "train" and "val" are a fixed hold-out
    ROOT/images/train/a.jpg  ROOT/labels/train/a.png    splits inside
    ROOT/train/images/a.jpg  ROOT/train/labels/a.png    splits outside
"""

import glob
import os
import unicodedata
from collections.abc import Iterator
from pathlib import Path

from globalconv.data.images import IMAGE_SUFFIXES
from globalconv.data.source import Pair
from globalconv.data.splits import ALIASES, find_split, select_split
from globalconv.errors import InputError, OnError, raise_error

LABEL_FOLDERS = ("labels", "masks")


def is_folder_layout(root: Path) -> bool:
    """Say whether there are `images/` and `labels/` at `root`, or splits that have them."""
    return bool(_folders(root))


def folder_splits(root: Path) -> list[str]:
    """Return the splits on disk; [""] where there are none."""
    return sorted(_folders(root))


def read_folder(root: Path, split: str, on_error: OnError = raise_error) -> tuple[Pair, ...]:
    """Return the pairs of one split; images without a label, and labels without an image, go to `on_error`."""
    folders = _folders(root)
    if not folders:
        raise InputError(f"{root}: has no images/ beside labels/ (nor splits that do); create both folders")
    return select_split(list(folders), lambda name: _pairs(name, *folders[name], on_error), split, root)


def _folders(root: Path) -> dict[str, tuple[Path, Path]]:
    """Return (images, labels) by split; the split "" means that there are none on disk."""
    if both := _both(root):
        images, labels = both
        inside = {f.name: (f, labels / f.name) for f in _subfolders(images) if (labels / f.name).is_dir()}
        return inside if find_split(list(inside), "train") else {"": both}
    outside = {folder.name: both for folder in _subfolders(root) if (both := _both(folder))}
    name = next(iter(outside), "")
    if len(outside) == 1 and not any(find_split([name], usual) for usual in ALIASES):
        return _folders(root / name)  # no split, but a folder around everything
    return outside


def _both(folder: Path) -> tuple[Path, Path] | None:
    """Return the folders of images and of label files in `folder`, if it has both."""
    there = [folder / name for name in LABEL_FOLDERS if (folder / name).is_dir()]
    if not there or not (folder / "images").is_dir():
        return None
    if len(there) > 1:  # other programs keep text files in labels/
        there = [place for place in there if any(map(_is_image, files_below(place)))] or there[:1]
    if len(there) > 1:
        raise InputError(
            f"{folder}: {' and '.join(f'{name}/' for name in LABEL_FOLDERS)} both hold images, and only one can be"
            " the masks; move the other one away"
        )
    return folder / "images", there[0]


def _subfolders(folder: Path) -> list[Path]:
    if not folder.is_dir():
        return []
    return sorted(child for child in folder.iterdir() if child.is_dir() and not child.name.startswith("."))


def _pairs(split: str, images: Path, labels: Path, on_error: OnError) -> tuple[Pair, ...]:
    image_files, label_files = images_in(images, on_error), images_in(labels, on_error)
    name_singles(images, sorted(image_files.keys() - label_files.keys()), "image", labels, on_error)
    name_singles(labels, sorted(label_files.keys() - image_files.keys()), "label", images, on_error)
    if not image_files:
        raise InputError(f"{images}: holds no images ({', '.join(sorted(IMAGE_SUFFIXES))}); put the images there")
    prefix = f"{split}/" if split else ""
    return tuple(
        Pair(prefix + name, image_files[name], label_files[name])
        for name in sorted(image_files.keys() & label_files.keys())
    )


def images_in(folder: Path, on_error: OnError = raise_error) -> dict[str, Path]:
    """Return the images under `folder` by their path without suffix."""
    found: dict[str, Path] = {}
    for path in filter(_is_image, files_below(folder)):
        # A letter with its accent may be one character or two: macOS writes two, and nobody sees the difference.
        name = unicodedata.normalize("NFC", path.relative_to(folder).with_suffix("").as_posix())
        if name in found:
            on_error(
                InputError(
                    f"{path}: {found[name].name} has the same name; names without suffix must be unique", "names"
                )
            )
            continue
        found[name] = path
    return found


def _is_image(path: Path) -> bool:
    return path.suffix.lower() in IMAGE_SUFFIXES


def files_below(folder: Path) -> Iterator[Path]:
    """Yield all files under `folder`, through links to folders too, but never twice through the same one."""
    seen: set[str] = set()
    for place, subfolders, names in os.walk(folder, followlinks=True, onerror=_unreadable):
        real = os.path.realpath(place)
        if real in seen:
            subfolders.clear()
            continue
        seen.add(real)
        subfolders[:] = sorted(name for name in subfolders if not name.startswith("."))
        yield from (Path(place, name) for name in sorted(names) if not name.startswith("."))


def _unreadable(error: OSError) -> None:
    raise InputError(f"{error.filename}: the folder cannot be listed ({error.strerror}); correct its permissions")


def name_singles(folder: Path, names: list[str], what: str, other: Path, on_error: OnError) -> None:
    """Report the files `names` in `folder` that have no partner in the folder `other`, if there are any."""
    if names:
        shown = ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")
        near = next(
            (f" ({path.name} is not)" for path in other.glob(f"{glob.escape(names[0])}*") if path.is_file()), ""
        )
        said = (
            f"{folder}: {len(names)} {what}{'s' if len(names) > 1 else ''} without a partner in {other} ({shown});"
            f" names must be equal up to the suffix of an image{near}: add the missing files or move these away"
        )
        on_error(InputError(said, "partner", names))

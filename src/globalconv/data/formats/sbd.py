"""SBD (Hariharan et al. 2011), VOC's classes on more of its images: `benchmark_RELEASE/dataset/{img,cls}`.

Lists `train.txt` and `val.txt` beside the two folders; label maps are MATLAB's files, read as they are. They have no
void. Some of SBD's images are VOC's to train on, and some VOC's to validate on: `named` joins the two data sets.
"""

import functools
from pathlib import Path

from globalconv.data.formats import published
from globalconv.data.source import Pair
from globalconv.data.splits import select_split
from globalconv.errors import InputError, OnError, raise_error

IMAGES, MAPS = "img", "cls"
BELOW = (".", "dataset", "benchmark_RELEASE/dataset")


def sbd_home(root: Path) -> Path | None:
    """Return the folder that holds `img/` beside `cls/`: `root`, or the one in the unpacked archive there."""
    for folder in (root / below for below in BELOW):
        if (folder / IMAGES).is_dir() and (folder / MAPS).is_dir():
            return folder
    return None


def sbd_splits(root: Path) -> list[str]:
    """Return the split lists of SBD at `root`."""
    return sorted(file.stem for file in (sbd_home(root) or root).glob("*.txt"))


def read_sbd(root: Path, split: str, on_error: OnError = raise_error) -> tuple[Pair, ...]:
    """Return the pairs of one split; listed images without their image or label map go to `on_error`."""
    home = sbd_home(root) or root
    names = sbd_splits(root)
    if not names:
        raise InputError(f"{home}: has no train.txt and no val.txt; copy them from the official archive")
    return select_split(names, functools.partial(_read, home, on_error), split, root)


def is_complete(home: Path) -> bool:
    """Say whether the lists are as long as the official ones."""
    return all(
        (home / f"{split}.txt").is_file() and len(_names(home / f"{split}.txt")) == count
        for split, count in published.SBD.items()
    )


def _names(file: Path) -> list[str]:
    try:
        return list(dict.fromkeys(file.read_text(encoding="utf-8-sig").split()))
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{file}: cannot be read as text ({error}); copy it from the official archive") from None


def _read(home: Path, on_error: OnError, split: str) -> tuple[Pair, ...]:
    file = home / f"{split}.txt"
    listed = _names(file)
    published.check_count(str(file), "SBD", split, len(listed), published.SBD.get(split), on_error)
    images = {path.stem: path for path in (home / IMAGES).glob("*.jpg")}
    maps = {path.stem: path for path in (home / MAPS).glob("*.mat")}
    for folder, there in ((IMAGES, images), (MAPS, maps)):
        if missing := [name for name in listed if name not in there]:
            more = f" (and {len(missing) - 1} more of its {len(listed)})" if missing[1:] else ""
            said = f"{home / folder}: has no {missing[0]!r}, which the split {split!r} lists{more}; put the file there"
            on_error(InputError(said, "partner", missing))
    return tuple(Pair(name, images[name], maps[name]) for name in listed if name in images and name in maps)

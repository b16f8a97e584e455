"""SBD (Hariharan et al. 2011), VOC's classes on more of its images: `benchmark_RELEASE/dataset/{img,cls}`.

Lists `train.txt` and `val.txt` beside the two folders; label maps are MATLAB's files, read as they are. They have no
void. Some of SBD's images are VOC's to train on, and some VOC's to validate on: `mixtures` joins the two data sets.
"""

from pathlib import Path

from globalconv.data.file_names import composed, glob_files
from globalconv.data.formats import name_lists, official_counts
from globalconv.data.formats.layout import Layout
from globalconv.data.formats.pairing import report_missing
from globalconv.data.masks import MaskFormat
from globalconv.data.source import Pair
from globalconv.data.splits import select_split
from globalconv.errors import InputError, OnError, raise_error
from globalconv.labels import VOC

IMAGES, MAPS = "img", "cls"
BELOW = (".", "dataset", "benchmark_RELEASE/dataset")


def find_home(root: Path) -> Path | None:
    """Return the folder that holds `img/` beside `cls/`: `root`, or the one in the unpacked archive there."""
    for folder in (root / below for below in BELOW):
        if (folder / IMAGES).is_dir() and (folder / MAPS).is_dir():
            return folder
    return None


def recognise(root: Path) -> bool:
    """Return whether SBD lies at `root`, unpacked there or moved there."""
    return find_home(root) is not None


def list_splits(root: Path) -> list[str]:
    """Return the split lists of SBD at `root`."""
    return [file.stem for file in glob_files(find_home(root) or root, "*.txt")]


def read_split(root: Path, split: str, on_error: OnError = raise_error) -> tuple[Pair, ...]:
    """Return the pairs of one split; listed images without their image or label map go to `on_error`."""
    home, splits = find_home(root) or root, list_splits(root)
    if not splits:
        raise InputError(f"{home}: has no train.txt and no val.txt; copy them from the official archive")

    def read(name: str) -> tuple[Pair, ...]:
        file = home / f"{name}.txt"
        images = {composed(path.stem): path for path in glob_files(home / IMAGES, "*.jpg")}
        maps = {composed(path.stem): path for path in glob_files(home / MAPS, "*.mat")}
        listed = _read_names(file)
        official_counts.check_count(str(file), "SBD", name, len(listed), official_counts.SBD.get(name), on_error)
        report_missing(name, listed, {home / IMAGES: images, home / MAPS: maps}, on_error)
        complete = [sample for sample in listed if sample in images and sample in maps]
        return tuple(Pair(sample, images[sample], maps[sample]) for sample in complete)

    return select_split(splits, read, split, root)


LAYOUT = Layout(recognise, list_splits, read_split, fixed_classes=lambda pairs, expected: (VOC, MaskFormat()))


def is_complete(home: Path) -> bool:
    """Return whether the lists are as long as the official ones."""
    return all(
        (home / f"{split}.txt").is_file() and len(_read_names(home / f"{split}.txt")) == count
        for split, count in official_counts.SBD.items()
    )


def _read_names(file: Path) -> list[str]:
    def list_names() -> set[str]:
        return {composed(path.stem) for path in glob_files(file.parent / IMAGES, "*.jpg")}

    return name_lists.read_names(file, list_names, IMAGES, "copy it from the official archive")

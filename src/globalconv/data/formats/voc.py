"""PASCAL VOC's layout: `JPEGImages/`, `SegmentationClass/` and split lists `ImageSets/Segmentation/SPLIT.txt`.

The root may be the folder that holds these, as `VOCdevkit/VOC2012`, or the devkit, or what the devkit lies in.

Tools export the layout too: labelme (`class_names.txt`), CVAT as "Segmentation mask 1.1" (`labelmap.txt` with colours).
Without lists, every image that has a mask counts and "val" is a fixed hold-out. Images without a mask are no error:
VOC has many. Masks in VOC's palette with nothing but VOC's classes get VOC's names.
"""

import re
import unicodedata
from collections.abc import Sequence
from pathlib import Path

from globalconv.data.formats import published
from globalconv.data.formats.folder import images_in, name_singles
from globalconv.data.masks import MaskFormat, read_mask, read_palette, unique_values
from globalconv.data.source import Pair
from globalconv.data.splits import ALL, select_split
from globalconv.errors import InputError, OnError, raise_error
from globalconv.labels import IGNORE, VOC, LabelSpace

IMAGES, MASKS, LISTS = "JPEGImages", ("SegmentationClass", "SegmentationClassPNG"), Path("ImageSets", "Segmentation")
BELOW = (".", "VOC2012", "VOCdevkit/VOC2012")

VOC_MASKS = MaskFormat(palette=VOC.palette)
"""How VOC itself stores masks."""

VOC_NAME = re.compile(r"\d{4}_\d{6}")


def voc_home(root: Path, masks: bool = True) -> Path | None:
    """Return the folder that holds `JPEGImages/`, beside a folder of `masks`: `root`, or the one in a devkit there."""
    for folder in (root / below for below in BELOW):
        if (folder / IMAGES).is_dir() and (not masks or any((folder / name).is_dir() for name in MASKS)):
            return folder
    return None


def is_voc_layout(root: Path) -> bool:
    """Say whether there is a VOC data set at `root`, or in a devkit there."""
    return voc_home(root) is not None


def voc_splits(root: Path) -> list[str]:
    """Return the splits that have masks; [""] where there are no lists."""
    home = voc_home(root) or root
    return [name for name in voc_lists(home) if name != "test" or _has_masks(home, name)]


def voc_lists(home: Path) -> list[str]:
    """Return the split lists, with masks or without; [""] where there are none."""
    return sorted(file.stem for file in (home / LISTS).glob("*.txt")) or [""]


def _has_masks(home: Path, split: str) -> bool:
    masks = _masks(home)
    return any((masks / f"{name}.png").is_file() for name in voc_names(home, split))


def read_voc(root: Path, split: str, on_error: OnError = raise_error) -> tuple[Pair, ...]:
    """Return the pairs of one split; listed images without their image or mask go to `on_error`."""
    home = voc_home(root) or root
    masks = _masks(home)
    images, labels = images_in(home / IMAGES), images_in(masks)
    names = [name for name in voc_splits(home) if name != "trainval"] if split == ALL else voc_lists(home)

    def read(name: str) -> tuple[Pair, ...]:
        listed = voc_names(home, name) if name else sorted(labels.keys() & images.keys())
        if not name:
            name_singles(masks, sorted(labels.keys() - images.keys()), "label", home / IMAGES, on_error)
        if name == "test" and not labels.keys() & set(listed):
            raise InputError(
                f"{masks}: has no mask of the {len(listed)} images of the split {name!r}; VOC publishes none of them:"
                " score on val, and predict these",
                "partner",
            )
        _name_missing(name, listed, {home / IMAGES: images, masks: labels}, on_error)
        if listed and all(map(VOC_NAME.fullmatch, listed)):
            of_split = published.VOC.get(name)
            published.check_count(str(home / LISTS / f"{name}.txt"), "VOC 2012", name, len(listed), of_split, on_error)
        complete = [sample for sample in listed if sample in images and sample in labels]
        return tuple(Pair(sample, images[sample], labels[sample]) for sample in complete)

    pairs = select_split(names, read, split, root)
    if not pairs:
        raise InputError(f"{masks}: no mask has an image of its name in {home / IMAGES}; put them there")
    return pairs


def voc_names(home: Path, split: str) -> list[str]:
    """Return the names that the list of a split holds, each once."""
    file = home / LISTS / f"{split}.txt"
    if not file.is_file():
        raise InputError(f"{file}: there is no such list; copy it from the official archive")
    try:
        lines = file.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{file}: cannot be read as text ({error}); write one image name a line") from None
    # Lists of one class have a second column, -1, 0 or 1.
    names = (unicodedata.normalize("NFC", re.sub(r"\s+-?[01]$", "", line.strip())) for line in lines)
    return list(dict.fromkeys(name for name in names if name))


def voc_classes(pairs: tuple[Pair, ...]) -> LabelSpace | None:
    """Return VOC's classes if the first masks are in its palette and hold nothing else."""
    try:
        for pair in pairs[:8]:
            if tuple(read_palette(pair.label)[: VOC.num_classes]) != VOC.palette:
                return None
            if set(unique_values(read_mask(pair.label))) - {*range(VOC.num_classes), IGNORE}:
                return None
    except InputError:  # whoever reads the mask will say so
        return None
    return VOC


def _masks(home: Path) -> Path:
    """Return the first of the folders for masks that holds images (older labelme writes arrays into the other)."""
    there = [home / name for name in MASKS if (home / name).is_dir()]
    return next((folder for folder in there if images_in(folder)), home / MASKS[0])


def _name_missing(split: str, listed: Sequence[str], folders: dict[Path, dict[str, Path]], on_error: OnError) -> None:
    """Report, once a folder, listed images that it does not hold."""
    for folder, there in folders.items():
        if missing := [sample for sample in listed if sample not in there]:
            more = f" (and {len(missing) - 1} more of its {len(listed)})" if missing[1:] else ""
            said = f"{folder}: has no {missing[0]!r}, which the split {split!r} lists{more}; put the file there"
            on_error(InputError(said, "partner", missing))

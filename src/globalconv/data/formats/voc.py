"""PASCAL VOC's layout: `JPEGImages/`, `SegmentationClass/` and split lists `ImageSets/Segmentation/SPLIT.txt`.

The root may be the folder that holds these, as `VOCdevkit/VOC2012`, or the devkit, or what the devkit lies in.

Tools export the layout too: labelme (`class_names.txt`), CVAT as "Segmentation mask 1.1" (`labelmap.txt` with colours).
Without lists, every image that has a mask counts and "val" is a fixed hold-out. Images without a mask are no error:
VOC has many. Masks in VOC's palette that hold only VOC's classes get VOC's names.
"""

import re
from pathlib import Path

from globalconv.data.file_names import glob_files
from globalconv.data.formats import name_lists, official_counts
from globalconv.data.formats.layout import Layout
from globalconv.data.formats.pairing import list_images, report_missing, report_unpaired
from globalconv.data.mask_files import read_palette
from globalconv.data.masks import MaskFormat, read_mask
from globalconv.data.source import Pair
from globalconv.data.splits import ALL, select_split
from globalconv.errors import InputError, OnError, raise_error
from globalconv.labels import IGNORE, VOC, LabelSpace

IMAGES, MASKS, LISTS = "JPEGImages", ("SegmentationClass", "SegmentationClassPNG"), Path("ImageSets", "Segmentation")
BELOW = (".", "VOC2012", "VOCdevkit/VOC2012")

VOC_MASKS = MaskFormat(palette=VOC.palette)
"""How VOC itself stores masks."""

VOC_NAME = re.compile(r"\d{4}_\d{6}")


def find_home(root: Path, masks: bool = True) -> Path | None:
    """Return the folder that holds `JPEGImages/`, beside a folder of `masks`: `root`, or the one in a devkit there."""
    for folder in (root / below for below in BELOW):
        if (folder / IMAGES).is_dir() and (not masks or any((folder / name).is_dir() for name in MASKS)):
            return folder
    return None


def recognise(root: Path) -> bool:
    """Return whether there is a VOC data set at `root`, or in a devkit there."""
    return find_home(root) is not None


def list_splits(root: Path) -> list[str]:
    """Return the splits that have masks; [""] where there are no lists."""
    home = find_home(root) or root

    def has_masks(split: str) -> bool:
        masks = _mask_folder(home)
        return any((masks / f"{name}.png").is_file() for name in read_names(home, split))

    return [split for split in list_lists(home) if split != "test" or has_masks(split)]


def list_lists(home: Path) -> list[str]:
    """Return the names of the split lists, of splits with masks or without; [""] where there are none."""
    return [file.stem for file in glob_files(home / LISTS, "*.txt")] or [""]


def read_split(root: Path, split: str, on_error: OnError = raise_error) -> tuple[Pair, ...]:
    """Return the pairs of one split; listed images without their image or mask go to `on_error`."""
    home = find_home(root) or root
    masks = _mask_folder(home)
    images, labels = list_images(home / IMAGES), list_images(masks)

    def read(name: str) -> tuple[Pair, ...]:
        if not name:  # no lists
            report_unpaired(masks, sorted(labels.keys() - images.keys()), "label", home / IMAGES, on_error)
        listed = read_names(home, name) if name else sorted(labels.keys() & images.keys())
        if name == "test" and not labels.keys() & set(listed):
            raise InputError(
                f"{masks}: has no mask of the {len(listed)} images of the split {name!r}; VOC publishes none of them:"
                " score on val, and predict these",
                "partner",
            )
        report_missing(name, listed, {home / IMAGES: images, masks: labels}, on_error)
        if listed and all(map(VOC_NAME.fullmatch, listed)):
            where, official = str(home / LISTS / f"{name}.txt"), official_counts.VOC.get(name)
            official_counts.check_count(where, "VOC 2012", name, len(listed), official, on_error)
        complete = [sample for sample in listed if sample in images and sample in labels]
        return tuple(Pair(sample, images[sample], labels[sample]) for sample in complete)

    names = [name for name in list_splits(home) if name != "trainval"] if split == ALL else list_lists(home)
    pairs = select_split(names, read, split, root)
    if not pairs:
        raise InputError(f"{masks}: no mask has an image of its name in {home / IMAGES}; put them there")
    return pairs


def read_names(home: Path, split: str) -> list[str]:
    """Return the names that the list of a split holds, each once."""
    file = home / LISTS / f"{split}.txt"
    if not file.is_file():
        raise InputError(f"{file}: there is no such list; copy it from the official archive")

    def list_names() -> set[str]:
        both = (
            list_images(folder, lambda error: None) for folder in (home / IMAGES, _mask_folder(home)) if folder.is_dir()
        )
        return set().union(*both)

    return name_lists.read_names(file, list_names, IMAGES, "write one image name a line, in UTF-8")


def vocs_own_classes(
    pairs: tuple[Pair, ...], expected: LabelSpace | None = None
) -> tuple[LabelSpace, MaskFormat] | None:
    """Return VOC's classes if the first masks look like VOC's own, unless other classes are expected.

    They do if they are in VOC's palette and hold nothing but VOC's classes and void.
    """
    if expected is not None and expected.class_names != VOC.class_names:
        return None
    try:
        for pair in pairs[:8]:
            if tuple(read_palette(pair.label)[: VOC.num_classes]) != VOC.palette:
                return None
            if {*read_mask(pair.label).present} - {*range(VOC.num_classes), IGNORE}:
                return None
    except InputError:  # reported where the mask is read as a sample
        return None
    return VOC, VOC_MASKS


LAYOUT = Layout(
    recognise,
    list_splits,
    read_split,
    fixed_classes=vocs_own_classes,
    beside=r"(^|/)(SegmentationObject\w*|SegmentationClass_?Visualization)/",
)


def _mask_folder(home: Path) -> Path:
    """Return the first of the folders for masks that holds images: older labelme writes arrays into the other."""
    folders = [home / name for name in MASKS if (home / name).is_dir()]
    return next((folder for folder in folders if list_images(folder)), home / MASKS[0])

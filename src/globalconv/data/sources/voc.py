"""PASCAL VOC's layout: `JPEGImages/`, `SegmentationClass/` and split lists `ImageSets/Segmentation/SPLIT.txt`.

Tools export it too: labelme (`class_names.txt`), CVAT as "Segmentation mask 1.1" (`labelmap.txt` with colours). Without
lists, every picture that has a mask counts and "val" is a fixed hold-out. Pictures without a mask are no error: VOC has
many. Masks in VOC's palette with nothing but VOC's classes get VOC's names.
"""

import re
import unicodedata
from pathlib import Path

from globalconv.data.masks import palette_of, read_mask, values_of
from globalconv.data.sources.folder import name_singles, pictures
from globalconv.data.sources.source import Pair
from globalconv.data.sources.splits import choose
from globalconv.errors import Complain, InputError, refuse
from globalconv.labels import IGNORE, VOC, LabelSpace

IMAGES, MASKS, LISTS = "JPEGImages", ("SegmentationClass", "SegmentationClassPNG"), Path("ImageSets", "Segmentation")


def is_voc_layout(root: Path) -> bool:
    """Say whether `JPEGImages/` stands beside a folder of masks."""
    return (root / IMAGES).is_dir() and any((root / name).is_dir() for name in MASKS)


def _masks(root: Path) -> Path:
    """Return the first of the folders for masks that holds pictures (older labelme writes arrays into the other)."""
    there = [root / name for name in MASKS if (root / name).is_dir()]
    return next((folder for folder in there if pictures(folder)), root / MASKS[0])


def voc_splits(root: Path) -> list[str]:
    """Return the split lists; [""] where there are none."""
    return sorted(file.stem for file in (root / LISTS).glob("*.txt")) or [""]


def read_voc(root: Path, split: str, complain: Complain = refuse) -> tuple[Pair, ...]:
    """Return the pairs of one split; listed images without their picture or mask go to `complain`."""
    masks = _masks(root)
    images, labels = pictures(root / IMAGES), pictures(masks)
    names = [name for name in voc_splits(root) if not (name == "trainval" and split == "all")]

    def read(name: str) -> tuple[Pair, ...]:
        listed = _listed(root / LISTS / f"{name}.txt") if name else sorted(labels.keys() & images.keys())
        if not name:
            name_singles(masks, sorted(labels.keys() - images.keys()), "label", root / IMAGES, complain)
        for sample in listed:
            for folder, there in ((root / IMAGES, images), (masks, labels)):
                if sample not in there:
                    said = f"{folder}: has no {sample!r}, which the split {name!r} lists; put the file there"
                    complain(InputError(said, "partner"))
        complete = [sample for sample in listed if sample in images and sample in labels]
        return tuple(Pair(sample, images[sample], labels[sample]) for sample in complete)

    pairs = choose(names, read, split, root)
    if not pairs:
        raise InputError(f"{masks}: no mask has a picture of its name in {root / IMAGES}; put them there")
    return pairs


def voc_classes(pairs: tuple[Pair, ...]) -> LabelSpace | None:
    """Return VOC's classes if the first masks are in its palette and hold nothing else."""
    try:
        for pair in pairs[:8]:
            if tuple(palette_of(pair.label)[: VOC.num_classes]) != VOC.palette:
                return None
            if set(values_of(read_mask(pair.label))) - {*range(VOC.num_classes), IGNORE}:
                return None
    except InputError:  # whoever reads the mask will say so
        return None
    return VOC


def _listed(file: Path) -> list[str]:
    try:
        lines = file.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{file}: cannot be read as text ({error}); write one image name a line") from None
    # Lists of one class have a second column, -1, 0 or 1.
    names = (unicodedata.normalize("NFC", re.sub(r"\s+-?[01]$", "", line.strip())) for line in lines)
    return list(dict.fromkeys(name for name in names if name))

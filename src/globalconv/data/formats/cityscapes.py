"""Cityscapes: `leftImg8bit/SPLIT/CITY/*_leftImg8bit.png`, label ids in `gtFine/` and `gtCoarse/`, as unpacked.

Splits `train` and `val` are fine; `coarse` is what only coarse masks exist of (`train_extra`); `coarse-train` and
`coarse-val` are the coarse masks of the fine splits. The 30 classes and 4 kinds of void become the 19 train ids and
void. What the archive calls masks of `test` are placeholders without any class, so that split is refused.
"""

from collections.abc import Mapping
from pathlib import Path

from globalconv.data.formats import published
from globalconv.data.masks import MaskFormat, read_mask, unique_values
from globalconv.data.source import Pair
from globalconv.data.splits import ALIASES, ALL
from globalconv.errors import InputError, OnError, raise_error, suggest
from globalconv.labels import CITYSCAPES_LABEL_IDS, IGNORE

IMAGES, FINE, COARSE, IMAGE_ENDING = "leftImg8bit", "gtFine", "gtCoarse", "_leftImg8bit.png"

FOLDERS: Mapping[str, tuple[str, str]] = {
    "train": (FINE, "train"),
    "val": (FINE, "val"),
    "coarse": (COARSE, "train_extra"),
    "coarse-train": (COARSE, "train"),
    "coarse-val": (COARSE, "val"),
}
"""Where the masks of each split lie."""

ARCHIVES = {FINE: "gtFine_trainvaltest.zip", COARSE: "gtCoarse.zip"}
LAST_ID = 33
LOOKED_AT = 8

CITYSCAPES_MASKS = MaskFormat(
    ids=tuple(
        CITYSCAPES_LABEL_IDS.index(label_id) if label_id in CITYSCAPES_LABEL_IDS else IGNORE
        for label_id in range(LAST_ID + 1)
    )
)
"""How Cityscapes stores masks: label ids, of which 19 are classes."""


def is_cityscapes_layout(root: Path) -> bool:
    """Say whether `leftImg8bit/` stands beside a folder of masks."""
    return (root / IMAGES).is_dir() and any((root / kind).is_dir() for kind in (FINE, COARSE))


def cityscapes_splits(root: Path) -> list[str]:
    """Return the splits on disk that divide the data: coarse masks of fine splits where there are no fine ones."""
    there = [split for split, (kind, folder) in FOLDERS.items() if (root / kind / folder).is_dir()]
    return sorted(split for split in there if not (split.startswith("coarse-") and split[7:] in there))


def read_cityscapes(root: Path, split: str, on_error: OnError = raise_error) -> tuple[Pair, ...]:
    """Return the pairs of one split; images without a mask and masks without an image go to `on_error`."""
    if split == ALL:
        return tuple(pair for name in cityscapes_splits(root) for pair in read_cityscapes(root, name, on_error))
    split = next((usual for usual, others in ALIASES.items() if split in others), split)
    split = "coarse" if split == "train_extra" else split
    if split == "test":
        raise InputError(
            f"{root / FINE / 'test'}: the masks of Cityscapes' test images are placeholders without any class; score on"
            " val, and predict these"
        )
    if split not in FOLDERS:
        raise InputError(f"split {split!r}: {suggest(split, FOLDERS)}")
    kind, folder = FOLDERS[split]
    if not (root / kind / folder).is_dir():
        raise _no_masks(root, split, kind)
    pairs = _pairs(root, kind, folder, on_error)
    of_split = published.CITYSCAPES[split]
    published.check_count(str(root / kind / folder), "Cityscapes", split, len(pairs), of_split, on_error)
    _refuse_train_ids(pairs)
    return pairs


def _no_masks(root: Path, split: str, kind: str) -> InputError:
    """Say what to unpack where a split has no masks, or which split there is instead."""
    coarse = FOLDERS.get(f"coarse-{split}")
    other = (
        f", or name the split coarse-{split}, whose masks are there"
        if coarse is not None and (root / coarse[0] / coarse[1]).is_dir()
        else ""
    )
    return InputError(
        f"{root / kind / FOLDERS[split][1]}: there is no such folder; unpack {ARCHIVES[kind]} there{other}"
    )


def _pairs(root: Path, kind: str, folder: str, on_error: OnError) -> tuple[Pair, ...]:
    images = below(root / IMAGES / folder, IMAGE_ENDING)
    masks = below(root / kind / folder, f"_{kind}_labelIds.png")
    if without := sorted(images.keys() - masks.keys()):
        where = root / kind / folder / f"{without[0]}_{kind}_labelIds.png"
        other = where.with_name(where.name.replace("labelIds", "labelTrainIds"))
        hint = ", not the train ids beside it" if other.exists() else ""
        said = f"{where}: is not there{_more(without)}; copy the label ids from {ARCHIVES[kind]}{hint}"
        on_error(InputError(said, "partner", without))
    if without := sorted(masks.keys() - images.keys()):
        where = root / IMAGES / folder / f"{without[0]}{IMAGE_ENDING}"
        on_error(InputError(f"{where}: is not there{_more(without)}; copy it from the archive", "partner", without))
    if not masks.keys() & images.keys():
        raise InputError(f"{root / IMAGES / folder}: holds no CITY/*{IMAGE_ENDING}; unpack the images there")
    return tuple(
        Pair(f"{folder}/{name}{Path(IMAGE_ENDING).stem}", images[name], masks[name])
        for name in sorted(masks.keys() & images.keys())
    )


def _more(names: list[str]) -> str:
    return f", nor are {len(names) - 1} others" if names[1:] else ""


def below(folder: Path, ending: str) -> dict[str, Path]:
    """Return the files of all cities by CITY/NAME without the ending."""
    files = sorted(folder.glob(f"*/*{ending}"))
    return {f"{file.parent.name}/{file.name.removesuffix(ending)}": file for file in files}


def _refuse_train_ids(pairs: tuple[Pair, ...]) -> None:
    """Refuse masks that hold train ids under the name of label ids: no street has only ids up to 18."""
    highest = -1
    for pair in pairs[:LOOKED_AT]:
        try:
            present = {*unique_values(read_mask(pair.label))} - {IGNORE}
        except InputError:  # whoever reads the mask will say so
            return
        highest = max(highest, *present) if present else highest
    if 0 <= highest < len(CITYSCAPES_LABEL_IDS):
        raise InputError(
            f"{pairs[0].label}: the masks hold no id above {highest}, so they look like train ids under the name of"
            f" label ids; unpack {ARCHIVES[FINE]} (or {ARCHIVES[COARSE]}) again",
            "ids",
        )

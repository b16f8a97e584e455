"""Cityscapes: `leftImg8bit/SPLIT/CITY/*_leftImg8bit.png`, label ids in `gtFine/` and `gtCoarse/`, as unpacked.

Splits `train` and `val` are fine; `coarse` is what only coarse masks exist of (`train_extra`); `coarse-train` and
`coarse-val` are the coarse masks of the fine splits. The 30 classes and 4 kinds of void become the 19 train ids and
void. What the archive calls masks of `test` are placeholders without any class, so that split is refused.
"""

from collections.abc import Mapping
from pathlib import Path

from globalconv.data.file_names import composed, glob_files
from globalconv.data.formats import official_counts
from globalconv.data.formats.layout import Layout
from globalconv.data.masks import MaskFormat, read_mask
from globalconv.data.source import Pair
from globalconv.data.splits import ALIASES, ALL
from globalconv.errors import InputError, OnError, raise_error, suggest
from globalconv.labels import CITYSCAPES, CITYSCAPES_LABEL_IDS, IGNORE

IMAGES, FINE, COARSE, IMAGE_ENDING = "leftImg8bit", "gtFine", "gtCoarse", "_leftImg8bit.png"

FOLDERS: Mapping[str, tuple[str, str]] = {
    "train": (FINE, "train"),
    "val": (FINE, "val"),
    "coarse": (COARSE, "train_extra"),
    "coarse-train": (COARSE, "train"),
    "coarse-val": (COARSE, "val"),
}
"""Where the masks of each split lie: in FOLDER/SUBFOLDER."""

ARCHIVES = {FINE: "gtFine_trainvaltest.zip", COARSE: "gtCoarse.zip"}
LAST_ID = 33
SAMPLED_MASKS = 8
"""How many masks of a split are searched for train ids."""

LABEL_ID_MASKS = MaskFormat(
    ids=tuple(
        CITYSCAPES_LABEL_IDS.index(label_id) if label_id in CITYSCAPES_LABEL_IDS else IGNORE
        for label_id in range(LAST_ID + 1)
    )
)
"""How Cityscapes stores masks: label ids, of which 19 are classes."""


def find_home(root: Path) -> Path | None:
    """Return `root` if `leftImg8bit/` stands there beside a folder of masks."""
    home = (root / IMAGES).is_dir() and any((root / kind).is_dir() for kind in (FINE, COARSE))
    return root if home else None


def recognise(root: Path) -> bool:
    """Return whether `leftImg8bit/` stands beside a folder of masks."""
    return find_home(root) is not None


def list_splits(root: Path) -> list[str]:
    """Return the splits on disk that divide the data: coarse masks of fine splits where there are no fine ones."""
    splits = [split for split, (kind, folder) in FOLDERS.items() if (root / kind / folder).is_dir()]
    return sorted(split for split in splits if not (split.startswith("coarse-") and split[7:] in splits))


def read_split(root: Path, split: str, on_error: OnError = raise_error) -> tuple[Pair, ...]:
    """Return the pairs of one split; images without a mask and masks without an image go to `on_error`."""
    if split == ALL:
        return tuple(pair for name in list_splits(root) for pair in read_split(root, name, on_error))
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
        coarse = FOLDERS.get(f"coarse-{split}")
        has_coarse = coarse is not None and (root / coarse[0] / coarse[1]).is_dir()
        alternative = f", or name the split coarse-{split}, whose masks are there" if has_coarse else ""
        raise InputError(f"{root / kind / folder}: there is no such folder; unpack {ARCHIVES[kind]} there{alternative}")
    pairs = _pair_files(root, kind, folder, on_error)
    official = official_counts.CITYSCAPES[split]
    official_counts.check_count(str(root / kind / folder), "Cityscapes", split, len(pairs), official, on_error)
    _refuse_train_ids(pairs)
    return pairs


LAYOUT = Layout(
    recognise,
    list_splits,
    read_split,
    fixed_classes=lambda pairs, expected: (CITYSCAPES, LABEL_ID_MASKS),
    beside=r"_gt(Fine|Coarse)_(color|instanceIds|labelTrainIds|instanceTrainIds)\.png$",
)


def list_frames(folder: Path, ending: str) -> dict[str, Path]:
    """Return the files `folder/CITY/NAME + ending` of all cities by "CITY/NAME"."""
    files = glob_files(folder, f"*/*{ending}")
    return {composed(f"{file.parent.name}/{file.name.removesuffix(ending)}"): file for file in files}


def _pair_files(root: Path, kind: str, folder: str, on_error: OnError) -> tuple[Pair, ...]:
    """Return the pairs whose masks lie in `kind`/`folder`."""
    images = list_frames(root / IMAGES / folder, IMAGE_ENDING)
    masks = list_frames(root / kind / folder, f"_{kind}_labelIds.png")

    def others(names: list[str]) -> str:
        return f", nor are {len(names) - 1} others" if names[1:] else ""

    if unpaired := sorted(images.keys() - masks.keys()):
        mask = root / kind / folder / f"{unpaired[0]}_{kind}_labelIds.png"
        train_ids = mask.with_name(mask.name.replace("labelIds", "labelTrainIds"))
        hint = ", not the train ids beside it" if train_ids.exists() else ""
        message = f"{mask}: is not there{others(unpaired)}; copy the label ids from {ARCHIVES[kind]}{hint}"
        on_error(InputError(message, "partner", unpaired))
    if unpaired := sorted(masks.keys() - images.keys()):
        image = root / IMAGES / folder / f"{unpaired[0]}{IMAGE_ENDING}"
        message = f"{image}: is not there{others(unpaired)}; copy it from the archive"
        on_error(InputError(message, "partner", unpaired))
    if not masks.keys() & images.keys():
        raise InputError(f"{root / IMAGES / folder}: holds no CITY/*{IMAGE_ENDING}; unpack the images there")
    return tuple(
        Pair(f"{folder}/{name}{Path(IMAGE_ENDING).stem}", images[name], masks[name])
        for name in sorted(masks.keys() & images.keys())
    )


def _refuse_train_ids(pairs: tuple[Pair, ...]) -> None:
    """Refuse masks that hold train ids under the name of label ids: no street has only ids up to 18."""
    highest = -1
    for pair in pairs[:SAMPLED_MASKS]:
        try:
            ids = {*read_mask(pair.label).present} - {IGNORE}
        except InputError:  # reported where the mask is read as a sample
            return
        highest = max(highest, *ids) if ids else highest
    if 0 <= highest < len(CITYSCAPES_LABEL_IDS):
        raise InputError(
            f"{pairs[0].label}: the masks hold no id above {highest}, so they look like train ids under the name of"
            f" label ids; unpack {ARCHIVES[FINE]} (or {ARCHIVES[COARSE]}) again",
            "ids",
        )

"""The pictures of a split, whether or not there are masks of them: those of test splits are secret."""

import re
from dataclasses import dataclass
from pathlib import Path

from globalconv.errors import InputError

_VOC_FOLDERS = (".", "VOC2012", "VOCdevkit/VOC2012")
_CITYSCAPES_FOLDERS = (".", "cityscapes")
_FRAME = re.compile(r"^(.+_\d{6}_\d{6})_leftImg8bit\.png$")


@dataclass(frozen=True)
class Picture:
    """A picture to predict, and what its prediction is called."""

    path: Path
    file: str


def voc_pictures(root: Path, split: str) -> list[Picture]:
    """Return the pictures that `ImageSets/Segmentation/SPLIT.txt` lists; `root` is VOC2012, the devkit or above it."""
    home = _home(root, _VOC_FOLDERS, "JPEGImages", "VOCdevkit/VOC2012")
    file = home / "ImageSets" / "Segmentation" / f"{split}.txt"
    if not file.is_file():
        hint = (
            "; it comes with VOC2012test.tar, which the evaluation server gives to people with an account: globalconv"
            " data prepare voc --packages test --archives FOLDER unpacks it"
            if split == "test"
            else "; unpack VOC's trainval there"
        )
        raise InputError(f"{file}: there is no such list{hint}")
    try:
        names = list(dict.fromkeys(file.read_text(encoding="utf-8-sig").split()))
    except UnicodeDecodeError as error:
        raise InputError(f"{file}: cannot be read as text ({error}); unpack it again") from error
    pictures = [Picture(home / "JPEGImages" / f"{name}.jpg", f"{name}.png") for name in names]
    if strange := [name for name in names if not re.fullmatch(r"[\w-]+", name)]:
        raise InputError(f"{file}: {strange[0]!r} is no name of a picture; unpack it again")
    if missing := [picture.path for picture in pictures if not picture.path.is_file()]:
        more = f", nor are {len(missing) - 1} others of its {len(names)}" if missing[1:] else ""
        raise InputError(f"{missing[0]}: is not there{more}, and {file} lists it; unpack the archive of {split} again")
    return pictures


def cityscapes_pictures(root: Path, split: str) -> list[Picture]:
    """Return the pictures `leftImg8bit/SPLIT/CITY/*_leftImg8bit.png`; `root` holds `leftImg8bit`."""
    home = _home(root, _CITYSCAPES_FOLDERS, "leftImg8bit", "leftImg8bit_trainvaltest.zip")
    folder = home / "leftImg8bit" / split
    found = [(match[1], path) for path in sorted(folder.glob("*/*.png")) if (match := _FRAME.match(path.name))]
    if not found:
        raise InputError(
            f"{folder}: holds no CITY/CITY_SEQUENCE_FRAME_leftImg8bit.png; unpack leftImg8bit_trainvaltest.zip there"
        )
    return [Picture(path, f"{frame}_pred_labelIds.png") for frame, path in found]


def _home(root: Path, folders: tuple[str, ...], holds: str, what: str) -> Path:
    for folder in (root / name for name in folders):
        if (folder / holds).is_dir():
            return folder
    raise InputError(f"--data {root}: has no folder {holds}; name the folder in which {what} was unpacked")

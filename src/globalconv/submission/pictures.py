"""The pictures of a split, whether or not there are masks of them: those of test splits are secret."""

import functools
import re
from dataclasses import dataclass
from pathlib import Path

from globalconv.data.roots import Root
from globalconv.data.sources import cityscapes, voc
from globalconv.data.sources.named import located
from globalconv.errors import InputError

_FRAME = re.compile(r".+_\d{6}_\d{6}")


@dataclass(frozen=True)
class Picture:
    """A picture to predict, and what its prediction is called."""

    path: Path
    file: str


def voc_pictures(root: Root, split: str) -> list[Picture]:
    """Return the pictures that `ImageSets/Segmentation/SPLIT.txt` lists; VOC is found at `root` as for a training."""
    home = located(
        root, "voc", functools.partial(voc.voc_home, masks=False), "JPEGImages/, in VOCdevkit/VOC2012/ or not"
    )
    file = home / voc.LISTS / f"{split}.txt"
    if not file.is_file():
        hint = (
            "; it comes with VOC2012test.tar, which the evaluation server gives to people with an account: globalconv"
            " data prepare voc --packages test --archives FOLDER unpacks it"
            if split == "test"
            else "; unpack VOC's trainval there"
        )
        raise InputError(f"{file}: there is no such list{hint}")
    names = voc.voc_names(home, split)
    pictures = [Picture(home / voc.IMAGES / f"{name}.jpg", f"{name}.png") for name in names]
    if strange := [name for name in names if not re.fullmatch(r"[\w-]+", name)]:
        raise InputError(f"{file}: {strange[0]!r} is no name of a picture; unpack it again")
    if missing := [picture.path for picture in pictures if not picture.path.is_file()]:
        more = f", nor are {len(missing) - 1} others of its {len(names)}" if missing[1:] else ""
        raise InputError(f"{missing[0]}: is not there{more}, and {file} lists it; unpack the archive of {split} again")
    return pictures


def cityscapes_pictures(root: Root, split: str) -> list[Picture]:
    """Return the pictures `leftImg8bit/SPLIT/CITY/*_leftImg8bit.png`; Cityscapes is found as for a training."""
    folder = located(root, "cityscapes", _with_pictures, f"{cityscapes.IMAGES}/") / cityscapes.IMAGES / split
    frames = {path: Path(name).name for name, path in cityscapes.below(folder, cityscapes.IMAGE_ENDING).items()}
    pictures = [
        Picture(path, f"{frame}_pred_labelIds.png") for path, frame in frames.items() if _FRAME.fullmatch(frame)
    ]
    if not pictures:
        raise InputError(
            f"{folder}: holds no CITY/CITY_SEQUENCE_FRAME_leftImg8bit.png; unpack leftImg8bit_trainvaltest.zip there"
        )
    return pictures


def _with_pictures(folder: Path) -> Path | None:
    return folder if (folder / cityscapes.IMAGES).is_dir() else None

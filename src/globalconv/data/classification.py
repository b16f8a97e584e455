"""Batches for classification: random resized crops for training, centre crops for evaluation.

Shapes: H x W pixels of an image, S x S of the crop that the network sees.

Classification as ImageNet is unpacked: `train/CLASS/*.JPEG` and `val/CLASS/*.JPEG`, a folder a class.

Classes are the folders of the training split in alphabetical order, whichever split is opened; below a class's folder
images may lie in folders of their own. A class without an image in another split is none of its mistakes.

ImageNet's own validation archive holds 50,000 images and no folders: they have to be sorted into those of their
classes first, which is said where they are not.
"""

import math
from collections.abc import Generator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torchvision.transforms.v2 import functional

from globalconv.arrays import Uint8Array
from globalconv.data.formats.folder import files_below
from globalconv.data.images import IMAGE_SUFFIXES, read_image
from globalconv.data.loader import Batch, Sample, endless_batches, single_pass_batches
from globalconv.data.splits import find_split
from globalconv.data.transform_settings import ClassificationAugmentation
from globalconv.data.transforms import CropWindow
from globalconv.errors import InputError

TRAIN = "train"


@dataclass(frozen=True)
class ImageFolder:
    """Images of one split, each with its class; not a `Source`, whose samples have a class per pixel."""

    name: str
    class_names: tuple[str, ...]
    files: tuple[Path, ...]
    classes: tuple[int, ...]
    """Index into `class_names` of each file's class."""

    def __len__(self) -> int:
        return len(self.files)

    def image(self, index: int) -> Uint8Array:
        """Return the image as uint8 RGB (H, W, 3); one that cannot be read is an `InputError`."""
        return read_image(self.files[index])

    def target(self, index: int) -> int:
        """Return the index of the image's class."""
        return self.classes[index]


def open_image_folder(root: Path, split: str) -> ImageFolder:
    """Return the images of `split` ("train", "val", or another folder at `root` that holds a folder per class)."""
    splits = _splits(root)
    class_names = _class_names(root / splits[TRAIN])
    if (name := find_split(list(splits.values()), split)) is None:
        raise InputError(f"split {split!r}: {root} has the folders {', '.join(splits.values())}; name one of them")
    found = _images(root / name, class_names)
    if not found:
        raise InputError(f"{root / name}: holds no images ({', '.join(sorted(IMAGE_SUFFIXES))}); put them there")
    return ImageFolder(
        f"image folder {root} ({split})",
        class_names,
        tuple(path for path, _ in found),
        tuple(target for _, target in found),
    )


def _splits(root: Path) -> dict[str, str]:
    """Return the folders at `root` by their names, the training split as "train" whatever it is called."""
    if not root.is_dir():
        raise InputError(f"{root}: {'is a file' if root.exists() else 'there is no such folder'}; give a data folder")
    names = _folders(root)
    train = find_split(names, TRAIN)
    if train is None:
        raise InputError(f"{root}: has no folder train/ with a folder of images per class (train/CLASS/*.JPEG)")
    return {TRAIN: train, **{name: name for name in names if name != train}}


def _folders(place: Path) -> list[str]:
    return sorted(child.name for child in place.iterdir() if child.is_dir() and not child.name.startswith("."))


def _class_names(train: Path) -> tuple[str, ...]:
    names = _folders(train)
    if len(names) < 2:
        raise InputError(f"{train}: holds fewer than two folders; put the images of each class into one of its own")
    return tuple(names)


def _images(place: Path, class_names: tuple[str, ...]) -> list[tuple[Path, int]]:
    """Return (file, index of its class) of all images of a split, class by class."""
    known = {name: index for index, name in enumerate(class_names)}
    folders = _folders(place)
    if strange := [name for name in folders if name not in known]:
        raise InputError(
            f"{place / strange[0]}: is a folder of no class of train/ ({len(class_names)} classes); classes are called"
            " the same in every split"
        )
    if not folders and any(path.suffix.lower() in IMAGE_SUFFIXES for path in place.iterdir()):
        raise InputError(
            f"{place}: holds images and no folders, as ImageNet's validation archive does; move each into the folder"
            " of its class (val/CLASS/)"
        )
    return [
        (path, known[name])
        for name in folders
        for path in files_below(place / name)
        if path.suffix.lower() in IMAGE_SUFFIXES
    ]


SHARE_SEEN = 224 / 256
"""Side of the centre crop by the side to which the image's shorter one is scaled: 224 of 256 in the paper."""

TRIES = 10
"""Windows that are drawn before the centre is taken, as everywhere."""


def augmented_batches(
    source: ImageFolder, settings: ClassificationAugmentation, batch_size: int, seed: int, start: int, workers: int
) -> Generator[Batch, None, None]:
    """Return the endless stream of training batches from batch number `start` on; see `globalconv.data.loader`."""
    return endless_batches(partial(_varied, source, settings), len(source), batch_size, seed, start, workers)


def centre_crop_batches(source: ImageFolder, crop: int, batch_size: int, workers: int) -> Generator[Batch, None, None]:
    """Return the centre crops of all images, once and in order."""
    return single_pass_batches(partial(_centred, source, crop), len(source), batch_size, workers)


def _varied(source: ImageFolder, settings: ClassificationAugmentation, index: int, rng: np.random.Generator) -> Sample:
    image_3HW = _tensor(source.image(index))
    height, width = image_3HW.shape[-2:]
    window = draw_resized_crop(height, width, settings, rng)
    place = (window.top, window.left, window.height, window.width)
    crop_3SS = functional.resized_crop(image_3HW, *place, list(window.size), antialias=True)
    if settings.flip and rng.random() < 0.5:
        crop_3SS = functional.horizontal_flip(crop_3SS)
    return _sample(source, index, crop_3SS)


def _centred(source: ImageFolder, crop: int, index: int, rng: np.random.Generator) -> Sample:
    return _sample(source, index, centre_crop(source.image(index), crop))


def _sample(source: ImageFolder, index: int, crop_3SS: Tensor) -> Sample:
    return Sample(crop_3SS.contiguous(), torch.tensor(source.target(index)), str(source.files[index]))


def centre_crop(image: Uint8Array, crop: int) -> Tensor:
    """Return the centre, uint8 (3, crop, crop), of an image (H, W, 3) whose shorter side is scaled to 256/224 of it.

    What is far outside along the longer side is cut off first, so that no image becomes huge.
    """
    side, scaled = min(image.shape[:2]), round(crop / SHARE_SEEN)
    square_3HW = functional.center_crop(_tensor(image), [side, side])
    centre_3SS: Tensor = functional.center_crop(functional.resize(square_3HW, [scaled, scaled]), [crop, crop])
    return centre_3SS


def draw_resized_crop(
    height: int, width: int, settings: ClassificationAugmentation, rng: np.random.Generator
) -> CropWindow:
    """Draw a window of an image of `height` x `width`; where none fits, it is the largest one in the middle."""
    size = (settings.crop, settings.crop)
    narrow, wide = settings.aspect
    for _ in range(TRIES):
        area = height * width * rng.uniform(*settings.area)
        aspect = math.exp(rng.uniform(math.log(narrow), math.log(wide)))
        rows, columns = round(math.sqrt(area / aspect)), round(math.sqrt(area * aspect))
        if 0 < rows <= height and 0 < columns <= width:
            top, left = rng.integers(height - rows + 1), rng.integers(width - columns + 1)
            return CropWindow(int(top), int(left), rows, columns, size)
    rows = min(height, max(1, round(width / narrow)))
    columns = min(width, max(1, round(height * wide)))
    return CropWindow((height - rows) // 2, (width - columns) // 2, rows, columns, size)


def _tensor(image: Uint8Array) -> Tensor:
    return torch.from_numpy(image).permute(2, 0, 1)

"""Images with one class each: ImageNet's folders, random resized crops for training, centre crops for evaluation.

On disk: `train/CLASS/*.JPEG` and `val/CLASS/*.JPEG`. The classes are the folders of the training split in alphabetical
order, whichever split is opened; images may lie in subfolders of their class's folder. A class without an image in
another split is no error. ImageNet's own validation archive holds 50,000 images and no folders: they have to be sorted
into folders of their classes first, which the error says.

Shapes: H x W pixels of an image, S x S of the crop that the network sees.
"""

import math
import warnings
from collections.abc import Generator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torchvision.transforms.v2 import functional

from globalconv.arrays import Uint8Array
from globalconv.data.file_names import glob_files, list_subfolders
from globalconv.data.formats.pairing import list_files
from globalconv.data.image_format import UNKNOWN_FORMAT, ImageFormat
from globalconv.data.image_rule import decide_format
from globalconv.data.images import read_image
from globalconv.data.loader import Batch, Sample, endless_batches, single_pass_batches
from globalconv.data.roots import require_folder
from globalconv.data.splits import find_split
from globalconv.data.suffixes import SUFFIX_EXAMPLES, is_image
from globalconv.data.transform_settings import ClassificationAugmentation
from globalconv.data.transforms import CropWindow
from globalconv.errors import InputError

TRAIN = "train"

CROP_SHARE = 224 / 256
"""Side of the centre crop divided by the shorter side of the scaled image: 224 of 256 in the paper."""

MAX_TRIES = 10
"""Random crops that are drawn before the centre is taken, as in other implementations."""


@dataclass(frozen=True)
class ImageFolder:
    """Images of one split, each with its class; not a `Source`, whose samples have a class per pixel."""

    name: str
    class_names: tuple[str, ...]
    files: tuple[Path, ...]
    classes: tuple[int, ...]
    """Index into `class_names` of each file's class."""
    image_format: ImageFormat = UNKNOWN_FORMAT

    def __len__(self) -> int:
        return len(self.files)

    def image(self, index: int) -> Uint8Array:
        """Return the image as uint8 RGB (H, W, 3); one that cannot be read is an `InputError`."""
        return read_image(self.files[index], self.image_format)


def open_image_folder(root: Path, split: str, image_format: ImageFormat = UNKNOWN_FORMAT) -> ImageFolder:
    """Return the images of `split` ("train", "val", or another folder at `root` that holds a folder per class).

    What the rule `image_format` leaves open is decided from a sample of the images, and told.
    """
    folders = [child.name for child in list_subfolders(require_folder(root))]
    if (train := find_split(folders, TRAIN)) is None:
        raise InputError(f"{root}: has no folder train/ with a folder of images per class (train/CLASS/*.JPEG)")
    class_names = [child.name for child in list_subfolders(root / train)]
    if len(class_names) < 2:
        raise InputError(
            f"{root / train}: holds fewer than two folders; put the images of each class into one of its own"
        )
    folders = [train, *(name for name in folders if name != train)]
    if (name := find_split(folders, split)) is None:
        raise InputError(f"split {split!r}: {root} has the folders {', '.join(folders)}; name one of them")
    folder = root / name
    labelled = [child.name for child in list_subfolders(folder)]
    if strange := [name for name in labelled if name not in class_names]:
        raise InputError(
            f"{folder / strange[0]}: is a folder of no class of train/ ({len(class_names)} classes); classes are called"
            " the same in every split"
        )
    if not labelled and any(map(is_image, glob_files(folder, "*"))):
        raise InputError(
            f"{folder}: holds images and no folders, as ImageNet's validation archive does; move each into the folder"
            " of its class (val/CLASS/)"
        )
    indices = {name: index for index, name in enumerate(class_names)}
    samples = [(path, indices[name]) for name in labelled for path in list_files(folder / name) if is_image(path)]
    if not samples:
        raise InputError(f"{folder}: holds no images ({SUFFIX_EXAMPLES}); put them there")
    files, classes = zip(*samples, strict=True)
    image_format, told = decide_format([(str(path.relative_to(root)), path) for path in files], image_format)
    for warning in told:
        warnings.warn(warning, stacklevel=2)
    return ImageFolder(f"image folder {root} ({split})", tuple(class_names), files, classes, image_format)


def augmented_batches(
    source: ImageFolder, settings: ClassificationAugmentation, batch_size: int, seed: int, start: int, workers: int
) -> Generator[Batch, None, None]:
    """Return the endless stream of training batches from batch number `start` on; see `globalconv.data.loader`."""
    make = partial(_make_sample, source, settings.crop, settings)
    return endless_batches(make, len(source), batch_size, seed, start, workers)


def centre_crop_batches(source: ImageFolder, crop: int, batch_size: int, workers: int) -> Generator[Batch, None, None]:
    """Return the centre crops of all images, once and in order."""
    return single_pass_batches(partial(_make_sample, source, crop, None), len(source), batch_size, workers)


def _make_sample(
    source: ImageFolder, crop: int, settings: ClassificationAugmentation | None, index: int, rng: np.random.Generator
) -> Sample:
    """Return an image and its class: a random crop of the image, or its centre where `settings` is None."""
    image = source.image(index)
    if settings is None:
        crop_3SS = centre_crop(image, crop)
    else:
        window = draw_resized_crop(image.shape[0], image.shape[1], settings, rng)
        box = (window.top, window.left, window.height, window.width)
        image_3HW = torch.from_numpy(image).permute(2, 0, 1)
        crop_3SS = functional.resized_crop(image_3HW, *box, list(window.size), antialias=True)
        if settings.flip and rng.random() < 0.5:
            crop_3SS = functional.horizontal_flip(crop_3SS)
    return Sample(crop_3SS.contiguous(), torch.tensor(source.classes[index]), str(source.files[index]))


def draw_resized_crop(
    height: int, width: int, settings: ClassificationAugmentation, rng: np.random.Generator
) -> CropWindow:
    """Draw a crop of random area and shape; where none fits in `MAX_TRIES`, it is the largest one in the centre."""
    size = (settings.crop, settings.crop)
    narrow, wide = settings.aspect
    for _ in range(MAX_TRIES):
        area = height * width * rng.uniform(*settings.area)
        aspect = math.exp(rng.uniform(math.log(narrow), math.log(wide)))
        rows, columns = round(math.sqrt(area / aspect)), round(math.sqrt(area * aspect))
        if 0 < rows <= height and 0 < columns <= width:
            top, left = rng.integers(height - rows + 1), rng.integers(width - columns + 1)
            return CropWindow(int(top), int(left), rows, columns, size)
    rows = min(height, max(1, round(width / narrow)))
    columns = min(width, max(1, round(height * wide)))
    return CropWindow((height - rows) // 2, (width - columns) // 2, rows, columns, size)


def centre_crop(image: Uint8Array, crop: int) -> Tensor:
    """Return the centre, uint8 (3, crop, crop), of an image (H, W, 3) whose shorter side is scaled to 256/224 of it.

    The ends of the longer side are cut off before scaling, so that no image becomes huge.
    """
    side, scaled = min(image.shape[:2]), round(crop / CROP_SHARE)
    square_3HW = functional.center_crop(torch.from_numpy(image).permute(2, 0, 1), [side, side])
    centre_3SS: Tensor = functional.center_crop(functional.resize(square_3HW, [scaled, scaled]), [crop, crop])
    return centre_3SS

"""Batches for classification: random resized crops for training, centre crops for evaluation.

Shapes: H x W pixels of a picture, S x S of the crop that the network sees.
"""

import math
from collections.abc import Generator
from functools import partial

import numpy as np
import torch
from torch import Tensor
from torchvision.transforms.v2 import functional

from globalconv.data.augment import Window
from globalconv.data.augmentation import CropSettings
from globalconv.data.images import Uint8Array
from globalconv.data.loading import Batch, Sample, each_once, sample_batches
from globalconv.data.sources.image_folder import ImageFolder

SHARE_SEEN = 224 / 256
"""Side of the centre crop by the side to which the picture's shorter one is scaled: 224 of 256 in the paper."""

TRIES = 10
"""Windows that are drawn before the centre is taken, as everywhere."""


def varied_batches(
    source: ImageFolder, settings: CropSettings, batch_size: int, seed: int, start: int, workers: int
) -> Generator[Batch, None, None]:
    """Return the endless stream of training batches from batch number `start` on; see `globalconv.data.loading`."""
    return sample_batches(partial(_varied, source, settings), len(source), batch_size, seed, start, workers)


def centre_batches(source: ImageFolder, crop: int, batch_size: int, workers: int) -> Generator[Batch, None, None]:
    """Return the centre crops of all pictures, once and in order."""
    return each_once(partial(_centred, source, crop), len(source), batch_size, workers)


def _varied(source: ImageFolder, settings: CropSettings, index: int, rng: np.random.Generator) -> Sample:
    picture_3HW = _tensor(source.image(index))
    height, width = picture_3HW.shape[-2:]
    window = draw_window(height, width, settings, rng)
    place = (window.top, window.left, window.height, window.width)
    crop_3SS = functional.resized_crop(picture_3HW, *place, list(window.size), antialias=True)
    if settings.flip and rng.random() < 0.5:
        crop_3SS = functional.horizontal_flip(crop_3SS)
    return _sample(source, index, crop_3SS)


def _centred(source: ImageFolder, crop: int, index: int, rng: np.random.Generator) -> Sample:
    return _sample(source, index, centre_crop(source.image(index), crop))


def _sample(source: ImageFolder, index: int, crop_3SS: Tensor) -> Sample:
    return Sample(crop_3SS.contiguous(), torch.tensor(source.target(index)), str(source.files[index]))


def centre_crop(picture: Uint8Array, crop: int) -> Tensor:
    """Return the centre, uint8 (3, crop, crop), of a picture (H, W, 3) whose shorter side is scaled to 256/224 of it.

    What is far outside along the longer side is cut off first, so that no picture becomes huge.
    """
    side, scaled = min(picture.shape[:2]), round(crop / SHARE_SEEN)
    square_3HW = functional.center_crop(_tensor(picture), [side, side])
    centre_3SS: Tensor = functional.center_crop(functional.resize(square_3HW, [scaled, scaled]), [crop, crop])
    return centre_3SS


def draw_window(height: int, width: int, settings: CropSettings, rng: np.random.Generator) -> Window:
    """Draw a window of a picture of `height` x `width`; where none fits, it is the largest one in the middle."""
    size = (settings.crop, settings.crop)
    narrow, wide = settings.aspect
    for _ in range(TRIES):
        area = height * width * rng.uniform(*settings.area)
        aspect = math.exp(rng.uniform(math.log(narrow), math.log(wide)))
        rows, columns = round(math.sqrt(area / aspect)), round(math.sqrt(area * aspect))
        if 0 < rows <= height and 0 < columns <= width:
            top, left = rng.integers(height - rows + 1), rng.integers(width - columns + 1)
            return Window(int(top), int(left), rows, columns, size)
    rows = min(height, max(1, round(width / narrow)))
    columns = min(width, max(1, round(height * wide)))
    return Window((height - rows) // 2, (width - columns) // 2, rows, columns, size)


def _tensor(picture: Uint8Array) -> Tensor:
    return torch.from_numpy(picture).permute(2, 0, 1)

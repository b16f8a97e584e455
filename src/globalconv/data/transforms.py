"""Augmentation of one segmentation sample: random scale, crop, flip and colour, of image and label map together.

All random numbers come from the generator that the caller passes; torch's global one is never used. Scale and crop are
one resize of the window of source pixels that is needed: bilinear with antialiasing for images, nearest neighbour for
label maps, both with half-pixel centres, so that no label is invented or shifted.

Shapes: H x W pixels of the source image, h x w of the crop.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torchvision.transforms import InterpolationMode
from torchvision.transforms.v2 import functional

from globalconv.arrays import Uint8Array
from globalconv.data.transform_settings import Augmentation
from globalconv.labels import IGNORE, Colour

LUMA = np.array((0.299, 0.587, 0.114), np.float32)
"""Weights of red, green and blue in perceived brightness (ITU-R BT.601)."""


@dataclass(frozen=True)
class CropWindow:
    """A rectangle of source pixels and the (height, width) to which it is scaled."""

    top: int
    left: int
    height: int
    width: int
    size: tuple[int, int]


def augment(
    image: Uint8Array,
    label_map: Uint8Array,
    settings: Augmentation,
    fill: Colour,
    rng: np.random.Generator,
) -> tuple[Tensor, Tensor]:
    """Return image_3hw and labels_hw (uint8) of the crop's size; outside the image they are `fill` and `IGNORE`."""
    image_3HW = torch.from_numpy(image).permute(2, 0, 1)
    labels_1HW = torch.from_numpy(label_map)[None]
    window = draw_crop_window(label_map.shape[0], label_map.shape[1], settings, rng)
    image_3hw = _crop_and_scale(image_3HW, window, InterpolationMode.BILINEAR)
    labels_1hw = _crop_and_scale(labels_1HW, window, InterpolationMode.NEAREST_EXACT)
    if settings.flip and rng.random() < 0.5:
        image_3hw, labels_1hw = functional.horizontal_flip(image_3hw), functional.horizontal_flip(labels_1hw)
    image_3hw = _vary_colours(image_3hw, settings, rng)
    padding = [0, 0, settings.crop[1] - window.size[1], settings.crop[0] - window.size[0]]
    if any(padding):
        image_3hw = functional.pad(image_3hw, padding, fill=list(fill))
        labels_1hw = functional.pad(labels_1hw, padding, fill=IGNORE)
    return image_3hw.contiguous(), labels_1hw[0].contiguous()


def draw_crop_window(height: int, width: int, settings: Augmentation, rng: np.random.Generator) -> CropWindow:
    """Draw the scale and the position of the crop for an image of `height` x `width`."""
    factor = rng.uniform(*settings.scale)
    rows, out_rows = _extent(height, settings.crop[0], factor)
    columns, out_columns = _extent(width, settings.crop[1], factor)
    top = int(rng.integers(height - rows + 1))
    left = int(rng.integers(width - columns + 1))
    return CropWindow(top, left, rows, columns, (out_rows, out_columns))


def _extent(length: int, crop: int, factor: float) -> tuple[int, int]:
    """Return how many source pixels of `length` the crop needs along one axis, and to how many they are scaled."""
    if round(length * factor) <= crop:
        return length, max(1, round(length * factor))
    return min(length, max(1, round(crop / factor))), crop


def _crop_and_scale(image_CHW: Tensor, window: CropWindow, mode: InterpolationMode) -> Tensor:
    box = (window.top, window.left, window.height, window.width)
    if window.size == (window.height, window.width):
        crop_Chw: Tensor = functional.crop(image_CHW, *box)
    else:
        smooth = mode is InterpolationMode.BILINEAR
        crop_Chw = functional.resized_crop(image_CHW, *box, list(window.size), interpolation=mode, antialias=smooth)
    return crop_Chw


def _vary_colours(image_3hw: Tensor, settings: Augmentation, rng: np.random.Generator) -> Tensor:
    """Apply random brightness, contrast and saturation, which together are one affine map of the colours.

    Plain numpy, whose single-precision products and sums do not depend on the number of threads.
    """
    strengths = (settings.brightness, settings.contrast, settings.saturation)
    if not any(strengths):
        return image_3hw
    brightness, contrast, saturation = (np.float32(rng.uniform(1 - s, 1 + s)) for s in strengths)
    channels = [channel.astype(np.float32) for channel in image_3hw.numpy()]
    grey = sum(weight * channel for weight, channel in zip(LUMA, channels, strict=True))
    middle = np.float32((1 - contrast) * brightness * float(np.mean(grey, dtype=np.float64)))
    grey_part = (1 - saturation) * brightness * contrast * grey + middle
    out = np.stack([saturation * brightness * contrast * channel + grey_part for channel in channels])
    return torch.from_numpy(np.clip(np.rint(out), 0, 255).astype(np.uint8))

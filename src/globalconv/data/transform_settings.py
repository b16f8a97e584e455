"""Settings of augmentation, apart from the transforms, so that recipes are read and listed without PyTorch."""

import math
from dataclasses import dataclass

from globalconv.errors import InputError
from globalconv.geometry import STRIDE


@dataclass(frozen=True)
class Augmentation:
    """How a sample is varied before the network sees it. The defaults are the paper's set: flip and pad."""

    crop: tuple[int, int] = (512, 512)
    """Height and width of what the network sees: larger images are cropped at random, smaller ones are padded."""
    scale: tuple[float, float] = (1.0, 1.0)
    """Range of the random factor by which the image is enlarged (uniform)."""
    flip: bool = True
    """Mirror every second image, left to right."""
    brightness: float = 0.0
    """Strength of random brightness: the factor lies in 1 - strength .. 1 + strength (0 = off)."""
    contrast: float = 0.0
    """Strength of random contrast, about the image's mean grey (0 = off)."""
    saturation: float = 0.0
    """Strength of random saturation, about each pixel's grey (0 = off)."""

    def __post_init__(self) -> None:
        if min(self.crop) < 1:
            raise InputError(f"`data.augmentation.crop` {self.crop}: height and width are at least 1")
        low, high = self.scale
        if not 0 < low <= high < float("inf"):
            raise InputError(f"`data.augmentation.scale` {self.scale}: give the smallest and largest factor, above 0")
        for field in ("brightness", "contrast", "saturation"):
            if not 0 <= getattr(self, field) <= 1:
                raise InputError(f"`data.augmentation.{field}` {getattr(self, field)}: a strength lies between 0 and 1")


PAPER_AUGMENTATION = Augmentation()
"""The paper's augmentation (Section 4): horizontal flip and padding to 512 x 512; the network subtracts the mean."""


@dataclass(frozen=True)
class ClassificationAugmentation:
    """How an image is varied before the network sees it: the usual set of ImageNet, after Szegedy et al. (2015)."""

    crop: int = 224
    """Side of the square that the network sees; evaluation takes as much from the centre of 256/224 of it."""
    area: tuple[float, float] = (0.08, 1.0)
    """Range of the share of the image that a window covers (uniform)."""
    aspect: tuple[float, float] = (3 / 4, 4 / 3)
    """Range of a window's width by its height (log-uniform)."""
    flip: bool = True
    """Mirror every second image, left to right."""

    def __post_init__(self) -> None:
        if self.crop < STRIDE:
            raise InputError(f"`data.augmentation.crop` {self.crop}: must be at least {STRIDE}")
        if not 0 < self.area[0] <= self.area[1] <= 1:
            raise InputError(f"`data.augmentation.area` {self.area}: give two shares, above 0 and up to 1, in order")
        if not 0 < self.aspect[0] <= self.aspect[1] < math.inf:
            raise InputError(f"`data.augmentation.aspect` {self.aspect}: give two numbers above 0, in order")


IMAGENET_AUGMENTATION = ClassificationAugmentation()

"""A network that can be checked by eye, and images to give it."""

from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from torch import Tensor, nn

from globalconv.labels import LabelSpace

LABELS = LabelSpace(("red", "green", "blue"), ((250, 0, 0), (0, 250, 0), (0, 0, 250)))


class Brightest(nn.Module):
    """The class of a pixel is its brightest channel; the logits are the channels in [0, 1]."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(1 / 255))

    def forward(self, images_N3HW: Tensor) -> Tensor:
        return images_N3HW * self.scale


class Narrow(nn.Module):
    """Three classes, strides 4 and 32, padded to cells as `GlobalConvNet` pads; nothing reaches beyond 48 pixels."""

    def __init__(self) -> None:
        super().__init__()
        self.fine = nn.Sequential(
            nn.Conv2d(3, 8, 3, stride=2, padding=1), nn.ReLU(),
            nn.Conv2d(8, 3, 3, stride=2, padding=1),
            nn.Upsample(scale_factor=4, mode="bilinear", align_corners=False),
        )  # fmt: skip
        self.coarse = nn.Sequential(
            nn.AvgPool2d(32), nn.Conv2d(3, 3, 1), nn.Upsample(scale_factor=32, mode="bilinear", align_corners=False)
        )

    def forward(self, images_N3HW: Tensor) -> Tensor:
        height, width = images_N3HW.shape[-2:]
        padded = nn.functional.pad(images_N3HW.float() / 255 - 0.5, (0, -width % 32, 0, -height % 32))
        logits_NKHW: Tensor = 10 * (self.fine(padded) + self.coarse(padded))
        return logits_NKHW[..., :height, :width]


def noise(height: int, width: int, seed: int = 0) -> npt.NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


def write_image(path: Path, height: int = 6, width: int = 9, seed: int = 0) -> Path:
    """Write noise to `path`, in the format of its suffix."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(noise(height, width, seed)).save(path)
    return path

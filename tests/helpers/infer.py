"""A network that can be checked by eye, and pictures to give it."""

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


def noise(height: int, width: int, seed: int = 0) -> npt.NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


def write_image(path: Path, height: int = 6, width: int = 9, seed: int = 0) -> Path:
    """Write noise to `path`, in the format of its suffix."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(noise(height, width, seed)).save(path)
    return path

"""Networks that take images as they are and normalise them themselves.

Shapes: N images, C = 3 colours, H x W pixels.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn


class Normalised(nn.Module):
    """Base of networks of images_N3HW (RGB, uint8 or float in [0, 1]), which know mean and standard deviation of it.

    Both are buffers outside the state dict: they follow the network to its device, and whoever saves it names them.
    """

    mean_C11: Tensor
    std_C11: Tensor
    settings: dict[str, Any]
    """What rebuilds the network around saved weights."""

    def normalise_with(self, mean: Sequence[float], std: Sequence[float]) -> None:
        """Register the mean and the standard deviation of red, green and blue."""
        self.register_buffer("mean_C11", torch.tensor(mean).view(-1, 1, 1), persistent=False)
        self.register_buffer("std_C11", torch.tensor(std).view(-1, 1, 1), persistent=False)

    def normalised(self, images_N3HW: Tensor) -> Tensor:
        """Return images as floats of mean 0 and deviation 1; zero is then the mean colour."""
        if images_N3HW.ndim != 4 or images_N3HW.shape[1] != 3 or 0 in images_N3HW.shape:
            raise ValueError(f"images of shape {tuple(images_N3HW.shape)}: expected (N, 3, H, W), none of them 0")
        if images_N3HW.dtype == torch.uint8:
            images_N3HW = images_N3HW.to(self.mean_C11.dtype) / 255
        elif not images_N3HW.is_floating_point():
            raise ValueError(f"images of {images_N3HW.dtype}: expected uint8 (0 .. 255) or float (0 .. 1)")
        return (images_N3HW - self.mean_C11) / self.std_C11

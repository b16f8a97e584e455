"""Networks whose receptive field is known by construction."""

import copy

from torch import Tensor, nn


def conv(k: int) -> nn.Conv2d:
    return nn.Conv2d(3, 3, k, padding=k // 2)


def wide(k: int, weight: float) -> nn.Conv2d:
    """One k x k convolution whose weights are all the same."""
    module = conv(k)
    nn.init.constant_(module.weight, weight)
    return module


def unit() -> nn.Sequential:
    """3 x 3 convolution, batch norm that starts at zero (as the last of a residual block does), ReLU in place."""
    norm = nn.BatchNorm2d(3)
    nn.init.constant_(norm.weight, 0.7)
    nn.init.constant_(norm.bias, 0.6)
    return nn.Sequential(conv(3), norm, nn.ReLU(inplace=True))


class Scaled(nn.Module):
    """Everything times a number; with `pool` times the mean of the whole image, as a global gate."""

    def __init__(self, factor: float = 1.0, pool: bool = True) -> None:
        super().__init__()
        self.factor, self.pool = factor, pool

    def forward(self, features_NChw: Tensor) -> Tensor:
        gate = features_NChw.mean((2, 3), keepdim=True) if self.pool else 1.0
        return features_NChw * gate * self.factor


class Cancelling(nn.Module):
    """A layer less its equal: what they compute is zero, what they are built of is not."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer, self.equal = layer, copy.deepcopy(layer)

    def forward(self, images_N3HW: Tensor) -> Tensor:
        scores_NKhw: Tensor = self.layer(images_N3HW)
        others_NKhw: Tensor = self.equal(images_N3HW)
        return scores_NKhw - others_NKhw


class Strided(nn.Module):
    """Cells of `stride` x `stride` pixels, then `head` over them."""

    def __init__(self, head: nn.Module, stride: int) -> None:
        super().__init__()
        self.cells, self.head = nn.Conv2d(3, 3, stride, stride), head

    def forward(self, images_N3HW: Tensor) -> Tensor:
        scores_NKhw: Tensor = self.head(self.cells(images_N3HW))
        return scores_NKhw

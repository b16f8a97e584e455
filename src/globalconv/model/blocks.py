"""The blocks of the paper: the four heads of Figure 4 and Boundary Refinement of Figure 2C.

Shapes: N images, C channels of a backbone level, K classes, h x w its resolution.
Every block keeps h x w ("same" padding, so kernels are odd) and maps features_NChw to scores_NKhw.

Deviations and choices (the paper does not state them): convolutions have biases unless `bias=False`; the heads are
initialised by PyTorch's default (uniform, variance 1 / (3 fan-in)), so that fresh logits are small; a refinement
starts as the identity (its last convolution is zero).
"""

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from globalconv.errors import InputError, suggest
from globalconv.runtime.text import one_line

HEADS = ("gcn", "pointwise", "conv", "stack")

MAX_KERNEL = 1023
"""Cells beyond any level of any image: the paper's largest kernel is 15, its levels are 16 to 128 cells wide."""


def check_kernel_size(kernel_size: int) -> int:
    """Return `kernel_size` if it is an odd integer of at most `MAX_KERNEL`, else raise `InputError`."""
    if isinstance(kernel_size, bool) or not isinstance(kernel_size, int):
        raise InputError(f"kernel_size={one_line(repr(kernel_size))}: give a whole number")
    if kernel_size > MAX_KERNEL:
        raise InputError(f"kernel_size={one_line(kernel_size)}: reaches beyond any image; give at most {MAX_KERNEL}")
    if kernel_size < 1 or kernel_size % 2 == 0:
        near = max(1, kernel_size) | 1
        raise InputError(
            f"kernel_size={kernel_size}: kernels are odd and at least 1, so that the output keeps the input's size"
            f" and stays centred; use {near}"
        )
    return kernel_size


class RowConv(nn.Conv2d):
    """A 1 x k convolution; where its weights are learned on a CPU, a k x 1 convolution of the transposed features.

    Both are the same sums. oneDNN's gradient of weights wider than 14 takes six times as long as that of weights as
    high, which for k = 15 is more than all the rest of the block.
    """

    def forward(self, features_NChw: Tensor) -> Tensor:
        learned = torch.is_grad_enabled() and self.weight.requires_grad and self.weight.device.type == "cpu"
        if not learned or self.kernel_size[1] <= 14:
            return super().forward(features_NChw)
        last = features_NChw.is_contiguous(memory_format=torch.channels_last)
        layout = torch.channels_last if last else torch.contiguous_format
        features_NCwh = features_NChw.transpose(2, 3).contiguous(memory_format=layout)
        scores_NKwh = F.conv2d(
            features_NCwh, self.weight.transpose(2, 3), self.bias, padding=(self.kernel_size[1] // 2, 0)
        )
        return scores_NKwh.transpose(2, 3).contiguous(memory_format=layout)


def _same(in_channels: int, out_channels: int, height: int, width: int, bias: bool) -> nn.Conv2d:
    kind, padding = RowConv if height == 1 else nn.Conv2d, (height // 2, width // 2)
    return kind(in_channels, out_channels, (height, width), padding=padding, bias=bias)


class GlobalConv(nn.Module):
    """Global Convolutional Network block (Section 3.1, Figure 2B; Figure 4 A).

    Two separable branches, (k x 1 then 1 x k) + (1 x k then k x 1), cover a k x k window with O(2k / k^2) of a dense
    kernel's weights. No nonlinearity and no normalisation inside.
    """

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int, bias: bool = True) -> None:
        super().__init__()
        k = check_kernel_size(kernel_size)
        self.left = nn.Sequential(
            _same(in_channels, out_channels, k, 1, bias), _same(out_channels, out_channels, 1, k, bias)
        )
        self.right = nn.Sequential(
            _same(in_channels, out_channels, 1, k, bias), _same(out_channels, out_channels, k, 1, bias)
        )

    def forward(self, features_NChw: Tensor) -> Tensor:
        left_NKhw: Tensor = self.left(features_NChw)
        right_NKhw: Tensor = self.right(features_NChw)
        return left_NKhw + right_NKhw


class PointwiseHead(nn.Conv2d):
    """One 1 x 1 convolution: the paper's baseline (Figure 4 B)."""

    def __init__(self, in_channels: int, out_channels: int, bias: bool = True) -> None:
        super().__init__(in_channels, out_channels, 1, bias=bias)


class DenseConv(nn.Conv2d):
    """One k x k convolution (Figure 4 C)."""

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int, bias: bool = True) -> None:
        k = check_kernel_size(kernel_size)
        super().__init__(in_channels, out_channels, k, padding=k // 2, bias=bias)


class ConvStack(nn.Sequential):
    """A stack of n = (k - 1) / 2 convolutions of 3 x 3, which reach as far as one k x k (Figure 4 D).

    Channels go C -> m -> ... -> m -> K with `width` m; as in the paper there is no nonlinearity between them.
    `width=None` takes m = C, which is Table 3's setting (m = 2048 after res-5).
    """

    def __init__(
        self, in_channels: int, out_channels: int, kernel_size: int, width: int | None = None, bias: bool = True
    ) -> None:
        depth = (check_kernel_size(kernel_size) - 1) // 2
        if depth < 1:
            raise InputError("kernel_size=1: a stack of 3x3 convolutions starts at 3; use head 'pointwise' for 1")
        if width is not None and (type(width) is not int or width < 1):
            raise InputError(f"stack_width={width!r}: the stack needs a whole number of channels, at least 1")
        middle = in_channels if width is None else width
        channels = [in_channels, *[middle] * (depth - 1), out_channels]
        super().__init__(*(_same(a, b, 3, 3, bias) for a, b in pairwise(channels)))


class BoundaryRefinement(nn.Module):
    """Boundary Refinement (Section 3.2, Figure 2C): S + R(S), R = 3 x 3 convolution, ReLU, 3 x 3 convolution.

    No normalisation, and no ReLU after the sum. R starts at zero.
    """

    def __init__(self, channels: int, bias: bool = True) -> None:
        super().__init__()
        self.residual = nn.Sequential(
            _same(channels, channels, 3, 3, bias), nn.ReLU(), _same(channels, channels, 3, 3, bias)
        )
        last = self.residual[-1]
        assert isinstance(last, nn.Conv2d)
        nn.init.zeros_(last.weight)
        if last.bias is not None:
            nn.init.zeros_(last.bias)

    def forward(self, scores_NKhw: Tensor) -> Tensor:
        residual_NKhw: Tensor = self.residual(scores_NKhw)
        return scores_NKhw + residual_NKhw


def build_head(
    head: str, in_channels: int, out_channels: int, kernel_size: int, stack_width: int | None = None
) -> nn.Module:
    """Return one of Figure 4's heads by its name in `HEADS`; `InputError` for any other name."""
    match head:
        case "gcn":
            return GlobalConv(in_channels, out_channels, kernel_size)
        case "pointwise":
            return PointwiseHead(in_channels, out_channels)
        case "conv":
            return DenseConv(in_channels, out_channels, kernel_size)
        case "stack":
            return ConvStack(in_channels, out_channels, kernel_size, stack_width)
        case _:
            raise InputError(f"head={one_line(repr(head))} is not one of Figure 4's; {suggest(one_line(head), HEADS)}")


def head_weights(head: str, in_channels: int, out_channels: int, kernel_size: int, stack_width: int | None) -> int:
    """Return how many weights, without biases, `build_head` would allocate; 0 for a name that it refuses."""
    k = kernel_size
    match head:
        case "gcn":
            return 2 * k * out_channels * (in_channels + out_channels)
        case "pointwise":
            return in_channels * out_channels
        case "conv":
            return k * k * in_channels * out_channels
        case "stack":
            middle = in_channels if stack_width is None else stack_width
            return 9 * middle * (in_channels + out_channels + max(0, (k - 1) // 2 - 2) * middle)
        case _:
            return 0

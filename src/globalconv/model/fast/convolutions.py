"""Faster convolutions by oneDNN: fused with the sum or activation after them, and with narrow outputs side by side.

Shapes: N images, C channels, h x w cells, K output channels. Everything is channels-last.
"""

import platform
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from timm.layers.conv2d_same import Conv2dSame
from timm.layers.padding import get_same_padding
from torch import Tensor, nn
from torch.nn import functional as F

from globalconv.model.blocks import RowConv
from globalconv.model.depthwise import DepthwiseConv, SameDepthwiseConv

_onednn = torch.ops.mkldnn

_PLAIN = (
    nn.Conv2d.forward, RowConv.forward, DepthwiseConv.forward, Conv2dSame.forward, SameDepthwiseConv.forward,
)  # fmt: skip
"""Those that compute what `nn.Conv2d` does where nothing is learned; the last two with TensorFlow's padding."""

LANES = 16
"""Output channels that are computed together, even if there are fewer (AVX-512 and AMX; AVX2 has half)."""

SIDE_BY_SIDE = 6
"""Most neighbouring outputs that are computed together."""

WORTHWHILE = 0.9
"""Share of the multiply-adds, padded ones included, up to which computing neighbours together pays."""


class Activation(NamedTuple):
    """What oneDNN computes together with a convolution, in its words."""

    name: str = "none"
    parameters: Sequence[float] = ()
    algorithm: str = ""


NO_ACTIVATION, RELU = Activation(), Activation("relu")

_ACTIVATIONS: dict[type[nn.Module], Callable[[Any], Activation]] = {
    nn.ReLU: lambda layer: RELU,
    nn.ReLU6: lambda layer: Activation("hardtanh", (0.0, 6.0)),
    nn.SiLU: lambda layer: Activation("swish"),
    nn.Hardswish: lambda layer: Activation("hardswish"),
    nn.LeakyReLU: lambda layer: Activation("leaky_relu", (layer.negative_slope,)),
    nn.GELU: lambda layer: Activation("gelu", (), layer.approximate),
}


def activation_of(layer: nn.Module) -> Activation | None:
    """Return how oneDNN computes an activation layer, None for another layer."""
    make = _ACTIVATIONS.get(type(layer))
    return None if make is None else make(layer)


def is_available(dtype: torch.dtype) -> bool:
    """Return whether this machine has oneDNN's fused convolutions, which torch.compile uses as well, in `dtype`.

    They have been tried on x86 only.
    """
    if platform.machine().lower() not in ("x86_64", "amd64") or not torch.backends.mkldnn.is_available():
        return False
    exists = hasattr(_onednn, "_convolution_pointwise") and hasattr(_onednn, "_is_mkldnn_bf16_supported")
    return exists and (dtype == torch.float32 or bool(_onednn._is_mkldnn_bf16_supported()))


def is_fusable(layer: nn.Module) -> bool:
    """Return whether a layer can become a `FusedConvolution`."""
    plain = isinstance(layer, nn.Conv2d) and type(layer).forward in _PLAIN
    return plain and layer.padding_mode == "zeros" and not isinstance(layer.padding, str)


def pads_like_tensorflow(layer: nn.Module) -> bool:
    """Return whether a layer's padding is a function of its input's size, with the odd cell at the end."""
    return isinstance(layer, Conv2dSame)


class FusedConvolution(nn.Module):
    """activation(convolution(features_NChw) + other_NKhw) in one call, where sum and activation are optional.

    After a sum the only activation is ReLU. A convolution with TensorFlow's padding takes no sum.

    Weights are stored in the order that oneDNN picks for the shape of the input, and reordered for another shape.
    Inputs are converted to `dtype`, whatever autocast says. With `in_place` a sum overwrites `other`.
    """

    in_place = False

    def __init__(self, layer: nn.Conv2d, dtype: torch.dtype, activation: Activation = NO_ACTIVATION) -> None:
        super().__init__()
        self.stride, self.dilation, self.groups = list(layer.stride), list(layer.dilation), layer.groups
        self.padding = [int(side) for side in layer.padding]
        self.pads_like_tensorflow = pads_like_tensorflow(layer)
        self.activation = activation
        self.weight = layer.weight.detach().to(dtype, memory_format=torch.channels_last)
        self.bias = None if layer.bias is None else layer.bias.detach().to(dtype)
        self._packed: tuple[tuple[object, ...], Tensor] = ((), self.weight)

    def forward(self, features_NChw: Tensor, other_NKhw: Tensor | None = None) -> Tensor:
        if self.pads_like_tensorflow:
            assert other_NKhw is None
            return self._padded_like_tensorflow(features_NChw)
        if other_NKhw is None:
            return self.padded(features_NChw, self.padding)
        relu = self.activation == RELU
        assert relu or self.activation == NO_ACTIVATION
        features_NChw, other_NKhw = features_NChw.to(self.weight.dtype), other_NKhw.to(self.weight.dtype)
        cells = [
            (size + 2 * pad - step * (kernel - 1) - 1) // stride + 1
            for size, pad, step, kernel, stride in zip(
                features_NChw.shape[2:], self.padding, self.dilation, self.weight.shape[2:], self.stride, strict=True
            )
        ]
        # A sum that broadcasts cannot be fused, nor one after a convolution of groups, which in bfloat16 would raise.
        if self.groups > 1 or other_NKhw.shape != (len(features_NChw), len(self.weight), *cells):
            total_NKhw = self._call(features_NChw, self.padding, NO_ACTIVATION) + other_NKhw
            return F.relu(total_NKhw) if relu else total_NKhw
        weight = self._weight_for(features_NChw.shape, self.padding)
        rest: tuple[Any, ...] = (
            self.bias, self.padding, self.stride, self.dilation, self.groups, "add", 1.0,
            "relu" if relu else None, [], None,
        )  # fmt: skip
        summed_NKhw: Tensor
        if self.in_place and other_NKhw.is_contiguous(memory_format=torch.channels_last):  # else bfloat16 may raise
            summed_NKhw = _onednn._convolution_pointwise_.binary(other_NKhw, features_NChw, weight, *rest)
        else:
            summed_NKhw = _onednn._convolution_pointwise.binary(features_NChw, other_NKhw, weight, *rest)
        return summed_NKhw

    def padded(self, features_NChw: Tensor, padding: Sequence[int]) -> Tensor:
        """Return the convolution with another padding than the layer's, without a sum."""
        return self._call(features_NChw.to(self.weight.dtype), padding, self.activation)

    def _padded_like_tensorflow(self, features_NChw: Tensor) -> Tensor:
        """Return the convolution with as many outputs as strides fit into the input, rounded up."""
        height, width = (
            get_same_padding(size, kernel, stride, step)
            for size, kernel, stride, step in zip(
                features_NChw.shape[2:], self.weight.shape[2:], self.stride, self.dilation, strict=True
            )
        )
        if height % 2 or width % 2:  # oneDNN is told one number for both ends
            sides = (width // 2, width - width // 2, height // 2, height - height // 2)
            return self.padded(F.pad(features_NChw, sides), (0, 0))
        return self.padded(features_NChw, (height // 2, width // 2))

    def _call(self, features_NChw: Tensor, padding: Sequence[int], after: Activation) -> Tensor:
        weight = self._weight_for(features_NChw.shape, padding)
        output_NKhw: Tensor = _onednn._convolution_pointwise(
            features_NChw, weight, self.bias, padding, self.stride, self.dilation, self.groups, *after
        )
        return output_NKhw

    def _weight_for(self, shape: torch.Size, padding: Sequence[int]) -> Tensor:
        """Return the weights in the best order for an input shape; in the order for another one they are slower."""
        packed_for, packed = self._packed
        if packed_for != (shape, *padding):
            packed = _onednn._reorder_convolution_weight(
                self.weight, padding, self.stride, self.dilation, self.groups, list(shape)
            )
            self._packed = ((shape, *padding), packed)  # both at once, for other threads
        return packed


class SideBySide(nn.Module):
    """A convolution of 1 x k or k x 1 and stride 1 that computes `count` neighbours of few outputs as one of many.

    21 outputs take as long as 32, for they fill lanes of 16; three neighbours have 63, which fill 64, and need a kernel
    of k + 2 cells at every third place: for k = 15 a quarter less work. Sums are the same, in the same order.
    """

    def __init__(self, layer: nn.Conv2d, count: int, dtype: torch.dtype) -> None:
        super().__init__()
        k = max(layer.kernel_size)
        self.axis = 0 if layer.kernel_size[0] == k else 1
        self.count, self.outputs, self.padding = count, layer.out_channels, k // 2
        size, stride = ((k + count - 1, 1), (count, 1)) if self.axis == 0 else ((1, k + count - 1), (1, count))
        bias = layer.bias is not None
        wide = nn.Conv2d(layer.in_channels, count * self.outputs, size, stride, bias=bias, device="meta")
        shape_pKChw = (count, self.outputs, layer.in_channels, *size)
        weight_pKChw = torch.zeros(shape_pKChw)
        for place, weight_KChw in enumerate(weight_pKChw):
            weight_KChw.narrow(self.axis + 2, place, k).copy_(layer.weight.detach())
        wide.weight = nn.Parameter(weight_pKChw.flatten(0, 1))
        wide.bias = None if layer.bias is None else nn.Parameter(layer.bias.detach().repeat(count))
        self.wide = FusedConvolution(wide, dtype)

    def forward(self, features_NChw: Tensor) -> Tensor:
        length = features_NChw.shape[self.axis + 2]
        # Outputs too many in front, so that equal padding at both ends reaches the last output.
        shift = next(s for s in range(self.count) if (length + 2 * s) // self.count * self.count - s >= length)
        padding = [0, 0]
        padding[self.axis] = self.padding + shift
        groups_NhwM = self.wide.padded(features_NChw, padding).permute(0, 2, 3, 1)
        groups_NhwpK = groups_NhwM.unflatten(3, (self.count, self.outputs))
        if self.axis == 0:
            groups_NhwpK = groups_NhwpK.transpose(2, 3)
        scores_NhwK = groups_NhwpK.flatten(self.axis + 1, self.axis + 2).narrow(self.axis + 1, shift, length)
        scores_NKhw: Tensor = scores_NhwK.permute(0, 3, 1, 2)
        return scores_NKhw.contiguous(memory_format=torch.channels_last)


def neighbours(layer: nn.Conv2d) -> int:
    """Return how many neighbours a layer's outputs are best computed together; 1 where nothing is gained."""
    k, outputs = max(layer.kernel_size), layer.out_channels
    if min(layer.kernel_size) > 1 or {*layer.stride, *layer.dilation, layer.groups} != {1} or 2 * (k // 2) != k - 1:
        return 1
    if pads_like_tensorflow(layer) or max(layer.padding) != k // 2 or layer.in_channels < 2 * LANES:
        return 1

    def cost(count: int) -> float:
        return -(-count * outputs // LANES) * LANES / count * (k + count - 1) / k

    best = min(range(1, SIDE_BY_SIDE + 1), key=cost)
    return best if cost(best) <= WORTHWHILE * cost(1) else 1

"""Depthwise convolutions that learn in float32 on a CPU, whatever autocast says.

Shapes: N images, C channels, M output channels (C, or a multiple of it), h x w and p x q cells before and after.
"""

from collections.abc import Callable

import torch
from timm.layers.conv2d_same import Conv2dSame
from torch import Tensor, nn


class DepthwiseConv(nn.Conv2d):
    """A depthwise convolution; where its weights are learned on a CPU under autocast, it computes in float32.

    It answers in autocast's precision all the same. oneDNN's gradient of depthwise convolutions in bfloat16 takes
    several times as long as that in float32, which for a mobile backbone makes bfloat16 slower than float32.
    """

    def forward(self, features_NChw: Tensor) -> Tensor:
        return _learned_in_float32(super().forward, self.weight, features_NChw)


class SameDepthwiseConv(Conv2dSame):
    """As `DepthwiseConv`, with TensorFlow's padding, which depends on the size of the input."""

    def forward(self, features_NChw: Tensor) -> Tensor:
        return _learned_in_float32(super().forward, self.weight, features_NChw)


_KINDS: dict[type[nn.Module], type[nn.Conv2d]] = {nn.Conv2d: DepthwiseConv, Conv2dSame: SameDepthwiseConv}


def learn_depthwise_in_float32(module: nn.Module) -> None:
    """Make the depthwise convolutions inside `module` the classes above, in place; other subclasses stay.

    Parameters, state dict and hooks stay as they are.
    """
    for layer in module.modules():
        if type(layer) in _KINDS and isinstance(layer, nn.Conv2d) and layer.groups == layer.in_channels > 1:
            layer.__class__ = _KINDS[type(layer)]


def _learned_in_float32(forward: Callable[[Tensor], Tensor], weight: Tensor, features_NChw: Tensor) -> Tensor:
    """Return features_NMpq of `forward`, without autocast where gradients of `weight` are wanted on a CPU."""
    learned = torch.is_grad_enabled() and weight.requires_grad and weight.device.type == "cpu"
    if not learned or weight.dtype != torch.float32 or not torch.is_autocast_enabled("cpu"):
        return forward(features_NChw)
    with torch.autocast("cpu", enabled=False):
        features_NMpq = forward(features_NChw.float())
    return features_NMpq.to(torch.get_autocast_dtype("cpu"))

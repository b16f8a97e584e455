"""ResNet-GCN: a ResNet whose deep blocks see globally (Figure 5, Table 11). Importing this registers it with timm.

Shapes: N images, C channels of a level, M = the width inside a block, h x w the level's resolution.

conv-1, res-2 and res-3 are timm's ResNet. In res-4 (k = 5, width 85) and res-5 (k = 7, width 128) the first two
convolutions of every bottleneck are a Global Convolutional Network module. The depths of res-4 and res-5 are the
ResNet's, so `resnet101_gcn` and `resnet152_gcn` follow by the same rule; the paper has ResNet50-GCN alone.

The paper does not state where the stride of the first block of res-4 and res-5 lies. Here it is in the first
convolution of each branch, vertical and horizontal at once, as Caffe's ResNet has it in the first convolution of a
bottleneck; res-3 strides in its 3 x 3, as timm's ResNet does. Million multiply-adds of the convolutions at 224 x 224,
of which the paper prints 3,700:

|                                                     | res-3 strides in its 3 x 3 | in its first 1 x 1 (Caffe) |
|---|---|---|
| both strides in a branch's first convolution        | 3,667 (ours)               | 3,589 |
| 1 x k strides to the right, k x 1 downwards         | 3,842                      | 3,765 |
| both strides in a branch's second convolution       | 4,192                      | 4,115 |

ResNet50 has 4,087 and 3,856. The convolutions have 20.45 M weights, those of ResNet50 23.45 M.
`tests/model/test_resnet_gcn.py` counts all of these.

Convolutions have no biases (a batch norm follows each); they start as He et al.'s normal numbers (fan-out), and the
last batch norm of every block starts at zero, both as in timm's ResNets. Files of weights have timm's names for the
parts that are timm's.
"""

from typing import Any, ClassVar, TypedDict, Unpack

import torch
from timm.data import IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD
from timm.models import build_model_with_cfg, generate_default_cfgs, register_model
from timm.models.resnet import Bottleneck, ResNet
from torch import Tensor, nn

from globalconv.model.blocks import check_kernel_size

__all__: list[str] = ["GlobalBottleneck", "GlobalConvNorm"]


class _Place(TypedDict, total=False):
    """Device and type of new parameters, as timm passes them on."""

    device: torch.device | None
    dtype: torch.dtype | None


class GlobalConvNorm(nn.Module):
    """The Global Convolutional Network module inside a ResNet (Figure 5): batch norm and ReLU after every convolution.

    Two branches, (1 x k then k x 1) + (k x 1 then 1 x k), all of the same width; the first of each strides.
    """

    def __init__(
        self, in_channels: int, width: int, kernel_size: int, stride: int = 1, **options: Unpack[_Place]
    ) -> None:
        super().__init__()
        k = check_kernel_size(kernel_size)
        self.left = nn.Sequential(
            *_normed(in_channels, width, (1, k), stride, **options), *_normed(width, width, (k, 1), **options)
        )
        self.right = nn.Sequential(
            *_normed(in_channels, width, (k, 1), stride, **options), *_normed(width, width, (1, k), **options)
        )

    def forward(self, features_NChw: Tensor) -> Tensor:
        left_NMhw: Tensor = self.left(features_NChw)
        right_NMhw: Tensor = self.right(features_NChw)
        return left_NMhw + right_NMhw


def _normed(
    in_channels: int, width: int, kernel: tuple[int, int], stride: int = 1, **options: Unpack[_Place]
) -> tuple[nn.Module, ...]:
    padding = (kernel[0] // 2, kernel[1] // 2)
    convolution = nn.Conv2d(in_channels, width, kernel, stride, padding, bias=False, **options)
    return convolution, nn.BatchNorm2d(width, **options), nn.ReLU(inplace=True)


_FIXED = {
    "cardinality": 1, "base_width": 64, "reduce_first": 1, "dilation": 1, "first_dilation": 1, "act_layer": nn.ReLU,
    "norm_layer": nn.BatchNorm2d, "aa_layer": None, "drop_block": None,
}  # fmt: skip
"""Arguments that timm's ResNet passes to its blocks, with the only values that ResNet-GCN has."""


class GlobalBottleneck(nn.Module):
    """A block of ResNet-GCN (Figure 5): global module, 1 x 1 convolution and batch norm, plus the shortcut, ReLU.

    Its subclasses are the two blocks of Table 11. timm's ResNet builds it: its output has `planes * 4` channels, to
    which `downsample` brings the shortcut; `drop_path` (stochastic depth) may drop the residual.
    """

    expansion: ClassVar[int] = 4
    kernel_size: ClassVar[int]
    width: ClassVar[int]

    def __init__(
        self,
        inplanes: int,
        planes: int,
        stride: int = 1,
        downsample: nn.Module | None = None,
        drop_path: nn.Module | None = None,
        device: torch.device | None = None,
        dtype: torch.dtype | None = None,
        **fixed: Any,
    ) -> None:
        super().__init__()
        assert _FIXED | fixed == _FIXED, f"ResNet-GCN has no such variant: {fixed}"
        outplanes, options = planes * self.expansion, _Place(device=device, dtype=dtype)
        self.global_conv = GlobalConvNorm(inplanes, self.width, self.kernel_size, stride, **options)
        self.conv3 = nn.Conv2d(self.width, outplanes, 1, bias=False, **options)
        self.bn3 = nn.BatchNorm2d(outplanes, **options)
        self.downsample = downsample
        self.drop_path = drop_path
        self.act3 = nn.ReLU(inplace=True)

    def zero_init_last(self) -> None:
        """Let the block start as its shortcut; timm's ResNet calls this."""
        nn.init.zeros_(self.bn3.weight)

    def forward(self, features_NChw: Tensor) -> Tensor:
        residual_NChw = self.bn3(self.conv3(self.global_conv(features_NChw)))
        if self.drop_path is not None:
            residual_NChw = self.drop_path(residual_NChw)
        shortcut_NChw = features_NChw if self.downsample is None else self.downsample(features_NChw)
        out_NChw: Tensor = self.act3(residual_NChw + shortcut_NChw)
        return out_NChw


class Res4Block(GlobalBottleneck):
    """Table 11, res-4: k = 5, width 85."""

    kernel_size = 5
    width = 85


class Res5Block(GlobalBottleneck):
    """Table 11, res-5: k = 7, width 128."""

    kernel_size = 7
    width = 128


_CONFIG = {
    "url": "", "num_classes": 1000, "input_size": (3, 224, 224), "pool_size": (7, 7), "crop_pct": 0.875,
    "interpolation": "bilinear", "mean": IMAGENET_DEFAULT_MEAN, "std": IMAGENET_DEFAULT_STD, "first_conv": "conv1",
    "classifier": "fc",
}  # fmt: skip

default_cfgs = generate_default_cfgs(dict.fromkeys(("resnet50_gcn", "resnet101_gcn", "resnet152_gcn"), _CONFIG))
"""timm's description of the models: no weights to download, ImageNet's mean and standard deviation."""


def _resnet_gcn(variant: str, layers: tuple[int, ...], pretrained: bool, **options: Any) -> ResNet:
    blocks = (Bottleneck, Bottleneck, Res4Block, Res5Block)
    model: ResNet = build_model_with_cfg(ResNet, variant, pretrained, block=blocks, layers=layers, **options)
    return model


@register_model
def resnet50_gcn(pretrained: bool = False, **options: Any) -> ResNet:
    """ResNet50-GCN (Table 11), as a timm model; there are no published weights of it."""
    return _resnet_gcn("resnet50_gcn", (3, 4, 6, 3), pretrained, **options)


@register_model
def resnet101_gcn(pretrained: bool = False, **options: Any) -> ResNet:
    """ResNet101's depths with the blocks of Table 11; not in the paper."""
    return _resnet_gcn("resnet101_gcn", (3, 4, 23, 3), pretrained, **options)


@register_model
def resnet152_gcn(pretrained: bool = False, **options: Any) -> ResNet:
    """ResNet152's depths with the blocks of Table 11; not in the paper."""
    return _resnet_gcn("resnet152_gcn", (3, 8, 36, 3), pretrained, **options)

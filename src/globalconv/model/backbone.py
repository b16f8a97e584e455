"""One contract for every backbone: feature maps at strides 4, 8, 16, 32, and how many channels each has.

timm is behind it, so any of its models that yields those four strides will do.
"""

import timm
import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from globalconv.errors import InputError

STRIDES = (4, 8, 16, 32)
"""Pixels per cell of the levels res-2, res-3, res-4, res-5."""


class Backbone(nn.Module):
    """A timm model cut into the levels res-2 .. res-5 (Figure 2A), without its classifier.

    `channels` holds four numbers, fine to coarse; `mean` and `std` (R, G, B of images in [0, 1]) are timm's for it.
    """

    def __init__(self, name: str) -> None:
        super().__init__()
        self.name = name
        self.body = timm.create_model(name, features_only=True, pretrained=False, out_indices=_levels(name))
        self.channels: tuple[int, ...] = tuple(self.body.feature_info.channels())
        config = timm.get_pretrained_cfg(name)
        self.mean: tuple[float, ...] = tuple(config.mean) if config else (0.5, 0.5, 0.5)
        self.std: tuple[float, ...] = tuple(config.std) if config else (0.5, 0.5, 0.5)

    def forward(self, images_N3PQ: Tensor) -> list[Tensor]:
        """Return features_NChw of the four levels, fine to coarse; P and Q are multiples of 32."""
        features: list[Tensor] = self.body(images_N3PQ)
        return features

    def freeze_norm(self) -> None:
        """Fix the statistics and the affine weights of every batch norm; `train()` leaves them fixed.

        Raises `InputError` where there is no batch norm, or none whose statistics were ever learnt or loaded.
        """


def _levels(name: str) -> list[int]:
    """Return the timm feature indices of strides 4, 8, 16, 32; `InputError` for a model that lacks one."""
    if not timm.is_model(name):
        close = timm.list_models(f"*{name.split('_')[0]}*")[:5]
        hint = f"; timm has {', '.join(close)}" if close else ""
        raise InputError(f"backbone={name!r}: timm knows no such model{hint}")
    try:
        with torch.device("meta"):
            reductions = timm.create_model(name, features_only=True, pretrained=False).feature_info.reduction()
    except (RuntimeError, AttributeError, AssertionError) as error:
        raise InputError(f"backbone={name!r} gives no feature maps ({error}); choose a convolutional model") from error
    if missing := [stride for stride in STRIDES if stride not in reductions]:
        raise InputError(
            f"backbone={name!r} gives strides {reductions}, not {missing}; the network needs 4, 8, 16 and 32"
        )
    return [reductions.index(stride) for stride in STRIDES]


def batch_norms(module: nn.Module) -> list[_BatchNorm]:
    """Return every batch norm inside `module`."""
    return [layer for layer in module.modules() if isinstance(layer, _BatchNorm)]

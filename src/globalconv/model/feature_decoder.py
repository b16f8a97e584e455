"""A decoder that sums features: the form of `GlobalConvNet` for pre-trained backbones, which is not the paper's.

Shapes: N images, K classes, C channels of a backbone level, m channels of the decoder, h x w cells of a level.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from globalconv.errors import InputError, suggest
from globalconv.model.blocks import HEADS, check_kernel_size
from globalconv.model.depthwise import learn_depthwise_in_float32
from globalconv.runtime.text import one_line

DROPOUT = 0.1
"""Share of the channels that are left out at random before the scores, in training."""

FEATURE_HEADS = ("gcn", "pointwise")
"""Heads that a `FeatureDecoder` has: with a large kernel, or without one."""


class DepthwiseGlobalConv(nn.Module):
    """The Global Convolutional Network block of Figure 2B channel by channel: features_Nmhw -> features_Nmhw.

    The two separable branches have a kernel per channel, (k x 1 then 1 x k) + (1 x k then k x 1): 4 k m weights, where
    the paper's block has 2 k (C + K) K. A batch norm, a ReLU and a 1 x 1 convolution with batch norm mix the channels;
    that is added to the input, through a ReLU. The last batch norm starts at zero, so the block as the identity.

    Sums near the border are divided by the share of the k x k window that lies inside (padding by partial convolution,
    Liu et al. 2018, arXiv 1811.11718). With zeros alone a large kernel learns the size of the training crop: on larger
    images it meets sums that it has never seen, and a network that is trained on crops does worse with k = 15 than
    without (LOG.md, 2026-11-30).
    """

    def __init__(self, channels: int, kernel_size: int) -> None:
        super().__init__()
        self.kernel_size = k = check_kernel_size(kernel_size)
        self.left = nn.Sequential(_strip(channels, k, 1), _strip(channels, 1, k))
        self.right = nn.Sequential(_strip(channels, 1, k), _strip(channels, k, 1))
        self.norm = nn.BatchNorm2d(channels)
        self.mix = nn.Sequential(nn.Conv2d(channels, channels, 1, bias=False), _zero_norm(channels))

    def forward(self, features_Nmhw: Tensor) -> Tensor:
        sums_Nmhw = self.left(features_Nmhw) + self.right(features_Nmhw)
        ones_11hw = torch.ones_like(features_Nmhw[:1, :1], dtype=torch.float32)
        inside_11hw = F.avg_pool2d(ones_11hw, self.kernel_size, stride=1, padding=self.kernel_size // 2)
        large_Nmhw = F.relu(self.norm(sums_Nmhw / inside_11hw.to(sums_Nmhw.dtype)))
        return F.relu(features_Nmhw + self.mix(large_Nmhw))


class FeatureRefinement(nn.Module):
    """Boundary Refinement (Figure 2C) of features: relu(features_Nmhw + R(features_Nmhw)).

    R is a depthwise 3 x 3 convolution, batch norm, ReLU, a 1 x 1 convolution and batch norm, and starts at zero.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.residual = nn.Sequential(
            nn.Conv2d(channels, channels, 3, padding=1, groups=channels, bias=False), nn.BatchNorm2d(channels),
            nn.ReLU(), nn.Conv2d(channels, channels, 1, bias=False), _zero_norm(channels),
        )  # fmt: skip

    def forward(self, features_Nmhw: Tensor) -> Tensor:
        return F.relu(features_Nmhw + self.residual(features_Nmhw))


class FeatureDecoder(nn.Module):
    """features_NChw of the levels res-2 .. res-5 -> logits_NKPQ, four times as large as res-2.

    After each level a 1 x 1 convolution to m channels, a batch norm and a ReLU; where its head is "gcn", a
    `DepthwiseGlobalConv`. From coarse to fine the sums are interpolated bilinearly to twice their size and added to the
    next level's; each sum, and the first level, passes a `FeatureRefinement` if `boundary_refinement`. Dropout of whole
    channels and a 1 x 1 convolution make the scores, which are interpolated bilinearly to four times their size.

    So, against Figure 2A: classes are scored once and at the end, where the paper sums scores; what lies between is
    normalised and not linear; nothing is refined at a finer resolution than that of res-2, and nothing is deconvolved.
    """

    def __init__(
        self,
        channels: Sequence[int],
        num_classes: int,
        width: int,
        heads: Sequence[str],
        kernel_sizes: Sequence[int],
        boundary_refinement: bool,
    ) -> None:
        super().__init__()
        for head in heads:
            if head not in HEADS:
                raise InputError(f"head={one_line(repr(head))}: {suggest(one_line(head), FEATURE_HEADS)}")
            if head not in FEATURE_HEADS:
                raise InputError(
                    f"head={one_line(repr(head))}: decoder 'features' has heads 'gcn' and 'pointwise'; the others are"
                    " of decoder 'scores'"
                )
        self.heads = nn.ModuleList()
        for level_channels, head, k in zip(channels, heads, kernel_sizes, strict=True):
            lateral = nn.Sequential(nn.Conv2d(level_channels, width, 1, bias=False), nn.BatchNorm2d(width), nn.ReLU())
            self.heads.append(lateral if head == "pointwise" else lateral.append(DepthwiseGlobalConv(width, k)))
        self.refinements = nn.ModuleList(
            FeatureRefinement(width) if boundary_refinement else nn.Identity() for _ in channels
        )
        self.dropout = nn.Dropout2d(DROPOUT)
        self.to_scores = nn.Conv2d(width, num_classes, 1)
        learn_depthwise_in_float32(self)

    def forward(self, features: Sequence[Tensor]) -> Tensor:
        """Return logits_NKPQ of the features of the four levels, fine to coarse."""
        levels = [head(features_NChw) for features_NChw, head in zip(features, self.heads, strict=True)]
        path_Nmhw: Tensor = self.refinements[-1](levels[-1])
        for level in (2, 1, 0):
            finer_Nmhw = F.interpolate(path_Nmhw, scale_factor=2.0, mode="bilinear", align_corners=False)
            path_Nmhw = self.refinements[level](finer_Nmhw + levels[level])
        scores_NKhw = self.to_scores(self.dropout(path_Nmhw))
        return F.interpolate(scores_NKhw, scale_factor=4.0, mode="bilinear", align_corners=False)


def _strip(channels: int, height: int, width: int) -> nn.Conv2d:
    """Return a convolution of height x width cells that mixes no channels."""
    padding = (height // 2, width // 2)
    return nn.Conv2d(channels, channels, (height, width), padding=padding, groups=channels, bias=False)


def _zero_norm(channels: int) -> nn.BatchNorm2d:
    """Return a batch norm whose output starts at zero."""
    norm = nn.BatchNorm2d(channels)
    nn.init.zeros_(norm.weight)
    return norm

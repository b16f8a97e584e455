"""Widths of Figure 4's stack (Table 4) for any backbone and number of classes."""

from collections.abc import Sequence

import torch

from globalconv.analyze.cost import matching_width
from globalconv.model.backbone import Backbone

KERNEL = 7
"""Of Table 4."""

PAPER_CHANNELS, PAPER_NARROW = 2048, 210
"""Channels of res-5 in the paper, and the third width that it tries there."""


def stack_width(name: str, channels: Sequence[int], classes: int) -> tuple[int, ...] | None:
    """Return Table 4's width of that name on each level, after levels of `channels`; None are all of its channels.

    "half" is half of the level's channels. "narrow" is, over the paper's backbone, the share that its 210 are of 2048;
    over others it is the width whose stack has as many weights as the GCN beside it, which the paper's has not (4307K
    against 608K). The paper prints its widths of the head after res-5 and does not say what the other levels have.
    """
    match name:
        case "full":
            return None
        case "half":
            return tuple(level // 2 for level in channels)
        case _ if channels[-1] == PAPER_CHANNELS:
            return tuple(round(level * PAPER_NARROW / PAPER_CHANNELS) for level in channels)
        case _:
            return tuple(matching_width(level, classes, KERNEL) for level in channels)


def channels_of(backbone: str) -> tuple[int, ...]:
    """Return the channels of the four levels of a backbone."""
    with torch.device("meta"):
        return tuple(Backbone(backbone).channels)

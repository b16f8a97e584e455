"""Widths of Figure 4's stack (Table 4) for any backbone and number of classes."""

import torch

from globalconv.analyze.cost import matching_width
from globalconv.model.backbone import Backbone

KERNEL = 7
"""Of Table 4."""

PAPER_CHANNELS, PAPER_TENTH = 2048, 210
"""Channels of res-5 in the paper, and the third width that it tries there."""


def stack_width(name: str, channels: int, classes: int) -> int | None:
    """Return Table 4's width of that name after a level of `channels`; None are all of its channels, on each level.

    "half" is half of the channels. "tenth" is the paper's 210 of 2048; over other backbones it is the width whose
    stack has as many weights as the GCN beside it, which the paper's has not (4307K against 608K).
    """
    match name:
        case "full":
            return None
        case "half":
            return channels // 2
        case _:
            return PAPER_TENTH if channels == PAPER_CHANNELS else matching_width(channels, classes, KERNEL)


def res5_channels(backbone: str) -> int:
    """Return the channels of res-5 of a backbone."""
    with torch.device("meta"):
        return Backbone(backbone).channels[-1]

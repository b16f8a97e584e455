"""Exponential moving average of a network's weights, the ones that are evaluated and saved."""

import copy

import torch
from torch import nn


class MovingAverage:
    """A copy of `network` (`.network`, in eval mode) whose floating-point state trails it.

    The decay starts low, (1 + t) / (10 + t), and ends at `decay`, so that short runs are not dominated by the initial
    weights. Batch norm's statistics are averaged as well; integers are copied.
    """

    def __init__(self, network: nn.Module, decay: float) -> None:
        self.network = copy.deepcopy(network).eval().requires_grad_(False)
        self.decay = decay

    @torch.no_grad()
    def update(self, network: nn.Module, step: int) -> None:
        """Move towards `network` after step number `step` (from 1)."""
        decay = min(self.decay, (1 + step) / (10 + step))
        ours, theirs = self.network.state_dict(), network.state_dict()
        floating = [name for name, value in ours.items() if value.is_floating_point()]
        torch._foreach_lerp_([ours[n] for n in floating], [theirs[n] for n in floating], 1 - decay)
        for name in ours.keys() - set(floating):
            ours[name].copy_(theirs[name])

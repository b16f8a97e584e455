"""Exponential moving average of a network's weights, the ones that are evaluated and saved.

The optimiser of a recipe.

Learning rate as a closed form of the step, so that a resumed run needs no memory of it.
"""

import copy
import math

import torch
from torch import nn

from globalconv.training.recipe import StepSettings


def build_optimizer(network: nn.Module, settings: StepSettings) -> torch.optim.Optimizer:
    """Return SGD (the paper's) or AdamW over the trainable parameters; only weights decay.

    Biases and norms do not. Where the decay applies is not stated in the paper; this is today's convention.
    """
    trainable = [parameter for parameter in network.parameters() if parameter.requires_grad]
    groups = [
        {"params": [p for p in trainable if p.ndim > 1], "weight_decay": settings.weight_decay},
        {"params": [p for p in trainable if p.ndim <= 1], "weight_decay": 0.0},
    ]
    if settings.algorithm == "adamw":
        return torch.optim.AdamW(groups, lr=settings.lr, betas=(settings.momentum, 0.999), fused=True)
    return torch.optim.SGD(groups, lr=settings.lr, momentum=settings.momentum, nesterov=settings.nesterov, fused=True)


POLY_POWER = 0.9
"""Exponent of the poly schedule, DeepLab's (the paper does not state its schedule)."""


def learning_rate(step: int, total: int, settings: StepSettings) -> float:
    """Return the rate of step 0 .. total - 1: the schedule's decay times the linear warm-up."""
    left = 1 - step / total
    match settings.schedule:
        case "poly":
            decay = math.pow(left, POLY_POWER)
        case "cosine":
            decay = 0.5 * (1 + math.cos(math.pi * step / total))
        case "constant":
            decay = 1.0
    warm = min(1.0, (step + 1) / (settings.warmup_steps + 1))
    return settings.lr * decay * warm


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

"""The optimiser of a recipe."""

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

"""The optimiser, the learning rate of every step, and the moving average of the weights."""

import copy
import math
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

from globalconv.runtime.text import one_line
from globalconv.training.fine_tuning import learning_rate_scales, resting_parameters
from globalconv.training.recipe import StepSettings


def build_optimizer(
    network: nn.Module, settings: StepSettings, frozen: Iterable[nn.Parameter] = ()
) -> torch.optim.Optimizer:
    """Return SGD (the paper's) or AdamW over the trainable parameters, without decay of biases and norms.

    The paper does not state where its decay applies; this is the usual convention. Parameters that are going to be
    `frozen` are left out. Groups whose learning rate is a multiple of the schedule's carry it as their `scale`.
    `InputError` as `learning_rate_scales`.
    """
    scales = learning_rate_scales(network, settings)
    left_out = set(map(id, frozen))
    trainable = [
        parameter for parameter in network.parameters() if parameter.requires_grad and id(parameter) not in left_out
    ]
    groups: list[dict[str, Any]] = []
    # Fused SGD takes parameters with a momentum and those without one yet in groups apart only.
    late = set(map(id, resting_parameters(network, settings, 1)))
    paces = [(scales.get(id(parameter), 1.0), id(parameter) in late) for parameter in trainable]
    for pace in dict.fromkeys([*paces, (1.0, False)]):
        members = [parameter for parameter, its_own in zip(trainable, paces, strict=True) if its_own == pace]
        marked = {} if pace[0] == 1.0 else {"scale": pace[0]}  # checkpoints of before know no other groups
        groups += [
            {"params": [p for p in members if p.ndim > 1], "weight_decay": settings.weight_decay, **marked},
            {"params": [p for p in members if p.ndim <= 1], "weight_decay": 0.0, **marked},
        ]
    if settings.algorithm == "adamw":
        return torch.optim.AdamW(groups, lr=settings.lr, betas=(settings.momentum, 0.999), fused=True)
    return torch.optim.SGD(groups, lr=settings.lr, momentum=settings.momentum, nesterov=settings.nesterov, fused=True)


def optimizer_misfit(
    optimizer: torch.optim.Optimizer, saved: object, begun: bool, resting: Iterable[nn.Parameter] = ()
) -> str:
    """Return in words what keeps `saved`, of any origin, from being a state of `optimizer`; "" if nothing.

    `optimizer` is a fresh one for this question only: it may be left with some of the state. `begun` says whether steps
    have been taken, which leave a memory of the gradients of all parameters but those that were `resting`.
    """
    rested = set(map(id, resting))
    fresh = [{**group, "params": [tuple(p.shape) for p in group["params"]]} for group in optimizer.param_groups]
    try:
        optimizer.load_state_dict(saved)  # type: ignore[arg-type]
    except Exception as error:  # whatever a file of another origin makes torch raise
        return f"not a state of this optimiser ({one_line(error)})"
    for before, group in zip(fresh, optimizer.param_groups, strict=True):
        for name in (before.keys() | group.keys() & {"scale"}) - {"lr", "params"}:
            if name not in before:
                return f"{name} is {one_line(group[name])} where there is none"
            if name not in group or type(group[name]) is not type(before[name]) or group[name] != before[name]:
                return f"{name} is {one_line(group.get(name))} instead of {before[name]}"
        memory = {"step", "exp_avg", "exp_avg_sq"} if "betas" in before else {"momentum_buffer"}
        needs_memory = bool(before.get("momentum", True))
        kept = [optimizer.state[parameter] for parameter in group["params"] if parameter in optimizer.state]
        learned = [parameter for parameter in group["params"] if id(parameter) not in rested]
        if any(id(parameter) in rested for parameter in group["params"] if parameter in optimizer.state):
            return "there is a memory of parameters that have not learned yet"
        if needs_memory and ((begun and learned and not kept) or any(state.keys() != memory for state in kept)):
            return f"the {', '.join(sorted(memory))} of parameters is missing"
        for parameter in group["params"]:
            for name, tensor in optimizer.state.get(parameter, {}).items():
                if tensor is None and not needs_memory:
                    continue
                if not isinstance(tensor, Tensor) or tensor.shape != (() if name == "step" else parameter.shape):
                    return f"{name} of a parameter of shape {tuple(parameter.shape)} has another one"
                if tensor.layout != torch.strided or not bool(tensor.isfinite().all()):
                    return f"{name} of a parameter of shape {tuple(parameter.shape)} is not finite"
    return ""


POLY_POWER = 0.9
"""Exponent of the poly schedule, DeepLab's (the paper does not state its schedule)."""


def learning_rate(step: int, total: int, settings: StepSettings) -> float:
    """Return the learning rate of step 0 .. total - 1: the schedule's decay times the linear warm-up.

    It depends on nothing but the step, so that a resumed run needs no memory of it.
    """
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
    """The exponential moving average of a network's weights, as a copy of it in eval mode (`.network`).

    The decay of step t starts at (1 + t) / (10 + t) and ends at `decay`, so that the initial weights do not dominate
    short runs. The statistics of batch norm are averaged as well; integers are copied.
    """

    def __init__(self, network: nn.Module, decay: float) -> None:
        self.network = copy.deepcopy(network).eval().requires_grad_(False)
        self.decay = decay

    @torch.no_grad()
    def update(self, network: nn.Module, step: int) -> None:
        """Move the average towards `network` after step number `step` (from 1)."""
        decay = min(self.decay, (1 + step) / (10 + step))
        average, current = self.network.state_dict(), network.state_dict()
        floating = [name for name, value in average.items() if value.is_floating_point()]
        torch._foreach_lerp_([average[n] for n in floating], [current[n] for n in floating], 1 - decay)
        for name in average.keys() - set(floating):
            average[name].copy_(current[name])

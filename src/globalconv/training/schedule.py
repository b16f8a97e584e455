"""Learning rate as a closed form of the step, so that a resumed run needs no memory of it."""

import math

from globalconv.training.recipe import StepSettings

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

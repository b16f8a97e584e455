"""What is computed from scores, alike for arrays of NumPy and tensors of torch on any device.

Shapes: K classes along one axis, any others.
"""

import warnings
from typing import Any

import numpy as np
from array_api_compat import array_namespace, device, to_device

from globalconv.arrays import Array, Uint8Array
from globalconv.errors import InputWarning

NOT_FINITE = (
    "the network computes scores that are no finite numbers, so the classes of these pixels mean nothing; look at its"
    " weights, mean and std"
)


def as_float32(values: Array) -> Array:
    """Return `values` as float32, without a copy where they are."""
    xp = array_namespace(values)
    return xp.astype(values, xp.float32, copy=False)


def softmax(scores: Array, axis: int) -> Array:
    """Return probabilities from float32 `scores` along `axis`."""
    xp = array_namespace(scores)
    powers = xp.exp(scores - xp.max(scores, axis=axis, keepdims=True))
    powers /= xp.sum(powers, axis=axis, keepdims=True)
    return powers


def best_classes(scores: Array, axis: int) -> Uint8Array:
    """Return the class with the highest score along `axis`, the first of equal ones; warn of scores not finite.

    The maximum, and where each class reaches it, take half the time of an argmax where classes are not adjacent in
    memory.
    """
    xp = array_namespace(scores)
    best = xp.max(scores, axis=axis)
    if not bool(xp.all(xp.isfinite(best))):
        warn_of_not_finite()
    classes = xp.zeros(best.shape, dtype=xp.uint8, device=device(scores))
    before: tuple[Any, ...] = (slice(None),) * axis
    for index in reversed(range(scores.shape[axis])):
        classes = xp.where(scores[(*before, index)] == best, index, classes)
    class_map: Uint8Array = as_numpy(classes)
    return class_map


def warn_of_not_finite() -> None:
    """Warn that classes mean nothing."""
    warnings.warn(InputWarning(NOT_FINITE, "network"), stacklevel=3)


def as_numpy(values: Array) -> Any:
    """Return `values` as an array of NumPy, without a copy where they are on the CPU."""
    return np.asarray(to_device(values, "cpu"))

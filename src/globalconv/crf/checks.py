"""What the arguments of a CRF may be; everything else is refused in one line before any work is done."""

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from globalconv.errors import InputError

Array = npt.NDArray[np.generic]

LARGEST = 1e12
"""Numbers beyond are refused: products of a weight and a cost, summed over a picture, are to fit float32."""

SMALLEST_DEVIATION = 1e-30
"""Below it, dividing by a deviation leaves float32."""


def whole(name: str, value: Any, least: int) -> int:
    """Return `value` if it is a whole number of at least `least`."""
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < least:
        raise InputError(f"{name}={value!r}: give a whole number, at least {least}")
    return int(value)


def number(name: str, value: Any) -> float:
    """Return `value` if it is a number of a size that can be meant."""
    if isinstance(value, bool) or not isinstance(value, int | float | np.integer | np.floating):
        raise InputError(f"{name}={value!r}: give a number")
    if not -LARGEST <= value <= LARGEST:  # nan is not, either
        raise InputError(f"{name}={value!r}: give a finite number, {LARGEST:g} at most")
    return float(value)


def weight(name: str, value: Any) -> float:
    """Return `value` if it is a number of at least 0, which switches the kernel off."""
    if number(name, value) < 0:
        raise InputError(f"{name}={value!r}: a weight is what disagreement costs, at least 0 (0 switches it off)")
    return float(value)


def deviation(name: str, value: Any) -> float:
    """Return `value` if it is a number above 0."""
    if number(name, value) < SMALLEST_DEVIATION:
        raise InputError(
            f"{name}={value!r}: a standard deviation is above 0 (at least {SMALLEST_DEVIATION:g}); a kernel is switched"
            " off by its weight"
        )
    return float(value)


def finite(name: str, values: Array) -> None:
    """Refuse nan and infinity; one pass and no copy where all is well."""
    with np.errstate(over="ignore", invalid="ignore"):
        total = np.asarray(values, np.float32).sum(dtype=np.float64) if values.size else 0.0
    if not math.isfinite(total):
        raise InputError(f"{name} hold nan or infinity: every value is to be finite in float32")


def numeric(name: str, values: Any) -> Array:
    """Return `values` as an array of real numbers, as it is where it is one."""
    try:
        array = np.asarray(values)
    except ValueError as error:  # rows of different lengths
        raise InputError(f"{name} make no array ({error}); give one array of numbers") from None
    if array.dtype.kind not in "fiu":
        raise InputError(f"{name} hold {array.dtype}: give numbers")
    return array


def picture(values: Any) -> Array:
    """Return an image as an array (H, W, C)."""
    image = numeric("image", values)
    if image.ndim not in (2, 3):
        raise InputError(f"image of shape {image.shape}: give (height, width, channels), or (height, width) for grey")
    image_HWC = image if image.ndim == 3 else image[:, :, None]
    if 0 in image_HWC.shape:
        raise InputError(f"image of shape {image.shape} is empty: give at least one pixel and one channel")
    if image.dtype.kind == "f":
        finite("image", image)
    return image_HWC


def planes(name: str, values: Any, image_HWC: Array) -> Array:
    """Return what there is per class and pixel as an array (K, H, W) that fits the image."""
    array = numeric(name, values)
    height, width = image_HWC.shape[:2]
    if array.ndim != 3 or array.shape[1:] != (height, width) or len(array) < 1:
        hint = "; channels come last in an image" if array.shape[1:] == image_HWC.shape[1:] else ""
        raise InputError(
            f"{name} of shape {array.shape} do not fit the image of {height} x {width} pixels: give (classes,"
            f" {height}, {width}){hint}"
        )
    return array


def compatibility(values: Any) -> npt.NDArray[np.float32]:
    """Return a compatibility matrix (K, K) of its own, read-only, made symmetric by averaging with its transpose."""
    matrix_KK = numeric("compatibility", values)
    if matrix_KK.ndim != 2 or matrix_KK.shape[0] != matrix_KK.shape[1] or matrix_KK.size == 0:
        raise InputError(f"compatibility of shape {matrix_KK.shape}: give one row and one column per class")
    largest = float(np.abs(matrix_KK.astype(np.float64)).max())
    if not largest <= LARGEST:
        raise InputError(f"compatibility holds {largest:g}: give finite numbers, {LARGEST:g} at most")
    costs_KK = matrix_KK.astype(np.float32)
    symmetric_KK: npt.NDArray[np.float32] = (costs_KK + costs_KK.T) * np.float32(0.5)
    symmetric_KK.flags.writeable = False  # it is part of a frozen CRF, and of its hash
    return symmetric_KK

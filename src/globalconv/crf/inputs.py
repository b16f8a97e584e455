"""What pixels are compared by: places and colours, each divided by its standard deviation.

H x W pixels, C channels; N = H * W pixels row by row, d features.

What the arguments of a CRF may be; everything else is refused in one line before any work is done.

From probabilities, labels or energies to the scores (-energies) that mean field starts from.

K classes, H x W pixels; N = H * W pixels row by row. Rows of scores are padded to a multiple of 8 columns, with a score
so low that these belong to nobody.
"""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from globalconv.arrays import AnyArray, Float32Array
from globalconv.crf import kernels
from globalconv.crf.thread_pool import Crew
from globalconv.errors import InputError

LARGEST = 1e12
"""Numbers beyond are refused: products of a weight and a cost, summed over an image, are to fit float32."""

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


def finite(name: str, values: AnyArray) -> None:
    """Refuse nan and infinity; one pass and no copy where all is well."""
    with np.errstate(over="ignore", invalid="ignore"):
        total = np.asarray(values, np.float32).sum(dtype=np.float64) if values.size else 0.0
    if not math.isfinite(total):
        raise InputError(f"{name} hold nan or infinity: every value is to be finite in float32")


def numeric(name: str, values: Any) -> AnyArray:
    """Return `values` as an array of real numbers, as it is where it is one."""
    try:
        array = np.asarray(values)
    except ValueError as error:  # rows of different lengths
        raise InputError(f"{name} make no array ({error}); give one array of numbers") from None
    if array.dtype.kind not in "fiu":
        raise InputError(f"{name} hold {array.dtype}: give numbers")
    return array


def image_array(values: Any) -> AnyArray:
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


def planes(name: str, values: Any, image_HWC: AnyArray) -> AnyArray:
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


CLIP = 1e-5
"""Probabilities below this count as this, so that no logarithm is infinite; as the usual helper for unaries does."""

TOLERANCE = 0.01
"""How far from 1 the probabilities of a pixel may add up to: half precision rounds that much."""

_NOBODY = np.float32(-1e38)
_MOST = np.float32(1e30)
"""Energies beyond are cut to this; the probability is 0 long before."""


def scores_from_probabilities(probabilities_KHW: npt.NDArray[np.generic], crew: Crew) -> Float32Array:
    """Return log(probabilities), clipped to `CLIP` .. 1, pixel by pixel (N, K), valid as long as the crew.

    `InputError` where a probability is negative (by more than rounding) or nan, or those of a pixel do not add up to 1.
    """
    given_KN = probabilities_KHW.reshape(len(probabilities_KHW), -1)
    classes = len(given_KN)
    scores_NK = _padded(crew.scratch.empty((given_KN.shape[1], kernels.padded(classes)), np.float32), classes)

    def convert(begin: int, end: int) -> None:
        part = given_KN[:, begin:end].astype(np.float32)
        _check_sums(part)
        np.clip(part, CLIP, 1, out=part)
        scores_NK[begin:end, :classes] = np.log(part, out=part).T

    crew.chunks(len(scores_NK), convert)
    return scores_NK


def _check_sums(part_KN: Float32Array) -> None:
    sums_N = part_KN.sum(0)
    worst = float(sums_N[np.abs(sums_N - 1).argmax()])  # argmax finds nan first
    if not abs(worst - 1) <= TOLERANCE:
        raise InputError(
            f"probabilities of a pixel add up to {worst:.6g}: they are to add up to 1 (within {TOLERANCE}); apply a"
            " softmax over the classes, or hand energies to `from_energies`"
        )
    if part_KN.min() < -CLIP:  # 1 - p, or what an interpolation gives, may be a rounding below 0
        raise InputError(f"probabilities hold {float(part_KN.min()):.6g}: none may be negative")


def scores_from_energies(energies_KHW: npt.NDArray[np.generic]) -> Float32Array:
    """Return -energies, pixel by pixel (N, K); `InputError` where one is not finite in float32."""
    finite("energies", energies_KHW)
    energies_KN = energies_KHW.reshape(len(energies_KHW), -1)
    scores_NK = _rows(*energies_KN.shape[::-1])
    filled_NK = scores_NK[:, : len(energies_KN)]
    filled_NK[:] = energies_KN.T
    np.negative(filled_NK, out=filled_NK)
    np.clip(filled_NK, -_MOST, _MOST, out=filled_NK)
    return scores_NK


def _rows(pixels: int, classes: int) -> Float32Array:
    """Return rows whose first columns are yet to be filled."""
    return _padded(np.empty((pixels, kernels.padded(classes)), np.float32), classes)


def _padded(scores_NK: Float32Array, classes: int) -> Float32Array:
    scores_NK[:, classes:] = _NOBODY
    return scores_NK


def scores_from_labels(
    labels_HW: npt.NDArray[np.generic], num_classes: int, confidence: float, unknown: int
) -> Float32Array:
    """Return the logarithms of probabilities (N, K): `confidence` for a pixel's label, the rest for all others alike.

    Pixels labelled `unknown` have the same probability of every class. `InputError` for any other label.
    """
    whole("num_classes", num_classes, least=1)
    number("confidence", confidence)
    if not 0 < confidence < 1:
        raise InputError(f"confidence={confidence}: give a probability between 0 and 1, e.g. 0.7")
    if labels_HW.dtype.kind not in "iu":
        raise InputError(f"labels hold {labels_HW.dtype}: give class indices, whole numbers")
    labels_N = labels_HW.reshape(-1).astype(np.int64)
    known_N = labels_N != unknown
    wrong = np.unique(labels_N[known_N & ((labels_N < 0) | (labels_N >= num_classes))])
    if len(wrong):
        raise InputError(
            f"labels hold {', '.join(map(str, wrong[:5]))}: expected 0 to {num_classes - 1}, or {unknown} (unknown)"
        )
    other = (1 - confidence) / max(1, num_classes - 1)
    scores_NK = _rows(len(labels_N), num_classes)
    scores_NK[:, :num_classes] = np.log(other)
    scores_NK[known_N, labels_N[known_N]] = np.log(confidence)
    scores_NK[~known_N, :num_classes] = -np.log(num_classes)
    return scores_NK


FAR = 2.0**15
"""Standard deviations from 0 from which on the reference's coordinates leave their 16 bits, so that it has no marginals
to keep to, and float32 places pixels badly."""


def spatial(height: int, width: int, sd_x: float, sd_y: float) -> Float32Array:
    """Return x / sd_x and y / sd_y of every pixel (N, 2)."""
    features_HW2 = np.empty((height, width, 2), np.float32)
    features_HW2[:, :, 0] = np.arange(width, dtype=np.float32) / np.float32(sd_x)
    features_HW2[:, :, 1] = (np.arange(height, dtype=np.float32) / np.float32(sd_y))[:, None]
    return features_HW2.reshape(-1, 2)


def bilateral(
    image_HWC: npt.NDArray[np.generic], sd_x: float, sd_y: float, sd_channels: Sequence[float], crew: Crew
) -> Float32Array:
    """Return x / sd_x, y / sd_y and each channel divided by its standard deviation (N, 2 + C), valid with the crew."""
    height, width, channels = image_HWC.shape
    features_HWd: Float32Array = crew.scratch.empty((height, width, 2 + channels), np.float32)
    near_HWC, sd_C = near_zero(image_HWC, sd_channels), np.asarray(sd_channels, np.float32)
    x_W = np.arange(width, dtype=np.float32) / np.float32(sd_x)
    y_H = np.arange(height, dtype=np.float32) / np.float32(sd_y)

    def fill(begin: int, end: int) -> None:
        part_HWd = features_HWd[begin:end]
        part_HWd[:, :, 0], part_HWd[:, :, 1] = x_W, y_H[begin:end, None]
        with np.errstate(over="ignore"):  # the lattice refuses what is too large, infinity too
            np.divide(near_HWC[begin:end], sd_C, out=part_HWd[:, :, 2:], dtype=np.float32, casting="unsafe")

    crew.ranges(height, fill)
    return features_HWd.reshape(-1, 2 + channels)


def near_zero(values_XC: npt.NDArray[np.generic], sd_channels: Sequence[float]) -> npt.NDArray[np.generic]:
    """Return values (..., C), those of channels that lie far from 0 as a whole moved there.

    A Gaussian knows differences only. What float32 places well stays as it is: the lattice lies about 0, so moving it
    changes the marginals a little.
    """
    largest = max(-values_XC.min().item(), values_XC.max().item())
    if largest < FAR * min(sd_channels):
        return values_XC
    moved = [_moved(values_XC[..., channel], FAR * sd) for channel, sd in enumerate(sd_channels)]
    return np.stack(moved, -1)


def _moved(values_X: npt.NDArray[np.generic], far: float) -> npt.NDArray[np.generic]:
    """Return values less the one nearest to 0, where even that is `far` away."""
    low, high = values_X.min().item(), values_X.max().item()
    shared = low if low >= far else high if high <= -far else None
    return values_X if shared is None else np.subtract(values_X, shared)

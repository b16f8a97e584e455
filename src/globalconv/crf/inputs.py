"""The arguments of a CRF, checked and converted to what the solvers compute from: scores and features of the pixels.

Every check raises `InputError` in one line before any work is done. Scores are -energies, from which mean field starts;
features are the positions and colours of the pixels, divided by their standard deviations.

K classes, H x W pixels, C channels, d features; N = H * W pixels row by row. Rows of scores are padded to a multiple of
8 columns, with a score so low that these classes get no probability.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from globalconv.arrays import AnyArray, Float32Array
from globalconv.crf import kernels
from globalconv.crf.thread_pool import ThreadPool
from globalconv.errors import InputError

LARGEST = 1e12
"""Numbers beyond are refused: products of a weight and a cost, summed over an image, are to fit float32."""

SMALLEST_DEVIATION = 1e-30
"""Below it, dividing by a deviation leaves float32."""


def check_whole(name: str, value: Any, least: int) -> int:
    """Return `value` if it is a whole number of at least `least`."""
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < least:
        raise InputError(f"{name}={value!r}: give a whole number, at least {least}")
    return int(value)


def check_number(name: str, value: Any) -> float:
    """Return `value` if it is a finite number, of at most `LARGEST`."""
    if isinstance(value, bool) or not isinstance(value, int | float | np.integer | np.floating):
        raise InputError(f"{name}={value!r}: give a number")
    if not -LARGEST <= value <= LARGEST:  # nan is refused, too
        raise InputError(f"{name}={value!r}: give a finite number, {LARGEST:g} at most")
    return float(value)


def check_weight(name: str, value: Any) -> float:
    """Return `value` if it is a number of at least 0; 0 switches the kernel off."""
    if check_number(name, value) < 0:
        raise InputError(f"{name}={value!r}: a weight is what disagreement costs, at least 0 (0 switches it off)")
    return float(value)


def check_deviation(name: str, value: Any) -> float:
    """Return `value` if it is a number above 0."""
    if check_number(name, value) < SMALLEST_DEVIATION:
        raise InputError(
            f"{name}={value!r}: a standard deviation is above 0 (at least {SMALLEST_DEVIATION:g}); a kernel is switched"
            " off by its weight"
        )
    return float(value)


def check_finite(name: str, values: AnyArray) -> None:
    """Refuse nan and infinity; one pass and no copy where all is well."""
    with np.errstate(over="ignore", invalid="ignore"):
        total = np.asarray(values, np.float32).sum(dtype=np.float64) if values.size else 0.0
    if not math.isfinite(total):
        raise InputError(f"{name} hold nan or infinity: every value is to be finite in float32")


def as_numbers(name: str, values: Any) -> AnyArray:
    """Return `values` as an array of real numbers, as it is where it is one."""
    try:
        array = np.asarray(values)
    except ValueError as error:  # rows of different lengths
        raise InputError(f"{name} make no array ({error}); give one array of numbers") from None
    if array.dtype.kind not in "fiu":
        raise InputError(f"{name} hold {array.dtype}: give numbers")
    return array


def as_image(values: Any) -> AnyArray:
    """Return an image as an array (H, W, C)."""
    image = as_numbers("image", values)
    if image.ndim not in (2, 3):
        raise InputError(f"image of shape {image.shape}: give (height, width, channels), or (height, width) for grey")
    image_HWC = image if image.ndim == 3 else image[:, :, None]
    if 0 in image_HWC.shape:
        raise InputError(f"image of shape {image.shape} is empty: give at least one pixel and one channel")
    if image.dtype.kind == "f":
        check_finite("image", image)
    return image_HWC


def as_planes(name: str, values: Any, image_HWC: AnyArray) -> AnyArray:
    """Return the values of every class and pixel as an array (K, H, W) that fits the image."""
    array = as_numbers(name, values)
    height, width = image_HWC.shape[:2]
    if array.ndim != 3 or array.shape[1:] != (height, width) or len(array) < 1:
        hint = "; channels come last in an image" if array.shape[1:] == image_HWC.shape[1:] else ""
        raise InputError(
            f"{name} of shape {array.shape} do not fit the image of {height} x {width} pixels: give (classes,"
            f" {height}, {width}){hint}"
        )
    return array


def as_costs(values: Any) -> npt.NDArray[np.float32]:
    """Return a copy of a compatibility matrix (K, K), read-only and averaged with its transpose."""
    matrix_KK = as_numbers("compatibility", values)
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

_PADDING = np.float32(-1e38)
_LARGEST_ENERGY = np.float32(1e30)
"""Energies beyond are cut to this; the probability is 0 long before."""


def scores_from_probabilities(probabilities_KHW: npt.NDArray[np.generic], pool: ThreadPool) -> Float32Array:
    """Return log(probabilities), clipped to `CLIP` .. 1, pixel by pixel (N, K), valid as long as the pool.

    `InputError` where a probability is negative (by more than rounding) or nan, or those of a pixel do not add up to 1.
    """
    probabilities_KN = probabilities_KHW.reshape(len(probabilities_KHW), -1)
    classes, pixels = probabilities_KN.shape
    scores_NK: Float32Array = pool.buffers.empty((pixels, kernels.padded(classes)), np.float32)

    def convert(begin: int, end: int) -> None:
        part_KN = probabilities_KN[:, begin:end].astype(np.float32)
        sums_N = part_KN.sum(0)
        worst = float(sums_N[np.abs(sums_N - 1).argmax()])  # argmax finds nan first
        if not abs(worst - 1) <= TOLERANCE:
            raise InputError(
                f"probabilities of a pixel add up to {worst:.6g}: they are to add up to 1 (within {TOLERANCE}); apply a"
                " softmax over the classes, or hand energies to `from_energies`"
            )
        if part_KN.min() < -CLIP:  # 1 - p, or what an interpolation gives, may be a rounding below 0
            raise InputError(f"probabilities hold {float(part_KN.min()):.6g}: none may be negative")
        np.clip(part_KN, CLIP, 1, out=part_KN)
        scores_NK[begin:end, :classes] = np.log(part_KN, out=part_KN).T
        scores_NK[begin:end, classes:] = _PADDING

    pool.run_chunks(pixels, convert)
    return scores_NK


def scores_from_energies(energies_KHW: npt.NDArray[np.generic]) -> Float32Array:
    """Return -energies, pixel by pixel (N, K); `InputError` where one is not finite in float32."""
    check_finite("energies", energies_KHW)
    energies_KN = energies_KHW.reshape(len(energies_KHW), -1)
    padded_NK = _padded_rows(energies_KN.shape[1], len(energies_KN))
    scores_NK = padded_NK[:, : len(energies_KN)]
    scores_NK[:] = energies_KN.T
    np.negative(scores_NK, out=scores_NK)
    np.clip(scores_NK, -_LARGEST_ENERGY, _LARGEST_ENERGY, out=scores_NK)
    return padded_NK


def scores_from_labels(
    labels_HW: npt.NDArray[np.generic], num_classes: int, confidence: float, unknown: int
) -> Float32Array:
    """Return the logarithms of probabilities (N, K): `confidence` for a pixel's label, the rest shared by the others.

    Pixels labelled `unknown` have the same probability of every class. `InputError` for any other label.
    """
    check_whole("num_classes", num_classes, least=1)
    check_number("confidence", confidence)
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
    scores_NK = _padded_rows(len(labels_N), num_classes)
    scores_NK[:, :num_classes] = np.log(other)
    scores_NK[known_N, labels_N[known_N]] = np.log(confidence)
    scores_NK[~known_N, :num_classes] = -np.log(num_classes)
    return scores_NK


def _padded_rows(pixels: int, classes: int) -> Float32Array:
    """Return rows of scores whose first columns are yet to be filled."""
    scores_NK = np.empty((pixels, kernels.padded(classes)), np.float32)
    scores_NK[:, classes:] = _PADDING
    return scores_NK


FAR = 2.0**15
"""Standard deviations from 0 beyond which the reference's coordinates leave their 16 bits, so that it has no marginals
to compare with, and float32 places pixels badly."""


def spatial_features(height: int, width: int, sd_x: float, sd_y: float) -> Float32Array:
    """Return x / sd_x and y / sd_y of every pixel (N, 2)."""
    features_HW2 = np.empty((height, width, 2), np.float32)
    features_HW2[:, :, 0] = np.arange(width, dtype=np.float32) / np.float32(sd_x)
    features_HW2[:, :, 1] = (np.arange(height, dtype=np.float32) / np.float32(sd_y))[:, None]
    return features_HW2.reshape(-1, 2)


def bilateral_features(
    image_HWC: npt.NDArray[np.generic], sd_x: float, sd_y: float, sd_channels: Sequence[float], pool: ThreadPool
) -> Float32Array:
    """Return x / sd_x, y / sd_y and each channel divided by its standard deviation (N, 2 + C), valid with the pool."""
    height, width, channels = image_HWC.shape
    features_HWd: Float32Array = pool.buffers.empty((height, width, 2 + channels), np.float32)
    near_HWC, sd_C = near_zero(image_HWC, sd_channels), np.asarray(sd_channels, np.float32)
    x_W = np.arange(width, dtype=np.float32) / np.float32(sd_x)
    y_H = np.arange(height, dtype=np.float32) / np.float32(sd_y)

    def fill(begin: int, end: int) -> None:
        part_HWd = features_HWd[begin:end]
        part_HWd[:, :, 0], part_HWd[:, :, 1] = x_W, y_H[begin:end, None]
        with np.errstate(over="ignore"):  # the lattice refuses what is too large, infinity too
            np.divide(near_HWC[begin:end], sd_C, out=part_HWd[:, :, 2:], dtype=np.float32, casting="unsafe")

    pool.run_ranges(height, fill)
    return features_HWd.reshape(-1, 2 + channels)


def near_zero(values_XC: npt.NDArray[np.generic], sd_channels: Sequence[float]) -> npt.NDArray[np.generic]:
    """Return values (..., C), where channels whose values all lie far from 0 are moved to 0.

    A Gaussian depends on differences only. Values that float32 places well stay as they are: the lattice lies about 0,
    so moving them changes the marginals a little.
    """
    largest = max(-values_XC.min().item(), values_XC.max().item())
    if largest < FAR * min(sd_channels):
        return values_XC
    channels = []
    for channel, sd in enumerate(sd_channels):
        values_X = values_XC[..., channel]
        low, high, far = values_X.min().item(), values_X.max().item(), FAR * sd
        nearest = low if low >= far else high if high <= -far else None
        channels.append(values_X if nearest is None else np.subtract(values_X, nearest))
    return np.stack(channels, -1)


@dataclass(frozen=True)
class CrfProblem:
    """All that a solver computes from: one image, the scores of its pixels, and the parameters of a DenseCRF."""

    image_HWC: AnyArray
    scores_NK: Float32Array
    """Rows padded as above."""
    classes: int
    iterations: int
    appearance_weight: float
    appearance_xy: float
    appearance_rgb: tuple[float, ...]
    """One standard deviation for all channels, or one each."""
    smoothness_weight: float
    smoothness_xy: float
    costs_KK: Float32Array | None
    """Symmetric costs of class k beside class l; None is Potts."""

    def appearance_features(self, pool: ThreadPool) -> Float32Array:
        """Return the features of the appearance kernel (N, 2 + C), valid with the pool."""
        channels, sd_channels = self.image_HWC.shape[2], self.appearance_rgb
        if len(sd_channels) not in (1, channels):
            raise InputError(f"appearance_rgb names {len(sd_channels)} deviations for an image of {channels} channels")
        if len(sd_channels) == 1:
            sd_channels *= channels
        return bilateral_features(self.image_HWC, self.appearance_xy, self.appearance_xy, sd_channels, pool)

"""How large a field is: numbers of a map (H, W) of how much each pixel matters. All of raw values, in float64."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.optimize import least_squares

from globalconv.arrays import Float64Array, Int64Array
from globalconv.errors import InputError

TWO_SIGMA = 1 - 0.9545
"""The threshold of Luo et al. (Section 3): 4.55 %, what lies beyond two standard deviations of a Gaussian."""

SHARES = (0.2, 0.3, 0.5, 0.99)
"""The shares of which RepLKNet (Ding et al. 2022, Table 10) reports the squares."""


@dataclass(frozen=True)
class FieldSize:
    """The size of a field, in pixels. Multiplying the field by a number changes none of this."""

    side: float
    """sqrt of the number of pixels above 4.55 % of the largest value (Luo et al.)."""
    squares: dict[float, int]
    """Share -> side of the smallest centred square that holds it (RepLKNet)."""
    sigma: float
    """Standard deviation of the Gaussian that fits best (least squares over all pixels)."""
    fit: float
    """Share of the variance that this Gaussian explains, R^2."""


def field_size(field: npt.ArrayLike, shares: Sequence[float] = SHARES) -> FieldSize:
    """Return the size of `field` (H, W), which is nowhere negative.

    The threshold is a share of the largest value: Luo et al. take that of the centre pixel, which is the same for the
    fields they show, but misses the peak where strides leave holes. Squares and Gaussian are centred on the median row
    and column of the field, because a cell of a strided map looks at a place that is up to half a stride off its
    middle. `InputError` for a field that is zero everywhere or not finite.
    """
    values_HW = np.asarray(field, np.float64)
    peak = values_HW.max()
    if not (np.isfinite(values_HW).all() and values_HW.min() >= 0 and peak > 0):
        raise InputError("field: values have to be finite and 0 or more, some of them above 0; nothing can be measured")
    scaled_HW = values_HW / peak
    centre = _median(scaled_HW.sum(1)), _median(scaled_HW.sum(0))
    sigma, fit = _gaussian(scaled_HW, centre)
    side = float(np.sqrt(np.count_nonzero(scaled_HW > TWO_SIGMA)))
    return FieldSize(side, _squares(scaled_HW, centre, shares), sigma, fit)


def _median(weights: Float64Array) -> int:
    """Return the place that has half of the weights on each side."""
    running = np.cumsum(weights)
    return int(np.searchsorted(running, running[-1] / 2))


def _away(values_HW: Float64Array, centre: tuple[int, int]) -> tuple[Int64Array, Int64Array]:
    """Return how many rows (H, 1) and columns (1, W) everything is away from `centre`."""
    height, width = values_HW.shape
    return np.arange(height)[:, None] - centre[0], np.arange(width)[None] - centre[1]


def _squares(values_HW: Float64Array, centre: tuple[int, int], shares: Sequence[float]) -> dict[float, int]:
    rows, columns = _away(values_HW, centre)
    rings = np.maximum(abs(rows), abs(columns))
    held = np.cumsum(np.bincount(rings.ravel(), values_HW.ravel()))
    # The last ring holds everything, which rounding must not hide.
    inside = [min(int(np.searchsorted(held, share * held[-1])), len(held) - 1) for share in shares]
    return {share: 2 * radius + 1 for share, radius in zip(shares, inside, strict=True)}


def _gaussian(values_HW: Float64Array, centre: tuple[int, int]) -> tuple[float, float]:
    """Return the standard deviation of the best Gaussian around `centre`, and the share of variance it explains."""
    rows, columns = _away(values_HW, centre)
    squared_HW = rows**2.0 + columns**2.0
    start = max(0.5, float(np.sqrt((values_HW * squared_HW).sum() / values_HW.sum() / 2)))

    def residuals(parameters: Float64Array) -> Float64Array:
        height, log_sigma = parameters
        left: Float64Array = (height * np.exp(-squared_HW / (2 * np.exp(2 * log_sigma))) - values_HW).ravel()
        return left

    found = least_squares(residuals, (1.0, np.log(start)), bounds=((0, np.log(0.1)), (np.inf, np.log(1e5))))
    spread = float(((values_HW - values_HW.mean()) ** 2).sum())
    return float(np.exp(found.x[1])), 1 - 2 * float(found.cost) / spread if spread else 0.0

"""The size of a receptive field, measured on a map (H, W) of how much each pixel matters: raw values, in float64."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.optimize import least_squares

from globalconv.arrays import Float64Array
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

    The threshold is a share of the largest value. Luo et al. take the centre pixel's value, which is the largest in the
    fields that they show, but not where strides leave holes. Squares and Gaussian are centred on the median row and
    column of the field, because a cell of a strided map looks at a place up to half a stride off its middle.
    `InputError` for a field that is zero everywhere or not finite.
    """
    values_HW = np.asarray(field, np.float64)
    peak = values_HW.max()
    if not (np.isfinite(values_HW).all() and values_HW.min() >= 0 and peak > 0):
        raise InputError("field: values have to be finite and 0 or more, some of them above 0; nothing can be measured")
    values_HW = values_HW / peak
    # The median row and column have half of the values on each side.
    running_H, running_W = np.cumsum(values_HW.sum(1)), np.cumsum(values_HW.sum(0))
    row, column = (int(np.searchsorted(running, running[-1] / 2)) for running in (running_H, running_W))
    down_H1, across_1W = np.arange(len(running_H))[:, None] - row, np.arange(len(running_W))[None] - column

    rings_HW = np.maximum(abs(down_H1), abs(across_1W))
    held = np.cumsum(np.bincount(rings_HW.ravel(), values_HW.ravel()))
    # The last ring holds everything, which rounding must not hide.
    radii = [min(int(np.searchsorted(held, share * held[-1])), len(held) - 1) for share in shares]
    squares = {share: 2 * radius + 1 for share, radius in zip(shares, radii, strict=True)}

    squared_HW = down_H1**2.0 + across_1W**2.0
    start = max(0.5, float(np.sqrt((values_HW * squared_HW).sum() / values_HW.sum() / 2)))

    def residuals(parameters: Float64Array) -> Float64Array:
        height, log_sigma = parameters
        difference: Float64Array = (height * np.exp(-squared_HW / (2 * np.exp(2 * log_sigma))) - values_HW).ravel()
        return difference

    gaussian = least_squares(residuals, (1.0, np.log(start)), bounds=((0, np.log(0.1)), (np.inf, np.log(1e5))))
    variance = float(((values_HW - values_HW.mean()) ** 2).sum())
    fit = 1 - 2 * float(gaussian.cost) / variance if variance else 0.0

    side = float(np.sqrt(np.count_nonzero(values_HW > TWO_SIGMA)))
    return FieldSize(side, squares, float(np.exp(gaussian.x[1])), fit)

"""How far a score can be trusted: what other images of the same kind might have given instead.

The images are drawn anew with replacement, many times (the bootstrap); 95 % of the scores lie in the interval. It says
nothing about another seed of the training, which takes another training (`paper.statistics` has both).

Shapes: N images, K classes, R repetitions.
"""

import numpy as np

from globalconv.arrays import Float64Array, Int64Array

Interval = tuple[float, float]

REPEATS = 1000
FEWEST = 8
"""Images below which no interval is stated."""


def miou_interval(hits_NK: Int64Array, unions_NK: Int64Array) -> Interval | None:
    """Return where 95 % of the mIoUs lie; None for too few images."""
    return None if len(hits_NK) < FEWEST else _interval(_mious(hits_NK, unions_NK))


def difference_interval(a: tuple[Int64Array, Int64Array], b: tuple[Int64Array, Int64Array]) -> Interval | None:
    """Return where 95 % of the differences lie, b's mIoU less a's, both on the same images; None for too few."""
    return None if len(a[0]) < FEWEST else _interval(_mious(*b) - _mious(*a))


def drawn_mious(hits_NK: Int64Array, unions_NK: Int64Array, size: int) -> Float64Array:
    """Return the mIoU (R,) of each set of `size` images drawn with replacement: the same draws whenever N and `size`
    are the same. A class without a pixel in a set takes no part there; nan where none has any.

    Counts may have axes before N, such as one of several networks; then the result has them before R.
    """
    n = hits_NK.shape[-2]
    draws_RN = np.random.default_rng(0).multinomial(size, np.full(n, 1 / n), REPEATS).astype(np.float64)
    with np.errstate(invalid="ignore"):
        ious_RK = (draws_RN @ hits_NK) / (draws_RN @ unions_NK)
        return np.asarray(np.nansum(ious_RK, -1) / (~np.isnan(ious_RK)).sum(-1))


def _mious(hits_NK: Int64Array, unions_NK: Int64Array) -> Float64Array:
    labelled_N = unions_NK.any(1)
    return drawn_mious(hits_NK[labelled_N], unions_NK[labelled_N], int(labelled_N.sum()))


def _interval(values_R: Float64Array) -> Interval:
    low, high = np.percentile(values_R, [2.5, 97.5])
    return float(low), float(high)

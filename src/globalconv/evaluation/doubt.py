"""How far a score can be trusted: what other images of the same kind might have given instead.

The images are drawn anew with replacement, many times (the bootstrap); 95 % of the scores lie in the interval. It says
nothing about another seed of the training, which takes another training.

Shapes: N images, K classes, R repetitions.
"""

import numpy as np
import numpy.typing as npt

Counts = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Interval = tuple[float, float]

REPEATS = 1000
FEWEST = 8
"""Images below which no interval is stated."""


def miou_interval(hits_NK: Counts, unions_NK: Counts) -> Interval | None:
    """Return where 95 % of the mIoUs lie; None for too few images."""
    return None if len(hits_NK) < FEWEST else _interval(_mious(hits_NK, unions_NK))


def difference_interval(a: tuple[Counts, Counts], b: tuple[Counts, Counts]) -> Interval | None:
    """Return where 95 % of the differences lie, b's mIoU less a's, both on the same images; None for too few."""
    return None if len(a[0]) < FEWEST else _interval(_mious(*b) - _mious(*a))


def _mious(hits_NK: Counts, unions_NK: Counts) -> Floats:
    labelled_N = unions_NK.any(1)
    hits_NK, unions_NK = hits_NK[labelled_N], unions_NK[labelled_N]
    n = len(hits_NK)
    draws_RN = np.random.default_rng(0).multinomial(n, np.full(n, 1 / n), REPEATS).astype(np.float64)
    with np.errstate(invalid="ignore"):
        ious_RK = (draws_RN @ hits_NK) / (draws_RN @ unions_NK)
    return np.asarray(np.nanmean(ious_RK, 1))


def _interval(values_R: Floats) -> Interval:
    low, high = np.percentile(values_R, [2.5, 97.5])
    return float(low), float(high)

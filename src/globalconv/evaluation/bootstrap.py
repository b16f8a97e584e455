"""Bootstrap intervals of mIoU: how far a score would differ on other images of the same kind.

The images are drawn anew with replacement, many times; 95 % of the resulting scores lie in the interval. It says
nothing about another seed of the training, which takes another training (`paper.statistics` has both).

Shapes: N images, K classes, R resamples.
"""

import numpy as np

from globalconv.arrays import Float64Array, Int64Array

Interval = tuple[float, float]

RESAMPLES = 1000
MIN_IMAGES = 8
"""With fewer images no interval is given."""


def miou_interval(hits_NK: Int64Array, unions_NK: Int64Array) -> Interval | None:
    """Return the 95 % interval of the mIoU; None for fewer than `MIN_IMAGES` images."""
    return None if len(hits_NK) < MIN_IMAGES else _percentiles(_labelled_mious(hits_NK, unions_NK))


def iou_intervals(hits_NK: Int64Array, unions_NK: Int64Array) -> list[Interval | None]:
    """Return the 95 % interval of the IoU of each class; None for a class in fewer than `MIN_IMAGES` images.

    Resamples without a pixel of a class say nothing about it and are left out of its interval.
    """
    labelled_N = unions_NK.any(1)
    ious_RK = _resampled_ious(hits_NK[labelled_N], unions_NK[labelled_N], int(labelled_N.sum()))
    images_K = (unions_NK > 0).sum(0)
    return [
        None if images < MIN_IMAGES else _percentiles(ious_R[~np.isnan(ious_R)])
        for images, ious_R in zip(images_K, ious_RK.T, strict=True)
    ]


def difference_interval(a: tuple[Int64Array, Int64Array], b: tuple[Int64Array, Int64Array]) -> Interval | None:
    """Return the 95 % interval of b's mIoU less a's, both (hits_NK, unions_NK) of the same images.

    None for fewer than `MIN_IMAGES` images.
    """
    return None if len(a[0]) < MIN_IMAGES else _percentiles(_labelled_mious(*b) - _labelled_mious(*a))


def bootstrap_mious(hits_NK: Int64Array, unions_NK: Int64Array, size: int) -> Float64Array:
    """Return the mIoU (R,) of each resample, `size` images drawn with replacement.

    The draws are the same whenever N and `size` are. A class without a pixel in a resample takes no part in its mean;
    the mean is nan where no class has any. Counts may have axes before N, such as one of several networks; the result
    then has them before R.
    """
    ious_RK = _resampled_ious(hits_NK, unions_NK, size)
    with np.errstate(invalid="ignore"):
        return np.asarray(np.nansum(ious_RK, -1) / (~np.isnan(ious_RK)).sum(-1))


def _resampled_ious(hits_NK: Int64Array, unions_NK: Int64Array, size: int) -> Float64Array:
    """Return the IoU of each class in each resample of `size` images drawn with replacement; nan for absent classes."""
    n = hits_NK.shape[-2]
    draws_RN = np.random.default_rng(0).multinomial(size, np.full(n, 1 / n), RESAMPLES).astype(np.float64)
    with np.errstate(invalid="ignore"):
        return np.asarray((draws_RN @ hits_NK) / (draws_RN @ unions_NK))


def _labelled_mious(hits_NK: Int64Array, unions_NK: Int64Array) -> Float64Array:
    """Return `bootstrap_mious` over the images that have a pixel that counts."""
    labelled_N = unions_NK.any(1)
    return bootstrap_mious(hits_NK[labelled_N], unions_NK[labelled_N], int(labelled_N.sum()))


def _percentiles(values_R: Float64Array) -> Interval:
    low, high = np.percentile(values_R, [2.5, 97.5])
    return float(low), float(high)

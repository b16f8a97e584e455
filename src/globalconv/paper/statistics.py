"""What several trainings of several networks say, and how sure that is: means, paired differences, slopes.

Two things might have been otherwise: the seed of a training, and the images that it was scored on. The variance of a
value is the sum of both parts:

- of the images, by the bootstrap: they are drawn anew, the same ones for every network and seed, and scores are
  computed from the pixels of each draw summed up (never averaged over images). Frames of one clip are no independent
  images, so whole clips are drawn; what is drawn is called a cluster.
- of the seeds: the variance of the value between trainings, divided by their number, which is what drawing S - 1 of
  them anew comes to.

What is peculiar to one image in one training is in both parts, so intervals are rather too wide than too narrow.

Folds are clusters that were scored by trainings of their own each: how trainings differ is in the variance of the
folds, which is the only part then, and one seed is enough.

The interval is that of Student's t, whose degrees of freedom Satterthwaite's formula makes of the seeds' and the
clusters'. Percentiles of draws of both at once, the plain two-level bootstrap, would be too narrow for few seeds or
clusters (docs/paper-tables.md has the measured coverage of both).

Shapes: S seeds, N images, G clusters, K classes, R draws.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import stdtrit

from globalconv.arrays import Float64Array, Int64Array
from globalconv.evaluation.bootstrap import Interval, bootstrap_mious
from globalconv.evaluation.confusion import mean_iou

CONFIDENCE = 0.95
FEWEST_CLUSTERS, FEWEST_SEEDS = 5, 3
"""Clusters, and seeds where clusters are scored by the same trainings, below which no interval is stated."""


@dataclass(frozen=True)
class Scores:
    """A score of each training of one network."""

    seeds: tuple[int, ...]
    clusters: int
    found_S: Float64Array
    """On the images as they are."""
    drawn_RS: Float64Array
    """On the images of each draw."""
    apart: bool = False
    """Whether each cluster was scored by trainings of its own, as folds are."""


@dataclass(frozen=True)
class Estimate:
    """A value over seeds, and where it lies on other seeds and images (95 %); without interval it says why."""

    value: float
    interval: Interval | None
    seeds: int
    clusters: int
    doubt: str = ""
    """Why there is no interval."""


def scores(
    seeds: Sequence[int], hits_SNK: Int64Array, unions_SNK: Int64Array, clusters: Sequence[str], apart: bool = False
) -> Scores:
    """Return the mIoU of each training and what it might be on other images; `clusters` names that of each image.

    With `apart`, each cluster is a fold, and a seed has a training for each of them.
    An accuracy is the mIoU of a single class whose hits are the right pixels and whose union is all of them.
    """
    hits_SGK, unions_SGK = (_summed(counts, clusters) for counts in (hits_SNK, unions_SNK))
    found = [mean_iou(*counts) for counts in zip(hits_SGK.sum(1), unions_SGK.sum(1), strict=True)]
    count = hits_SGK.shape[1]
    drawn_SR = bootstrap_mious(hits_SGK, unions_SGK, max(1, count - 1))  # of G draws the spread were too small
    return Scores(tuple(seeds), count, np.array(found), drawn_SR.T, apart)


def _summed(counts_SNK: Int64Array, clusters: Sequence[str]) -> Int64Array:
    """Return the counts of each cluster (S, G, K), clusters in the order of their names."""
    names, places_N = np.unique(np.array(clusters), return_inverse=True)
    summed_GSK = np.zeros((len(names), counts_SNK.shape[0], counts_SNK.shape[2]), np.int64)
    np.add.at(summed_GSK, places_N, counts_SNK.swapaxes(0, 1))
    return summed_GSK.swapaxes(0, 1)


def mean(of: Scores) -> Estimate:
    """Return the mean over the seeds."""
    estimate = combination([(1.0, of)])
    assert estimate
    return estimate


def difference(one: Scores, other: Scores) -> Estimate | None:
    """Return how much `other` is above `one`, over the seeds that both have; None where they share none."""
    return combination([(-1.0, one), (1.0, other)])


def slope_weights(xs: Sequence[float]) -> list[float]:
    """Return the weight of each score in the slope of the least squares line over log2 x: the rise when x doubles."""
    logs = np.log2(np.array(xs, np.float64))
    centred = logs - logs.mean()
    return [float(weight) for weight in centred / (centred**2).sum()]


def combination(parts: Sequence[tuple[float, Scores]]) -> Estimate | None:
    """Return the sum of weight x score over the seeds that all have; None where they share none.

    All parts are scores on the same images: each draw and each seed takes all of them at once, so what images and
    seeds do to all networks alike cancels.
    """
    seeds = sorted(set.intersection(*(set(of.seeds) for _, of in parts)))
    if not seeds:
        return None
    places = [[of.seeds.index(seed) for seed in seeds] for _, of in parts]
    found_S = sum(weight * of.found_S[at] for (weight, of), at in zip(parts, places, strict=True))
    drawn_RS = sum(weight * of.drawn_RS[:, at] for (weight, of), at in zip(parts, places, strict=True))
    assert isinstance(found_S, np.ndarray) and isinstance(drawn_RS, np.ndarray)
    return _estimate(found_S, drawn_RS, min(of.clusters for _, of in parts), all(of.apart for _, of in parts))


def _estimate(found_S: Float64Array, drawn_RS: Float64Array, clusters: int, apart: bool) -> Estimate:
    value, seeds = float(found_S.mean()), len(found_S)
    if seeds < FEWEST_SEEDS and not apart:
        number = "one seed is" if seeds == 1 else f"{seeds} seeds are"
        return Estimate(value, None, seeds, clusters, f"{number} too few, {FEWEST_SEEDS} are needed")
    if clusters < FEWEST_CLUSTERS:
        doubt = f"{clusters} images, clips or folds are too few, {FEWEST_CLUSTERS} are needed"
        return Estimate(value, None, seeds, clusters, doubt)
    of_seeds = 0.0 if apart else float(found_S.var(ddof=1)) / seeds
    half = _half_width(of_seeds, seeds, float(np.nanvar(drawn_RS.mean(1))), clusters)
    return Estimate(value, (value - half, value + half), seeds, clusters)


def _half_width(of_seeds: float, seeds: int, of_clusters: float, clusters: int) -> float:
    """Return half the width of the interval from both variances."""
    both = of_seeds + of_clusters
    if both == 0:
        return 0.0
    freedom = both**2 / (of_seeds**2 / max(1, seeds - 1) + of_clusters**2 / (clusters - 1))
    return float(stdtrit(freedom, (1 + CONFIDENCE) / 2)) * math.sqrt(both)

"""Scores of several trainings of several networks: means, paired differences and slopes, with confidence intervals.

Two things vary: the seed of a training, and the images on which it is scored. The variance of a value is the sum of
both parts:

- of the images, by the bootstrap: images are drawn with replacement, the same ones for every network and seed, and
  scores are computed from the summed pixel counts of each resample (never averaged over images). Frames of one clip are
  not independent, so whole clips are drawn; the unit that is drawn is called a cluster.
- of the seeds: the variance of the value between trainings, divided by their number, which is the variance of a
  bootstrap that draws S - 1 of them.

What is peculiar to one image in one training is in both parts, so intervals are rather too wide than too narrow.

Folds are clusters that are scored by trainings of their own: the variance between folds holds the variance between
trainings, so it is the only part then, and one seed is enough.

The interval is that of Student's t with Satterthwaite's degrees of freedom. Percentiles of a bootstrap that draws seeds
and images at once would be too narrow for few seeds or clusters (docs/paper-tables.md has the measured coverage of
both).

Shapes: S seeds, N images, G clusters, K classes, R resamples.
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
MIN_CLUSTERS, MIN_SEEDS = 5, 3
"""Clusters, and seeds unless there are folds, below which no interval is given."""


@dataclass(frozen=True)
class SeedScores:
    """A score of each training of one network."""

    seeds: tuple[int, ...]
    clusters: int
    scores_S: Float64Array
    """On all images."""
    resampled_RS: Float64Array
    """On the images of each resample."""
    folds: bool = False
    """Whether the clusters are folds, each scored by trainings of its own."""


@dataclass(frozen=True)
class Estimate:
    """The mean of a value over seeds and its 95 % interval, or the reason why it has none."""

    value: float
    interval: Interval | None
    seeds: int
    clusters: int
    reason: str = ""


def bootstrap_scores(
    seeds: Sequence[int], hits_SNK: Int64Array, unions_SNK: Int64Array, clusters: Sequence[str], folds: bool = False
) -> SeedScores:
    """Return the mIoU of each training, on all images and on resampled ones; `clusters` names that of each image.

    With `folds`, each cluster is a fold, and a seed has one training for each of them.
    An accuracy is the mIoU of a single class whose hits are the correct pixels and whose union is all pixels.
    """
    names, cluster_N = np.unique(np.array(clusters), return_inverse=True)

    def summed_by_cluster(counts_SNK: Int64Array) -> Int64Array:
        summed_GSK = np.zeros((len(names), counts_SNK.shape[0], counts_SNK.shape[2]), np.int64)
        np.add.at(summed_GSK, cluster_N, counts_SNK.swapaxes(0, 1))
        return summed_GSK.swapaxes(0, 1)

    hits_SGK, unions_SGK = summed_by_cluster(hits_SNK), summed_by_cluster(unions_SNK)
    scores = [mean_iou(*counts) for counts in zip(hits_SGK.sum(1), unions_SGK.sum(1), strict=True)]
    size = max(1, len(names) - 1)  # resamples of G clusters would spread too little
    return SeedScores(tuple(seeds), len(names), np.array(scores), bootstrap_mious(hits_SGK, unions_SGK, size).T, folds)


def mean_score(scores: SeedScores) -> Estimate:
    """Return the mean over the seeds."""
    estimate = linear_combination([(1.0, scores)])
    assert estimate
    return estimate


def paired_difference(baseline: SeedScores, scores: SeedScores) -> Estimate | None:
    """Return how much `scores` are above `baseline`, over the seeds that both have; None where they share none."""
    return linear_combination([(-1.0, baseline), (1.0, scores)])


def slope_weights(xs: Sequence[float]) -> list[float]:
    """Return the weight of each score in the slope of the least squares line over log2 x: the rise when x doubles."""
    logs = np.log2(np.array(xs, np.float64))
    centred = logs - logs.mean()
    return [float(weight) for weight in centred / (centred**2).sum()]


def linear_combination(terms: Sequence[tuple[float, SeedScores]]) -> Estimate | None:
    """Return the sum of weight x score over the seeds that all terms have; None where they share none.

    All terms are scores on the same images, and each resample and each seed takes all of them at once, so the effects
    of images and seeds that all networks share cancel.
    """
    seeds = sorted(set.intersection(*(set(scores.seeds) for _, scores in terms)))
    if not seeds:
        return None
    value_S, value_RS = np.zeros(1), np.zeros((1, 1))
    for weight, scores in terms:
        columns = [scores.seeds.index(seed) for seed in seeds]
        value_S = value_S + weight * scores.scores_S[columns]
        value_RS = value_RS + weight * scores.resampled_RS[:, columns]
    value = float(value_S.mean())
    clusters = min(scores.clusters for _, scores in terms)
    folds = all(scores.folds for _, scores in terms)
    if len(seeds) < MIN_SEEDS and not folds:
        count = "one seed is" if len(seeds) == 1 else f"{len(seeds)} seeds are"
        return Estimate(value, None, len(seeds), clusters, f"{count} too few, {MIN_SEEDS} are needed")
    if clusters < MIN_CLUSTERS:
        reason = f"{clusters} images, clips or folds are too few, {MIN_CLUSTERS} are needed"
        return Estimate(value, None, len(seeds), clusters, reason)
    seed_variance = 0.0 if folds else float(value_S.var(ddof=1)) / len(seeds)
    cluster_variance = float(np.nanvar(value_RS.mean(1)))
    variance = seed_variance + cluster_variance
    half_width = 0.0
    if variance != 0:  # Satterthwaite's degrees of freedom
        shares = seed_variance**2 / max(1, len(seeds) - 1) + cluster_variance**2 / (clusters - 1)
        half_width = float(stdtrit(variance**2 / shares, (1 + CONFIDENCE) / 2)) * math.sqrt(variance)
    return Estimate(value, (value - half_width, value + half_width), len(seeds), clusters)

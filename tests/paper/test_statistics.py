"""Intervals against known answers: simulated trainings with a known gain, plain Python, a line, and a formula."""

import math
import statistics

import numpy as np
import numpy.typing as npt
import pytest
from scipy.stats import t as student

from globalconv.arrays import Float64Array
from globalconv.evaluation.bootstrap import RESAMPLES
from globalconv.paper.statistics import (
    Estimate,
    SeedScores,
    bootstrap_scores,
    linear_combination,
    mean_score,
    paired_difference,
    slope_weights,
)

NAMES = [f"image {number}" for number in range(40)]


def of_shares(shares_SN: Float64Array, unions_NK: npt.NDArray[np.int64], clusters: list[str] = NAMES) -> SeedScores:
    """Return the scores of trainings that have this share of each class right in each image."""
    hits_SNK = (shares_SN[..., None] * unions_NK).round().astype(np.int64)
    return bootstrap_scores(range(len(shares_SN)), hits_SNK, np.broadcast_to(unions_NK, hits_SNK.shape), clusters)


def simulated(
    rng: np.random.Generator, spreads: tuple[float, float, float], gain: float
) -> tuple[npt.NDArray[np.int64], Float64Array, Float64Array]:
    """Return unions, and the shares (5, 40) of two networks; the gain varies by seed, by image, and by both."""
    unions_NK = rng.integers(200, 4000, (40, 3)) * (rng.random((40, 3)) < 0.7)
    shapes = ((5, 1), (1, 40), (5, 40))
    varying = sum(spread * rng.standard_normal(shape) for spread, shape in zip(spreads, shapes, strict=True))
    level_SN = np.clip(0.5 + 0.15 * rng.standard_normal(40), 0.2, 0.8) + 0.02 * rng.standard_normal((5, 1))
    return unions_NK, level_SN, np.asarray(level_SN + gain + varying)


def experiment(
    rng: np.random.Generator, spreads: tuple[float, float, float], gain: float
) -> tuple[SeedScores, SeedScores]:
    """Return both networks' scores."""
    unions_NK, level_SN, better_SN = simulated(rng, spreads, gain)
    return of_shares(level_SN, unions_NK), of_shares(better_SN, unions_NK)


def numbers(estimate: Estimate | None) -> tuple[float, float, float]:
    assert estimate and estimate.interval
    return estimate.value, *estimate.interval


def test_95_percent_intervals_hold_the_true_gain_in_95_percent_of_experiments() -> None:
    """Wherever most of the variance comes from; of 120 experiments 114 are expected."""
    rng = np.random.default_rng(5)
    held = 0
    for spreads in [(0.02, 0.02, 0.02), (0.002, 0.08, 0.02), (0.002, 0.02, 0.1)] * 40:
        _, low, high = numbers(paired_difference(*experiment(rng, spreads, 0.03)))
        held += low <= 0.03 <= high
    assert 110 <= held <= 119


def test_plain_python_gives_the_same_interval() -> None:
    setting = (0.02, 0.05, 0.05), 0.03
    unions_NK, *shares_SN = simulated(np.random.default_rng(1), *setting)
    unions, (level, better) = unions_NK.tolist(), [shares.tolist() for shares in shares_SN]
    order = sorted(range(40), key=lambda image: NAMES[image])

    def miou(shares: list[float], times: list[int]) -> float:
        """`times` says how often each image, in the order of names, is drawn."""
        ious = []
        for k in range(3):
            hits = sum(n * round(shares[at] * unions[at][k]) for n, at in zip(times, order, strict=True))
            union = sum(n * unions[at][k] for n, at in zip(times, order, strict=True))
            if union:
                ious.append(hits / union)
        return statistics.fmean(ious)

    def gains(times: list[int]) -> list[float]:
        return [miou(b, times) - miou(a, times) for a, b in zip(level, better, strict=True)]

    draws = np.random.default_rng(0).multinomial(39, [1 / 40] * 40, RESAMPLES).tolist()
    gains_S = gains([1] * 40)
    seed_variance = statistics.variance(gains_S) / 5
    image_variance = statistics.pvariance([statistics.fmean(gains(times)) for times in draws])
    freedom = (seed_variance + image_variance) ** 2 / (seed_variance**2 / 4 + image_variance**2 / 39)
    half = student.ppf(0.975, freedom) * math.sqrt(seed_variance + image_variance)
    value = statistics.fmean(gains_S)
    interval = numbers(paired_difference(*experiment(np.random.default_rng(1), *setting)))
    assert interval == pytest.approx((value, value - half, value + half), abs=1e-12)


def test_equal_images_give_the_standard_error_of_their_mean() -> None:
    """One class, images of one size: the score is the mean over images, whose spread is known without drawing."""
    shares_N = np.random.default_rng(2).uniform(0.2, 0.8, 40)
    estimate = mean_score(of_shares(np.tile(shares_N, (3, 1)), np.full((40, 1), 10**6)))
    value, low, high = numbers(estimate)
    error = statistics.stdev(shares_N) / math.sqrt(40)
    assert value == pytest.approx(shares_N.mean(), abs=1e-6)
    assert (high - low) / 2 == pytest.approx(student.ppf(0.975, 39) * error, rel=0.1)  # of 1000 draws


def test_seeds_alone_give_the_t_interval() -> None:
    shares_S = np.array([0.5, 0.52, 0.57])
    value, low, high = numbers(mean_score(of_shares(np.tile(shares_S[:, None], (1, 40)), np.full((40, 2), 10**6))))
    half = student.ppf(0.975, 2) * statistics.stdev(shares_S) / math.sqrt(3)
    assert (value - low, high - value) == pytest.approx((half, half), rel=1e-6)


def test_pairing_cancels_what_all_networks_share() -> None:
    one, other = experiment(np.random.default_rng(3), (0.002, 0.01, 0.01), 0.03)
    _, low, high = numbers(paired_difference(one, other))
    apart = [numbers(mean_score(network)) for network in (one, other)]
    unpaired = math.hypot(*(top - bottom for _, bottom, top in apart))
    assert high - low < 0.5 * unpaired


def test_only_common_seeds_are_paired() -> None:
    unions = np.full((40, 1), 100)
    one = of_shares(np.array([[0.3], [0.5], [0.7]]).repeat(40, 1), unions)
    other = SeedScores((1, 2, 3), 40, np.array([0.6, 0.8, 0.1]), np.tile([0.6, 0.8, 0.1], (RESAMPLES, 1)))
    estimate = paired_difference(one, other)
    assert estimate and estimate.seeds == 2 and estimate.value == pytest.approx(0.1)
    assert estimate.interval is None and "2 seeds are too few" in estimate.reason
    assert paired_difference(one, SeedScores((7,), 40, np.array([0.6]), np.full((RESAMPLES, 1), 0.6))) is None


def test_a_line_over_log_k_has_its_slope() -> None:
    unions = np.full((40, 1), 10**6)
    lines = [of_shares(np.full((3, 40), 0.3 + 0.04 * math.log2(k)), unions) for k in (1, 3, 7, 15)]
    weighted = list(zip(slope_weights([1, 3, 7, 15]), lines, strict=True))
    assert numbers(linear_combination(weighted)) == pytest.approx((0.04, 0.04, 0.04), abs=1e-6)
    bent = np.array([0.3, 0.5, 0.4])
    assert bent @ slope_weights([2, 4, 8]) == pytest.approx(np.polyfit([1, 2, 3], bent, 1)[0])


def test_frames_of_one_clip_are_one_sample() -> None:
    """Ten clips of four equal frames have the interval of ten images, not of forty."""
    shares_G = np.random.default_rng(4).uniform(0.2, 0.8, 10)
    unions_NK = np.full((40, 1), 10**4)
    clips = [name for name in "abcdefghij" for _ in range(4)]
    frames = mean_score(of_shares(np.tile(shares_G.repeat(4), (3, 1)), unions_NK, clips))
    images = mean_score(of_shares(np.tile(shares_G, (3, 1)), unions_NK[:10], list("abcdefghij")))
    assert frames.clusters == 10 and numbers(frames) == pytest.approx(numbers(images))


@pytest.mark.parametrize("seeds", [1, 2, 4])
def test_the_variance_of_folds_includes_that_of_their_trainings(seeds: int) -> None:
    """Five folds of eight equal images, each with a score of its own in each seed: the t interval of their means."""
    shares_SG = np.random.default_rng(7).uniform(0.2, 0.8, (seeds, 5))
    folds = [name for name in "abcde" for _ in range(8)]
    unions_NK = np.full((40, 1), 10**6)
    hits_SNK = (shares_SG.repeat(8, axis=1)[..., None] * unions_NK).round().astype(np.int64)
    scores = bootstrap_scores(range(seeds), hits_SNK, np.broadcast_to(unions_NK, hits_SNK.shape), folds, folds=True)
    value, low, high = numbers(mean_score(scores))
    means_G = shares_SG.mean(0)
    half = student.ppf(0.975, 4) * statistics.stdev(means_G) / math.sqrt(5)
    assert value == pytest.approx(means_G.mean(), abs=1e-6)
    assert (high - low) / 2 == pytest.approx(half, rel=0.1)  # of 1000 draws


def test_too_few_seeds_or_clusters_have_no_interval_and_a_reason() -> None:
    unions_NK = np.full((40, 1), 100)
    single = mean_score(of_shares(np.full((1, 40), 0.5), unions_NK))
    assert single.interval is None and "one seed is too few" in single.reason and single.value == pytest.approx(0.5)
    four = mean_score(of_shares(np.full((3, 40), 0.5), unions_NK, ["a", "b", "c", "d"] * 10))
    assert four.interval is None and "4 images, clips or folds are too few" in four.reason
    folds = SeedScores((0,), 4, np.array([0.5]), np.full((RESAMPLES, 1), 0.5), folds=True)
    assert mean_score(folds).interval is None and "4 images, clips or folds are too few" in mean_score(folds).reason


def test_contrasts_of_different_scores_share_their_images() -> None:
    """A gain that is the same in two regions of each image differs by nothing, however much images differ."""
    unions_NK = np.full((40, 1), 10**6)
    level = np.random.default_rng(6).uniform(0.2, 0.6, 40)
    inside, border = (of_shares(np.tile(level + offset, (3, 1)), unions_NK) for offset in (0.2, 0.0))
    better_inside, better_border = (of_shares(np.tile(level + offset, (3, 1)), unions_NK) for offset in (0.25, 0.05))
    parts = [(1.0, better_inside), (-1.0, inside), (-1.0, better_border), (1.0, border)]
    assert numbers(linear_combination(parts)) == pytest.approx((0, 0, 0), abs=1e-9)

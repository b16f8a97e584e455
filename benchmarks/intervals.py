"""How often an interval of `globalconv paper report` holds the truth, beside the plain two-level bootstrap.

    python benchmarks/intervals.py [--experiments 300]

Simulated trainings of two networks, paired by seed and image, of which the second gains 3 points; the gain varies by
seed, by image, and by both. "percentiles" draws seeds and images at once, 1,000 times, and takes the middle 95 %.
Where there are folds, each of them has trainings of its own and takes the place of an image.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import tyro
from common import RESULTS, print_rows, write_report

from globalconv.arrays import Int64Array
from globalconv.evaluation.bootstrap import bootstrap_mious
from globalconv.paper.statistics import SeedScores, bootstrap_scores, paired_difference

GAIN = 0.03
CLASSES = 4
SPREADS = {"seeds and images": (0.02, 0.02, 0.02), "images": (0.002, 0.1, 0.02), "single pairs": (0.002, 0.02, 0.15)}
"""Standard deviations of the gain: between seeds, between images, and of one image in one training."""
SIZES = ((5, 240, 0), (5, 60, 0), (3, 60, 0), (1, 60, 5), (3, 60, 5))
"""Seeds, images, and folds of these (0: the same trainings for all images)."""

Network = tuple[Int64Array, Int64Array]
"""Hits and unions, (S, N, K)."""


@dataclass(frozen=True)
class Settings:
    experiments: int = 300
    """Of each kind."""


def experiment(rng: np.random.Generator, seeds: int, images: int, folds: int, source: str) -> list[Network]:
    """Return the counts of both networks; of folds as well as of images."""
    unions_NK = rng.integers(200, 4000, (images, CLASSES)) * (rng.random((images, CLASSES)) < 0.7)
    unions_NK[:, 0] += 200
    trainings, places = folds or 1, folds or images
    training_spread, place_spread, pair_spread = SPREADS[source]
    varying = training_spread * rng.standard_normal((seeds, trainings)).repeat(images // trainings, axis=1)
    varying += place_spread * rng.standard_normal(places).repeat(images // places)
    varying += pair_spread * rng.standard_normal((seeds, images))
    level_SN = np.clip(0.5 + 0.15 * rng.standard_normal(images), 0.1, 0.9) + 0.02 * rng.standard_normal((seeds, 1))
    both = [
        (share_SN[..., None] * unions_NK).round().astype(np.int64) for share_SN in (level_SN, level_SN + GAIN + varying)
    ]
    return [(hits_SNK, np.broadcast_to(unions_NK, hits_SNK.shape)) for hits_SNK in both]


def percentiles(one: Network, other: Network, folds: int, rng: np.random.Generator) -> tuple[float, float]:
    """Return the interval of the plain two-level bootstrap, of seeds and of folds or images."""
    if folds:
        one, other = ((summed(hits, folds), summed(unions, folds)) for hits, unions in (one, other))
    seeds, places = one[0].shape[:2]
    gains_SR = bootstrap_mious(*other, places) - bootstrap_mious(*one, places)
    weights_SR = rng.multinomial(seeds, [1 / seeds] * seeds, gains_SR.shape[1]).T / seeds
    low, high = np.percentile((weights_SR * gains_SR).sum(0), [2.5, 97.5])
    return float(low), float(high)


def summed(counts_SNK: Int64Array, folds: int) -> Int64Array:
    """Return the counts of each fold (S, G, K)."""
    seeds, images, classes = counts_SNK.shape
    summed_SGK: Int64Array = counts_SNK.reshape(seeds, folds, images // folds, classes).sum(2)
    return summed_SGK


def of(network: Network, folds: int) -> SeedScores:
    seeds, images = network[0].shape[:2]
    places = folds or images
    names = [f"{number * places // images:04}" for number in range(images)]
    return bootstrap_scores(range(seeds), *network, names, folds=folds > 0)


def row(seeds: int, images: int, folds: int, source: str, experiments: int) -> dict[str, Any]:
    """Return how often both intervals hold the truth, and how wide they are."""
    rng = np.random.default_rng(0)
    found = []
    for _ in range(experiments):
        one, other = experiment(rng, seeds, images, folds, source)
        ours = paired_difference(of(one, folds), of(other, folds))
        assert ours and ours.interval
        found.append((percentiles(one, other, folds, rng), ours.interval))
    facts: dict[str, Any] = {"seeds": seeds, "images": images, "folds": folds, "variance from": source}
    for name, intervals in zip(("percentiles", "ours"), zip(*found, strict=True), strict=True):
        facts[f"{name} hold %"] = round(100 * float(np.mean([low <= GAIN <= high for low, high in intervals])), 1)
        facts[f"{name} width, points"] = round(100 * float(np.mean([high - low for low, high in intervals])), 2)
    return facts


def main(settings: Settings) -> None:
    rows = [row(*size, source, settings.experiments) for size in SIZES for source in SPREADS]
    print_rows("95 % intervals", rows)
    report = {
        "command": "python benchmarks/intervals.py",
        "settings": {"experiments": settings.experiments, "gain": GAIN},
    }
    write_report(RESULTS / "intervals.json", {**report, "tables": {"95 % intervals of simulated gains": rows}})


if __name__ == "__main__":
    main(tyro.cli(Settings))

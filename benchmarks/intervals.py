"""How often an interval of `globalconv paper report` holds the truth, beside the plain two-level bootstrap.

    python benchmarks/intervals.py [--experiments 300]

Simulated trainings of two networks, paired by seed and picture, of which the second gains 3 points; the gain varies by
seed, by picture, and by both. "percentiles" draws seeds and pictures at once, 1,000 times, and takes the middle 95 %.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import tyro
from common import RESULTS, print_rows, write_report

from globalconv.evaluation.doubt import drawn_mious
from globalconv.paper.statistics import Scores, difference, scores

GAIN = 0.03
CLASSES = 4
DOUBTS = {"seeds and pictures": (0.02, 0.02, 0.02), "pictures": (0.002, 0.1, 0.02), "single pairs": (0.002, 0.02, 0.15)}
"""Standard deviations of the gain: between seeds, between pictures, and of one picture in one training."""
SIZES = ((5, 240), (5, 60), (3, 60), (5, 5))
"""Seeds and pictures."""

Network = tuple[np.ndarray[Any, np.dtype[np.int64]], np.ndarray[Any, np.dtype[np.int64]]]
"""Hits and unions, (S, N, K)."""


@dataclass(frozen=True)
class Settings:
    experiments: int = 300
    """Of each kind."""


def experiment(rng: np.random.Generator, seeds: int, pictures: int, doubt: str) -> list[Network]:
    """Return the counts of both networks."""
    unions_NK = rng.integers(200, 4000, (pictures, CLASSES)) * (rng.random((pictures, CLASSES)) < 0.7)
    unions_NK[:, 0] += 200
    shapes = ((seeds, 1), (1, pictures), (seeds, pictures))
    varying = sum(spread * rng.standard_normal(shape) for spread, shape in zip(DOUBTS[doubt], shapes, strict=True))
    level_SN = np.clip(0.5 + 0.15 * rng.standard_normal(pictures), 0.1, 0.9) + 0.02 * rng.standard_normal((seeds, 1))
    both = [
        (share_SN[..., None] * unions_NK).round().astype(np.int64) for share_SN in (level_SN, level_SN + GAIN + varying)
    ]
    return [(hits_SNK, np.broadcast_to(unions_NK, hits_SNK.shape)) for hits_SNK in both]


def percentiles(one: Network, other: Network, rng: np.random.Generator) -> tuple[float, float]:
    """Return the interval of the plain two-level bootstrap."""
    seeds, pictures = one[0].shape[:2]
    gains_SR = drawn_mious(*other, pictures) - drawn_mious(*one, pictures)
    weights_SR = rng.multinomial(seeds, [1 / seeds] * seeds, gains_SR.shape[1]).T / seeds
    low, high = np.percentile((weights_SR * gains_SR).sum(0), [2.5, 97.5])
    return float(low), float(high)


def of(network: Network) -> Scores:
    return scores(range(len(network[0])), *network, [f"{number:04}" for number in range(network[0].shape[1])])


def row(seeds: int, pictures: int, doubt: str, experiments: int) -> dict[str, Any]:
    """Return how often both intervals hold the truth, and how wide they are."""
    rng = np.random.default_rng(0)
    found = []
    for _ in range(experiments):
        one, other = experiment(rng, seeds, pictures, doubt)
        ours = difference(of(one), of(other))
        assert ours and ours.interval
        found.append((percentiles(one, other, rng), ours.interval))
    facts: dict[str, Any] = {"seeds": seeds, "pictures": pictures, "doubt of": doubt}
    for name, intervals in zip(("percentiles", "ours"), zip(*found, strict=True), strict=True):
        facts[f"{name} hold %"] = round(100 * float(np.mean([low <= GAIN <= high for low, high in intervals])), 1)
        facts[f"{name} width, points"] = round(100 * float(np.mean([high - low for low, high in intervals])), 2)
    return facts


def main(settings: Settings) -> None:
    rows = [row(*size, doubt, settings.experiments) for size in SIZES for doubt in DOUBTS]
    print_rows("95 % intervals", rows)
    report = {
        "command": "python benchmarks/intervals.py",
        "settings": {"experiments": settings.experiments, "gain": GAIN},
    }
    write_report(RESULTS / "intervals.json", {**report, "tables": {"95 % intervals of simulated gains": rows}})


if __name__ == "__main__":
    main(tyro.cli(Settings))

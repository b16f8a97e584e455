"""The learning rate is a closed form of the step."""

import math

import pytest

from globalconv.training.optim import learning_rate
from globalconv.training.recipe import OptimSettings


@pytest.mark.parametrize("schedule", ["poly", "cosine", "constant"])
def test_warmup_rises_linearly_to_the_schedule(schedule: str) -> None:
    warm = OptimSettings(lr=0.1, schedule=schedule, warmup_steps=4)  # type: ignore[arg-type]
    cold = OptimSettings(lr=0.1, schedule=schedule)  # type: ignore[arg-type]
    for step in range(10):
        share = min(1.0, (step + 1) / 5)
        assert learning_rate(step, 100, warm) == pytest.approx(share * learning_rate(step, 100, cold))


def test_known_values() -> None:
    assert learning_rate(50, 100, OptimSettings(lr=2.0, schedule="poly")) == pytest.approx(2 * 0.5**0.9)
    assert learning_rate(25, 100, OptimSettings(lr=2.0, schedule="cosine")) == pytest.approx(1 + math.sqrt(0.5))
    assert learning_rate(99, 100, OptimSettings(lr=2.0, schedule="constant")) == 2.0


@pytest.mark.parametrize("schedule", ["poly", "cosine"])
def test_decays_from_the_peak_and_stays_positive(schedule: str) -> None:
    rates = [learning_rate(step, 57, OptimSettings(lr=0.3, schedule=schedule)) for step in range(57)]  # type: ignore[arg-type]
    assert rates[0] == pytest.approx(0.3)
    assert rates == sorted(rates, reverse=True)
    assert rates[-1] > 0

"""The optimiser, the learning rate as a closed form of the step, and the moving average of the weights."""

import math

import pytest
import torch
from torch import nn

from globalconv.model.network import GlobalConvNet
from globalconv.training.optim import MovingAverage, build_optimizer, learning_rate
from globalconv.training.recipe import OptimSettings


@pytest.mark.parametrize("algorithm", ["sgd", "adamw"])
def test_only_convolutions_decay(algorithm: str) -> None:
    network = GlobalConvNet(3, "test_resnet", 3)
    optimizer = build_optimizer(network, OptimSettings(algorithm=algorithm, weight_decay=0.1))  # type: ignore[arg-type]
    decayed, plain = optimizer.param_groups
    assert (decayed["weight_decay"], plain["weight_decay"]) == (0.1, 0.0)
    convolutions = [m.weight for m in network.modules() if isinstance(m, nn.Conv2d | nn.ConvTranspose2d)]
    assert {id(p) for p in decayed["params"]} == {id(p) for p in convolutions}
    assert sum(len(group["params"]) for group in optimizer.param_groups) == len(list(network.parameters()))


def test_frozen_parameters_are_left_out() -> None:
    network = GlobalConvNet(3, "test_resnet", 3)
    network.backbone.requires_grad_(False)
    optimizer = build_optimizer(network, OptimSettings())
    assert all(p.requires_grad for group in optimizer.param_groups for p in group["params"])


def test_sgd_follows_its_formula() -> None:
    """v = momentum v + g + decay w; w = w - lr v (Caffe's, up to where the rate is multiplied in)."""
    layer = nn.Linear(1, 1, bias=False)
    optimizer = build_optimizer(layer, OptimSettings(lr=0.1, momentum=0.9, weight_decay=0.01))
    weight, velocity = float(layer.weight.detach()), 0.0
    for gradient in (1.0, -2.0, 0.5):
        layer.weight.grad = torch.full((1, 1), gradient)
        optimizer.step()
        velocity = 0.9 * velocity + gradient + 0.01 * weight
        weight -= 0.1 * velocity
        assert float(layer.weight.detach()) == pytest.approx(weight, rel=1e-5)


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


def test_moving_average_follows_the_closed_form() -> None:
    network = nn.Linear(1, 1, bias=False)
    average = MovingAverage(network, decay=0.5)
    expected = float(network.weight.detach())
    for step in range(1, 6):
        with torch.no_grad():
            network.weight.fill_(float(step))
        average.update(network, step)
        decay = min(0.5, (1 + step) / (10 + step))
        expected = decay * expected + (1 - decay) * step
    assert isinstance(average.network, nn.Linear)
    assert float(average.network.weight) == pytest.approx(expected)


def test_moving_average_copies_counters_and_averages_statistics() -> None:
    network = nn.BatchNorm1d(2)
    average = MovingAverage(network, decay=0.9)
    network(torch.randn(8, 2) + 5)
    average.update(network, 1000)
    state = average.network.state_dict()
    assert state["num_batches_tracked"] == 1
    assert torch.allclose(state["running_mean"], 0.1 * network.state_dict()["running_mean"], rtol=1e-4)

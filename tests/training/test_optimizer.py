"""Only weights of convolutions decay, frozen parameters are left out, and the fused step is the plain one."""

import pytest
import torch
from torch import nn

from globalconv.model.network import GlobalConvNet
from globalconv.training.optim import build_optimizer
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


def test_what_needs_no_gradient_is_left_out() -> None:
    network = GlobalConvNet(3, "test_resnet", 3)
    network.backbone.requires_grad_(False)
    optimizer = build_optimizer(network, OptimSettings())
    assert all(p.requires_grad for group in optimizer.param_groups for p in group["params"])


def test_sgd_is_the_textbooks() -> None:
    """v = momentum v + g + decay w; w = w - lr v (Caffe's, up to where the rate is multiplied in)."""
    layer = nn.Linear(1, 1, bias=False)
    optimizer = build_optimizer(layer, OptimSettings(lr=0.1, momentum=0.9, weight_decay=0.01))
    weight, speed = float(layer.weight.detach()), 0.0
    for gradient in (1.0, -2.0, 0.5):
        layer.weight.grad = torch.full((1, 1), gradient)
        optimizer.step()
        speed = 0.9 * speed + gradient + 0.01 * weight
        weight -= 0.1 * speed
        assert float(layer.weight.detach()) == pytest.approx(weight, rel=1e-5)

"""Multiplications are those that the layers make, counted layer by layer."""

import pytest
import torch
from torch import nn

from globalconv.model.network import GlobalConvNet
from globalconv.reporting.cost import multiplications


@pytest.mark.parametrize(("width", "height"), [(64, 96), (70, 33)])
def test_multiplications_are_the_sum_over_convolutions(width: int, height: int) -> None:
    network = GlobalConvNet(3, "test_resnet", 5).eval()
    counted = 0

    def count(layer: nn.Module, inputs: tuple[torch.Tensor, ...], output: torch.Tensor) -> None:
        nonlocal counted
        assert isinstance(layer, nn.Conv2d | nn.ConvTranspose2d)
        pixels = inputs[0] if isinstance(layer, nn.ConvTranspose2d) else output
        counted += pixels[0, 0].numel() * layer.weight.numel()

    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
            module.register_forward_hook(count)
    assert multiplications(network, torch.device("cpu"), width, height) == counted > 0

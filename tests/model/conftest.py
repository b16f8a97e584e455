"""What the tests of the network share: one thread, and weights that are not what a fresh network has."""

from collections.abc import Callable

import pytest
import torch
from torch import nn


@pytest.fixture(autouse=True, scope="package")
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture
def randomise() -> Callable[[nn.Module], None]:
    """Give every tensor of a module random values that keep activations in range; variances stay positive."""

    def fill(module: nn.Module) -> None:
        generator = torch.Generator().manual_seed(0)
        for name, tensor in module.state_dict().items():
            if not tensor.is_floating_point():
                continue
            noise = torch.randn(tensor.shape, generator=generator, dtype=torch.float64)
            if name.endswith("running_var"):
                tensor.copy_(noise.abs() + 0.5)
            elif tensor.ndim > 1:
                tensor.copy_(noise / tensor[0].numel() ** 0.5)
            else:
                tensor.copy_(0.2 * noise + (0.5 if name.endswith("weight") else 0))

    return fill

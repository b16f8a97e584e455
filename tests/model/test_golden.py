"""Logits of today's network, so that a change of its numbers is noticed.

The weights and the image are sines of an index, computed in float64: they depend on no random generator. After a
wanted change, write the file anew and say why in the changelog:

    python tests/model/test_golden.py
"""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from globalconv.model.network import GlobalConvNet

GOLDEN = Path(__file__).with_name("golden_logits.json")
NETWORKS: dict[str, dict[str, Any]] = {
    "gcn with refinement": {"kernel_size": 7},
    "every head, bilinear": {
        "kernel_size": 5, "head": ["pointwise", "conv", "stack", "gcn"], "stack_width": 6,
        "boundary_refinement": False, "upsample": "bilinear",
    },
}  # fmt: skip


def fill(network: nn.Module) -> None:
    """Give every tensor values that keep activations in range, as a function of its place and its index."""
    for place, (name, tensor) in enumerate(network.state_dict().items(), start=1):
        if not tensor.is_floating_point():
            continue
        sine = torch.sin(torch.arange(tensor.numel(), dtype=torch.float64) * (0.7 + place / 97)).view(tensor.shape)
        if name.endswith("running_var"):
            tensor.copy_(1.5 + sine)
        elif tensor.ndim > 1:
            tensor.copy_(sine * (3 / tensor[0].numel()) ** 0.5)
        else:
            tensor.copy_(0.3 * sine + (1 if name.endswith("weight") else 0))


def logits(settings: dict[str, Any]) -> Tensor:
    """Return a few dozen logits, spread over classes and places, of a 40 x 50 image."""
    network = GlobalConvNet(3, "resnet18", **settings).double().eval()
    fill(network)
    pixels = torch.sin(torch.arange(3 * 40 * 50, dtype=torch.float64) * 0.37).view(1, 3, 40, 50)
    with torch.no_grad():
        logits_NKHW: Tensor = network(pixels / 2 + 0.5)
    return logits_NKHW[0, :, ::13, ::16]


@pytest.mark.parametrize("name", NETWORKS)
def test_golden_logits(name: str) -> None:
    golden = torch.tensor(json.loads(GOLDEN.read_text())[name], dtype=torch.float64)
    assert golden.numel() == 48 and golden.std() > 1e-3
    torch.testing.assert_close(logits(NETWORKS[name]), golden, rtol=1e-7, atol=1e-7 * float(golden.abs().max()))


if __name__ == "__main__":
    GOLDEN.write_text(
        json.dumps({name: logits(settings).tolist() for name, settings in NETWORKS.items()}, indent=1) + "\n"
    )

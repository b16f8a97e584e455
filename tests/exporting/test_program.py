"""A program equals its network at every size, whatever the backbone, the head and the padding of training."""

import contextlib
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from globalconv.errors import InputError
from globalconv.exporting.program import export_program
from globalconv.geometry import AS_THEY_ARE, Geometry
from globalconv.model.network import GlobalConvNet, ImageNetwork
from globalconv.model.wrapped import WrappedNetwork

SIZES = ((1, 1, 1), (1, 32, 64), (2, 33, 65), (1, 75, 131))
"""N, height, width: the smallest, multiples of 32, one more, and any."""

Settings = dict[str, Any]


def moved(network: ImageNetwork) -> ImageNetwork:
    """Return the network with batch norms that have seen a batch, in eval mode."""
    torch.manual_seed(0)
    network.train()(torch.rand(2, 3, 64, 96))
    return network.eval()


def largest_difference(network: ImageNetwork, geometry: Geometry = AS_THEY_ARE, least: int = 1) -> float:
    """Return the largest difference of a probability between network and program; classes have to be equal."""
    program = export_program(network, geometry)
    module, largest = program.program.module(), 0.0
    rows, columns = geometry.pad_to or (0, 0)
    for count, height, width in SIZES:
        if min(height, width) < program.least_side:
            continue
        images_NHW3 = torch.randint(0, 256, (count if program.any_batch else 1, height, width, 3), dtype=torch.uint8)
        padded = torch.tensor(geometry.fill, dtype=torch.uint8).repeat(
            len(images_NHW3), max(rows, height), max(columns, width), 1
        )
        padded[:, :height, :width] = images_NHW3
        with torch.inference_mode():
            expected = network(padded.permute(0, 3, 1, 2)).softmax(1)[..., :height, :width]
            classes, probabilities = module(images_NHW3)
        assert (classes.dtype, probabilities.dtype) == (torch.uint8, torch.float32)
        largest = max(largest, float((expected - probabilities).abs().max()))
        assert np.mean((probabilities.argmax(1) == classes).numpy()) == 1
    assert program.least_side == least
    return largest


@pytest.mark.parametrize(
    "settings",
    [
        {"backbone": "test_resnet", "kernel_size": 5},
        {"backbone": "resnet10t", "kernel_size": 3, "upsample": "bilinear", "boundary_refinement": False},
        {
            "backbone": "tf_mobilenetv3_small_minimal_100",
            "kernel_size": 7,
            "decoder": "features",
        },  # TensorFlow's padding
    ],
    ids=lambda settings: str(settings["backbone"]),
)
def test_a_program_equals_its_network_at_every_size(settings: Settings) -> None:
    assert largest_difference(moved(GlobalConvNet(3, **settings))) < 1e-5


def test_the_padding_of_training_is_inside() -> None:
    network = moved(GlobalConvNet(3, "test_resnet", kernel_size=3))
    assert largest_difference(network, Geometry((70, 40), (124, 116, 104))) < 1e-5


class Strided(nn.Module):
    """Strides beyond 32, where sizes are odd, and kinds of padding that other networks have."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(3, 4, 7, stride=4, padding=3), nn.MaxPool2d(3, 2, 1), nn.Conv2d(4, 4, 1, stride=2),
            nn.Conv2d(4, 4, 4, stride=2, padding=1), nn.Conv2d(4, 4, 3, stride=2, padding=1, padding_mode="replicate"),
            nn.MaxPool2d(3, 2, 1), nn.Conv2d(4, 3, 3, padding="same"),
        )  # fmt: skip

    def forward(self, images_N3PQ: Tensor) -> Tensor:
        return nn.functional.interpolate(self.layers(images_N3PQ), images_N3PQ.shape[-2:], mode="bilinear")


def test_layers_that_see_odd_sizes_keep_their_padding() -> None:
    torch.manual_seed(0)
    network = WrappedNetwork(Strided(), 3).eval()
    program = export_program(network, AS_THEY_ARE)
    images_NHW3 = torch.randint(0, 256, (1, 3 * 32, 5 * 32, 3), dtype=torch.uint8)  # 3 x 5 cells of stride 32
    with torch.inference_mode():
        expected = network(images_NHW3.permute(0, 3, 1, 2)).softmax(1)
        assert torch.allclose(expected, program.program.module()(images_NHW3)[1], atol=1e-5)


class Branching(nn.Module):
    """Computes something else for bright images, which no program can follow."""

    def forward(self, images_N3PQ: Tensor) -> Tensor:
        return images_N3PQ if float(images_N3PQ.mean()) > 0 else -images_N3PQ


def test_a_network_whose_computation_cannot_be_followed_is_refused_in_a_line() -> None:
    with pytest.raises(InputError, match=r"torch\.export cannot follow its computation") as caught:
        export_program(WrappedNetwork(Branching(), 3).eval(), AS_THEY_ARE)
    assert "\n" not in str(caught.value)


class OneSize(nn.Module):
    """Takes images of one size alone, as with learnt positions."""

    def __init__(self) -> None:
        super().__init__()
        self.positions = nn.Parameter(torch.zeros(1, 3, 64, 64))

    def forward(self, images_N3PQ: Tensor) -> Tensor:
        return images_N3PQ + self.positions


def test_a_network_of_one_size_is_refused_by_the_name_of_its_class() -> None:
    with pytest.raises(InputError, match=r"OneSize: cannot be copied and computed for an image of 352x288") as caught:
        export_program(WrappedNetwork(OneSize(), 3).eval(), AS_THEY_ARE)
    assert "\n" not in str(caught.value)


class Shrinking(nn.Module):
    """Computes something else for images of few pixels, by a rule of Python that a program does not keep."""

    def forward(self, images_N3PQ: Tensor) -> Tensor:
        return images_N3PQ if int(images_N3PQ.shape[-1]) > 64 else images_N3PQ.flip(1)


@pytest.mark.parametrize("probabilities", [True, False])
def test_a_program_is_compared_on_small_images_with_and_without_probabilities(probabilities: bool) -> None:
    with contextlib.suppress(InputError):  # or it takes no small images
        assert export_program(WrappedNetwork(Shrinking(), 3).eval(), AS_THEY_ARE, probabilities).least_side > 1


def test_the_network_itself_stays_as_it_is() -> None:
    network = moved(GlobalConvNet(3, "test_resnet", kernel_size=3))
    before = repr(network)
    export_program(network, AS_THEY_ARE)
    assert repr(network) == before
    assert not any(module._forward_pre_hooks for module in network.modules())

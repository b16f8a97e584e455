"""Fused convolutions give what the layers one after the other give, whatever the shape of the input."""

from itertools import product
from typing import Any

import pytest
import torch
from timm.layers.conv2d_same import Conv2dSame
from torch import Tensor, nn
from torch.nn import functional as F

from globalconv.model.fast.convolutions import (
    RELU,
    Activation,
    FusedConvolution,
    SideBySide,
    activation_of,
    is_available,
    is_fusable,
    neighbours,
)

pytestmark = pytest.mark.skipif(not is_available(torch.float32), reason="no x86 CPU, or a torch without oneDNN")

KINDS = {
    "plain": nn.Conv2d(5, 7, 3, padding=1),
    "no bias": nn.Conv2d(5, 7, 3, bias=False),
    "strided": nn.Conv2d(4, 6, 7, stride=2, padding=3),
    "dilated": nn.Conv2d(4, 6, 3, padding=2, dilation=2),
    "grouped": nn.Conv2d(8, 8, 3, padding=1, groups=4),
    "depthwise": nn.Conv2d(8, 8, 3, padding=1, groups=8),
    "uneven": nn.Conv2d(4, 6, (3, 5), stride=(1, 2), padding=(0, 2)),
}


def images(count: int, channels: int, height: int, width: int) -> Tensor:
    return torch.randn(count, channels, height, width).to(memory_format=torch.channels_last)


@torch.no_grad()
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("relu", [False, True])
def test_sum_and_relu_are_those_of_the_layers(kind: str, relu: bool) -> None:
    layer = KINDS[kind]
    fast = FusedConvolution(layer, torch.float32, RELU if relu else Activation())
    for size in ((2, 9, 12), (1, 16, 11), (2, 9, 12)):  # another shape, and back
        features_NChw = images(size[0], layer.in_channels, *size[1:])
        alone_NKhw = layer(features_NChw)
        other_NKhw = images(*alone_NKhw.shape)
        for actual, other in ((fast(features_NChw), None), (fast(features_NChw, other_NKhw), other_NKhw)):
            expected = alone_NKhw if other is None else alone_NKhw + other
            torch.testing.assert_close(actual, F.relu(expected) if relu else expected)


@torch.no_grad()
@pytest.mark.parametrize("kind", KINDS)
def test_sum_and_relu_are_near_in_bfloat16(kind: str) -> None:
    if not is_available(torch.bfloat16):
        pytest.skip("no bfloat16 in this machine's oneDNN")
    layer = KINDS[kind]
    features_NChw = images(1, layer.in_channels, 8, 9)
    alone_NKhw = layer(features_NChw)
    other_NKhw = images(*alone_NKhw.shape)
    actual = FusedConvolution(layer, torch.bfloat16, RELU)(features_NChw, other_NKhw)
    torch.testing.assert_close(actual.float(), F.relu(alone_NKhw + other_NKhw), rtol=0.05, atol=0.05)


@torch.no_grad()
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize(
    "layer",
    [nn.ReLU(), nn.ReLU6(), nn.SiLU(), nn.Hardswish(), nn.LeakyReLU(0.3), nn.GELU(), nn.GELU("tanh")],
    ids=str,
)
def test_activations_are_those_of_the_layers(layer: nn.Module, dtype: torch.dtype) -> None:
    if not is_available(dtype):
        pytest.skip("no bfloat16 in this machine's oneDNN")
    convolution, features_NChw = KINDS["grouped"], 6 * images(2, 8, 9, 12)
    activation = activation_of(layer)
    assert activation is not None
    actual = FusedConvolution(convolution, dtype, activation)(features_NChw)
    rtol, atol = (1e-4, 1e-5) if dtype == torch.float32 else (0.02, 0.05)
    torch.testing.assert_close(actual.float(), layer(convolution(features_NChw)), rtol=rtol, atol=atol)


def test_other_layers_are_no_activations() -> None:
    class Own(nn.ReLU):
        pass

    assert activation_of(Own()) is None and activation_of(nn.BatchNorm2d(3)) is None


@torch.no_grad()
@pytest.mark.parametrize("settings", [(3, 2), (5, 2), (5, 1), (3, 1, 2), ((3, 5), 2)], ids=str)
@pytest.mark.parametrize("size", [(8, 8), (9, 8), (8, 9), (9, 9), (1, 2)], ids=str)
def test_tensorflows_padding_has_the_odd_cell_at_the_end(settings: tuple[Any, ...], size: tuple[int, int]) -> None:
    kernel, stride, *dilation = settings
    layer = Conv2dSame(4, 8, kernel, stride, dilation=dilation[0] if dilation else 1, groups=2)
    features_NChw = images(2, 4, *size)
    assert is_fusable(layer)
    actual = FusedConvolution(layer, torch.float32, RELU)(features_NChw)
    torch.testing.assert_close(actual, F.relu(layer(features_NChw)))


@torch.no_grad()
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize("ours", ["features", "other", "both"])
def test_a_sum_in_place_takes_any_layout(ours: str, dtype: torch.dtype) -> None:
    """Of the two, only `ours` are channels last; another layout is summed apart, for in bfloat16 oneDNN refuses it."""
    if not is_available(dtype):
        pytest.skip("not in this machine's oneDNN")
    layer = nn.Conv2d(8, 8, 3, padding=1)
    features_NChw, other_NKhw = torch.randn(2, 8, 9, 11).to(dtype), torch.randn(2, 8, 9, 11).to(dtype)
    if ours != "other":
        features_NChw = features_NChw.to(memory_format=torch.channels_last)
    if ours != "features":
        other_NKhw = other_NKhw.to(memory_format=torch.channels_last)
    fast = FusedConvolution(layer, dtype, RELU)
    expected = F.relu(layer(features_NChw.float()) + other_NKhw.float())
    fast.in_place = True
    actual = fast(features_NChw, other_NKhw)
    torch.testing.assert_close(actual.float(), expected, rtol=0.05, atol=0.05)
    assert (actual.data_ptr() == other_NKhw.data_ptr()) == (ours != "features")


@torch.no_grad()
@pytest.mark.parametrize("relu", [False, True])
def test_a_sum_may_broadcast(relu: bool) -> None:
    layer, features_NChw, other_NK11 = KINDS["plain"], images(2, 5, 8, 9), images(2, 7, 1, 1)
    expected = layer(features_NChw) + other_NK11
    actual = FusedConvolution(layer, torch.float32, RELU if relu else Activation())(features_NChw, other_NK11)
    torch.testing.assert_close(actual, F.relu(expected) if relu else expected)


@torch.no_grad()
def test_bfloat16_takes_any_input_and_gives_bfloat16() -> None:
    layer, features_NChw = KINDS["plain"], images(1, 5, 8, 9)
    fast = FusedConvolution(layer, torch.bfloat16)
    for given in (features_NChw, features_NChw.bfloat16()):
        actual = fast(given)
        assert actual.dtype == torch.bfloat16
        torch.testing.assert_close(actual.float(), layer(features_NChw), rtol=0.05, atol=0.05)


@torch.no_grad()
@pytest.mark.parametrize(("count", "k", "length"), list(product((2, 3, 4, 5), (3, 7), range(1, 13))))
def test_neighbours_together_are_what_each_is_alone(count: int, k: int, length: int) -> None:
    for size, bias in (((1, k), True), ((k, 1), False)):
        layer = nn.Conv2d(3, 4, size, padding=(size[0] // 2, size[1] // 2), bias=bias)
        shape = (length, 6) if size[0] == k else (6, length)
        features_NChw = images(2, 3, *shape)
        actual = SideBySide(layer, count, torch.float32)(features_NChw)
        torch.testing.assert_close(actual, layer(features_NChw))
        assert actual.is_contiguous(memory_format=torch.channels_last)


def test_neighbours_are_taken_where_lanes_stay_empty() -> None:
    def counted(outputs: int, size: tuple[int, int] = (1, 15), stride: int = 1, groups: int = 1) -> int:
        padding = (size[0] // 2, size[1] // 2)
        return neighbours(nn.Conv2d(64, outputs, size, stride, padding, groups=groups))

    assert counted(21) == 3 and counted(21, (15, 1)) == 3
    assert counted(32) == 1 and counted(150) == 1  # all lanes are full
    assert counted(21, (3, 3)) == 1 and counted(21, (1, 1)) == 1
    assert counted(21, stride=2) == 1 and counted(16, groups=2) == 1
    assert neighbours(nn.Conv2d(64, 21, (1, 15))) == 1  # its output is not of its input's size
    assert neighbours(nn.Conv2d(21, 21, (1, 15), padding=(0, 7))) == 1  # too little work to gain any


def test_what_is_no_plain_convolution_stays() -> None:
    class Padded(nn.Conv2d):
        def forward(self, x: Tensor) -> Tensor:
            return super().forward(F.pad(x, (1, 1, 1, 1)))

    assert is_fusable(nn.Conv2d(3, 3, 3))
    for layer in (
        Padded(3, 3, 3), nn.Conv2d(3, 3, 3, padding="same"), nn.Conv2d(3, 3, 3, padding=1, padding_mode="reflect"),
        nn.ConvTranspose2d(3, 3, 3), nn.ReLU(),
    ):  # fmt: skip
        assert not is_fusable(layer)

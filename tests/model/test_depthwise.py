"""Depthwise convolutions learn in float32 under autocast; all else about them is that of the layers they were."""

import copy
import pickle
from collections.abc import Callable

import pytest
import timm
import torch
from timm.layers.conv2d_same import Conv2dSame
from torch import Tensor, nn

from globalconv.model.backbone import Backbone
from globalconv.model.depthwise import DepthwiseConv, SameDepthwiseConv, learn_depthwise_in_float32
from globalconv.model.fast.convolutions import FusedConvolution, is_available, is_fusable
from globalconv.model.fast.optimise import optimised
from globalconv.model.wrapped import Classifier

MAKERS: dict[str, Callable[[], nn.Conv2d]] = {
    "plain": lambda: nn.Conv2d(16, 16, 5, stride=2, padding=2, groups=16),
    "two outputs a channel": lambda: nn.Conv2d(16, 32, 3, padding=1, groups=16),
    "same": lambda: Conv2dSame(16, 16, 3, stride=2, groups=16),
}


def ours(kind: str) -> nn.Conv2d:
    """Return a depthwise convolution of a kind, with its new class."""
    torch.manual_seed(0)
    layer = MAKERS[kind]()
    learn_depthwise_in_float32(layer)
    assert type(layer) is (SameDepthwiseConv if kind == "same" else DepthwiseConv)
    return layer


def backward(layer: nn.Conv2d, features_NChw: Tensor, autocast: bool) -> tuple[Tensor, list[Tensor | None]]:
    """Return the output, and the gradients of the input, the weight and the bias."""
    layer.zero_grad()
    inputs_NChw = features_NChw.clone().requires_grad_()
    with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
        output_NKhw = layer(inputs_NChw)
    output_NKhw.float().square().sum().backward()
    return output_NKhw.detach(), [inputs_NChw.grad, layer.weight.grad, layer.bias.grad]  # type: ignore[union-attr]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize("kind", MAKERS)
def test_gradients_are_those_of_float32(kind: str, dtype: torch.dtype) -> None:
    """Up to the rounding of the output and of its gradient; the layer as it was rounds its weights as well."""
    layer = ours(kind)
    features_NChw = torch.randn(2, 16, 13, 10).to(dtype).to(memory_format=torch.channels_last)
    output_NKhw, gradients = backward(layer, features_NChw, autocast=True)
    assert output_NKhw.dtype == torch.bfloat16 and output_NKhw.is_contiguous(memory_format=torch.channels_last)
    exact_NKhw, exact = backward(layer, features_NChw.float(), autocast=False)
    assert torch.equal(output_NKhw, exact_NKhw.bfloat16())
    for actual, expected in zip(gradients, exact, strict=True):
        assert actual is not None and expected is not None
        torch.testing.assert_close(actual.float(), expected, rtol=0.02, atol=0.02 * float(expected.abs().mean()))


@pytest.mark.parametrize("kind", MAKERS)
def test_nothing_else_changes(kind: str) -> None:
    """Without gradients, with a frozen weight, or without autocast: what the layer as it was computes, bit for bit."""
    layer = ours(kind)
    before = MAKERS[kind]()
    before.load_state_dict(layer.state_dict())
    features_NChw = torch.randn(2, 16, 13, 10)
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(layer(features_NChw), before(features_NChw))
    assert torch.equal(layer(features_NChw), before(features_NChw))
    assert layer(features_NChw.double().float()).dtype == torch.float32
    with torch.autocast("cpu", torch.bfloat16):
        learned_NKhw = layer(features_NChw)
        assert not torch.equal(learned_NKhw, before(features_NChw))  # the weights were rounded in the one only
        layer.requires_grad_(False)
        assert torch.equal(layer(features_NChw), before(features_NChw))


def test_only_depthwise_convolutions_are_changed() -> None:
    class Own(nn.Conv2d):
        pass

    layers = nn.Sequential(
        nn.Conv2d(8, 8, 3), nn.Conv2d(8, 8, 3, groups=4), nn.Conv2d(1, 1, 3), Own(8, 8, 3, groups=8),
        nn.Conv2d(8, 8, 3, groups=8),
    )  # fmt: skip
    learn_depthwise_in_float32(layers)
    assert [type(layer) for layer in layers] == [nn.Conv2d, nn.Conv2d, nn.Conv2d, Own, DepthwiseConv]


@pytest.mark.parametrize("kind", MAKERS)
def test_copies_and_pickles_keep_their_class(kind: str) -> None:
    layer = ours(kind)
    for twin in (copy.deepcopy(layer), pickle.loads(pickle.dumps(layer))):
        assert type(twin) is type(layer) and repr(twin) == repr(layer)
        assert all(torch.equal(a, b) for a, b in zip(twin.parameters(), layer.parameters(), strict=True))


@pytest.mark.parametrize("name", ["mobilenetv3_small_050", "convnext_atto", "tf_efficientnet_lite0"])
def test_backbones_keep_their_tensors_and_their_description(name: str) -> None:
    backbone = Backbone(name)
    changed = [layer for layer in backbone.modules() if isinstance(layer, DepthwiseConv | SameDepthwiseConv)]
    assert len(changed) > 5
    assert not [
        layer
        for layer in backbone.modules()
        if type(layer) in (nn.Conv2d, Conv2dSame) and layer.groups > 1  # type: ignore[operator]
    ]
    plain = timm.create_model(name, features_only=True, out_indices=backbone.body.feature_info.out_indices)
    assert {name: value.shape for name, value in backbone.body.state_dict().items()} == {
        name: value.shape for name, value in plain.state_dict().items()
    }
    assert repr(Backbone(name)) == repr(backbone)


def test_a_classifier_learns_alike() -> None:
    assert any(isinstance(layer, DepthwiseConv) for layer in Classifier("mobilenetv3_small_050", 3).modules())


@pytest.mark.skipif(not is_available(torch.float32), reason="no x86 CPU, or a torch without oneDNN")
def test_both_kinds_still_fuse() -> None:
    assert is_fusable(ours("plain")) and is_fusable(ours("same"))
    for name in ("efficientnet_lite0", "tf_efficientnet_lite0"):
        backbone = Backbone(name).eval()
        fast = optimised(backbone)
        images_N3HW = torch.rand(1, 3, 64, 64)
        with torch.no_grad():
            for actual, expected in zip(fast(images_N3HW), backbone(images_N3HW), strict=True):
                torch.testing.assert_close(actual, expected, rtol=1e-3, atol=1e-4)
        fused = sum(isinstance(layer, FusedConvolution) for layer in fast.modules())
        assert fused == sum(isinstance(layer, nn.Conv2d) for layer in backbone.modules())

"""Whole networks: the fast form computes what the readable one does, and leaves it alone."""

import copy
import importlib
from collections import Counter

import pytest
import torch
from timm.layers.conv2d_same import Conv2dSame
from timm.layers.norm_act import BatchNormAct2d
from torch import Tensor, nn

from globalconv.errors import InputError
from globalconv.model.depthwise import SameDepthwiseConv
from globalconv.model.fast.convolutions import FusedConvolution, SideBySide, is_available
from globalconv.model.fast.optimise import optimised
from globalconv.model.network import GlobalConvNet
from globalconv.model.wrapped import WrappedNetwork

pytestmark = pytest.mark.skipif(not is_available(torch.float32), reason="no x86 CPU, or a torch without oneDNN")

HOOKED = "xception41"
"""timm takes its features by hooks."""

BACKBONES = [
    "resnet18", "resnet50_gcn", "hrnet_w18_small", "regnetx_002", "efficientnet_b0", "tf_efficientnet_lite0",
    "mobilenetv3_small_050", "densenet121", HOOKED,
]  # fmt: skip


def network(backbone: str, **options: object) -> GlobalConvNet:
    """Return a network whose every layer does something."""
    torch.manual_seed(0)
    made = GlobalConvNet(21, backbone, **options).eval()  # type: ignore[arg-type]
    for layer in made.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.running_mean = torch.randn(layer.num_features) / 10
            layer.running_var = torch.rand(layer.num_features) + 0.5
    for name, parameter in made.named_parameters():
        if "residual" in name:
            nn.init.normal_(parameter, std=0.03)
    return made


def images(height: int, width: int, count: int = 1) -> Tensor:
    torch.manual_seed(1)
    pixels = torch.randint(0, 256, (count, 3, height, width), dtype=torch.uint8)
    return pixels.contiguous(memory_format=torch.channels_last)


@torch.inference_mode()
@pytest.mark.parametrize("backbone", BACKBONES)
def test_scores_are_the_same_in_float32_and_as_good_in_bfloat16(backbone: str) -> None:
    plain = network(backbone)
    fast, low = optimised(plain), optimised(plain, "bfloat16")
    for size in ((97, 70), (64, 96), (97, 70)):
        images_N3HW = images(*size, count=2)
        expected = plain(images_N3HW)
        assert (fast(images_N3HW) - expected).abs().max() < 1e-4 * expected.abs().max()
        ours = low(images_N3HW)  # sets autocast itself
        with torch.autocast("cpu", torch.bfloat16):
            theirs = plain(images_N3HW)
        assert ours.dtype == theirs.dtype
        assert (ours - expected).abs().mean() < 1.15 * (theirs - expected).abs().mean()


@torch.inference_mode()
@pytest.mark.parametrize(
    "options",
    [
        {"head": "pointwise", "boundary_refinement": False},
        {"head": "conv", "kernel_size": 5},
        {"head": "stack", "kernel_size": 5, "stack_width": 8},
        {"kernel_size": (15, 9, 7, 3), "upsample": "bilinear"},
        {"head_width": 21},
    ],
    ids=str,
)
def test_every_head_and_upsampling_has_a_fast_form(options: dict[str, object]) -> None:
    plain, images_N3HW = network("test_resnet", **options), images(50, 66)
    torch.testing.assert_close(optimised(plain)(images_N3HW), plain(images_N3HW), rtol=1e-4, atol=1e-5)


def test_convolutions_are_fused_and_the_network_itself_is_as_before() -> None:
    plain = network("resnet18").train()
    before = copy.deepcopy(plain.state_dict())
    fast = optimised(plain)
    kinds = [type(layer) for layer in fast.modules()]
    assert not {nn.Conv2d, nn.BatchNorm2d, nn.ReLU} & set(kinds)
    assert kinds.count(SideBySide) == 8 and FusedConvolution in kinds and not fast.training
    assert plain.training and all(parameter.requires_grad for parameter in plain.parameters())
    torch.testing.assert_close(dict(plain.state_dict()), dict(before))


@torch.inference_mode()
def test_nothing_is_left_of_a_backbone_with_tensorflows_padding() -> None:
    fast = optimised(network("tf_efficientnet_lite0", decoder="features"))
    left = {type(layer) for layer in fast.get_submodule("backbone").modules()}
    assert not {nn.Conv2d, Conv2dSame, SameDepthwiseConv, BatchNormAct2d, nn.ReLU6} & left


@torch.inference_mode()
def test_a_refinement_with_a_hook_stays_as_it_is() -> None:
    plain, seen = network("test_resnet"), list[Tensor]()
    plain.refine_output[0].register_forward_hook(lambda layer, inputs, output: seen.append(output))
    torch.testing.assert_close(optimised(plain)(images(64, 64)), plain(images(64, 64)), rtol=1e-4, atol=1e-5)
    assert len(seen) == 2


class Constant(nn.Module):
    """A head whose output is its own."""

    def __init__(self) -> None:
        super().__init__()
        scores_NKhw = torch.rand(1, 21, 16, 16).to(memory_format=torch.channels_last)
        self.scores_NKhw = nn.Parameter(scores_NKhw)

    def forward(self, features_NChw: Tensor) -> Tensor:
        return self.scores_NKhw


@torch.inference_mode()
def test_what_a_head_keeps_is_not_overwritten() -> None:
    plain = network("test_resnet")
    plain.heads[0] = Constant()
    seen = list[Tensor]()
    plain.heads[1].register_forward_hook(lambda layer, inputs, output: seen.append(output))
    fast, images_N3HW = optimised(plain), images(64, 64)
    expected = plain(images_N3HW)
    for _ in range(2):
        torch.testing.assert_close(fast(images_N3HW), expected, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(seen[1], seen[0], rtol=1e-4, atol=1e-5)


@torch.inference_mode()
@pytest.mark.parametrize("layer", [nn.Conv2d(21, 21, 1), nn.ConvTranspose2d(21, 21, 1), nn.ReLU(inplace=True)])
def test_other_layers_may_stand_for_refinements(layer: nn.Module) -> None:
    plain, images_N3HW = network("test_resnet"), images(64, 64)
    plain.refine_heads[0] = layer
    torch.testing.assert_close(optimised(plain)(images_N3HW), plain(images_N3HW), rtol=1e-4, atol=1e-5)


def test_sums_take_the_place_of_what_is_not_read_again() -> None:
    """In seven of eight residual blocks (the first adds what was pooled), four heads and nine refinements."""
    fast = optimised(network("resnet18"))
    places = {name for name, layer in fast.named_modules() if isinstance(layer, FusedConvolution) and layer.in_place}
    counts = Counter(name.partition(".")[0] for name in places)
    assert counts == {"backbone": 7, "heads": 4, "refine_heads": 4, "refine_sums": 3, "refine_output": 2}


@torch.inference_mode()
@pytest.mark.parametrize("name", ["Unet", "FPN", "DeepLabV3Plus"])
def test_networks_of_other_libraries(name: str) -> None:
    smp = pytest.importorskip("segmentation_models_pytorch", reason="segmentation-models-pytorch is not installed")
    torch.manual_seed(0)
    plain = WrappedNetwork(getattr(smp, name)("resnet18", encoder_weights=None, classes=5).eval(), 5)
    images_N3HW = images(70, 64)
    torch.testing.assert_close(optimised(plain)(images_N3HW), plain(images_N3HW), rtol=1e-4, atol=1e-5)


def test_without_onednn_the_copy_is_the_network_channels_last(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.import_module("globalconv.model.fast.optimise"), "is_available", lambda dtype: False)
    plain = network("test_resnet")
    fast = optimised(plain, "bfloat16")
    assert isinstance(fast, GlobalConvNet) and fast.heads[0] is not plain.heads[0]
    assert fast.backbone.body.conv1[0].weight.is_contiguous(memory_format=torch.channels_last)


def test_another_precision_is_refused() -> None:
    with pytest.raises(InputError, match="precision='half'"):
        optimised(network("test_resnet"), "half")

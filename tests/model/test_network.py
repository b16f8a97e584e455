"""The whole network: Figure 2A's structure, its settings, any size of image, and what it refuses."""

from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st
from torch import Tensor, nn

from globalconv.errors import InputError
from globalconv.model.blocks import BoundaryRefinement, ConvStack, DenseConv, GlobalConv, PointwiseHead
from globalconv.model.network import GlobalConvNet

TINY = "test_resnet"  # timm's smallest with batch norm: 0.4 M weights
SIZES = st.integers(1, 130)


@pytest.fixture
def network(randomise: Callable[[nn.Module], None]) -> GlobalConvNet:
    """Float64, so that orders of summation do not show."""
    network = GlobalConvNet(3, TINY, kernel_size=5).double().eval()
    randomise(network)
    return network


def test_nine_refinements_and_five_deconvolutions_where_figure_2_has_them() -> None:
    """Follow one image of 64 x 64 through the blocks: which runs, and at what resolution it gives its result."""
    network = GlobalConvNet(3, TINY, kernel_size=3)
    steps: list[tuple[str, int]] = []

    def note(kind: str) -> Callable[..., None]:
        return lambda module, inputs, output: steps.append((kind, output.shape[-1]))

    for module in network.modules():
        for kind, name in ((GlobalConv, "GCN"), (BoundaryRefinement, "BR"), (nn.ConvTranspose2d, "Deconv")):
            if isinstance(module, kind):
                module.register_forward_hook(note(name))
    network.eval()(torch.rand(1, 3, 64, 64))
    assert Counter(name for name, _ in steps) == {"GCN": 4, "BR": 9, "Deconv": 5}
    heads = [("GCN", 16), ("BR", 16), ("GCN", 8), ("BR", 8), ("GCN", 4), ("BR", 4), ("GCN", 2), ("BR", 2)]
    after_sums = [("Deconv", 4), ("BR", 4), ("Deconv", 8), ("BR", 8), ("Deconv", 16), ("BR", 16)]
    assert steps == [*heads, *after_sums, ("Deconv", 32), ("BR", 32), ("Deconv", 64), ("BR", 64)]


def test_baseline_gcn_and_gcn_with_refinement_are_settings_of_one_network() -> None:
    def build(**settings: Any) -> GlobalConvNet:
        torch.manual_seed(0)
        return GlobalConvNet(21, TINY, kernel_size=7, **settings).eval()

    baseline, gcn, refined = (
        build(head="pointwise", boundary_refinement=False),
        build(boundary_refinement=False),
        build(),
    )
    kinds = {
        kind: [sum(isinstance(m, kind) for m in net.modules()) for net in (baseline, gcn, refined)]
        for kind in (PointwiseHead, GlobalConv, BoundaryRefinement, nn.ConvTranspose2d)
    }
    assert list(kinds.values()) == [[4, 0, 0], [0, 4, 4], [0, 0, 9], [5, 5, 5]]
    added = sum(p.numel() for p in refined.parameters()) - sum(p.numel() for p in gcn.parameters())
    assert added == 9 * 7_980
    images_N3HW = torch.rand(1, 3, 40, 50)
    assert torch.equal(gcn(images_N3HW), refined(images_N3HW))  # a refinement starts as the identity
    assert not torch.equal(gcn(images_N3HW), baseline(images_N3HW))


def test_kernel_and_head_may_differ_per_level() -> None:
    network = GlobalConvNet(
        3, TINY, kernel_size=[1, 5, 7, 15], head=("pointwise", "conv", "stack", "gcn"), stack_width=8
    )
    assert [type(head) for head in network.heads] == [PointwiseHead, DenseConv, ConvStack, GlobalConv]
    shapes = [tuple(next(head.parameters()).shape[2:]) for head in network.heads]
    assert shapes == [(1, 1), (5, 5), (3, 3), (15, 1)]
    assert len(network.heads[2]) == 3  # type: ignore[arg-type]
    assert network.settings["stack_width"] == 8
    assert network.eval()(torch.rand(1, 3, 33, 31)).shape == (1, 3, 33, 31)


def test_each_stack_may_have_its_own_width() -> None:
    network = GlobalConvNet(3, TINY, 7, "stack", stack_width=[2, 4, 6, 8])
    assert [head[0].out_channels for head in network.heads] == [2, 4, 6, 8]  # type: ignore[index]
    assert network.settings["stack_width"] == (2, 4, 6, 8)
    assert GlobalConvNet(3, TINY, 7, "stack", stack_width=[5] * 4).settings["stack_width"] == 5


def test_gcn_after_res_5_only() -> None:
    network = GlobalConvNet(3, TINY, 15, head=("pointwise", "pointwise", "pointwise", "gcn"))
    assert network.settings["kernel_size"] == (1, 1, 1, 15)


def test_settings_rebuild_the_network() -> None:
    network = GlobalConvNet(3, TINY, (3, 5, 7, 9), "gcn", None, False, "bilinear")
    again = GlobalConvNet(**network.settings)
    again.load_state_dict(network.state_dict())
    assert again.settings == network.settings


@given(height=SIZES, width=SIZES)
@example(height=1, width=1)
@example(height=32, width=32)
@example(height=33, width=1)
@example(height=130, width=130)
def test_any_size_in_the_same_size_out(height: int, width: int) -> None:
    network = SIZE_NETWORKS[(height + width) % 2]
    with torch.no_grad():
        logits_NKHW = network(torch.rand(1, 3, height, width))
    assert logits_NKHW.shape == (1, 2, height, width)
    assert logits_NKHW.isfinite().all()


SIZE_NETWORKS = [GlobalConvNet(2, TINY, 15, upsample=upsample).eval() for upsample in ("deconv", "bilinear")]


@pytest.mark.parametrize("size", [(40, 50), (64, 32)])
def test_bytes_and_fractions_are_the_same_image(network: GlobalConvNet, size: tuple[int, int]) -> None:
    images_N3HW = torch.randint(0, 256, (2, 3, *size), dtype=torch.uint8)
    assert torch.equal(network(images_N3HW), network(images_N3HW.double() / 255))


def test_padding_is_the_mean_colour_right_and_bottom(network: GlobalConvNet) -> None:
    images_N3HW = torch.rand(1, 3, 40, 50, dtype=torch.float64)
    larger_N3HW = network.mean_C11.expand(1, 3, 64, 64).clone()
    larger_N3HW[..., :40, :50] = images_N3HW
    assert torch.equal(network(images_N3HW), network(larger_N3HW)[..., :40, :50])


def test_images_of_a_batch_do_not_meet(network: GlobalConvNet) -> None:
    images_N3HW = torch.rand(3, 3, 40, 50, dtype=torch.float64)
    alone = torch.cat([network(image_13HW) for image_13HW in images_N3HW.split(1)])
    torch.testing.assert_close(network(images_N3HW), alone, rtol=1e-9, atol=1e-9)


def test_channels_last_is_only_a_memory_format(network: GlobalConvNet) -> None:
    images_N3HW = torch.rand(1, 3, 40, 50, dtype=torch.float64)
    wanted = network(images_N3HW)
    network.to(memory_format=torch.channels_last)
    torch.testing.assert_close(network(images_N3HW.contiguous(memory_format=torch.channels_last)), wanted)


@pytest.mark.parametrize("backbone", [TINY, "test_convnext", "mobilenetv3_small_050"])
def test_gradient_reaches_every_parameter(backbone: str, randomise: Callable[[nn.Module], None]) -> None:
    network = GlobalConvNet(3, backbone, kernel_size=3)
    randomise(network)
    network.eval()(torch.rand(1, 3, 96, 64)).square().sum().backward()
    without = [name for name, p in network.named_parameters() if p.grad is None or not p.grad.any()]
    assert not without


@pytest.mark.parametrize("backbone", [TINY, "resnet18"])
def test_no_weights_are_shared(backbone: str) -> None:
    parameters = [p for _, p in GlobalConvNet(3, backbone).named_parameters(remove_duplicate=False)]
    assert len(parameters) == len({p.data_ptr() for p in parameters})


def test_a_head_with_a_width_computes_channels_and_then_scores() -> None:
    """GCN to m channels, batch norm, ReLU, 1 x 1 convolution; the same by hand. Without a width nothing is new."""
    network = GlobalConvNet(3, TINY, 5, head_width=7).eval()
    plain = GlobalConvNet(3, TINY, 5)
    assert not {name for name in plain.state_dict() if name.startswith("heads.0.0")}
    for channels, head in zip(network.backbone.channels, network.heads, strict=True):
        assert isinstance(head, nn.Sequential)
        parts: list[Any] = list(head)
        gcn, norm, _, scores = parts
        norm.running_mean, norm.running_var = torch.randn(7), torch.rand(7) + 0.5
        features_NChw = torch.randn(2, channels, 6, 5)
        assert gcn(features_NChw).shape == (2, 7, 6, 5)
        normed_NMhw = (gcn(features_NChw) - norm.running_mean.view(-1, 1, 1)) / (
            norm.running_var.view(-1, 1, 1) + norm.eps
        ).sqrt()
        by_hand_NKhw = torch.einsum("km,nmhw->nkhw", scores.weight[:, :, 0, 0], normed_NMhw.clamp(min=0))
        torch.testing.assert_close(head(features_NChw), by_hand_NKhw + scores.bias.view(-1, 1, 1))
    assert network(torch.rand(1, 3, 40, 50)).shape == (1, 3, 40, 50)


FITTING: dict[str, Any] = {"num_classes": 3, "backbone": TINY}
REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"num_classes": 0}, "num_classes=0: .* 1 to 4096"),
    ({"num_classes": 2.0}, "whole number of classes"),
    ({"kernel_size": 4}, "kernel_size=4.*odd.*use 5"),
    ({"kernel_size": 4, "head": "pointwise"}, "kernel_size=4"),
    ({"kernel_size": (3, 3, 3)}, r"kernel_size=\[3, 3, 3\].*or four"),
    ({"head": "gnc"}, "did you mean 'gcn'"),
    ({"head": ["gcn"]}, "or four"),
    ({"head": 5}, "head=5"),
    ({"upsample": "bilinar"}, "did you mean 'bilinear'"),
    ({"backbone_norm": "froze"}, "did you mean 'frozen'"),
    ({"boundary_refinement": "no"}, "give True or False"),
    ({"head_width": 0}, "head_width=0: give a whole number of channels"),
    ({"head_width": True}, "head_width=True"),
    ({"stack_width": 8}, "changes nothing"),
    ({"stack_width": 0, "head": "stack"}, "stack_width=0"),
    ({"stack_width": (8, 8, 8), "head": "stack"}, r"stack_width=\[8, 8, 8\].*or four"),
    ({"backbone": "resnet81"}, "did you mean 'resnet18'"),
    ({"backbone": "resnet18.a1"}, "known: resnet18.a1_in1k"),
    ({"backbone": 18}, "backbone=18"),
]


@pytest.mark.parametrize(("settings", "message"), REFUSED, ids=lambda value: str(value)[:40])
def test_a_wrong_setting_is_refused_in_one_line(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        GlobalConvNet(**{**FITTING, **settings})
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "images",
    [torch.rand(3, 8, 8), torch.rand(1, 4, 8, 8), torch.rand(1, 3, 0, 8), torch.ones(1, 3, 8, 8, dtype=torch.int64)],
)
def test_tensors_that_are_not_batches_of_images_are_refused(network: GlobalConvNet, images: Tensor) -> None:
    with pytest.raises(ValueError, match="expected"):
        network(images)

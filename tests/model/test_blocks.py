"""The blocks of Figures 2 and 4: their weight counts, sizes, meaning, and what they refuse."""

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from globalconv.errors import InputError
from globalconv.model.blocks import (
    HEADS,
    BoundaryRefinement,
    ConvStack,
    DenseConv,
    GlobalConv,
    PointwiseHead,
    RowConv,
    build_head,
    check_kernel_size,
)
from globalconv.model.network import build_upsampling

CHANNELS, CLASSES = 2048, 21
GCN_WEIGHTS = {
    3: 260_694, 5: 434_490, 7: 608_286, 9: 782_082, 11: 955_878, 13: 1_129_674, 15: 1_303_470, 25: 2_172_450,
}  # fmt: skip
CONV_WEIGHTS = {3: 387_072, 5: 1_075_200, 7: 2_107_392, 9: 3_483_648, 15: 9_676_800}
STACK_WEIGHTS = {
    (7, 2048): 75_884_544, (7, 1024): 28_505_088, (7, 210): 4_307_310, (5, 2048): 38_135_808,
    (9, 2048): 113_633_280, (11, 2048): 151_382_016, (3, 2048): 387_072,
}  # fmt: skip


def weights(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


@pytest.mark.parametrize(("kernel_size", "count"), GCN_WEIGHTS.items())
def test_weights_of_a_global_convolution(kernel_size: int, count: int) -> None:
    with torch.device("meta"):
        block = GlobalConv(CHANNELS, CLASSES, kernel_size, bias=False)
    assert weights(block) == count == 86_898 * kernel_size


@pytest.mark.parametrize(("kernel_size", "count"), CONV_WEIGHTS.items())
def test_weights_of_a_dense_convolution(kernel_size: int, count: int) -> None:
    with torch.device("meta"):
        block = DenseConv(CHANNELS, CLASSES, kernel_size, bias=False)
        gcn = GlobalConv(CHANNELS, CLASSES, kernel_size, bias=False)
    assert weights(block) == count == 43_008 * kernel_size**2
    assert weights(gcn) / count == pytest.approx(2 / kernel_size * (1 + 21 / 2048))


@pytest.mark.parametrize(("setting", "count"), STACK_WEIGHTS.items())
def test_weights_of_a_stack(setting: tuple[int, int], count: int) -> None:
    kernel_size, width = setting
    with torch.device("meta"):
        assert weights(ConvStack(CHANNELS, CLASSES, kernel_size, width, bias=False)) == count


def test_a_stack_is_as_wide_as_its_level_by_default() -> None:
    with torch.device("meta"):
        assert weights(ConvStack(CHANNELS, CLASSES, 7, bias=False)) == STACK_WEIGHTS[7, 2048]


@pytest.mark.parametrize(("kernel_size", "count"), [(7, 1_153_656), (15, 2_472_120)])
def test_weights_of_the_four_heads_together(kernel_size: int, count: int) -> None:
    levels = (256, 512, 1024, 2048)
    assert sum(weights(GlobalConv(channels, CLASSES, kernel_size, bias=False)) for channels in levels) == count


@pytest.mark.parametrize(("bias", "count"), [(False, 7_938), (True, 7_980)])
def test_weights_of_a_refinement(bias: bool, count: int) -> None:
    assert weights(BoundaryRefinement(CLASSES, bias=bias)) == count


@pytest.mark.parametrize("bias", [False, True])
def test_bias_is_a_choice_in_every_block(bias: bool) -> None:
    blocks: list[nn.Module] = [GlobalConv(4, 3, 5, bias), PointwiseHead(4, 3, bias), DenseConv(4, 3, 5, bias)]
    blocks += [ConvStack(4, 3, 5, 8, bias), BoundaryRefinement(3, bias)]
    for block in blocks:
        assert any(name.endswith("bias") for name in block.state_dict()) is bias


@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("size", [(1, 1), (2, 7), (16, 5)])
def test_every_head_keeps_the_size(head: str, size: tuple[int, int]) -> None:
    assert build_head(head, 6, 3, 7)(torch.randn(2, 6, *size)).shape == (2, 3, *size)


def test_a_global_convolution_is_the_sum_of_two_separable_ones() -> None:
    """Two branches of weights of our own against two dense k x k kernels made of their outer products."""
    block = GlobalConv(1, 1, 5, bias=False).double()
    features_NChw = torch.randn(2, 1, 9, 8, dtype=torch.float64)
    left, right = list(block.left.parameters()), list(block.right.parameters())
    dense = left[0] * left[1] + right[0] * right[1]
    torch.testing.assert_close(block(features_NChw), F.conv2d(features_NChw, dense, padding=2))


def reach(block: nn.Module) -> tuple[int, int]:
    """Return how many rows and columns of a large input the centre of the output depends on."""
    features_NChw = torch.randn(1, 4, 41, 41, requires_grad=True)
    block(features_NChw)[0, :, 20, 20].sum().backward()
    touched_hw = features_NChw.grad.abs().sum((0, 1)) > 0  # type: ignore[union-attr]
    return int(touched_hw.any(1).sum()), int(touched_hw.any(0).sum())


@pytest.mark.parametrize("kernel_size", [3, 7, 15])
def test_heads_of_one_k_reach_equally_far(kernel_size: int) -> None:
    for head in ("gcn", "conv", "stack"):
        assert reach(build_head(head, 4, 3, kernel_size)) == (kernel_size, kernel_size)
    assert reach(build_head("pointwise", 4, 3, kernel_size)) == (1, 1)


@pytest.mark.parametrize("head", HEADS)
def test_heads_are_linear(head: str) -> None:
    """No nonlinearity inside (Figure 4)."""
    block = build_head(head, 4, 3, 5).double()
    one, two = torch.randn(2, 1, 4, 9, 9, dtype=torch.float64)
    zero = block(torch.zeros_like(one))
    torch.testing.assert_close(block(one + two) - zero, block(one) - zero + block(two) - zero)


def test_a_fresh_refinement_changes_nothing_and_a_trained_one_is_a_residual() -> None:
    block = BoundaryRefinement(3)
    scores_NKhw = torch.randn(2, 3, 6, 5)
    assert torch.equal(block(scores_NKhw), scores_NKhw)
    nn.init.normal_(block.residual[2].weight)  # type: ignore[arg-type]
    first, last = block.residual[0], block.residual[2]
    by_hand = F.conv2d(scores_NKhw, first.weight, first.bias, padding=1).relu()  # type: ignore[arg-type]
    by_hand = F.conv2d(by_hand, last.weight, last.bias, padding=1) + scores_NKhw  # type: ignore[arg-type]
    torch.testing.assert_close(block(scores_NKhw), by_hand)
    assert (block(scores_NKhw) < 0).any()  # no ReLU after the sum


@pytest.mark.parametrize(("kernel_size", "near"), [(14, 15), (2, 3), (0, 1), (-3, 1)])
def test_an_even_kernel_is_refused_with_the_reason_and_a_neighbour(kernel_size: int, near: int) -> None:
    for build in (lambda: GlobalConv(4, 3, kernel_size), lambda: DenseConv(4, 3, kernel_size)):
        with pytest.raises(InputError, match=rf"odd.*stays centred; use {near}$"):
            build()


@pytest.mark.parametrize("kernel_size", [3.0, "3", None, True])
def test_a_kernel_size_is_a_whole_number(kernel_size: object) -> None:
    with pytest.raises(InputError, match="whole number"):
        check_kernel_size(kernel_size)  # type: ignore[arg-type]


def test_a_stack_needs_a_layer_and_a_channel() -> None:
    with pytest.raises(InputError, match="use head 'pointwise'"):
        ConvStack(4, 3, 1)
    for width in (0, 2.5):
        with pytest.raises(InputError, match="stack_width="):
            ConvStack(4, 3, 5, width)  # type: ignore[arg-type]


def test_an_unknown_head_is_answered_with_the_nearest() -> None:
    with pytest.raises(InputError, match="did you mean 'gcn'"):
        build_head("gnc", 4, 3, 5)


@pytest.fixture(name="scores_NKhw")
def scores() -> Tensor:
    return torch.randn(2, 5, 7, 9, generator=torch.Generator().manual_seed(0))


def test_a_fresh_deconvolution_is_bilinear_interpolation_inside(scores_NKhw: Tensor) -> None:
    deconvolution = build_upsampling("deconv", 5)
    expected = F.interpolate(scores_NKhw, scale_factor=2, mode="bilinear", align_corners=False)
    actual = deconvolution(scores_NKhw)
    assert actual.shape == expected.shape
    assert (actual - expected)[..., 1:-1, 1:-1].abs().max() < 1e-6
    # Outside there is zero for a deconvolution and the nearest cell for interpolation: the outermost line is 3/4 of it.
    torch.testing.assert_close(actual[..., 0, 1:-1], 0.75 * expected[..., 0, 1:-1])
    torch.testing.assert_close(actual[..., 1:-1, -1], 0.75 * expected[..., 1:-1, -1])
    torch.testing.assert_close(actual[..., 0, 0], 0.75**2 * expected[..., 0, 0])


def test_a_deconvolution_is_learned_and_dense_over_classes(scores_NKhw: Tensor) -> None:
    deconvolution = build_upsampling("deconv", 5)
    assert [tuple(p.shape) for p in deconvolution.parameters()] == [(5, 5, 4, 4)]
    deconvolution(scores_NKhw).square().sum().backward()
    for parameter in deconvolution.parameters():
        assert parameter.grad is not None and (parameter.grad != 0).all()


def test_bilinear_upsampling_has_nothing_to_learn(scores_NKhw: Tensor) -> None:
    upsample = build_upsampling("bilinear", 5)
    assert not list(upsample.parameters())
    expected = F.interpolate(scores_NKhw, scale_factor=2, mode="bilinear", align_corners=False)
    assert torch.equal(upsample(scores_NKhw), expected)


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("kernel_size", [13, 15, 21])
def test_a_wide_convolution_that_learns_is_the_same_on_its_side(kernel_size: int, layout: torch.memory_format) -> None:
    """Scores, gradients and the layout of both are those of a plain convolution with the same weights."""
    torch.manual_seed(0)
    wide = GlobalConv(3, 4, kernel_size).right[0]
    assert isinstance(wide, RowConv)
    features_NChw = torch.randn(2, 3, 9, 20).to(memory_format=layout)
    plain = nn.Conv2d(3, 4, (1, kernel_size), padding=(0, kernel_size // 2))
    plain.load_state_dict(wide.state_dict())
    actual = []
    for layer in (wide, plain):
        inputs_NChw = features_NChw.clone().requires_grad_()
        scores_NKhw = layer(inputs_NChw)
        assert scores_NKhw.is_contiguous(memory_format=layout)
        (scores_NKhw**2).sum().backward()
        assert layer.bias is not None
        actual.append([scores_NKhw, inputs_NChw.grad, layer.weight.grad, layer.bias.grad])
    torch.testing.assert_close(actual[0], actual[1])
    with torch.no_grad():
        torch.testing.assert_close(wide(features_NChw), plain(features_NChw), rtol=0, atol=0)

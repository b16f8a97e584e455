"""Theoretical field, gradients and occlusion of networks whose receptive field is known by construction."""

from collections.abc import Callable
from functools import partial

import numpy as np
import pytest
import torch
from helpers.fields import Cancelling, Scaled, Strided, conv, unit, wide
from torch import Tensor, nn

from globalconv.arrays import BoolArray
from globalconv.errors import InputError
from globalconv.model.blocks import BoundaryRefinement, ConvStack, GlobalConv
from globalconv.model.network import GlobalConvNet
from globalconv.receptive_field.gradient import effective_receptive_field, gradient_map
from globalconv.receptive_field.occlusion import Occluders, discrepancy_map, valid_receptive_field
from globalconv.receptive_field.size import field_size
from globalconv.receptive_field.theoretical import theoretical_receptive_field

SIDE = 33
MIDDLE = SIDE // 2
HOLES = np.zeros((SIDE, SIDE), bool)
HOLES[MIDDLE - 4 : MIDDLE + 5 : 4, MIDDLE - 4 : MIDDLE + 5 : 4] = True
"""What a 3 x 3 window of dilation 4 sees."""
PIXELWISE = Occluders(1, SIDE * SIDE)


def square(side: int, middle: int = MIDDLE, size: int = SIDE) -> BoolArray:
    """Return a centred square of pixels."""
    mask = np.zeros((size, size), bool)
    low, high = max(0, middle - side // 2), middle + side // 2 + 1
    mask[low:high, low:high] = True
    return mask


def image(size: int = SIDE) -> Tensor:
    return torch.rand(1, 3, size, size, generator=torch.Generator().manual_seed(1))


def fresh(build: Callable[[], nn.Module]) -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(3)
        return build()


def poison(network: nn.Module, at: tuple[int, int], size: int = SIDE) -> BoolArray:
    """Return which pixels reach a cell, by making one pixel after the other not a number: for sums only."""
    images = image(size).repeat(size * size, 1, 1, 1)
    for place in range(size * size):
        images[place, :, place // size, place % size] = torch.nan
    with torch.inference_mode():
        map_NChw: Tensor = network.eval()(images)
    return np.asarray(map_NChw[:, :, at[0], at[1]].isnan().any(1)).reshape(size, size)


KNOWN: dict[str, tuple[Callable[[], nn.Module], BoolArray]] = {
    "identity": (nn.Identity, square(1)),
    "1 x 1": (lambda: nn.Conv2d(3, 4, 1), square(1)),
    **{f"{k} x {k}": (partial(conv, k), square(k)) for k in (3, 7)},
    "stack of four 3 x 3": (lambda: ConvStack(3, 5, 9), square(9)),
    "GCN k = 15": (lambda: GlobalConv(3, 5, 15), square(15)),
    "four units with batch norm and ReLU": (lambda: nn.Sequential(*(unit() for _ in range(4))), square(9)),
    "Boundary Refinement, which starts at zero": (lambda: BoundaryRefinement(3), square(5)),
    "zero weights": (lambda: wide(5, 0.0), square(5)),
    "weights that cancel": (lambda: Cancelling(wide(5, 1.0)), square(5)),
    "dilation, with its holes": (lambda: nn.Conv2d(3, 3, 3, padding=4, dilation=4), HOLES),
    "max pooling": (lambda: nn.MaxPool2d(3, 1, 1), square(3)),
    "max pooling, dilated": (lambda: nn.Sequential(nn.ZeroPad2d(3), nn.MaxPool2d(3, 1, 1, 4)), HOLES),
    "global pooling": (lambda: nn.Sequential(conv(3), Scaled()), square(99)),
    "sixty 3 x 3, which underflow": (lambda: nn.Sequential(*(conv(3) for _ in range(60))), square(121)),
}

NO_GRADIENT = ("zero weights", "weights that cancel", "sixty 3 x 3, which underflow")


@pytest.mark.parametrize("case", KNOWN)
def test_the_theoretical_field_is_exact(case: str) -> None:
    build, expected = KNOWN[case]
    field = theoretical_receptive_field(fresh(build), SIDE, SIDE)
    assert np.array_equal(field, expected)


@pytest.mark.parametrize("k", [1, 3, 15])
@pytest.mark.parametrize("stride", [2, 8])
def test_a_global_convolution_at_a_stride(k: int, stride: int) -> None:
    """Cells of stride s hold s x s pixels: a k x k window of them holds (k s)^2, less what lies outside."""
    network = fresh(lambda: Strided(GlobalConv(3, 4, k), stride))
    size, cell = 128, 64 // stride
    low, high = (cell - k // 2) * stride, (cell + k // 2 + 1) * stride
    expected = np.zeros((size, size), bool)
    expected[max(0, low) : high, max(0, low) : high] = True
    assert np.array_equal(theoretical_receptive_field(network, size, size), expected)


def test_strided_pooling_with_its_last_window_over_the_edge() -> None:
    """Nine pixels, windows at 0, 2, 4, 6 and, with ceil_mode, 8: brute force says which belong to a cell."""
    for ceil_mode in (False, True):
        pool = nn.MaxPool2d(2, 2, ceil_mode=ceil_mode)
        for cell in range(5 if ceil_mode else 4):
            expected = np.zeros((9, 9), bool)
            expected[2 * cell : 2 * cell + 2, 2 * cell : 2 * cell + 2] = True
            assert np.array_equal(theoretical_receptive_field(pool, 9, 9, (cell, cell)), expected)


class Choosing(nn.Module):
    """Takes the larger or smaller of what a small and a large window see."""

    def __init__(self, choose: Callable[[Tensor, Tensor], Tensor]) -> None:
        super().__init__()
        self.small, self.large, self.choose = conv(3), conv(5), choose

    def forward(self, images_N3HW: Tensor) -> Tensor:
        return self.choose(self.small(images_N3HW), self.large(images_N3HW))


@pytest.mark.parametrize("choose", [torch.maximum, torch.minimum, torch.max, Tensor.min], ids=lambda one: one.__name__)
def test_of_two_maps_both_count_whichever_is_larger(choose: Callable[[Tensor, Tensor], Tensor]) -> None:
    assert np.array_equal(theoretical_receptive_field(Choosing(choose), SIDE, SIDE), square(5))


def test_a_maximum_over_rows_or_everything_looks_at_all_of_them() -> None:
    rows = Choosing(lambda small, large: large.max(2, keepdim=True).values * small)
    field = theoretical_receptive_field(rows, SIDE, SIDE)
    assert np.array_equal(field.any(0), square(5).any(0)) and field[:, MIDDLE].all()
    assert theoretical_receptive_field(Choosing(lambda small, large: small * large.max()), SIDE, SIDE).all()


@pytest.mark.parametrize("at", [(0, 0), (5, 7), (15, 3)])
def test_it_equals_brute_force_on_a_branching_network(at: tuple[int, int]) -> None:
    class Branches(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fine, self.coarse = nn.Conv2d(3, 4, 3, 2, 1), nn.Conv2d(3, 4, 5, 4, 2)
            self.up = nn.ConvTranspose2d(4, 4, 4, 2, 1)

        def forward(self, images_N3HW: Tensor) -> Tensor:
            fine: Tensor = self.fine(images_N3HW)
            coarse: Tensor = self.up(self.coarse(images_N3HW))
            return fine - coarse

    network = fresh(Branches)
    assert np.array_equal(theoretical_receptive_field(network, 32, 32, at), poison(network, at, 32))


@pytest.mark.parametrize("case", [name for name in KNOWN if name not in NO_GRADIENT])
def test_gradient_and_occlusion_lie_inside_the_theoretical_field(case: str) -> None:
    network = fresh(KNOWN[case][0])
    support = theoretical_receptive_field(network, SIDE, SIDE)
    for measured in (
        gradient_map(network, image()),
        discrepancy_map(network, image()[0], (MIDDLE, MIDDLE), 0, PIXELWISE, batch_size=64),
    ):
        assert measured[support].max() > 0
        assert not measured[~support].any()


@pytest.mark.parametrize("k", [1, 3, 7, 15])
def test_both_fill_the_field_of_a_uniform_kernel(k: int) -> None:
    network = wide(k, 0.5)
    assert np.array_equal(gradient_map(network, image()) > 0, square(k))
    occluded = discrepancy_map(network, image()[0], (MIDDLE, MIDDLE), 1, PIXELWISE, batch_size=64)
    assert np.array_equal(occluded > 0, square(k))
    size = field_size(gradient_map(network, image()))
    assert size.side == k and size.squares[0.99] == k


def test_larger_occluders_reach_their_own_side_farther() -> None:
    occluders = Occluders(5, 400)
    reached = discrepancy_map(wide(7, 0.5), image()[0], (MIDDLE, MIDDLE), 0, occluders) > 0
    assert reached[square(7)].all() and not reached[~square(7 + 2 * 4)].any()


def test_the_valid_field_is_where_hiding_matters_enough() -> None:
    """The left half of a kernel is a hundred times weaker than the right: a threshold of 0.3 leaves it out."""
    network = wide(7, 1.0)
    with torch.no_grad():
        network.weight[..., :3] = 0.01
    measure = partial(valid_receptive_field, network, image()[0], (MIDDLE, MIDDLE), 0)
    weak, strong = (measure(threshold, PIXELWISE, batch_size=64).region_HW for threshold in (1e-6, 0.3))
    assert np.array_equal(weak, square(7))
    assert strong.any() and not strong[:, :MIDDLE].any()
    with pytest.raises(InputError, match="threshold=0"):
        valid_receptive_field(network, image()[0], (MIDDLE, MIDDLE), 0, 0)


def test_too_few_occluders_would_leave_gaps() -> None:
    with pytest.raises(InputError, match="give at least 9"):
        Occluders(11, 4).windows(SIDE, SIDE)
    for size, count in ((11, 9), (4, 100), (1, SIDE * 20)):
        covered = np.zeros((SIDE, 20), int)
        for window in Occluders(size, count).windows(SIDE, 20):
            covered[window] += 1
        assert covered.all()


def test_occlusion_is_seeded() -> None:
    measure = partial(discrepancy_map, wide(3, 0.5), image()[0], (MIDDLE, MIDDLE), 0)
    first, again = (measure(Occluders(5, 100, seed=4)) for _ in range(2))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, measure(Occluders(5, 100, seed=5)))
    assert np.allclose(first, measure(Occluders(5, 100, seed=4), batch_size=3), rtol=1e-4)


def test_scaling_the_gradients_changes_no_number() -> None:
    network = fresh(lambda: nn.Sequential(unit(), unit(), GlobalConv(3, 5, 7)))
    plain = field_size(gradient_map(network, image()))
    for factor in (1e6, 1e-6):
        scaled = field_size(gradient_map(nn.Sequential(network, Scaled(factor, pool=False)), image()))
        assert (scaled.side, scaled.squares) == (plain.side, plain.squares)
        assert scaled.sigma == pytest.approx(plain.sigma, rel=1e-5) and scaled.fit == pytest.approx(plain.fit)


def test_positions_and_images_are_averaged_around_their_own_pixel() -> None:
    """A uniform kernel has the same field everywhere: averaging changes nothing, whatever is averaged."""
    network = wide(5, 1.0)
    cells = [(4, 6), (MIDDLE, MIDDLE), (28, 10)]
    field = effective_receptive_field(network, [image(), image(41)], cells)
    middle = field.shape[0] // 2, field.shape[1] // 2
    assert field.shape[0] % 2 == field.shape[1] % 2 == 1
    rows, columns = np.nonzero(field)
    assert (rows.min() - middle[0], rows.max() - middle[0]) == (-2, 2)
    assert (columns.min() - middle[1], columns.max() - middle[1]) == (-2, 2)
    assert np.ptp(field[rows, columns]) == pytest.approx(0, abs=1e-6)


def test_one_class_and_all_channels() -> None:
    network = fresh(lambda: nn.Conv2d(3, 4, 3, padding=1))
    assert isinstance(network, nn.Conv2d)
    with torch.no_grad():
        network.weight[2, :, :, 0] = 0
    strength = gradient_map(network, image(), channel=2)
    assert not strength[:, MIDDLE - 1].any() and strength[:, MIDDLE + 1].any()
    assert gradient_map(network, image())[:, MIDDLE - 1].any()


def test_the_network_stays_as_it_was() -> None:
    network = GlobalConvNet(4, backbone="test_resnet", kernel_size=3)
    network.backbone.eval()
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    modes = [module.training for module in network.modules()]
    theoretical_receptive_field(network, 40, 50)
    gradient_map(network, torch.rand(1, 3, 40, 50))
    discrepancy_map(network, torch.rand(3, 40, 50), (1, 1), 0, Occluders(11, 20))
    assert [module.training for module in network.modules()] == modes and True in modes
    assert all(torch.equal(before[name], tensor) for name, tensor in network.state_dict().items())
    assert all(parameter.grad is None for parameter in network.parameters())


@pytest.mark.parametrize(("layer", "side"), [(0, 7), (2, 99), (4, 435)])
def test_levels_of_a_timm_backbone_have_their_published_fields(layer: int, side: int) -> None:
    """ResNet-18: 7, 99 and 435 pixels (as Araujo et al. 2019 compute them), around pixel stride x cell."""
    timm = pytest.importorskip("timm")
    backbone = fresh(lambda: timm.create_model("resnet18", features_only=True))
    stride = 2 ** (layer + 1)
    cell = side // 2 // stride + 1
    field = theoretical_receptive_field(backbone, 2 * cell * stride, 2 * cell * stride, (cell, cell), layer)
    low, high = cell * stride - side // 2, cell * stride + side // 2
    rows, columns = np.flatnonzero(field.any(1)), np.flatnonzero(field.any(0))
    assert (rows[0], rows[-1], columns[0], columns[-1]) == (low, high, low, high)
    assert field[low : high + 1, low : high + 1].all()


def test_a_timm_backbone_in_all_three_ways() -> None:
    timm = pytest.importorskip("timm")
    backbone = fresh(lambda: timm.create_model("test_resnet", features_only=True))
    support = theoretical_receptive_field(backbone, 32, 32, layer=0)
    gradient = gradient_map(backbone, image(32), layer=0)
    occluded = discrepancy_map(backbone, image(32)[0], (8, 8), 0, Occluders(1, 32 * 32), 0, 64)
    assert support.any() and not support.all()
    assert gradient.any() and not gradient[~support].any()
    # Images of one batch are not all rounded alike.
    assert occluded.any() and occluded[~support].max() < 1e-5 * occluded.max()


def test_a_unet_of_another_library() -> None:
    smp = pytest.importorskip("segmentation_models_pytorch", reason="segmentation-models-pytorch is not installed")
    unet = fresh(lambda: smp.Unet("resnet18", encoder_weights=None, classes=3))
    assert theoretical_receptive_field(unet, 96, 96).all()
    field = effective_receptive_field(unet, image(96))
    assert 1 < field_size(field).side < 96
    assert discrepancy_map(unet, image(96)[0], (48, 48), 1, Occluders(11, 81)).max() > 0


def test_a_map_of_several_is_chosen_and_refusals_name_it() -> None:
    class Several(nn.Module):
        def forward(self, images_N3HW: Tensor) -> dict[str, Tensor]:
            return {"out": images_N3HW, "aux": images_N3HW.mean((2, 3), keepdim=True)}

    assert theoretical_receptive_field(Several(), 9, 9, layer="out").sum() == 1
    assert theoretical_receptive_field(Several(), 9, 9, layer="aux").all()
    for arguments, words in [
        ({}, "name one of them; known: "),
        ({"layer": "auxx"}, "did you mean 'aux'"),
        ({"layer": "out", "at": (9, 0)}, "9 rows"),
    ]:
        with pytest.raises(InputError, match=words):
            theoretical_receptive_field(Several(), 9, 9, **arguments)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="a map"):
        theoretical_receptive_field(nn.Flatten(), 9, 9)
    with pytest.raises(InputError, match="channel=7"):
        gradient_map(wide(3, 1.0), image(), channel=7)

"""Costs against the paper's arithmetic, torch's counter, sums over layers, and what autograd really keeps."""

from itertools import product
from typing import Any

import pytest
import timm
import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from globalconv.cost.count import NetworkCost, matching_width, network_cost
from globalconv.errors import InputError
from globalconv.model.blocks import ConvStack, GlobalConv
from globalconv.model.network import GlobalConvNet

BIASES = {"gcn": 4 * 21, "conv": 21, "pointwise": 21}


def rows(cost: NetworkCost) -> dict[str, tuple[int, int]]:
    return {row.name: (row.weights, row.multiply_adds) for row in cost.rows}


def flops(network: nn.Module, *size: int) -> int:
    with torch.inference_mode(), FlopCounterMode(display=False) as counter:
        network(torch.rand(1, 3, *size))
    return int(counter.get_total_flops())


def by_layer(network: nn.Module, *size: int) -> int:
    """Multiply-adds by the formula of a convolution: what goes in or out, times the kernel."""
    counted = 0

    def count(layer: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        nonlocal counted
        assert isinstance(layer, nn.Conv2d | nn.ConvTranspose2d)
        pixels = inputs[0] if isinstance(layer, nn.ConvTranspose2d) else output
        counted += pixels[0, 0].numel() * layer.weight.numel()

    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
            module.register_forward_hook(count)
    with torch.inference_mode():
        network(torch.rand(1, 3, *size))
    return counted


@pytest.mark.parametrize("size", [(64, 96), (33, 70)])
@pytest.mark.parametrize("settings", [{}, {"head": "conv"}, {"head": "stack", "boundary_refinement": False},
                                      {"head": "pointwise", "upsample": "bilinear"}])  # fmt: skip
def test_multiply_adds_are_half_of_torchs_operations_and_the_sum_over_layers(
    size: tuple[int, int], settings: dict[str, Any]
) -> None:
    network = GlobalConvNet(3, "test_resnet", 5, **settings).eval()
    cost = network_cost(network, *size)
    assert 2 * cost.multiply_adds == flops(network, *size)
    assert cost.multiply_adds == by_layer(network, *size) > 0
    assert cost.weights == sum(parameter.numel() for parameter in network.parameters())


@pytest.mark.parametrize("name", ["test_vit", "test_convnext", "test_efficientnet"])
def test_attention_and_grouped_convolutions_count_as_torch_counts_them(name: str) -> None:
    network = timm.create_model(name, num_classes=5).eval()
    config = timm.get_pretrained_cfg(name)
    assert config is not None
    size = config.input_size[1:]
    assert 2 * network_cost(network, *size).multiply_adds == flops(network, *size)


@pytest.mark.parametrize(
    ("head", "kernel_size", "width", "weights"),
    [
        *(("gcn", k, None, 86_898 * k) for k in (3, 5, 7, 9, 11, 13, 15, 25)),
        *(("conv", k, None, 43_008 * k * k) for k in (3, 5, 7, 9, 15)),
        ("stack", 7, 2048, 75_884_544), ("stack", 7, 1024, 28_505_088), ("stack", 7, 210, 4_307_310),
        ("stack", 5, None, 38_135_808), ("stack", 9, None, 113_633_280), ("stack", 11, None, 151_382_016),
    ],
)  # fmt: skip
def test_weights_after_res_5_are_the_papers(head: str, kernel_size: int, width: int | None, weights: int) -> None:
    with torch.device("meta"):
        network = GlobalConvNet(21, "resnet26", (3, 3, 3, kernel_size), ("gcn",) * 3 + (head,), width)
    m = width or 2048
    biases = BIASES.get(head, ((kernel_size - 1) // 2 - 1) * m + 21)
    last_head = rows(network_cost(network, 32, 32))["head res-5"]
    assert last_head == (weights + biases, weights), "at 32 x 32 there is one cell, and every weight works once"


def test_blocks_of_the_whole_network() -> None:
    """ResNet-50, k = 15 at 512 x 512: the paper's sizes of res-2 .. res-5 times the weights of their heads."""
    with torch.device("meta"):
        network = GlobalConvNet(21, "resnet50", 15)
    blocks = rows(network_cost(network, 512, 512))
    assert list(blocks) == [
        "conv-1", "res-2", "res-3", "res-4", "res-5", "head res-2", "head res-3", "head res-4", "head res-5",
        "refinements after heads", "refinements after sums", "refinements at output", "upsamplings",
    ]  # fmt: skip
    sides = {"res-2": 128, "res-3": 64, "res-4": 32, "res-5": 16}
    heads = {level: blocks[f"head {level}"] for level in sides}
    assert sum(weights for weights, _ in heads.values()) == 2_472_120 + 4 * BIASES["gcn"]
    for (level, side), channels in zip(sides.items(), (256, 512, 1024, 2048), strict=True):
        assert heads[level][1] == side**2 * 2 * 15 * 21 * (channels + 21)
    assert blocks["refinements after heads"][0] == 4 * 7_980 and blocks["refinements at output"][0] == 2 * 7_980
    assert blocks["refinements at output"][1] == (256**2 + 512**2) * 7_938
    assert blocks["conv-1"] == (64 * 3 * 49 + 128, 256**2 * 64 * 3 * 49)
    assert blocks["upsamplings"] == (5 * 21**2 * 16, sum(side**2 for side in (16, 32, 64, 128, 256)) * 21**2 * 16)


@pytest.mark.parametrize(
    ("backbone", "first"), [("test_convnext", "res-2"), ("test_resnet", "conv-1"), ("hrnet_w18_small", "backbone")]
)
def test_levels_of_other_backbones_add_up(backbone: str, first: str) -> None:
    network = GlobalConvNet(3, backbone, 3)
    cost = network_cost(network, 64, 64)
    assert cost.rows[0].name == first
    own = sum(parameter.numel() for parameter in network.backbone.parameters())
    assert sum(row.weights for row in cost.rows if row.name in ("backbone", "conv-1") or row.name[:3] == "res") == own
    assert "other" not in rows(cost)


class Outside(nn.Module):
    """Has a child, a child that is used twice, and weights and work of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.twice = nn.Conv2d(3, 4, 1, bias=False), nn.Conv2d(4, 4, 3, padding=1, bias=False)
        self.own = nn.Parameter(torch.rand(2, 4, 1, 1))

    def forward(self, images_N3HW: Tensor) -> Tensor:
        return nn.functional.conv2d(self.twice(self.twice(self.first(images_N3HW))), self.own)


def test_of_any_network_the_blocks_are_its_children_and_the_rest() -> None:
    network = Outside()
    assert rows(network_cost(network, 10, 10)) == {
        "first": (12, 1200), "twice": (144, 2 * 14400), "other": (8, 800)
    }  # fmt: skip
    assert rows(network_cost(nn.Conv2d(3, 2, 1), 10, 10)) == {"Conv2d": (8, 600)}


def test_memory_of_inference_is_what_lives_at_one_time() -> None:
    """10 x 10: three planes in (not counted), 5, 7 and 2 planes out; while one is computed, only its input is alive."""
    network = nn.Sequential(nn.Conv2d(3, 5, 1), nn.Conv2d(5, 7, 1), nn.Conv2d(7, 2, 1))
    assert network_cost(network, 10, 10).inference_bytes == 4 * 100 * (5 + 7)
    in_place = nn.Sequential(nn.Conv2d(3, 5, 1), nn.ReLU(inplace=True), nn.Flatten())
    assert network_cost(in_place, 10, 10).inference_bytes == 4 * 100 * 5


@pytest.mark.parametrize("refined", [True, False])
def test_memory_of_training_is_what_autograd_saves_and_the_output(refined: bool) -> None:
    network = GlobalConvNet(3, "test_resnet", 5, boundary_refinement=refined).train()
    weights = {tensor.untyped_storage().data_ptr() for tensor in [*network.parameters(), *network.buffers()]}
    images_N3HW = torch.rand(2, 3, 64, 96)
    kept: dict[int, Tensor] = {}

    def keep(tensor: Tensor) -> Tensor:
        kept[tensor.untyped_storage().data_ptr()] = tensor
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        output = network(images_N3HW)
    keep(output)
    saved = sum(tensor.untyped_storage().nbytes() for place, tensor in kept.items() if place not in weights)
    assert network_cost(network, 64, 96).training_bytes == pytest.approx(saved / 2, rel=0.02)


def test_counting_leaves_the_network_as_it_was() -> None:
    network = GlobalConvNet(2, "test_resnet", 3).train()
    network.backbone.eval()
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    modes = [module.training for module in network.modules()]
    network_cost(network, 40, 40)
    assert [module.training for module in network.modules()] == modes
    assert all(torch.equal(before[name], tensor) for name, tensor in network.state_dict().items())
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in network.modules())


class Frozen(nn.Sequential):
    """Stays in evaluation mode, as frozen batch norms do."""

    def train(self, mode: bool = True) -> "Frozen":
        super().train(False)
        return self


def test_memory_of_training_is_that_of_the_mode_the_network_then_has() -> None:
    layers = nn.Conv2d(3, 1000, 1), nn.Dropout()
    assert network_cost(Frozen(*layers), 1, 1).training_bytes == 4 * 1000, "the output, and no mask of a dropout"
    assert network_cost(nn.Sequential(*layers), 1, 1).training_bytes > 4 * 1000


class Looking(nn.Module):
    def forward(self, images_N3HW: Tensor) -> Tensor:
        return images_N3HW if images_N3HW.sum() > 0 else -images_N3HW


def test_what_cannot_be_counted_is_refused() -> None:
    with pytest.raises(InputError, match="Looking cannot be counted at 8x9, for it does not run on shapes alone"):
        network_cost(Looking(), 8, 9)
    with pytest.raises(InputError, match="0x9: both must be at least 1"):
        network_cost(Looking(), 0, 9)


@pytest.mark.parametrize(("channels", "classes", "kernel_size"), list(product((64, 512, 2048), (2, 21), (5, 7, 15))))
def test_no_other_width_is_nearer_to_the_weights_of_a_global_convolution(
    channels: int, classes: int, kernel_size: int
) -> None:
    def weights(module: nn.Module) -> int:
        return sum(parameter.numel() for parameter in module.parameters())

    width = matching_width(channels, classes, kernel_size)
    with torch.device("meta"):
        wanted = weights(GlobalConv(channels, classes, kernel_size, bias=False))
        gaps = {
            m: abs(weights(ConvStack(channels, classes, kernel_size, m, bias=False)) - wanted)
            for m in (max(1, width - 1), width, width + 1)
        }
    assert min(gaps.values()) == gaps[width]


def test_the_papers_third_width_is_not_the_matching_one() -> None:
    assert matching_width(2048, 21, 7) == 32
    with pytest.raises(InputError, match="kernel_size=3"):
        matching_width(2048, 21, 3)

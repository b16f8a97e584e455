"""ResNet-GCN is Table 11, costs what its docstring says, shares no weights, and is a backbone like any other."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import timm
import torch
from safetensors.torch import save_file
from timm.models.resnet import ResNet
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from globalconv.errors import InputError
from globalconv.labels import LabelSpace
from globalconv.model.backbone import STRIDES, Backbone, batch_norms
from globalconv.model.network import GlobalConvNet
from globalconv.model.resnet_gcn import GlobalBottleneck, GlobalConvNorm, Res4Block, Res5Block
from globalconv.weights import load_weights, save_weights

CONV1, RES2, RES3, RES4, RES5 = "act1", "layer1", "layer2", "layer3", "layer4"

TABLE_11 = {CONV1: (64, 112), RES2: (256, 56), RES3: (512, 28), RES4: (1024, 14), RES5: (2048, 7)}
"""Channels and side of the output, for images of 224 x 224."""


def on_meta(name: str) -> ResNet:
    with torch.device("meta"):
        model = timm.create_model(name)
    assert isinstance(model, ResNet)
    return model


def levels(model: nn.Module) -> list[list[nn.Module]]:
    """Return the blocks of res-2 .. res-5."""
    return [list(model.get_submodule(f"layer{number}").children()) for number in (1, 2, 3, 4)]


def convolutions(module: nn.Module) -> list[nn.Conv2d]:
    return [layer for layer in module.modules() if isinstance(layer, nn.Conv2d)]


def megamacs(model: nn.Module) -> int:
    """Return the million multiply-adds of the convolutions at 224 x 224."""
    with FlopCounterMode(display=False) as counter:
        model(torch.empty(1, 3, 224, 224, device="meta"))
    counts = {str(kind): count for kind, count in counter.get_flop_counts()["Global"].items()}
    macs: int = counts["aten.convolution"] // 2
    return round(macs / 1e6)


def test_output_sizes_and_widths_of_table_11() -> None:
    model, actual = on_meta("resnet50_gcn"), {}
    for name in TABLE_11:
        model.get_submodule(name).register_forward_hook(
            lambda _, __, out, name=name: actual.update({name: (out.shape[1], out.shape[2])})
        )
    assert model(torch.empty(1, 3, 224, 224, device="meta")).shape == (1, 1000)
    assert actual == TABLE_11


@pytest.mark.parametrize(
    ("level", "blocks", "k", "width", "channels"), [(RES4, 6, 5, 85, 1024), (RES5, 3, 7, 128, 2048)]
)
def test_blocks_of_table_11(level: str, blocks: int, k: int, width: int, channels: int) -> None:
    stage = list(on_meta("resnet50_gcn").get_submodule(level).children())
    assert len(stage) == blocks
    for block in stage:
        assert isinstance(block, GlobalBottleneck)
        for branch, kernels in (("left", [(1, k), (k, 1)]), ("right", [(k, 1), (1, k)])):
            layers = list(block.global_conv.get_submodule(branch).children())
            assert [type(layer) for layer in layers] == [nn.Conv2d, nn.BatchNorm2d, nn.ReLU] * 2
            assert [(c.kernel_size, c.out_channels) for c in convolutions(block.global_conv.get_submodule(branch))] == [
                (kernel, width) for kernel in kernels
            ]
        assert (block.conv3.kernel_size, block.conv3.out_channels) == ((1, 1), channels)
    assert all(convolution.bias is None for block in stage for convolution in convolutions(block))


def test_shallow_levels_are_resnet50s() -> None:
    ours, theirs = (on_meta(name).state_dict() for name in ("resnet50_gcn", "resnet50"))
    shallow = [name for name in theirs if not name.startswith((RES4, RES5))]
    assert [name for name in ours if not name.startswith((RES4, RES5))] == shallow
    assert all(ours[name].shape == theirs[name].shape for name in shallow)


@pytest.mark.parametrize(("depth", "layers"), [("50", 6), ("101", 23), ("152", 36)])
def test_depths_are_resnets(depth: str, layers: int) -> None:
    ours, theirs = on_meta(f"resnet{depth}_gcn"), on_meta(f"resnet{depth}")
    counts = [
        [len(list(model.get_submodule(f"layer{n}").children())) for n in (1, 2, 3, 4)] for model in (ours, theirs)
    ]
    assert counts[0] == counts[1]
    assert counts[0][2] == layers


def test_weights_of_the_convolutions() -> None:
    counts = {
        name: round(sum(c.weight.numel() for c in convolutions(on_meta(name))) / 1e6, 2)
        for name in ("resnet50_gcn", "resnet50")
    }
    assert counts == {"resnet50_gcn": 20.45, "resnet50": 23.45}


def stride_in_first_1x1(model: ResNet, level: str) -> None:
    """Move the stride of a level of bottlenecks where Caffe has it."""
    block = model.get_submodule(f"{level}.0")
    assert isinstance(block.conv1, nn.Conv2d) and isinstance(block.conv2, nn.Conv2d)
    block.conv1.stride, block.conv2.stride = (2, 2), (1, 1)


def branches(model: nn.Module) -> Iterator[list[nn.Conv2d]]:
    """Yield the two convolutions of every branch that strides."""
    for module in model.modules():
        if isinstance(module, GlobalConvNorm):
            for branch in (convolutions(module.left), convolutions(module.right)):
                if branch[0].stride != (1, 1):
                    yield branch


def along_their_axes(branch: list[nn.Conv2d]) -> None:
    for convolution in branch:
        convolution.stride = (2, 1) if convolution.kernel_size[0] > 1 else (1, 2)


def in_the_second(branch: list[nn.Conv2d]) -> None:
    branch[0].stride, branch[1].stride = (1, 1), (2, 2)


@pytest.mark.parametrize(
    ("place", "timms", "caffes"),
    [(lambda branch: None, 3667, 3589), (along_their_axes, 3842, 3765), (in_the_second, 4192, 4115)],
)
def test_multiply_adds_by_where_the_stride_sits(
    place: Callable[[list[nn.Conv2d]], None], timms: int, caffes: int
) -> None:
    """The figures of the module's docstring; the first is what is built, and nearest to the 3,700 printed."""
    model = on_meta("resnet50_gcn")
    striding = list(branches(model))
    assert len(striding) == 4
    for branch in striding:
        place(branch)
    assert megamacs(model) == timms
    stride_in_first_1x1(model, RES3)
    assert megamacs(model) == caffes


def test_multiply_adds_of_resnet50() -> None:
    model = on_meta("resnet50")
    assert megamacs(model) == 4087
    for level in (RES3, RES4, RES5):
        stride_in_first_1x1(model, level)
    assert megamacs(model) == 3856


def test_no_two_layers_share_weights() -> None:
    """A block that is made once and repeated would have the names of all and the parameters of one."""
    model = timm.create_model("resnet50_gcn")
    with_twins = list(model.named_parameters(remove_duplicate=False))
    assert len({tensor.data_ptr() for _, tensor in with_twins}) == len(with_twins) == 161 + 9 * 6  # ResNet50 has 161
    blocks = [module for module in model.modules() if isinstance(module, GlobalBottleneck)]
    assert len({id(block) for block in blocks}) == 9


def test_gradient_reaches_every_parameter(randomise: Callable[[nn.Module], None]) -> None:
    model = timm.create_model("resnet50_gcn", num_classes=3)
    randomise(model)
    model(torch.rand(2, 3, 64, 64)).square().sum().backward()
    silent = [name for name, p in model.named_parameters() if p.grad is None or not p.grad.any()]
    assert not silent


@pytest.mark.parametrize("block", [Res4Block, Res5Block])
def test_a_block_is_the_sum_of_figure_5(block: type[GlobalBottleneck], randomise: Callable[[nn.Module], None]) -> None:
    """Computed anew from the layers, with the padding written out: same size, and the shortcut inside the last ReLU."""
    made = block(8, 2).eval()
    randomise(made)
    features = torch.randn(1, 8, 9, 11)

    def branch(name: str) -> torch.Tensor:
        first, norm1, _, second, norm2, _ = made.global_conv.get_submodule(name).children()
        return norm2(second(norm1(first(features)).relu())).relu()  # type: ignore[no-any-return]

    residual = made.bn3(made.conv3(branch("left") + branch("right")))
    expected = (features + residual).relu()
    with torch.no_grad():
        torch.testing.assert_close(made(features), expected)
    assert not torch.equal(branch("left"), branch("right"))


def test_a_fresh_block_is_its_shortcut() -> None:
    block = levels(timm.create_model("resnet50_gcn"))[2][1].eval()
    features = torch.rand(1, 1024, 3, 3)
    assert torch.equal(block(features), features)


@pytest.mark.parametrize("k", [0, 2, 2.5, True])
def test_a_wrong_kernel_size_is_refused(k: int) -> None:
    with pytest.raises(InputError, match="kernel_size="):
        GlobalConvNorm(4, 4, k)


def test_variants_that_do_not_exist_are_refused() -> None:
    with pytest.raises(AssertionError, match="dilation"):
        timm.create_model("resnet50_gcn", output_stride=8)


@pytest.mark.parametrize("name", ["resnet50_gcn", "resnet101_gcn", "resnet152_gcn"])
def test_the_contract_of_backbones(name: str) -> None:
    with torch.device("meta"):
        backbone = Backbone(name).eval()
        shapes = [tuple(level.shape) for level in backbone(torch.empty(1, 3, 64, 96))]
    assert backbone.channels == (256, 512, 1024, 2048)
    assert shapes == [(1, c, 64 // s, 96 // s) for c, s in zip(backbone.channels, STRIDES, strict=True)]
    assert backbone.mean == (0.485, 0.456, 0.406)


def test_any_size_through_the_whole_network() -> None:
    network = GlobalConvNet(2, "resnet50_gcn", 3).eval()
    with torch.no_grad():
        for size in ((1, 1), (33, 50)):
            logits_NKHW = network(torch.rand(1, 3, *size))
            assert logits_NKHW.shape == (1, 2, *size) and logits_NKHW.isfinite().all()


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file of the classification network, as a pre-training leaves it: its classifier is of other classes."""
    torch.manual_seed(0)
    model = timm.create_model("resnet50_gcn", num_classes=7)
    for norm in batch_norms(model):
        assert norm.running_mean is not None
        norm.running_mean.normal_()
    path = tmp_path_factory.mktemp("weights") / "resnet50_gcn.safetensors"
    save_file(model.state_dict(), path)
    return path


def test_weights_come_from_a_file_and_go_through_one(weights: Path, tmp_path: Path) -> None:
    network = GlobalConvNet(21, "resnet50_gcn", 3, backbone_weights=str(weights), backbone_norm="frozen")
    assert not any(norm.training for norm in batch_norms(network.train().backbone))
    save_weights(tmp_path, network, LabelSpace(tuple(f"class {n}" for n in range(21))), {})
    again = load_weights(tmp_path).network
    assert again.settings == network.settings
    images = torch.rand(1, 3, 40, 40)
    with torch.no_grad():
        assert torch.equal(again(images), network.eval()(images))
    norms = batch_norms(again)
    assert norms and norms[0].running_mean is not None and norms[0].running_mean.any()


def test_weights_of_a_resnet_are_not_those_of_a_resnet_gcn(tmp_path: Path) -> None:
    path = tmp_path / "resnet50.safetensors"
    save_file(timm.create_model("resnet50").state_dict(), path)
    with pytest.raises(InputError, match=r"not the weights of backbone 'resnet50_gcn': .* missing .*global_conv"):
        Backbone("resnet50_gcn").load(str(path))


@pytest.mark.parametrize(
    ("backbone", "weights", "message"),
    [
        ("resnet50_gnc", None, "did you mean .*'resnet50_gcn'"),
        ("resnet50-gcn", None, "'resnet50_gcn'"),
        ("ResNet50_GCN", None, "'resnet50_gcn'"),
        ("resnet50_gcn", "imagenet", "no weights for 'resnet50_gcn' on the hub; give a file"),
        ("resnet50_gcn.a1_in1k", None, "timm has no such weights"),
    ],
)
def test_what_is_refused(backbone: str, weights: str | None, message: str) -> None:
    with pytest.raises(InputError, match=message):
        GlobalConvNet(2, backbone, 3, backbone_weights=weights)

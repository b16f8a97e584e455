"""The contract of backbones, and batch norms that stay frozen."""

import copy
from collections.abc import Callable

import pytest
import timm
import torch
from torch import nn

from globalconv.errors import InputError
from globalconv.model.backbone import STRIDES, Backbone, batch_norms
from globalconv.model.network import GlobalConvNet
from globalconv.model.wrapped import custom_class, wrap_network

CHANNELS = {
    "resnet18": (64, 128, 256, 512),
    "resnet34": (64, 128, 256, 512),
    "resnet50": (256, 512, 1024, 2048),
    "resnet101": (256, 512, 1024, 2048),
    "resnet152": (256, 512, 1024, 2048),
    "convnext_atto": (40, 80, 160, 320),
    "mobilenetv3_large_100": (24, 40, 112, 960),
    "mobilenetv2_050": (16, 16, 48, 160),
    "densenet121": (256, 512, 1024, 1024),  # dots of its names become underscores when it is cut
    "vgg11_bn": (256, 512, 512, 512),  # has levels before stride 4
    "xception41": (256, 728, 1024, 2048),  # taken out by hooks
    "mambaout_femto": (48, 96, 192, 288),  # keeps its channels last
}


@pytest.mark.parametrize(("name", "channels"), CHANNELS.items())
def test_four_levels_at_their_strides(name: str, channels: tuple[int, ...]) -> None:
    backbone = Backbone(name).eval()
    assert backbone.channels == channels
    with torch.no_grad():
        features = backbone(torch.rand(1, 3, 64, 32))
    expected = [(1, c, 64 // stride, 32 // stride) for c, stride in zip(channels, STRIDES, strict=True)]
    assert [tuple(level.shape) for level in features] == expected
    assert all(level.isfinite().all() for level in features)


@pytest.mark.parametrize("name", ["resnet152", "convnext_atto", "mobilenetv3_large_100"])
def test_small_images_through_the_whole_network(name: str) -> None:
    network = GlobalConvNet(2, name, 3).eval()
    with torch.no_grad():
        for size in ((1, 1), (33, 20)):
            logits_NKHW = network(torch.rand(1, 3, *size))
            assert logits_NKHW.shape == (1, 2, *size) and logits_NKHW.isfinite().all()


def test_parts_that_no_level_needs_are_cut_off() -> None:
    whole = sum(p.numel() for p in timm.create_model("mobilenetv2_050").parameters())
    assert sum(p.numel() for p in Backbone("mobilenetv2_050").parameters()) < whole - 1_200_000


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("vit_tiny_patch16_224", "choose a convolutional model"),
        ("swin_tiny_patch4_window7_224", "image of any size"),  # takes 224 x 224 only
        ("maxvit_tiny_tf_224", "image of any size"),
        ("dla34", "does not give the strides"),  # timm declares one level more than it gives
        ("resnet18x", "did you mean 'resnet18'"),
        ("hf-hub:timm/resnet18.a1_in1k", "no such model"),
        ("", "no such model"),
    ],
)
def test_a_model_without_the_four_strides_is_refused(name: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        Backbone(name)


def test_mean_and_deviation_are_those_of_the_weights_in_the_name() -> None:
    assert Backbone("resnet18").mean == (0.485, 0.456, 0.406)
    name = "mobilenetv3_large_100.miil_in21k_ft_in1k"
    assert (Backbone(name).mean, Backbone(name).std) == ((0, 0, 0), (1, 1, 1))
    network = GlobalConvNet(2, name, 3)
    assert network.mean_C11.flatten().tolist() == [0, 0, 0]
    assert not [name for name in network.state_dict() if "mean_C11" in name or "std_C11" in name]


@pytest.fixture
def frozen(randomise: Callable[[nn.Module], None]) -> GlobalConvNet:
    network = GlobalConvNet(2, "test_resnet", 3)
    randomise(network)
    network.freeze_backbone_norm()
    return network


def statistics(network: GlobalConvNet) -> list[torch.Tensor]:
    return [tensor.clone() for layer in batch_norms(network) for tensor in layer.state_dict().values()]


def test_frozen_statistics_survive_train_and_steps(frozen: GlobalConvNet) -> None:
    before = statistics(frozen)
    frozen.eval().train()
    optimizer = torch.optim.SGD(frozen.parameters(), lr=0.01, weight_decay=0.1)
    weight = next(frozen.backbone.body.parameters()).detach().clone()
    for _ in range(2):
        frozen(torch.rand(2, 3, 64, 64)).mean().backward()
        optimizer.step()
    assert len(before) > 20
    assert all(torch.equal(a, b) for a, b in zip(before, statistics(frozen), strict=True))
    assert not torch.equal(weight, next(frozen.backbone.body.parameters()))  # convolutions do learn


def test_frozen_affine_weights_take_no_gradient(frozen: GlobalConvNet) -> None:
    norms = {id(p) for layer in batch_norms(frozen) for p in layer.parameters()}
    assert norms
    assert all(p.requires_grad is (id(p) not in norms) for p in frozen.parameters())


def test_a_frozen_backbone_trains_on_what_it_predicts_with(frozen: GlobalConvNet) -> None:
    images_N3HW = torch.rand(1, 3, 32, 32)  # one value per channel at res-5: live batch norm would refuse it
    trained, predicted = frozen.train()(images_N3HW), frozen.eval()(images_N3HW)
    assert torch.equal(trained, predicted)
    with pytest.raises(ValueError, match="more than 1 value per channel"):
        GlobalConvNet(2, "test_resnet", 3).train()(images_N3HW)


def test_a_copy_stays_frozen(frozen: GlobalConvNet) -> None:
    copied = copy.deepcopy(frozen).train()
    assert batch_norms(copied)
    assert not any(layer.training for layer in batch_norms(copied))


def test_freezing_keeps_the_mode_of_the_rest(frozen: GlobalConvNet) -> None:
    assert frozen.training and frozen.backbone.training
    assert frozen.eval().backbone.training is False
    frozen.freeze_backbone_norm()
    assert frozen.backbone.training is False


def test_live_batch_norm_learns_its_statistics() -> None:
    network = GlobalConvNet(2, "test_resnet", 3)
    before = statistics(network)
    network.train()(torch.rand(2, 3, 64, 64))
    assert not all(torch.equal(a, b) for a, b in zip(before, statistics(network), strict=True))


def test_freezing_fresh_statistics_is_refused() -> None:
    with pytest.raises(InputError, match="no statistics were loaded"):
        GlobalConvNet(2, "test_resnet", 3, backbone_norm="frozen")
    network = GlobalConvNet(2, "test_resnet", 3)
    with pytest.raises(InputError, match="no statistics were loaded"):
        network.freeze_backbone_norm()
    assert all(p.requires_grad for p in network.parameters())


def test_freezing_without_batch_norm_is_refused() -> None:
    with pytest.raises(InputError, match="'convnext_atto' has no batch norm"):
        GlobalConvNet(2, "convnext_atto", 3, backbone_norm="frozen")


@pytest.mark.parametrize("name", ["resnet18", "convnext_atto", "mobilenetv3_small_050", "resnet50_gcn"])
def test_drop_path_is_of_training_alone(name: str, randomise: Callable[[nn.Module], None]) -> None:
    """It changes no tensor of the state, and nothing in eval mode; training is random."""
    torch.manual_seed(0)
    plain, dropping = Backbone(name), Backbone(name, drop_path=0.5)
    assert dropping.state_dict().keys() == plain.state_dict().keys()
    randomise(plain)
    dropping.load_state_dict(plain.state_dict())
    images_N3HW = torch.rand(2, 3, 64, 64)
    with torch.no_grad():
        assert torch.equal(dropping.eval()(images_N3HW)[3], plain.eval()(images_N3HW)[3])
        seen = [dropping.train()(images_N3HW)[3] for _ in range(8)]
    assert any(not torch.equal(first, seen[0]) for first in seen)


@pytest.mark.parametrize(
    ("name", "rate", "message"),
    [
        ("vgg11_bn", 0.1, "drop_path=0.1: 'vgg11_bn' has no stochastic depth; use 0"),
        ("densenet121", 0.1, "has no stochastic depth"),  # takes the option, and does not heed it
        ("hrnet_w18_small", 0.1, "has no stochastic depth"),
        ("resnet18", 1.0, "drop_path=1.0: give a rate, at least 0 and below 1"),
        ("resnet18", True, "drop_path=True: give a rate"),
    ],
)
def test_drop_path_without_stochastic_depth_is_refused(name: str, rate: float, message: str) -> None:
    with pytest.raises(InputError, match=message), torch.device("meta"):
        Backbone(name, drop_path=rate)


def test_a_network_with_drop_path_is_still_ours() -> None:
    """Its settings rebuild the network around its weights; it is no network that only its owner's code can build."""
    network = GlobalConvNet(2, "resnet18", 3, drop_path=0.2)
    assert custom_class(wrap_network(network, 2, (64, 64))) is None

"""The decoder that sums features: its blocks by their definition, its start, its forms, and what it refuses."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from torch import nn
from torch.nn import functional as F

from globalconv import GlobalConvNet, optimised
from globalconv.errors import InputError
from globalconv.labels import LabelSpace
from globalconv.model.backbone import Backbone
from globalconv.model.feature_decoder import DepthwiseGlobalConv, FeatureDecoder, FeatureRefinement
from globalconv.weights import load_weights, save_weights

HEADS = ("pointwise", "pointwise", "gcn", "gcn")


def test_a_large_kernel_is_two_separable_branches_of_each_channel(randomise: Callable[[nn.Module], None]) -> None:
    block = DepthwiseGlobalConv(2, 5).eval()
    randomise(block)
    features = torch.rand(1, 2, 9, 7)
    strips = {name: tensor[:, 0] for name, tensor in block.state_dict().items() if name.startswith(("left", "right"))}
    assert sum(tensor.numel() for tensor in strips.values()) == 4 * 5 * 2
    # A column of k weights, then a row; and the other way round.
    dense_kernels = strips["left.0.weight"] @ strips["left.1.weight"]
    dense_kernels = dense_kernels + strips["right.1.weight"] @ strips["right.0.weight"]
    # In the middle, where no branch meets the border, the branches are one dense kernel of rank two.
    dense = F.conv2d(features, dense_kernels[:, None], padding=2, groups=2)
    sums = block.left(features) + block.right(features)
    torch.testing.assert_close(sums[..., 2:-2, 2:-2], dense[..., 2:-2, 2:-2])
    # Shares of the window that lie inside, of rows and of columns.
    rows, columns = torch.tensor([3.0, 4, 5, 5, 5, 5, 5, 4, 3]) / 5, torch.tensor([3.0, 4, 5, 5, 5, 4, 3]) / 5
    sums = sums / torch.outer(rows, columns)
    expected = F.relu(features + block.mix(F.relu(block.norm(sums))))
    torch.testing.assert_close(block(features), expected)


@pytest.mark.parametrize("size", [(1, 1), (3, 20), (40, 30)])
def test_equal_features_give_equal_sums_up_to_the_border_of_any_size(size: tuple[int, int]) -> None:
    """Weights that are all alike: what lies outside counts as what lies inside."""
    block = DepthwiseGlobalConv(1, 15).eval()
    with torch.no_grad():
        for name, weight in block.named_parameters():
            weight.fill_(1 / 15 if name.startswith(("left", "right")) else 1.0)
        outputs = block(torch.full((1, 1, *size), 0.5))
    torch.testing.assert_close(outputs, outputs.mean().expand_as(outputs))


@pytest.mark.parametrize("block", [DepthwiseGlobalConv(4, 7), FeatureRefinement(4)])
def test_a_block_starts_as_the_identity_of_what_relu_passes_and_learns(block: nn.Module) -> None:
    features = torch.rand(2, 4, 8, 8)
    torch.testing.assert_close(block(features), features)
    before = [parameter.detach().clone() for parameter in block.parameters()]
    optimizer = torch.optim.SGD(block.parameters(), lr=1e-3)
    for _ in range(2):  # the first step moves the last batch norm alone
        optimizer.zero_grad()
        (block(features) * torch.rand(2, 4, 8, 8)).sum().backward()
        optimizer.step()
    assert all(not torch.equal(old, new) for old, new in zip(before, block.parameters(), strict=True))


def test_sums_go_from_coarse_to_fine_and_every_level_counts() -> None:
    torch.manual_seed(0)
    decoder = FeatureDecoder((8, 8, 16, 16), 3, 8, HEADS, (1, 1, 5, 5), True).eval()
    levels = [torch.rand(1, c, 16 >> i, 24 >> i) for i, c in enumerate((8, 8, 16, 16))]
    scores = decoder(levels)
    assert scores.shape == (1, 3, 64, 96)
    for level in range(4):
        other = [torch.rand_like(f) if i == level else f for i, f in enumerate(levels)]
        assert not torch.allclose(decoder(other), scores)


@pytest.mark.parametrize("size", [(1, 1), (33, 70), (64, 96)])
def test_the_network_takes_any_size(size: tuple[int, int]) -> None:
    network = GlobalConvNet(5, "test_resnet", (1, 1, 5, 5), HEADS, decoder="features").eval()
    assert network(torch.rand(2, 3, *size)).shape == (2, 5, *size)
    assert network.settings["head_width"] == 128 and network.settings["upsample"] == "bilinear"


def test_the_last_convolution_of_an_efficientnet_follows_res5(randomise: Callable[[nn.Module], None]) -> None:
    backbone = Backbone("tf_efficientnet_lite0", last_convolution=True).eval()
    whole: Any = timm.create_model("tf_efficientnet_lite0").eval()
    randomise(whole)
    state = {name: tensor for name, tensor in whole.state_dict().items() if not name.startswith("classifier")}
    backbone.body.load_state_dict(state)
    images = torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        torch.testing.assert_close(backbone(images)[3], whole.forward_features(images))
    assert backbone.channels == (24, 40, 112, 1280)
    assert Backbone("test_resnet", last_convolution=True).channels == Backbone("test_resnet").channels


def test_weights_of_the_last_convolution_are_loaded_with_the_rest(
    tmp_path: Path, randomise: Callable[[nn.Module], None]
) -> None:
    whole = timm.create_model("tf_efficientnet_lite0")
    randomise(whole)
    torch.save(whole.state_dict(), tmp_path / "whole.pth")
    network = GlobalConvNet(
        2, "tf_efficientnet_lite0", head="pointwise", decoder="features", backbone_weights=str(tmp_path / "whole.pth")
    )
    loaded, original = network.backbone.body.state_dict(), whole.state_dict()
    assert all(torch.equal(loaded[name], original[name]) for name in ("conv_head.weight", "bn2.running_var"))


def test_it_is_saved_loaded_and_optimised(tmp_path: Path, randomise: Callable[[nn.Module], None]) -> None:
    network = GlobalConvNet(2, "test_resnet", (1, 1, 5, 3), HEADS, decoder="features", head_width=16).eval()
    randomise(network)
    save_weights(tmp_path, network, LabelSpace(("a", "b")), {})
    loaded = load_weights(tmp_path).network.eval()
    images = torch.rand(1, 3, 64, 96)
    with torch.no_grad():
        torch.testing.assert_close(loaded(images), network(images))
        torch.testing.assert_close(optimised(network)(images), network(images), rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize(
    ("head", "decoder", "message"),
    [
        ("conv", "features", "head='conv': decoder 'features' has heads 'gcn' and 'pointwise'"),
        ("gnc", "features", "head='gnc': did you mean 'gcn'?"),
        ("gcn", "feature", "decoder='feature': did you mean 'features'?"),
    ],
)
def test_what_it_has_not_is_refused(head: str, decoder: str, message: str) -> None:
    with pytest.raises(InputError, match=re.escape(message)):
        GlobalConvNet(2, "test_resnet", 5, head, decoder=decoder)

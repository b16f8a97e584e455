"""The network of a training: fresh weights from the seed, and live batch norm with one image per batch."""

import dataclasses

import pytest
import torch
from helpers.training import small_recipe
from torch import Tensor, nn

from globalconv.data.transform_settings import Augmentation
from globalconv.errors import InputError
from globalconv.labels import LabelSpace
from globalconv.training.recipe import DataSettings
from globalconv.training.segmentation import build_network, check_batch_norm

THREE = LabelSpace(("background", "red", "green"))


def test_initial_weights_are_a_function_of_the_seed() -> None:
    def weights(seed: int) -> Tensor:
        network = build_network(small_recipe().model, THREE, seed, None, False, print)
        return nn.utils.parameters_to_vector(network.parameters())

    assert torch.equal(weights(1), weights(1))
    assert not torch.equal(weights(1), weights(2))


def test_batch_of_one_with_live_norm_is_warned_about_or_refused() -> None:
    lines: list[str] = []
    live = small_recipe().model
    network = build_network(live, THREE, 0, None, False, print)
    one = dataclasses.replace(small_recipe().data, batch_size=1)
    check_batch_norm(network, live, one, lines.append)
    assert ["batch size 1 with live batch norm" in line for line in lines] == [True]
    check_batch_norm(network, dataclasses.replace(live, backbone_norm="frozen"), one, lines.append)
    check_batch_norm(network, live, small_recipe().data, lines.append)
    assert len(lines) == 1
    tiny = DataSettings(augmentation=Augmentation(crop=(32, 32)), batch_size=1)
    with pytest.raises(InputError, match="larger crop or batch"):
        check_batch_norm(network, live, tiny, print)

"""The loop trains any module from images to logits: resumed to the bit, saved, loaded, evaluated, reported."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from helpers.training import final_state, killed_after, log_without_clock, same_bits, small_recipe, write_blobs
from safetensors.torch import load_file
from torch import Tensor, nn

import globalconv
from globalconv.errors import InputError
from globalconv.model.network import GlobalConvNet
from globalconv.model.wrapped import WrappedNetwork
from globalconv.weights import load_weights

CLASSES = 3


class Tiny(nn.Module):
    """Two convolutions with a batch norm, and a layer that shares its weights with another.

    It looks at the pixels, so that it does not run on shapes alone and its page can say nothing of multiply-adds.
    """

    def __init__(self, width: int = 4, classes: int = CLASSES) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, width, 3, padding=1)
        self.norm = nn.BatchNorm2d(width)
        self.again = nn.Conv2d(3, width, 3, padding=1)
        self.again.weight = self.first.weight
        self.last = nn.Conv2d(width, classes, 1)

    def forward(self, images_N3PQ: Tensor) -> Tensor:
        assert images_N3PQ.shape[2] % 32 == images_N3PQ.shape[3] % 32 == 0
        assert images_N3PQ.isfinite().all()
        logits_NKPQ: Tensor = self.last(self.norm(self.first(images_N3PQ) + self.again(images_N3PQ)).relu())
        return logits_NKPQ


def tiny(**sizes: int) -> Tiny:
    torch.manual_seed(1)
    return Tiny(**sizes)


@pytest.fixture(scope="module")
def blobs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_blobs(tmp_path_factory.mktemp("any") / "blobs")


@pytest.fixture(scope="module")
def run(blobs: Path) -> Path:
    network = tiny()
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    out = globalconv.train(small_recipe(ema_decay=None), blobs, blobs.parent / "run", network=network)
    assert not torch.equal(before["last.weight"], network.last.weight), "it is trained in place"
    return out


def test_its_weights_are_saved_under_its_own_names_and_loaded_into_another(run: Path, blobs: Path) -> None:
    plain = tiny()
    plain.load_state_dict(load_file(run / "weights.safetensors"))
    predictor = globalconv.load(run, device="cpu", precision="float32", network=tiny())
    image = np.random.default_rng(0).integers(0, 256, (50, 41, 3), np.uint8)
    by_hand = torch.zeros(1, 3, 64, 64)
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
    by_hand[0, :, :50, :41] = (torch.from_numpy(image).permute(2, 0, 1) / 255 - mean) / std
    with torch.no_grad():
        classes = plain.eval()(by_hand)[0, :, :50, :41].argmax(0).numpy()
    assert (predictor(image).class_map == classes).mean() > 0.999
    score = globalconv.evaluate(predictor, blobs)
    best = json.loads((run / "model.json").read_text())["info"]["miou"]
    assert score.miou == pytest.approx(best, abs=1e-6)


def test_a_resumed_training_ends_in_the_same_bits(run: Path, blobs: Path, tmp_path: Path) -> None:
    with killed_after(7):
        globalconv.train(small_recipe(ema_decay=None), blobs, tmp_path / "run", network=tiny())
    torch.manual_seed(5)
    other_start = Tiny()
    globalconv.train(small_recipe(ema_decay=None), blobs, tmp_path / "run", resume=True, network=other_start)
    assert same_bits(final_state(run), final_state(tmp_path / "run"))
    assert log_without_clock(run) == log_without_clock(tmp_path / "run")


def test_the_average_of_weights_is_of_any_network_too(blobs: Path, tmp_path: Path) -> None:
    globalconv.train(small_recipe(), blobs, tmp_path / "run", network=tiny())
    assert isinstance(load_weights(tmp_path / "run", tiny()).network, WrappedNetwork)


def test_the_report_names_the_module(run: Path) -> None:
    page = (run / "report.html").read_text(encoding="utf-8").replace("<wbr>", "")
    assert "Tiny" in page and "optim.lr" in page and "model.kernel_size" not in page


def refused(**changes: Any) -> dict[str, Any]:
    return {"recipe": small_recipe(ema_decay=None), "resume": True, **changes}


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (refused(network=Tiny(width=5)), "another network: .*Tiny then, .*Tiny now"),
        (refused(), "Tiny then, that of the recipe now"),
    ],
)
def test_resuming_with_another_network_is_refused(
    run: Path, blobs: Path, arguments: dict[str, Any], words: str
) -> None:
    with pytest.raises(InputError, match=words):
        globalconv.train(data=blobs, out=run, **arguments)


@pytest.mark.parametrize(
    ("network", "words"),
    [
        (Tiny(classes=2), r"answers \(1, 2, 64, 64\) to images of \(1, 3, 64, 64\); logits of \(1, 3, 64, 64\)"),
        (nn.Conv2d(3, 3, 2, stride=2), r"answers \(1, 3, 32, 32\)"),
        (globalconv.GlobalConvNet(2, "test_resnet", 3), "has 2 classes, the data 3"),
    ],
)
def test_a_module_without_logits_is_refused_before_a_step(
    blobs: Path, tmp_path: Path, network: nn.Module, words: str
) -> None:
    with pytest.raises(InputError, match=words):
        globalconv.train(small_recipe(), blobs, tmp_path / "run", network=network)
    assert not (tmp_path / "run").exists()


def test_weights_to_start_from_are_refused(run: Path, blobs: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="leave out init_from and stages"):
        globalconv.train(small_recipe(), blobs, tmp_path / "run", init_from=run, network=tiny())


def test_a_global_convolutional_network_can_be_passed(blobs: Path, tmp_path: Path) -> None:
    network = globalconv.GlobalConvNet(CLASSES, "test_resnet", 5, boundary_refinement=False)
    globalconv.train(small_recipe(), blobs, tmp_path / "run", network=network)
    assert load_weights(tmp_path / "run").network.settings == network.settings


def test_loading_names_the_class_that_is_needed(run: Path, blobs: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"only Python can make its network: globalconv.load\(..., network=.*Tiny"):
        globalconv.evaluate(run, blobs)
    with pytest.raises(InputError, match="does not fit"):
        globalconv.load(run, network=Tiny(width=6))
    with pytest.raises(InputError, match=r"cannot start from it, its network is a .*Tiny"):
        globalconv.train(small_recipe(), blobs, tmp_path / "run", init_from=run)


def changed(seed: int) -> GlobalConvNet:
    """The network of the paper with a batch norm after each head, which no setting makes."""
    torch.manual_seed(seed)
    network = GlobalConvNet(CLASSES, "test_resnet", 3)
    for level, head in enumerate(network.heads):
        network.heads[level] = nn.Sequential(head, nn.BatchNorm2d(CLASSES))
    return network


def test_a_changed_global_convolutional_network_is_not_taken_for_a_plain_one(blobs: Path, tmp_path: Path) -> None:
    network = changed(0)
    out = globalconv.train(small_recipe(ema_decay=None), blobs, tmp_path / "run", network=network)
    assert (
        "GlobalConvNet" in (out / "report.html").read_text() and "GCN), k = " not in (out / "report.html").read_text()
    )
    with pytest.raises(InputError, match=r"only Python can make its network: .*GlobalConvNet"):
        globalconv.load(out)
    loaded = globalconv.load(out, "cpu", "float32", network=changed(1)).network
    last = load_weights(out / "last", changed(1)).network
    torch.testing.assert_close(dict(last.state_dict()), dict(network.state_dict()))
    assert type(loaded) is GlobalConvNet and loaded.settings["module"].endswith("GlobalConvNet")


def test_a_plain_global_convolutional_network_needs_no_maker(blobs: Path, tmp_path: Path) -> None:
    torch.manual_seed(0)
    network = GlobalConvNet(CLASSES, "test_resnet", 3, head_width=5)
    out = globalconv.train(small_recipe(ema_decay=None), blobs, tmp_path / "run", network=network)
    assert globalconv.load(out, "cpu").network.settings == network.settings
    assert "(GCN), k = 3, heads of 5 channels, with Boundary Refinement" in (out / "report.html").read_text()

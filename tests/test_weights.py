"""A model on disk: it comes back bit for bit, a save that was cut short cannot mix two models, damage is named."""

import contextlib
import dataclasses
import re
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers.saved_weights import INFO, LABELS, edit, network_of, same, save_as_before, save_run

from globalconv import weights
from globalconv.errors import InputError
from globalconv.geometry import AS_THEY_ARE, Geometry
from globalconv.labels import LabelSpace
from globalconv.model.network import GlobalConvNet
from globalconv.weights import MODEL_FILE, WEIGHTS_FILE, init_from, load_weights, save_weights


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    return save_run(tmp_path)


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"head": ["pointwise", "conv", "stack", "gcn"], "kernel_size": (3, 5, 7, 9), "stack_width": 8},
        {"head": "stack", "kernel_size": 5, "stack_width": (4, 5, 6, 7)},
        {"boundary_refinement": False, "upsample": "bilinear"},
        {"head_width": 5},
        {"backbone": "test_convnext"},
    ],
)
def test_a_network_comes_back_bit_for_bit(settings: dict[str, Any], tmp_path: Path) -> None:
    network = network_of(0, **settings)
    save_weights(tmp_path, network, LABELS, INFO)
    model = load_weights(tmp_path)
    assert same(model.network, network)
    assert model.network.settings == network.settings
    assert (model.labels, model.info, model.folder) == (LABELS, INFO, tmp_path)
    assert not model.network.training
    images_N3HW = torch.rand(1, 3, 40, 50)
    assert torch.equal(model.network(images_N3HW), network.eval()(images_N3HW))


def test_a_file_without_a_later_setting_loads(saved: Path, tmp_path: Path) -> None:
    save_as_before(saved, lambda d: d["network"].pop("head_width"))
    model = load_weights(saved)
    assert same(model.network, network_of(0)) and model.network.settings["head_width"] is None
    assert "all" in init_from(network_of(1), saved, LABELS)


def test_batch_statistics_are_part_of_a_model(saved: Path) -> None:
    assert load_weights(saved).network.state_dict()["backbone.body.bn1.num_batches_tracked"] == 1
    assert {p.name for p in saved.iterdir()} == {WEIGHTS_FILE, MODEL_FILE}


def test_the_normalisation_travels_with_the_weights(saved: Path, tmp_path: Path) -> None:
    """timm may change a model's defaults; a trained network keeps the ones it was trained with."""
    network = network_of(0)
    network.mean_C11.fill_(0.1)
    network.std_C11.copy_(torch.rand(3, 1, 1) + 0.1)
    save_weights(tmp_path, network, LABELS, {})
    loaded, started = load_weights(tmp_path).network, network_of(1)
    init_from(started, tmp_path, LABELS)
    for other in (loaded, started):
        assert torch.equal(other.mean_C11, network.mean_C11)
        assert torch.equal(other.std_C11, network.std_C11)


def test_the_geometry_travels_with_the_weights_and_files_without_one_load(saved: Path, tmp_path: Path) -> None:
    geometry = Geometry((512, 384), (124, 116, 104))
    save_weights(tmp_path / "padded", network_of(0), LABELS, INFO, geometry)
    assert load_weights(tmp_path / "padded").geometry == geometry
    assert load_weights(saved).geometry == AS_THEY_ARE
    save_as_before(saved, lambda d: d.pop("geometry"))
    assert load_weights(saved).geometry == AS_THEY_ARE


@pytest.mark.parametrize(
    "geometry",
    [
        [],
        {"pad_to": [512], "fill": [0, 0, 0]},
        {"pad_to": [0, 9], "fill": [0, 0, 0]},
        {"pad_to": [16_384, 16_384], "fill": [0, 0, 0]},
        {"pad_to": None},
    ],
)
def test_a_malformed_geometry_is_refused(geometry: object, saved: Path) -> None:
    edit(saved, lambda d: d.update(geometry=geometry))
    with pytest.raises(InputError, match=r"model\.json: geometry="):
        load_weights(saved)


def test_memory_format_and_frozen_norms_do_not_matter(saved: Path, tmp_path: Path) -> None:
    network = network_of(0).to(memory_format=torch.channels_last)
    network.freeze_backbone_norm()
    save_weights(tmp_path, network, LABELS, INFO)
    assert same(load_weights(tmp_path).network, load_weights(saved).network)
    assert (tmp_path / MODEL_FILE).read_bytes() == (saved / MODEL_FILE).read_bytes()  # nothing random, no time in it
    assert (tmp_path / WEIGHTS_FILE).read_bytes() == (saved / WEIGHTS_FILE).read_bytes()


def test_loading_leaves_the_random_numbers_alone(saved: Path) -> None:
    torch.manual_seed(3)
    expected = torch.rand(4)
    torch.manual_seed(3)
    load_weights(saved)
    assert torch.equal(torch.rand(4), expected)


def test_loading_draws_no_random_weights(saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.random, "fork_rng", lambda devices: contextlib.nullcontext())
    before = torch.get_rng_state()
    load_weights(saved)
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("name", [WEIGHTS_FILE, MODEL_FILE])
def test_either_file_stands_for_its_folder(name: str, saved: Path) -> None:
    assert load_weights(saved / name).folder == saved


@pytest.mark.parametrize("when", ["before the first", "between the two"])
def test_a_save_cut_short_leaves_one_whole_model(when: str, saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def cut(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(weights, "write_atomic" if when == "before the first" else "write_text", cut)
    other = dataclasses.replace(LABELS, class_names=("a", "b", "c"))
    newer = network_of(1, kernel_size=3)
    with pytest.raises(KeyboardInterrupt):
        save_weights(saved, newer, other, {"miou": 0.7})
    model = load_weights(saved)
    if when == "before the first":
        assert (model.labels, model.info) == (LABELS, INFO)
        assert same(model.network, network_of(0))
    else:
        assert (model.labels, model.info) == (other, {"miou": 0.7})
        assert same(model.network, newer)


def test_labels_must_be_as_many_as_the_networks_classes(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="3 class names for a network of 4 classes"):
        save_weights(tmp_path, GlobalConvNet(4, "test_resnet", 3), LABELS, {})
    assert not list(tmp_path.iterdir())


def test_a_network_starts_from_a_saved_one(saved: Path) -> None:
    network = network_of(1).train()
    init_from(network, saved, LABELS)
    assert same(network, network_of(0))
    assert network.training
    network.freeze_backbone_norm()  # the statistics that came with the weights


@pytest.mark.parametrize(
    ("classes", "message"),
    [
        (("a", "b", "c", "d"), r"3 there, 4 here"),
        (("road", "sky", "other"), r"'tree' there where 'other' is here"),
    ],
)
def test_with_other_classes_only_the_backbone_is_taken(classes: tuple[str, ...], message: str, saved: Path) -> None:
    network = network_of(1, num_classes=len(classes))
    fresh = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    summary = init_from(network, saved, LabelSpace(classes))
    assert re.search(rf"the backbone of .* \(\d+ of \d+ tensors\); heads.*start fresh, .*{message}", summary)
    theirs = network_of(0).state_dict()
    for name, tensor in network.state_dict().items():
        assert torch.equal(tensor, theirs[name] if name.startswith("backbone.") else fresh[name])


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"head": "conv", "kernel_size": 3}, r"kernel_size .*5, 5.* there, .*3, 3.* here; head .*'gcn'.*'conv'"),
        ({"boundary_refinement": False}, "boundary_refinement True there, False here"),
        ({"backbone": "test_convnext"}, "backbone 'test_resnet' there, 'test_convnext' here"),
    ],
)
def test_starting_from_another_network_is_refused(settings: dict[str, Any], message: str, saved: Path) -> None:
    network = network_of(1, **settings)
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    with pytest.raises(InputError, match=message) as caught:
        init_from(network, saved, LABELS)
    assert "\n" not in str(caught.value)
    assert all(torch.equal(tensor, before[name]) for name, tensor in network.state_dict().items())


def test_starting_from_nothing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no weights\.safetensors and no model\.json in it"):
        init_from(network_of(0), tmp_path, LABELS)

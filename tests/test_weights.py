"""A model on disk: it comes back bit for bit, a save that was cut short cannot mix two models, damage is named."""

import contextlib
import dataclasses
import json
import pickle
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from globalconv import weights
from globalconv.errors import InputError
from globalconv.geometry import AS_THEY_ARE, Geometry
from globalconv.labels import LabelSpace
from globalconv.model.network import GlobalConvNet
from globalconv.weights import MODEL_FILE, WEIGHTS_FILE, init_from, load_weights, save_weights

LABELS = LabelSpace(("road", "sky", "tree"), ((1, 2, 3), (4, 5, 6), (7, 8, 9)), (11,))
INFO = {"data": "CamVid", "split": "train", "size": [360, 480], "miou": 0.625}
SETTINGS: dict[str, Any] = {"num_classes": 3, "backbone": "test_resnet", "kernel_size": 5}


def network_of(seed: int, **settings: Any) -> GlobalConvNet:
    """A network with random weights and statistics that batches have moved."""
    torch.manual_seed(seed)
    network = GlobalConvNet(**(SETTINGS | settings)).train()
    network(torch.rand(2, 3, 64, 64))
    return network


def same(one: nn.Module, other: nn.Module) -> bool:
    ours, theirs = one.state_dict(), other.state_dict()
    return ours.keys() == theirs.keys() and all(torch.equal(tensor, theirs[name]) for name, tensor in ours.items())


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    save_weights(tmp_path / "run", network_of(0), LABELS, INFO)
    return tmp_path / "run"


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
    description = json.loads((saved / MODEL_FILE).read_text())
    del description["network"]["head_width"]
    (saved / MODEL_FILE).write_text(json.dumps(description))
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
    assert load_weights(_with_geometry(saved, None)).geometry == AS_THEY_ARE


@pytest.mark.parametrize(
    "geometry", [[], {"pad_to": [512], "fill": [0, 0, 0]}, {"pad_to": [0, 9], "fill": [0, 0, 0]}, {"pad_to": None}]
)
def test_a_malformed_geometry_is_refused(geometry: object, saved: Path) -> None:
    with pytest.raises(InputError, match=r"model\.json: geometry="):
        load_weights(_with_geometry(saved, geometry))


def _with_geometry(folder: Path, geometry: object) -> Path:
    description = json.loads((folder / MODEL_FILE).read_text())
    description["geometry"] = geometry
    (folder / MODEL_FILE).write_text(json.dumps(description))
    return folder


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


def test_class_names_may_be_edited(saved: Path) -> None:
    edit(saved, lambda d: d["labels"].update(class_names=["Strasse", "Himmel", "Baum"]))
    assert load_weights(saved).labels.class_names == ("Strasse", "Himmel", "Baum")


def test_tensors_of_another_program_are_read(saved: Path) -> None:
    save_file(load_file(saved / WEIGHTS_FILE), saved / WEIGHTS_FILE)  # without our metadata
    assert same(load_weights(saved).network, network_of(0))


def edit(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    description = json.loads((folder / MODEL_FILE).read_text())
    change(description)
    (folder / MODEL_FILE).write_text(json.dumps(description))


def drop(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).unlink()


def retensor(folder: Path, change: Callable[[dict[str, torch.Tensor]], object]) -> None:
    tensors = load_file(folder / WEIGHTS_FILE)
    change(tensors)
    save_file(tensors, folder / WEIGHTS_FILE)


DAMAGE: dict[str, tuple[Callable[[Path], object], str]] = {
    "no folder": (shutil.rmtree, "no such folder"),
    "no weights": (lambda f: drop(f, WEIGHTS_FILE), "no weights.safetensors in it"),
    "no description": (lambda f: drop(f, MODEL_FILE), "no model.json in it"),
    "neither": (lambda f: drop(f, MODEL_FILE, WEIGHTS_FILE), "weights.safetensors and no model.json"),
    "not JSON": (lambda f: (f / MODEL_FILE).write_text('{"format": 1,'), "model.json: not valid JSON"),
    "deep JSON": (lambda f: (f / MODEL_FILE).write_text("[" * 200_000), "model.json: not valid JSON"),
    "not text": (lambda f: (f / MODEL_FILE).write_bytes(b"\xff\xfe\x00"), "model.json: cannot be read"),
    "no object": (lambda f: (f / MODEL_FILE).write_text("[1]"), "model.json: holds no JSON object"),
    "empty object": (lambda f: (f / MODEL_FILE).write_text("{}"), "format=None"),
    "of the future": (lambda f: edit(f, lambda d: d.update(format=2)), r"format=2, this globalconv .* reads 1"),
    "no format": (lambda f: edit(f, lambda d: d.pop("format")), "format=None"),
    "no labels": (lambda f: edit(f, lambda d: d.pop("labels")), "labels=None"),
    "no names": (lambda f: edit(f, lambda d: d["labels"].pop("class_names")), "labels: 'class_names'"),
    "same names": (lambda f: edit(f, lambda d: d["labels"].update(class_names=["a", "a", "b"])), "more than once"),
    "bad colours": (lambda f: edit(f, lambda d: d["labels"].update(palette=[5, 5, 5])), "model.json: labels"),
    "fewer names": (lambda f: edit(f, lambda d: d["labels"].update(class_names=["a"], palette=[])), "1 class names"),
    "list of settings": (lambda f: edit(f, lambda d: d.update(network=[1])), r"network=\[1\]"),
    "strange setting": (lambda f: edit(f, lambda d: d["network"].update(backbone_weights="x.pth")), "backbone_weights"),
    "lost setting": (lambda f: edit(f, lambda d: d["network"].pop("head")), "network: head missing or unknown"),
    "wrong setting": (lambda f: edit(f, lambda d: d["network"].update(kernel_size=4)), "model.json: kernel_size=4"),
    "strange type": (lambda f: edit(f, lambda d: d["network"].update(head={"a": 1})), "model.json: head="),
    "unknown model": (lambda f: edit(f, lambda d: d["network"].update(backbone="nonet")), "model.json: backbone="),
    "bad mean": (lambda f: edit(f, lambda d: d.update(mean=[0.5, "x", 1.0])), "mean=.*three finite numbers"),
    "text as tensors": (lambda f: (f / WEIGHTS_FILE).write_text("hello"), "weights.safetensors: damaged"),
    "empty": (lambda f: (f / WEIGHTS_FILE).write_bytes(b""), "weights.safetensors: damaged"),
    "truncated": (
        lambda f: (f / WEIGHTS_FILE).write_bytes((f / WEIGHTS_FILE).read_bytes()[:-100]), "weights.safetensors: damaged"
    ),
    "tensor missing": (
        lambda f: retensor(f, lambda t: t.pop("heads.0.left.0.bias")), r"fit .* 1 missing \(heads\.0\.left\.0\.bias\)"
    ),
    "tensor too many": (lambda f: retensor(f, lambda t: t.update(x=torch.zeros(1))), r"1 unexpected \(x\)"),
    "tensor of another shape": (
        lambda f: retensor(f, lambda t: t.update({"heads.0.left.0.bias": torch.zeros(4)})), r"\(4,\) instead of \(3,\)"
    ),
}  # fmt: skip


@pytest.mark.parametrize("damage", DAMAGE)
def test_damage_is_named_in_one_line(damage: str, saved: Path) -> None:
    harm, message = DAMAGE[damage]
    harm(saved)
    with pytest.raises(InputError, match=message) as caught:
        load_weights(saved)
    assert str(saved) in str(caught.value)
    assert "\n" not in str(caught.value)


class Attack:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.path,)


@pytest.mark.parametrize("name", [WEIGHTS_FILE, MODEL_FILE])
def test_a_malicious_pickle_does_not_run(name: str, saved: Path, tmp_path: Path) -> None:
    attacked = tmp_path / "attacked"
    (saved / name).write_bytes(pickle.dumps(Attack(attacked)))
    with pytest.raises(InputError, match=name):
        load_weights(saved)
    assert not attacked.exists()
    pickle.loads((saved / name).read_bytes())
    assert attacked.exists()  # the attack is a real one


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

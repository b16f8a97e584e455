"""Weights that were damaged, edited or forged: each is refused in one line that names the file, or a warning tells."""

import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers.saved_weights import (
    LABELS,
    edit,
    network_of,
    retensor,
    same,
    save_as_before,
    save_run,
    setting,
)

from globalconv.errors import InputError, InputWarning
from globalconv.labels import LabelSpace
from globalconv.weights import MODEL_FILE, WEIGHTS_FILE, init_from, load_weights


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    return save_run(tmp_path)


def test_class_names_and_colours_may_be_edited_and_a_warning_tells(saved: Path) -> None:
    edit(saved, lambda d: d["labels"].update(class_names=["road", "Himmel", "Baum"]))
    with pytest.warns(InputWarning, match=r"\('sky' is called 'Himmel', 'tree' is called 'Baum'\)"):
        assert load_weights(saved).labels.class_names == ("road", "Himmel", "Baum")
    edit(saved, lambda d: d["labels"].update(class_names=list(LABELS.class_names), palette=[[0, 0, 0]] * 3))
    with pytest.warns(InputWarning, match="their colours"):
        assert load_weights(saved).labels.palette == ((0, 0, 0),) * 3


def test_tensors_of_another_program_are_read(saved: Path) -> None:
    retensor(saved, lambda tensors: None)
    assert same(load_weights(saved).network, network_of(0))


def test_files_of_earlier_versions_load(saved: Path) -> None:
    save_as_before(saved, lambda d: None)
    assert same(load_weights(saved).network, network_of(0))


SWAPPED = ("refine_output.0.residual.0.weight", "refine_output.1.residual.0.weight")
"""Two tensors of one shape."""


def swap(tensors: dict[str, torch.Tensor]) -> None:
    one, other = SWAPPED
    tensors[one], tensors[other] = tensors[other], tensors[one]


@pytest.mark.parametrize("before", [False, True])
@pytest.mark.parametrize("metadata", [False, True])
def test_two_tensors_exchanged_are_refused(metadata: bool, before: bool, saved: Path) -> None:
    if before:
        save_as_before(saved, lambda d: None)
    retensor(saved, swap, metadata)
    for attempt in (lambda: load_weights(saved), lambda: init_from(network_of(1), saved, LABELS)):
        with pytest.raises(
            InputError, match=r"weights\.safetensors: edited or damaged since it was saved .*\"digest\""
        ):
            attempt()


def test_the_backbone_of_a_damaged_file_is_no_start(saved: Path) -> None:
    retensor(saved, swap, metadata=True)
    with pytest.raises(InputError, match="edited or damaged"):
        init_from(network_of(1), saved, LabelSpace(("a", "b")))


def test_what_another_program_changed_on_purpose_loads_without_the_digest(saved: Path) -> None:
    retensor(saved, lambda tensors: tensors.update({name: tensor.half() for name, tensor in tensors.items()}))
    with pytest.raises(InputError, match="edited or damaged"):
        load_weights(saved)
    edit(saved, lambda d: d.pop("digest"))
    for name, tensor in load_weights(saved).network.state_dict().items():
        expected = network_of(0).state_dict()[name]
        assert tensor.dtype == expected.dtype
        assert torch.equal(tensor, expected.half().to(expected.dtype))


def test_a_flipped_byte_anywhere_is_refused(saved: Path) -> None:
    good = (saved / WEIGHTS_FILE).read_bytes()
    for position in range(0, len(good), len(good) // 60):
        damaged = bytearray(good)
        damaged[position] ^= 0x04
        (saved / WEIGHTS_FILE).write_bytes(damaged)
        with pytest.raises(InputError, match=r"weights\.safetensors|model\.json"):
            load_weights(saved)


def as_type(dtype: torch.dtype) -> Callable[[dict[str, torch.Tensor]], object]:
    return lambda tensors: tensors.update({WEIGHT: tensors[WEIGHT].to(dtype)})


def with_value(name: str, value: float) -> Callable[[dict[str, torch.Tensor]], object]:
    return lambda tensors: tensors[name].view(-1)[:1].fill_(value)


WEIGHT, VARIANCE = "heads.3.left.0.weight", "backbone.body.bn1.running_var"
VALUES: dict[str, tuple[Callable[[dict[str, torch.Tensor]], object], str]] = {
    "NaN": (with_value(WEIGHT, float("nan")), rf"not finite \({WEIGHT}\)"),
    "infinite": (with_value(WEIGHT, float("-inf")), rf"not finite \({WEIGHT}\)"),
    "NaN in a statistic": (with_value(VARIANCE, float("nan")), rf"not finite \({VARIANCE}\)"),
    "a negative variance": (with_value(VARIANCE, -0.5), rf"negative variance \({VARIANCE}\)"),
    "whole numbers": (as_type(torch.int32), rf"type that weights do not have \({WEIGHT}: int32\)"),
    "truth values": (as_type(torch.bool), rf"type that weights do not have \({WEIGHT}: bool\)"),
    "bytes": (as_type(torch.uint8), rf"type that weights do not have \({WEIGHT}: uint8\)"),
    "complex": (as_type(torch.complex64), rf"type that weights do not have \({WEIGHT}: complex64\)"),
    "eight bits": (as_type(torch.float8_e4m3fn), rf"type that weights do not have \({WEIGHT}: float8_e4m3fn\)"),
}


@pytest.mark.parametrize("kind", VALUES)
def test_values_that_no_network_has_are_refused_without_a_digest_too(kind: str, saved: Path) -> None:
    change, message = VALUES[kind]
    retensor(saved, change)
    edit(saved, lambda d: d.pop("digest"))
    with pytest.raises(InputError, match=message) as caught:
        load_weights(saved)
    assert str(saved / WEIGHTS_FILE) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_large_but_finite_weights_load(saved: Path) -> None:
    retensor(saved, lambda tensors: tensors[WEIGHT].fill_(3e38))  # their sum is not finite
    edit(saved, lambda d: d.pop("digest"))
    assert load_weights(saved).network.state_dict()[WEIGHT].max() == torch.tensor(3e38)


def drop(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).unlink()


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
    "edited setting": (lambda f: edit(f, lambda d: d["network"].update(kernel_size=4)), r"network\.kernel_size; undo"),
    "edited mean": (lambda f: edit(f, lambda d: d.update(mean=[0.5, 0.4, 0.3])), "saved .*: mean; undo the edit"),
    "edited note": (lambda f: edit(f, lambda d: d["info"].update(split="val")), r"edited or damaged: info\.split;"),
    "wrong setting": (setting("kernel_size", 4), "model.json: kernel_size=4"),
    "strange type": (setting("head", {"a": 1}), "model.json: head="),
    "unknown model": (setting("backbone", "nonet"), "model.json: backbone="),
    "huge kernel": (setting("kernel_size", 100_001), "model.json: kernel_size=100001: .* at most 1023"),
    "huge number": (setting("kernel_size", 10**4000 + 1), r"model.json: kernel_size=1000.*\.\.\.: .* at most 1023"),
    "huge width": (setting("head_width", 10**6), "model.json: head_width=1000000: .* 1 to 16384"),
    "huge head": (setting("head", "conv", kernel_size=1001, head_width=64), "model.json: .*, head 'conv': .* billion"),
    "huge stack": (
        setting("head", "stack", kernel_size=1001, stack_width=16_000), "model.json: kernel_size=1001, head 'stack': .*"
    ),
    "huge stack width": (setting("stack_width", 10**5, head="stack"), "model.json: stack_width=100000: .* 1 to 16384"),
    "NaN as a kernel": (setting("kernel_size", float("nan")), "model.json: kernel_size=nan: give a whole number"),
    "bad mean": (lambda f: edit(f, lambda d: d.update(mean=[0.5, "x", 1.0])), "mean=.*three finite numbers"),
    "huge mean": (lambda f: edit(f, lambda d: d.update(mean=[0.5, 10**400, 1.0])), "mean=.*three finite numbers"),
    "no deviation": (lambda f: edit(f, lambda d: d.update(std=[0.5, 0.0, 1.0])), "std=.*finite numbers, 0.0001 to"),
    "tiny deviation": (lambda f: edit(f, lambda d: d.update(std=[1e-300] * 3)), "std=.*finite numbers, 0.0001 to"),
    "negative deviation": (lambda f: edit(f, lambda d: d.update(std=[-1.0] * 3)), "std=.*finite numbers, 0.0001 to"),
    "NaN as a mean": (lambda f: edit(f, lambda d: d.update(mean=[float("nan")] * 3)), "mean=.*three finite numbers"),
    "infinite colours": (
        lambda f: edit(f, lambda d: d["labels"].update(palette=[[float("inf"), 0, 0]] * 3)), "model.json: labels: pal"
    ),
    "a name for names": (lambda f: edit(f, lambda d: d["labels"].update(class_names="abc")), "labels: class_names are"),
    "a nest of lists": (
        lambda f: (f / MODEL_FILE).write_text('{"format": 1, "x":' + "[" * 3000 + "]" * 3000 + "}"), "not valid JSON"
    ),
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

"""Checkpoints: the newest intact one is used, a damaged one is skipped, the last good one is never removed."""

import errno
import io
import os
import shutil
import warnings
from collections.abc import Callable
from functools import partial, reduce
from math import nan
from operator import getitem
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers.training import small_recipe, train_until_killed, write_blobs

from globalconv.errors import InputError
from globalconv.labels import LabelSpace
from globalconv.runtime.files import write_atomic
from globalconv.training.checkpoint import (
    KEEP,
    Check,
    check_state,
    checkpoints,
    is_intact,
    load_newest,
    save_checkpoint,
)
from globalconv.training.segmentation import build_network

THREE = LabelSpace(("ground", "red", "green"))


def save(folder: Path, *steps: int) -> None:
    for step in steps:
        save_checkpoint(folder, step, {"step": step, "weights": torch.full((1000,), float(step))})


def test_keeps_the_newest(tmp_path: Path) -> None:
    save(tmp_path, 1, 2, 3, 4)
    assert [path.name for path in checkpoints(tmp_path)] == ["step-000000004.ckpt", "step-000000003.ckpt"][:KEEP]
    state = load_newest(tmp_path)
    assert state is not None
    assert state["step"] == 4


def test_no_checkpoint_is_none(tmp_path: Path) -> None:
    assert load_newest(tmp_path) is None


def flip_a_byte(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0xFF
    path.write_bytes(content)


@pytest.mark.parametrize("damage", ["cut", "empty", "byte", "text"])
def test_damaged_newest_is_skipped_with_a_warning(tmp_path: Path, damage: str) -> None:
    save(tmp_path, 1, 2)
    newest = checkpoints(tmp_path)[0]
    match damage:
        case "cut":
            os.truncate(newest, newest.stat().st_size // 2)
        case "empty":
            os.truncate(newest, 0)
        case "byte":
            flip_a_byte(newest)
        case "text":
            newest.write_text("not a checkpoint")
    with pytest.warns(UserWarning, match="step-000000002.ckpt: damaged"):
        state = load_newest(tmp_path)
    assert state is not None
    assert state["step"] == 1


def test_all_damaged_is_an_error_not_a_fresh_start(tmp_path: Path) -> None:
    save(tmp_path, 1)
    os.truncate(checkpoints(tmp_path)[0], 10)
    with pytest.warns(UserWarning, match="damaged"), pytest.raises(InputError, match="all 1 checkpoints are damaged"):
        load_newest(tmp_path)


def test_a_write_that_turns_out_damaged_removes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save(tmp_path, 1, 2)
    monkeypatch.setattr("globalconv.training.checkpoint.torch.save", lambda state, file: file.write(b"short"))
    with pytest.raises(OSError, match="does not read back"):
        save(tmp_path, 3)
    monkeypatch.undo()
    assert [is_intact(path) for path in checkpoints(tmp_path)] == [False, True, True]


def test_foreign_files_are_left_alone(tmp_path: Path) -> None:
    theirs = [tmp_path / name for name in ("step-mine.ckpt", "notes.txt", "step-1.ckpt")]
    for path in theirs:
        path.write_text("keep me")
    save(tmp_path, 1, 2, 3, 4)
    assert all(path.read_text() == "keep me" for path in theirs)


class Bomb:
    """What a malicious file holds: unpickling it would make a file."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[object, tuple[str, ...]]:
        return os.mkdir, (str(self.target),)


def test_a_malicious_checkpoint_does_not_run(tmp_path: Path) -> None:
    save(tmp_path / "run", 1)
    target = tmp_path / "executed"
    with (tmp_path / "run" / "step-000000002.ckpt").open("wb") as file:
        torch.save({"state": Bomb(target)}, file)
    with pytest.warns(UserWarning, match="damaged"):
        state = load_newest(tmp_path / "run")
    assert state is not None
    assert state["step"] == 1
    assert not target.exists()


def test_an_interrupted_write_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"old")

    def broken(file: object) -> None:
        file.write(b"half")  # type: ignore[attr-defined]
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space left"):
        write_atomic(path, broken)
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


class FullDisk(io.BytesIO):
    """A file on a disk with room for a little more."""

    def write(self, content: Any) -> int:
        if self.tell() > 2000:
            raise OSError(errno.ENOSPC, "No space left on device")
        return super().write(content)


def test_a_full_disk_is_reported_as_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save(tmp_path, 1)
    real_save = torch.save
    monkeypatch.setattr("globalconv.training.checkpoint.torch.save", lambda state, file: real_save(state, FullDisk()))
    with pytest.raises(OSError, match="No space left") as full:
        save(tmp_path, 2)
    assert str(full.value.filename) == str(tmp_path / "step-000000002.ckpt")
    monkeypatch.undo()
    state = load_newest(tmp_path)
    assert state is not None
    assert state["step"] == 1


def test_no_flipped_byte_crashes_the_search_for_a_checkpoint(tmp_path: Path) -> None:
    """Anywhere in the file: found damaged, or harmless, but never an exception."""
    save(tmp_path, 1, 2)
    newest = checkpoints(tmp_path)[0]
    good = newest.read_bytes()
    for position in range(0, len(good), 37):
        damaged = bytearray(good)
        damaged[position] ^= 0xFF
        newest.write_bytes(damaged)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            state = load_newest(tmp_path)
        assert state is not None
        assert torch.equal(state["weights"], torch.full((1000,), float(state["step"])))


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The checkpoints of steps 4 and 5 of a small run."""
    folder = tmp_path_factory.mktemp("trained")
    train_until_killed(small_recipe(), write_blobs(folder / "blobs"), folder / "run", 5)
    return folder / "run" / "checkpoints"


def check() -> Check:
    network = build_network(small_recipe().model, THREE, 0, None, True, print)
    return partial(check_state, network=network, settings=small_recipe().optim, frozen=())


State = dict[str, Any]
WEIGHT = "heads.0.left.0.weight"


def fill(value: float, *keys: Any) -> Callable[[State], object]:
    """Return what writes one number into a tensor of a state."""

    def change(state: State) -> None:
        tensor: Any = reduce(getitem, keys, state)
        tensor[(0,) * tensor.ndim] = value

    return change


def put(value: Any, *keys: Any) -> Callable[[State], object]:
    """Return what puts `value` into a state."""
    return lambda state: reduce(getitem, keys[:-1], state).__setitem__(keys[-1], value)


def drop(*keys: Any) -> Callable[[State], object]:
    return lambda state: reduce(getitem, keys[:-1], state).pop(keys[-1])


def only(*keys: str) -> Callable[[State], object]:
    """Return what leaves only a part of a state."""

    def change(state: State) -> None:
        part = reduce(getitem, keys, state)
        state.clear()
        state.update(part)

    return change


FORGERIES: dict[str, tuple[Callable[[State], object], str]] = {
    "a plain state dict": (only("network"), "written by another program"),
    "empty": (lambda s: s.clear(), "written by another program"),
    "of a later version": (put(2, "format"), "format 2, not 1"),
    "a tensor as the format": (put(torch.ones(2), "format"), "format tensor"),
    "no network": (drop("network"), "network is no dict"),
    "no optimizer": (drop("optimizer"), "optimizer: not a state"),
    "no normalisation": (drop("normalisation"), "normalisation is no dict"),
    "no state": (drop("state"), "state is no dict"),
    "no average": (put(None, "average"), "average: a NoneType in place of tensors"),
    "a list as network": (put([torch.zeros(1)], "network"), "network is no dict"),
    "a tensor is missing": (drop("network", WEIGHT), "network: 1 missing"),
    "a tensor too many": (put(torch.zeros(1), "network", "more"), "network: 1 unexpected"),
    "another shape": (put(torch.zeros(3), "network", WEIGHT), "network: 1 of another shape"),
    "text for a tensor": (put("zeros", "network", WEIGHT), "network: .*not a tensor"),
    "whole numbers": (put(torch.zeros(3, 32, 3, 1, dtype=torch.int32), "network", WEIGHT), "int32"),
    "a meta tensor": (put(torch.zeros(3, 32, 3, 1, device="meta"), "network", WEIGHT), "without data"),
    "NaN in the network": (fill(nan, "network", WEIGHT), "network: 1 tensors not finite"),
    "NaN in the average": (fill(nan, "average", WEIGHT), "average: 1 tensors not finite"),
    "a negative variance": (fill(-1.0, "network", "backbone.body.bn1.running_var"), "negative variance"),
    "NaN in the momentum": (fill(nan, "optimizer", "state", 0, "momentum_buffer"), "momentum_buffer .* not finite"),
    "the momentum of another network": (
        put(torch.zeros(7), "optimizer", "state", 0, "momentum_buffer"), "momentum_buffer .* has another"
    ),
    "momentum that is text": (put("fast", "optimizer", "state", 0, "momentum_buffer"), "optimizer: "),
    "another optimizer": (
        lambda s: s.update(optimizer=torch.optim.AdamW([torch.zeros(2)]).state_dict()), "optimizer: not a state"
    ),
    "no memory of the gradients": (put({}, "optimizer", "state"), "momentum_buffer of parameters is missing"),
    "no memory of one": (put({}, "optimizer", "state", 3), "momentum_buffer of parameters is missing"),
    "an empty memory": (put(None, "optimizer", "state", 3, "momentum_buffer"), "momentum_buffer .* has another"),
    "NaN seconds": (put(nan, "state", "seconds"), "state: seconds=nan"),
    "fewer parameters": (lambda s: s["optimizer"]["param_groups"][0]["params"].pop(), "optimizer: not a state"),
    "another momentum": (put(0.1, "optimizer", "param_groups", 0, "momentum"), "momentum is 0.1 instead of 0.9"),
    "no momentum": (drop("optimizer", "param_groups", 1, "momentum"), "momentum is None instead of 0.9"),
    "of another step": (put(9, "state", "step"), "its step is not that of its name"),
    "a step that is text": (put("4", "state", "step"), "state: step='4'"),
    "an unknown number": (put(1, "state", "pace"), "state: .*pace"),
    "a score beyond all": (put(2.0, "state", "best_score"), "state: best_score=2.0"),
    "evaluated later": (put(6, "state", "evaluated_step"), "state: evaluated_step=6"),
    "a negative log": (put(-1, "log_bytes"), "log_bytes or processes"),
    "processes as text": (put("two", "processes"), "log_bytes or processes"),
    "no deviation": (fill(0.0, "normalisation", "std"), "normalisation: std="),
    "a deviation of one number": (put(torch.ones(1), "normalisation", "std"), "normalisation: std="),
}  # fmt: skip


@pytest.mark.parametrize("kind", FORGERIES)
def test_a_checkpoint_that_is_whole_but_not_ours_is_skipped(kind: str, trained: Path, tmp_path: Path) -> None:
    forge, reason = FORGERIES[kind]
    folder = Path(shutil.copytree(trained, tmp_path / "checkpoints"))
    newest = checkpoints(folder)[0]
    state = torch.load(newest, weights_only=True)
    forge(state)
    torch.save(state, newest)
    with pytest.warns(UserWarning, match=rf"{newest.name}: damaged checkpoint, skipped \(.*{reason}") as warned:
        good = load_newest(folder, check())
    assert good is not None
    assert good["state"]["step"] == 4
    assert len(warned) == 1
    assert "\n" not in str(warned[0].message)


def test_every_checkpoint_of_a_run_is_good(trained: Path) -> None:
    for path in checkpoints(trained):
        assert check()(path, torch.load(path, weights_only=True)) == ""


def test_a_checkpoint_under_the_name_of_another_step_is_no_start(trained: Path, tmp_path: Path) -> None:
    shutil.copy(checkpoints(trained)[0], tmp_path / "step-000000009.ckpt")
    with (
        pytest.warns(UserWarning, match="step-000000009.ckpt: damaged"),
        pytest.raises(InputError, match=r"all 1 checkpoints are damaged \(its step is not that of its name\)"),
    ):
        load_newest(tmp_path, check())


@pytest.mark.parametrize(
    "optim", [{"momentum": 0.0}, {"algorithm": "adamw", "lr": 1e-3}, {"ema_decay": None, "nesterov": True}]
)
def test_checkpoints_of_other_optimisers_are_good(optim: dict[str, Any], blobs: Path, tmp_path: Path) -> None:
    recipe = small_recipe(**optim)
    train_until_killed(recipe, blobs, tmp_path / "run", 3)
    network = build_network(recipe.model, THREE, 0, None, True, print)
    for path in checkpoints(tmp_path / "run" / "checkpoints"):
        state = torch.load(path, weights_only=True)
        assert check_state(path, state, network, recipe.optim, ()) == ""

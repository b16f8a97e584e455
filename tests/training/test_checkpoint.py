"""Checkpoints: the newest intact one is used, a damaged one is skipped, the last good one is never removed."""

import errno
import io
import os
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch

from globalconv.errors import InputError
from globalconv.runtime.files import write_atomic
from globalconv.training.checkpoint import KEEP, checkpoints, is_intact, load_newest, save_checkpoint


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

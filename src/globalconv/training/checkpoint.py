"""Checkpoints: what a run needs to go on exactly where it was. Written whole, verified, and only then older ones go."""

import errno
import re
import warnings
import zipfile
from pathlib import Path
from typing import Any, BinaryIO

import torch

from globalconv.errors import InputError
from globalconv.runtime.files import write_atomic

FORMAT = 1
"""Raised when a checkpoint of today could not be resumed by yesterday's code; others are not resumed."""

KEEP = 2
"""Checkpoints kept: the newest, and the one before it in case the newest is damaged later."""

_NAME = re.compile(r"step-(\d{9})\.ckpt")


def save_checkpoint(folder: Path, step: int, state: dict[str, Any]) -> Path:
    """Write `state` of `step` into `folder`; once it reads back intact, remove all but the `KEEP` newest.

    `OSError` if it cannot be written, or does not read back; nothing is removed then.
    """
    state = {"format": FORMAT, **state}
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"step-{step:09d}.ckpt"
    write_atomic(path, lambda file: _save(state, file))
    if not is_intact(path):
        raise OSError(errno.EIO, "the checkpoint was written but does not read back", str(path))
    older = [other for other in checkpoints(folder) if _step(other) < step]
    for other in older[KEEP - 1 :]:
        other.unlink(missing_ok=True)
    return path


def _save(state: dict[str, Any], file: BinaryIO) -> None:
    try:
        torch.save(state, file)
    except RuntimeError as error:  # torch's own, raised while it tidies up after a full disk
        raise error.__context__ if isinstance(error.__context__, OSError) else error from None


def checkpoints(folder: Path) -> list[Path]:
    """Return the checkpoint files in `folder`, newest first."""
    found = [path for path in folder.glob("step-*.ckpt") if _NAME.fullmatch(path.name)]
    return sorted(found, key=_step, reverse=True)


def is_intact(path: Path) -> bool:
    """Return whether every byte of the file is as it was written (its own checksums agree)."""
    try:
        with zipfile.ZipFile(path) as archive:
            return archive.testzip() is None
    except Exception:  # damage makes zipfile raise nearly anything
        return False


def load_newest(folder: Path) -> dict[str, Any] | None:
    """Return the state of the newest intact checkpoint, None where there is no checkpoint at all.

    Damaged ones are skipped with a warning; if all are damaged that is an `InputError`, since starting over in silence
    would lose the run. Loading never executes code.
    """
    found = checkpoints(folder)
    for path in found:
        state = _load(path)
        if state is not None:
            return state
        warnings.warn(f"{path}: damaged checkpoint, skipped", stacklevel=2)
    if found:
        raise InputError(f"{folder}: all {len(found)} checkpoints are damaged; train into another `out`")
    return None


def _load(path: Path) -> dict[str, Any] | None:
    if not is_intact(path):
        return None
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception:  # whatever a file that is not ours makes torch raise
        return None
    return state if isinstance(state, dict) and state.get("format") == FORMAT else None


def _step(path: Path) -> int:
    match = _NAME.fullmatch(path.name)
    assert match is not None
    return int(match[1])

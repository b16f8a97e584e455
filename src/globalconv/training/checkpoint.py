"""Checkpoints: everything that a run needs to resume exactly where it was.

A checkpoint is written atomically and read back before older ones are removed.
"""

import contextlib
import errno
import re
import warnings
import zipfile
from pathlib import Path
from typing import Any, BinaryIO

import torch

from globalconv.errors import InputError
from globalconv.model.network import ImageNetwork
from globalconv.runtime.files import write_atomic

FORMAT = 1
"""Version of the contents; checkpoints of another one are not resumed."""

KEEP = 2
"""Checkpoints kept: the newest, and the one before it in case the newest is damaged later."""

_NAME = re.compile(r"step-(\d{9})\.ckpt")


def save_checkpoint(folder: Path, step: int, state: dict[str, Any]) -> Path:
    """Write `state` of `step` into `folder`; once it reads back intact, remove all but the `KEEP` newest.

    Raises `OSError` if it cannot be written or does not read back; nothing is removed then.
    """

    def write(file: BinaryIO) -> None:
        try:
            torch.save({"format": FORMAT, **state}, file)
        except RuntimeError as error:  # torch raises it while it cleans up after a full disk: the disk is the cause
            raise error.__context__ if isinstance(error.__context__, OSError) else error from None

    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"step-{step:09d}.ckpt"
    write_atomic(path, write)
    if not is_intact(path):
        raise OSError(errno.EIO, "the checkpoint was written but does not read back", str(path))
    older = [other for other in checkpoints(folder) if _step(other) < step]
    for other in older[KEEP - 1 :]:
        other.unlink(missing_ok=True)
    return path


def checkpoints(folder: Path) -> list[Path]:
    """Return the checkpoint files in `folder`, newest first."""
    files = [path for path in folder.glob("step-*.ckpt") if _NAME.fullmatch(path.name)]
    return sorted(files, key=_step, reverse=True)


def is_intact(path: Path) -> bool:
    """Return whether the checksums inside the file agree with its content."""
    try:
        with zipfile.ZipFile(path) as archive:
            return archive.testzip() is None
    except Exception:  # damage makes zipfile raise nearly anything
        return False


def load_newest(folder: Path) -> dict[str, Any] | None:
    """Return the state of the newest intact checkpoint, None where there is no checkpoint at all.

    Damaged ones are skipped with a warning. `InputError` if all are damaged: starting over silently would lose the
    run. Loading never executes code.
    """
    files = checkpoints(folder)
    for path in files:
        state: Any = None
        if is_intact(path):
            # whatever a file of another origin makes torch raise
            with contextlib.suppress(Exception):
                state = torch.load(path, map_location="cpu", weights_only=True)
        if isinstance(state, dict) and state.get("format") == FORMAT:
            return state
        warnings.warn(f"{path}: damaged checkpoint, skipped", stacklevel=2)
    if files:
        raise InputError(f"{folder}: all {len(files)} checkpoints are damaged; train into another `out`")
    return None


def restore_network(network: ImageNetwork, saved: dict[str, Any]) -> None:
    """Give a fresh network the weights, statistics and normalisation of a checkpoint."""
    network.load_state_dict(saved["network"])
    network.mean_C11.copy_(saved["normalisation"]["mean"])
    network.std_C11.copy_(saved["normalisation"]["std"])


def _step(path: Path) -> int:
    match = _NAME.fullmatch(path.name)
    assert match is not None
    return int(match[1])

"""Checkpoints: everything that a run needs to resume exactly where it was.

A checkpoint is written atomically and read back before older ones are removed.
"""

import errno
import re
import warnings
import zipfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import isnan
from pathlib import Path
from typing import Any, BinaryIO, Self

import torch
from torch import nn

from globalconv.errors import InputError
from globalconv.model.network import ImageNetwork, check_normalisation
from globalconv.model.pretrained import load_pickle, misfit
from globalconv.runtime.files import write_atomic
from globalconv.runtime.text import one_line
from globalconv.training.fine_tuning import resting_parameters
from globalconv.training.optim import build_optimizer, optimizer_misfit
from globalconv.training.recipe import StepSettings

FORMAT = 1
"""Version of the contents; checkpoints of another one are not resumed."""

KEEP = 2
"""Checkpoints kept: the newest, and the one before it in case the newest is damaged later."""


@dataclass
class TrainingState:
    """The numbers of a training that change with every step, saved in its checkpoints."""

    step: int = 0
    evaluated_step: int = 0
    """Step of the last complete evaluation."""
    last_score: float | None = None
    best_score: float | None = None
    best_step: int = 0
    seconds: float = 0.0
    """Time spent in steps, also before the run was resumed."""

    @classmethod
    def from_saved(cls, saved: Mapping[str, Any]) -> Self:
        """Return the state in a checkpoint; `TypeError` or `ValueError` for what no training writes there."""
        # Early versions had no other score than mIoU, and named it so.
        state = cls(**{name.replace("miou", "score"): value for name, value in saved.items()})
        for name, value in vars(state).items():
            is_score = name.endswith("score")
            kinds = (float, int, type(None)) if is_score else (float, int) if name == "seconds" else (int,)
            most = 1 if is_score else state.step if name != "step" and name.endswith("step") else MAX_NUMBER
            # A score of NaN is one of a split without labels.
            if type(value) not in kinds or not (value is None or 0 <= value <= most or (is_score and isnan(value))):
                raise ValueError(f"{name}={one_line(repr(value))}")
        return state


MAX_NUMBER = 10**12
"""Bound on steps and seconds, 30,000 years."""

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


Check = Callable[[Path, dict[str, Any]], str]
"""(file, state) -> in words what a run cannot resume from; an empty string where it can."""


def load_newest(folder: Path, check: Check = lambda path, state: "") -> dict[str, Any] | None:
    """Return the state of the newest good checkpoint, None where there is no checkpoint at all.

    Damaged ones, and those that `check` finds something about, are skipped with a warning that says what. `InputError`
    if none is left: starting over silently would lose the run. Loading never executes code.
    """
    files, problem = checkpoints(folder), ""
    for path in files:
        state: Any = None
        try:
            state = load_pickle(path) if is_intact(path) else None
            problem = _format_problem(state) or check(path, state)
        except Exception as error:  # whatever a file of another origin makes torch raise
            problem = one_line(error)
        if not problem:
            return dict(state)
        warnings.warn(f"{path}: damaged checkpoint, skipped ({problem})", stacklevel=2)
    if files:
        raise InputError(f"{folder}: all {len(files)} checkpoints are damaged ({problem}); train into another `out`")
    return None


def _format_problem(state: object) -> str:
    if state is None:
        return "its checksums differ"
    if not isinstance(state, dict) or "format" not in state:
        return "written by another program"
    found = state["format"]
    return "" if type(found) is int and found == FORMAT else f"format {one_line(repr(found))}, not {FORMAT}"


def check_state(
    path: Path, state: dict[str, Any], network: ImageNetwork, settings: StepSettings, frozen: Sequence[nn.Parameter]
) -> str:
    """Return in words why a training of `network` cannot go on from `state`; an empty string where it can.

    `network` has its structure but not its weights yet, and the parameters that are going to be `frozen` are trainable.
    """
    if missing := [
        f"{name} is no {kind.__name__}"
        for name, kind in (("state", dict), ("network", dict), ("normalisation", dict), ("log_bytes", int))
        if not isinstance(state.get(name), kind)
    ]:
        return ", ".join(missing)
    if state["log_bytes"] < 0 or type(state.get("processes", 1)) is not int:
        return "log_bytes or processes are no counts"
    try:
        if TrainingState.from_saved(state["state"]).step != _step(path):
            return "its step is not that of its name"
    except (TypeError, ValueError) as error:
        return f"state: {one_line(error)}"
    for name in ("network", "average"):
        wanted = name == "network" or settings.ema_decay is not None
        if wanted and (problem := misfit(network, state.get(name))):
            return f"{name}: {problem}"
    try:
        check_normalisation(*(state["normalisation"][name].flatten().tolist() for name in ("mean", "std")))
    except (KeyError, AttributeError, InputError) as error:
        return f"normalisation: {one_line(error)}"
    steps = state["state"]["step"]
    optimizer = build_optimizer(network, settings, frozen)
    resting = resting_parameters(network, settings, steps)
    problem = optimizer_misfit(optimizer, state.get("optimizer"), steps > 0, resting)
    return f"optimizer: {problem}" if problem else ""


def restore_network(network: ImageNetwork, saved: dict[str, Any]) -> None:
    """Give a fresh network the weights, statistics and normalisation of a checkpoint."""
    network.load_state_dict(saved["network"])
    network.mean_C11.copy_(saved["normalisation"]["mean"])
    network.std_C11.copy_(saved["normalisation"]["std"])


def _step(path: Path) -> int:
    match = _NAME.fullmatch(path.name)
    assert match is not None
    return int(match[1])

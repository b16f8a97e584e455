"""A small recipe and data set, and training in this process as the command line would, killed at an exact point."""

import json
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image

from globalconv.data.transform_settings import Augmentation
from globalconv.runtime.signals import StopRequest
from globalconv.training import loop
from globalconv.training.assemble import Execution, run_training
from globalconv.training.checkpoint import load_newest
from globalconv.training.loop import Session
from globalconv.training.recipe import DataSettings, ModelSettings, OptimSettings, Recipe


def small_recipe(workers: int = 0, **optim: Any) -> Recipe:
    """Return twelve steps of a tiny network with all that has a memory: momentum, average, warm-up, clipping."""
    return Recipe(
        model=ModelSettings(backbone="test_resnet", kernel_size=(3,)),
        data=DataSettings(augmentation=Augmentation(crop=(48, 64), scale=(0.5, 1.5)), batch_size=2, workers=workers),
        optim=OptimSettings(**{"ema_decay": 0.9, "clip_norm": 1.0, "warmup_steps": 3, **optim}),
        steps=12,
        precision="float32",
        evaluate_every=5,
        checkpoint_every=1,
        log_every=1,
    )


def write_blobs(root: Path) -> Path:
    """Write seven training and three validation images of coloured rectangles; class = colour, some void."""
    rng = np.random.default_rng(0)
    for split, count in (("train", 7), ("val", 3)):
        for folder in ("images", "labels"):
            (root / folder / split).mkdir(parents=True)
        for index in range(count):
            image, labels = _rectangles(rng)
            Image.fromarray(image).save(root / "images" / split / f"{index}.png")
            Image.fromarray(labels).save(root / "labels" / split / f"{index}.png")
    return root


def _rectangles(rng: np.random.Generator) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    labels = np.zeros((56, 72), np.uint8)
    for kind in (1, 2, 1, 255):
        top, left = rng.integers(0, 40), rng.integers(0, 56)
        labels[top : top + 16, left : left + 16] = kind
    colours = np.full((256, 3), 90)
    colours[:3] = ((60, 60, 60), (200, 40, 40), (40, 200, 40))
    noisy = colours[labels] + rng.integers(-30, 30, (56, 72, 3))
    return noisy.clip(0, 255).astype(np.uint8), labels


def train(
    recipe: Recipe, data: Path, out: Path, resume: bool = False, stop: StopRequest | None = None,
    init_from: Path | None = None,
) -> Session:  # fmt: skip
    """Train without log lines."""
    execution = Execution(stop or StopRequest(), lambda line: None)
    return run_training(recipe, data, out, execution, resume, init_from)


class Killed(BaseException):
    """Stands for SIGKILL: nothing after it runs, nothing is saved."""


@contextmanager
def killed_after(steps: int) -> Iterator[None]:
    """Let a training be killed when step number `steps` has been taken and the next one begins."""
    real_step = loop.train_step

    def step(session: Session, parts: Any) -> Any:
        if session.state.step == steps:
            raise Killed
        return real_step(session, parts)

    with pytest.MonkeyPatch.context() as patch, pytest.raises(Killed):
        patch.setattr(loop, "train_step", step)
        yield


def signal_after(steps: int, patch: pytest.MonkeyPatch) -> StopRequest:
    """Return a request that SIGTERM makes when step number `steps` has been taken, before the next one begins."""
    stop, due = StopRequest(), Session.evaluation_due

    def interrupted(session: Session) -> bool:
        if session.state.step == steps:
            stop.signal_number = signal.SIGTERM
        return due(session)

    patch.setattr(Session, "evaluation_due", interrupted)
    return stop


def train_until_killed(recipe: Recipe, data: Path, out: Path, steps: int, init_from: Path | None = None) -> None:
    """Train and be killed when step number `steps` has been taken and the next one begins."""
    with killed_after(steps):
        train(recipe, data, out, init_from=init_from)


def final_state(out: Path) -> dict[str, Any]:
    """Return the last checkpoint without its clock."""
    state = load_newest(out / "checkpoints")
    assert state is not None
    state["state"].pop("seconds")
    state.pop("log_bytes")
    return state


def log_without_clock(out: Path) -> list[dict[str, Any]]:
    """Return the steps and scores of the log, without times."""
    lines = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    clock = {"seconds", "data_seconds", "training_seconds"}
    return [
        {k: v for k, v in line.items() if k not in clock} for line in lines if line["event"] in ("step", "evaluation")
    ]


def same_bits(a: Any, b: Any) -> bool:
    """Return whether two nested states are equal, tensors bit for bit."""
    if isinstance(a, torch.Tensor):
        return isinstance(b, torch.Tensor) and a.dtype == b.dtype and torch.equal(a, b)
    if isinstance(a, dict):
        return isinstance(b, dict) and list(a) == list(b) and all(same_bits(a[key], b[key]) for key in a)
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(same_bits(x, y) for x, y in zip(a, b, strict=True))
    return bool(a == b)

"""A training of any kind, put together on its device and carried out in its run folder."""

import json
import math
from collections.abc import Callable
from typing import Any

import torch
from lightning.fabric import Fabric

from globalconv.environment import environment, peak_memory
from globalconv.errors import StoppedError
from globalconv.hardware import Hardware
from globalconv.model.normalise import Normalised
from globalconv.processes import usable_cores
from globalconv.stopping import StopRequest
from globalconv.training.ema import MovingAverage
from globalconv.training.loop import train_loop
from globalconv.training.optimizer import build_optimizer
from globalconv.training.ranks import ALONE, Ranks, launch
from globalconv.training.recipe import BaseRecipe
from globalconv.training.run import RunFolder
from globalconv.training.session import Session
from globalconv.training.task import Task

Say = Callable[[str], None]


def assemble(
    recipe: BaseRecipe,
    task: Task,
    run: RunFolder,
    hardware: Hardware,
    network: Normalised,
    fabric: Fabric | None = None,
) -> Session:
    """Return a session at step 0, on its device; alone, where no `fabric` is given."""
    fabric = launch(hardware, ALONE) if fabric is None else fabric
    network.to(memory_format=torch.channels_last if recipe.channels_last else torch.contiguous_format)
    network.to(fabric.device).train()
    average = None if recipe.optim.ema_decay is None else MovingAverage(network, recipe.optim.ema_decay)
    wrapped, optimizer = fabric.setup(network, build_optimizer(network, recipe.optim))
    images_per_step = recipe.data.batch_size * recipe.optim.accumulate
    total = recipe.steps or math.ceil(recipe.epochs * task.images / images_per_step)
    return Session(
        recipe, task, run, fabric, network, average, wrapped, optimizer, worker_count(recipe.data.workers), total,
        hardware, Ranks(fabric),
    )  # fmt: skip


def carry_out(
    session: Session,
    dataset: dict[str, Any],
    saved: dict[str, Any] | None,
    resume: bool,
    stop: StopRequest,
    say: Say,
) -> None:
    """Train to the end in the run folder, on from the checkpoint `saved` where the run is resumed."""
    run = session.run
    session.ranks.first_does(lambda: run.begin(session.recipe, dataset))
    try:
        if resume:
            session.restore(saved)
            say(f"resume      {f'after step {session.state.step}' if saved else 'no checkpoint yet: from the start'}")
        if session.ranks.first:
            session.board.open(run.path / "tensorboard", session.state.step)
        _announce(session, say)
        facts = {"step": session.state.step, "steps": session.total_steps, **session.task.facts()}
        ran = {
            "network": session.network.settings,
            "hardware": session.hardware.description,
            "precision": session.hardware.precision,
        }
        run.log("start", {**facts, **ran, **environment()})
        train_loop(session, stop)
        session.ranks.wait()  # until what the first one writes is there for all
        run.log("end", {"seconds": session.state.seconds, "peak_memory": peak_memory(session.device)})
    except StoppedError as stopped:
        session.ranks.wait()
        if not session.ranks.first:
            raise SystemExit(0) from None
        where = f"after step {session.state.step}, saved in {run.path}; the same command with --resume goes on"
        raise StoppedError(f"{stopped} {where}", stopped.exit_code - 128) from None
    finally:
        session.board.close()
        run.close()


def worker_count(asked: int | None) -> int:
    """Return how many processes decode: as asked, else half of the cores this process may use, at most 8."""
    if asked is not None:
        return asked
    return min(8, usable_cores() // 2)


def _announce(session: Session, say: Say) -> None:
    recipe, parameters = session.recipe, sum(p.numel() for p in session.network.parameters())
    say(f"data        {session.task.describe()}")
    say(f"network     {json.dumps(session.network.settings)}, {parameters / 1e6:.2f} M parameters")
    say(f"training    {session.total_steps} steps of {recipe.data.batch_size * recipe.optim.accumulate} images,"
        f" {session.workers} workers; run folder {session.run.path}")  # fmt: skip
    if (warmup := recipe.optim.warmup_steps) > session.total_steps / 2:
        say(f"warning     --optim.warmup-steps {warmup} is more than half of the {session.total_steps} steps: the rate"
            f" hardly comes to its peak; lower it for so short a run")  # fmt: skip
    if session.ranks.first and not session.board.available:
        say(
            "tensorboard not installed, so no event files (pip install globalconv[log]); metrics.jsonl has every number"
        )

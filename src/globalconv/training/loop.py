"""The training loop, on one screen, and the step it repeats."""

import contextlib
import math
import time
from collections.abc import Iterator
from dataclasses import dataclass

import torch

from globalconv.data.loader import Batch
from globalconv.errors import DivergedError, InputError
from globalconv.runtime.devices import is_out_of_memory
from globalconv.runtime.progress import Progress
from globalconv.runtime.signals import StopRequest
from globalconv.training.optim import learning_rate
from globalconv.training.session import Session


def train_loop(session: Session, stop: StopRequest) -> None:
    """Train until the last step is done and evaluated, or until `stop`, with the state saved."""
    recipe, state = session.recipe, session.state
    batches = session.task.batches(state.step * recipe.optim.accumulate, session.workers)
    with contextlib.closing(batches), stop.deferred(), session.progress() as progress:
        while True:
            if session.evaluation_due():
                session.checkpoint()
                session.evaluate(stop, progress)
                session.checkpoint()
            if number := session.ranks.largest(stop.signal_number or 0):  # all stop where one was asked to
                stop.signal_number = number
                session.checkpoint()
                stop.check()
            if state.step == session.total_steps:
                return
            asked = time.monotonic()
            parts = next_parts(session, batches)
            began = time.monotonic()
            result = train_step(session, parts)
            state.step += 1
            state.seconds += time.monotonic() - asked
            _report(session, progress, result, waited=began - asked, computed=time.monotonic() - began)
            if state.step % recipe.checkpoint_every == 0:
                session.checkpoint()


def next_parts(session: Session, batches: Iterator[Batch]) -> list[Batch]:
    """Return the batches of one step; a sample that cannot be read stops the run, with the state saved."""
    parts, problem = [], ""
    try:
        parts = [next(batches) for _ in range(session.recipe.optim.accumulate)]
    except InputError as error:
        problem = str(error)
    if session.ranks.largest(bool(problem)):
        session.checkpoint()
        session.ranks.refuse_together(problem)
    return parts


@dataclass(frozen=True)
class StepResult:
    """What a step leaves to report; the gradient's norm is known where it is clipped."""

    loss: float
    lr: float
    gradient_norm: float | None


def train_step(session: Session, parts: list[Batch]) -> StepResult:
    """Take one step of the optimiser on `parts`, whose loss is that of one large batch."""
    network, optimizer, optim = session.wrapped, session.optimizer, session.recipe.optim
    task, state = session.task, session.state
    # Dropout and the like become a function of (seed, step), so that a resumed run repeats them.
    torch.manual_seed((session.recipe.seed << 32) + state.step)
    lr = learning_rate(state.step, session.total_steps, optim)
    for group in optimizer.param_groups:
        group["lr"] = lr
    on_device = [session.to_device(part) for part in parts]
    ranks = session.ranks
    nothing = torch.zeros((), dtype=torch.int64, device=session.device)
    counted = ranks.sum(sum((task.counted(targets) for _, targets in on_device), start=nothing))
    loss_value = 0.0
    try:
        for images_N3HW, targets in on_device:
            loss = task.loss(network(images_N3HW), targets, counted, len(parts) * ranks.count)
            session.fabric.backward(loss * ranks.count)  # whose gradients are averaged over the processes
            loss_value += loss.item()
    except RuntimeError as error:
        if not is_out_of_memory(error):
            raise
        raise InputError(
            f"not enough memory on {session.device}: lower `data.batch_size` (and raise `optim.accumulate`),"
            f" or lower `data.augmentation.crop`"
        ) from error
    if ranks.count > 1:
        loss_value = ranks.sum(torch.tensor(loss_value, dtype=torch.float64, device=session.device)).item()
    norm = None
    if optim.clip_norm is not None:
        trainable = [p for group in optimizer.param_groups for p in group["params"]]
        norm = torch.nn.utils.clip_grad_norm_(trainable, optim.clip_norm).item()
    if not math.isfinite(loss_value + (norm or 0.0)):
        raise _diverged(session, loss_value, lr, parts)
    optimizer.step()
    optimizer.zero_grad()
    if session.average is not None:
        session.average.update(session.network, state.step + 1)
    return StepResult(loss_value, lr, norm)


def _diverged(session: Session, loss: float, lr: float, parts: list[Batch]) -> DivergedError:
    saved = session.newest_checkpoint()
    names = ", ".join(name for part in parts for name in part.names)
    return DivergedError(
        f"training diverged: loss {loss}, or a clipped gradient that is not finite, at step {session.state.step + 1},"
        f" learning rate {lr:.3g}, samples {names}; last good checkpoint: {saved or 'none yet'};"
        f" lower `optim.lr` or set `optim.clip_norm`"
    )


def _report(session: Session, progress: Progress, result: StepResult, waited: float, computed: float) -> None:
    step = session.state.step
    session.data_wait += 0.05 * (waited / (waited + computed) - session.data_wait)
    if step % session.recipe.log_every == 0 or step == session.total_steps:
        images = session.recipe.data.batch_size * session.recipe.optim.accumulate
        session.log_step(
            {
                "step": step,
                "epoch": round(step * images / session.task.images, 4),
                "lr": result.lr,
                "loss": result.loss,
                "gradient_norm": result.gradient_norm,
                "seconds": round(waited + computed, 4),
                "data_seconds": round(waited, 4),
            }
        )
    score = session.state.last_score
    progress.update(
        step,
        {
            "loss": f"{result.loss:.3f}",
            "lr": f"{result.lr:.2g}",
            "data wait": f"{session.data_wait:.0%}",
            session.task.title: "-" if score is None else f"{score:.3f}",
        },
    )

"""The training loop: `train_loop`, the step that it repeats, the evaluations, and the session that they work on.

Shapes: N images, H x W pixels. A step takes `optim.accumulate` batches, its parts; the loss is that of one large batch.
"""

import contextlib
import math
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from lightning_fabric import Fabric
from rich.console import Console
from torch import nn

from globalconv.data.loader import Batch
from globalconv.errors import DivergedError, InputError
from globalconv.model.network import ImageNetwork
from globalconv.model.pretrained import unusable
from globalconv.runtime.devices import Hardware, is_out_of_memory
from globalconv.runtime.progress import Progress
from globalconv.runtime.signals import StopRequest
from globalconv.training.checkpoint import TrainingState, checkpoints, save_checkpoint
from globalconv.training.distributed import Ranks
from globalconv.training.fine_tuning import FrozenStart
from globalconv.training.optim import MovingAverage, learning_rate
from globalconv.training.recipe import BaseRecipe
from globalconv.training.run_folder import RunFolder, TensorBoard
from globalconv.training.task import Numerics, Task


@dataclass
class Session:
    """Everything the loop works on. `globalconv.training.assemble` puts one together."""

    recipe: BaseRecipe
    task: Task
    run: RunFolder
    hardware: Hardware
    fabric: Fabric
    ranks: Ranks
    network: ImageNetwork
    wrapped: nn.Module
    """The network as Fabric runs it: on its device, in its precision."""
    average: MovingAverage | None
    optimizer: torch.optim.Optimizer
    numerics: Numerics
    workers: int
    total_steps: int
    frozen_start: FrozenStart | None = None
    board: TensorBoard = field(default_factory=TensorBoard)
    state: TrainingState = field(default_factory=TrainingState)
    data_wait: float = 0.0
    """Moving average of the share of a step's time that it waits for samples."""
    _saved: tuple[int, int] | None = None
    """Step and evaluated step of the newest checkpoint: the same state is not written twice."""

    def progress(self) -> Progress:
        """Return the progress display of the whole run, silent in all processes but the first."""
        silent = None if self.ranks.first else Console(quiet=True)
        return Progress("step", self.total_steps, "steps", start=self.state.step, console=silent)

    def evaluated_network(self) -> ImageNetwork:
        """Return the network that is evaluated and saved: the moving average where there is one."""
        if self.average is None:
            return self.network
        assert isinstance(self.average.network, ImageNetwork)
        return self.average.network

    def evaluation_due(self) -> bool:
        """Return whether the current step calls for an evaluation that has not been made."""
        state = self.state
        scheduled = state.step % self.recipe.evaluate_every == 0 or state.step == self.total_steps
        return scheduled and 0 < state.step != state.evaluated_step

    def checkpoint(self) -> None:
        """Save everything that a resumed run needs."""
        if self._saved == (self.state.step, self.state.evaluated_step):
            return
        if problem := unusable(self.network, self.network.state_dict()):
            raise DivergedError(
                f"training diverged: {problem} after step {self.state.step}; last good checkpoint:"
                f" {self.newest_checkpoint() or 'none yet'}; lower `optim.lr` or set `optim.clip_norm`"
            )
        state = {
            "state": asdict(self.state),
            "network": self.network.state_dict(),
            "normalisation": {"mean": self.network.mean_C11, "std": self.network.std_C11},
            "optimizer": self.optimizer.state_dict(),
            "average": None if self.average is None else self.average.network.state_dict(),
            "log_bytes": self.run.log_size(),
            "processes": self.ranks.count,
        }
        if self.ranks.first:
            save_checkpoint(self.run.checkpoints, self.state.step, state)
        self._saved = (self.state.step, self.state.evaluated_step)

    def restore(self, saved: dict[str, Any] | None) -> None:
        """Continue from the checkpoint `saved`, whose weights the network has already (None: from the start).

        The log is cut back to what it was when the checkpoint was written.
        """
        if saved is None:
            self.run.cut_log(0)
            return
        if (before := saved.get("processes", 1)) != self.ranks.count:
            raise InputError(
                f"`devices`: the run in {self.run.path} was begun by {before} process(es), now there are"
                f" {self.ranks.count}; sums and batch norm would differ, so resume it with as many"
            )
        self.run.cut_log(saved["log_bytes"])
        self.state = TrainingState.from_saved(saved["state"])
        if self.state.step > self.total_steps:
            raise InputError(
                f"`out` {self.run.path}: its checkpoint is of step {self.state.step}, beyond the last"
                f" ({self.total_steps}); train into another `out`"
            )
        self._saved = (self.state.step, self.state.evaluated_step)
        self.optimizer.load_state_dict(saved["optimizer"])
        if self.average is not None:
            self.average.network.load_state_dict(saved["average"])

    def newest_checkpoint(self) -> Path | None:
        """Return the newest checkpoint file."""
        return next(iter(checkpoints(self.run.checkpoints)), None)


def train_loop(session: Session, stop: StopRequest) -> None:
    """Train until the last step is done and evaluated, or until `stop`, with the state saved."""
    recipe, state, ranks = session.recipe, session.state, session.ranks
    batches = session.task.batches(state.step * recipe.optim.accumulate, session.workers)
    with contextlib.closing(batches), stop.deferred(), session.progress() as progress:
        while True:
            if session.evaluation_due():
                session.checkpoint()
                evaluate(session, stop, progress)
                session.checkpoint()
            if number := ranks.largest(stop.signal_number or 0):  # a signal to one process stops all
                stop.signal_number = number
                session.checkpoint()
                stop.check()
            if state.step == session.total_steps:
                return
            began = time.monotonic()
            parts = next_parts(session, batches)
            waited = time.monotonic() - began
            result = train_step(session, parts)
            seconds = time.monotonic() - began
            state.step += 1
            state.seconds += seconds
            report_step(session, progress, result, waited, seconds)
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
    task, state, ranks, numerics = session.task, session.state, session.ranks, session.numerics
    # Dropout and the like become a function of (seed, step), so that a resumed run repeats them.
    torch.manual_seed((session.recipe.seed << 32) + state.step)
    lr = learning_rate(state.step, session.total_steps, optim)
    for group in optimizer.param_groups:
        group["lr"] = lr * group.get("scale", 1.0)
    if session.frozen_start is not None:
        session.frozen_start.begin_step(state.step)
    inputs = [numerics.to_device(part) for part in parts]
    zero = torch.zeros((), dtype=torch.int64, device=numerics.device)
    # The divisor of the loss: valid pixels (or images) in all parts of all processes.
    counted = ranks.sum(sum((task.counted(targets) for _, targets in inputs), start=zero))
    loss_value = 0.0
    try:
        for images_N3HW, targets in inputs:
            loss = task.loss(network(images_N3HW), targets, counted, len(parts) * ranks.count)
            session.fabric.backward(loss * ranks.count)  # DDP averages the gradients over the processes: undo that
            loss_value += loss.item()
    except RuntimeError as error:
        if not is_out_of_memory(error):
            raise
        raise InputError(
            f"not enough memory on {numerics.device}: lower `data.batch_size` (and raise `optim.accumulate`),"
            f" or lower `data.augmentation.crop`"
        ) from error
    if ranks.count > 1:
        loss_value = ranks.sum(torch.tensor(loss_value, dtype=torch.float64, device=numerics.device)).item()
    if session.frozen_start is not None:
        session.frozen_start.drop_gradients(state.step)
    norm = None
    if optim.clip_norm is not None:
        trainable = [p for group in optimizer.param_groups for p in group["params"]]
        norm = torch.nn.utils.clip_grad_norm_(trainable, optim.clip_norm).item()
    if not math.isfinite(loss_value + (norm or 0.0)):
        names = ", ".join(name for part in parts for name in part.names)
        raise DivergedError(
            f"training diverged: loss {loss_value}, or a clipped gradient that is not finite, at step {state.step + 1},"
            f" learning rate {lr:.3g}, samples {names}; last good checkpoint:"
            f" {session.newest_checkpoint() or 'none yet'}; lower `optim.lr` or set `optim.clip_norm`"
        )
    optimizer.step()
    optimizer.zero_grad()
    if session.average is not None:
        session.average.update(session.network, state.step + 1)
    return StepResult(loss_value, lr, norm)


def report_step(session: Session, progress: Progress, result: StepResult, waited: float, seconds: float) -> None:
    """Show the step that was just taken, and log it where it is due. It took `seconds`, `waited` of them for data."""
    step, score = session.state.step, session.state.last_score
    session.data_wait += 0.05 * (waited / seconds - session.data_wait)
    if step % session.recipe.log_every == 0 or step == session.total_steps:
        images = step * session.recipe.data.batch_size * session.recipe.optim.accumulate
        fields = {
            "step": step,
            "epoch": round(images / session.task.images, 4),
            "lr": result.lr,
            "loss": result.loss,
            "gradient_norm": result.gradient_norm,
            "seconds": round(seconds, 4),
            "data_seconds": round(waited, 4),
        }
        session.run.log("step", fields)
        session.board.scalars("train", {"loss": result.loss, "lr": result.lr}, step)
    facts = {
        "loss": f"{result.loss:.3f}",
        "lr": f"{result.lr:.2g}",
        "data wait": f"{session.data_wait:.0%}",
        session.task.title: "-" if score is None else f"{score:.3f}",
    }
    progress.update(step, facts)


def evaluate(session: Session, stop: StopRequest, progress: Progress) -> None:
    """Score the network on the validation split, log the score, and save the network in `last/` and, if best, above.

    A stop ends it between two images, before anything is recorded.
    """
    state, task, run, ranks = session.state, session.task, session.run, session.ranks

    def on_scored(done: int, images: int) -> None:
        progress.update(state.step, {"evaluating": f"{done}/{images}"})
        if ranks.count == 1:  # several processes stop together, after the evaluation
            stop.check()

    network = session.evaluated_network()
    evaluation = task.evaluate(network.eval(), session.numerics, on_scored)
    network.train(session.average is None)

    score = evaluation.score
    state.evaluated_step, state.last_score = state.step, score
    is_best = state.best_score is None or score > state.best_score
    if is_best:
        state.best_score, state.best_step = score, state.step
    if ranks.first:
        info = {
            "recipe": session.recipe.to_json(),
            "step": state.step,
            task.measure: score,
            "precision": session.numerics.precision,
        }
        for folder in (run.last, run.path) if is_best else (run.last,):
            task.save(folder, network, info)
    best = {f"best_{task.measure}": state.best_score, "best_step": state.best_step}
    training = {"step": state.step, "training_seconds": round(state.seconds, 1)}
    run.log("evaluation", {**training, **evaluation.fields, **best})
    session.board.scalars("evaluation", evaluation.scalars, state.step)
    mark = "best so far, saved" if is_best else f"best {state.best_score:.4f}"
    progress.print(f"step {state.step}: {task.title} {score:.4f} on {evaluation.split} ({mark})")

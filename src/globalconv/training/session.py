"""A training put together: data, network, optimiser and run folder, and the state that a checkpoint holds."""

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from lightning_fabric import Fabric
from rich.console import Console
from torch import Tensor, nn

from globalconv.data.loader import Batch
from globalconv.errors import DivergedError, InputError
from globalconv.model.network import ImageNetwork
from globalconv.runtime.devices import Hardware
from globalconv.runtime.progress import Progress
from globalconv.runtime.signals import StopRequest
from globalconv.training.checkpoint import checkpoints, save_checkpoint
from globalconv.training.distributed import Ranks
from globalconv.training.optim import MovingAverage
from globalconv.training.recipe import BaseRecipe
from globalconv.training.run_folder import RunFolder, TensorBoard
from globalconv.training.task import Evaluation, Numerics, Task


@dataclass
class TrainingState:
    """The numbers that change as training goes on."""

    step: int = 0
    evaluated_step: int = 0
    """Step of the last evaluation that finished."""
    last_score: float | None = None
    best_score: float | None = None
    best_step: int = 0
    seconds: float = 0.0
    """Time spent in steps, over all resumed parts."""


@dataclass
class Session:
    """Everything the loop works on; `globalconv.training.assemble` puts one together."""

    recipe: BaseRecipe
    task: Task
    run: RunFolder
    fabric: Fabric
    network: ImageNetwork
    average: MovingAverage | None
    wrapped: nn.Module
    """The network as Fabric runs it: on its device, in its precision."""
    optimizer: torch.optim.Optimizer
    workers: int
    total_steps: int
    hardware: Hardware
    ranks: Ranks = field(default_factory=Ranks)
    board: TensorBoard = field(default_factory=TensorBoard)
    state: TrainingState = field(default_factory=TrainingState)
    _saved: tuple[int, int] | None = None
    """Step and evaluated step of the newest checkpoint: the same state is not written twice."""
    data_wait: float = 0.0
    """Share of recent time spent waiting for samples."""

    @property
    def device(self) -> torch.device:
        return self.fabric.device

    @property
    def precision(self) -> str:
        return self.hardware.precision

    @property
    def layout(self) -> torch.memory_format:
        return torch.channels_last if self.recipe.channels_last else torch.contiguous_format

    def to_device(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Return images_N3HW and targets of a batch where the network is, in the network's memory layout."""
        images_N3HW = batch.images_N3HW.to(self.device, non_blocking=True).contiguous(memory_format=self.layout)
        return images_N3HW, batch.targets.to(self.device, non_blocking=True)

    def progress(self) -> Progress:
        """Return the progress display of the whole run."""
        silent = None if self.ranks.first else Console(quiet=True)
        return Progress("step", self.total_steps, "steps", start=self.state.step, console=silent)

    def evaluated_network(self) -> ImageNetwork:
        """Return the network whose scores count and whose weights are saved: the moving average where there is one."""
        if self.average is None:
            return self.network
        assert isinstance(self.average.network, ImageNetwork)
        return self.average.network

    def evaluation_due(self) -> bool:
        """Return whether this step calls for an evaluation that has not been made."""
        state = self.state
        scheduled = state.step % self.recipe.evaluate_every == 0 or state.step == self.total_steps
        return scheduled and 0 < state.step != state.evaluated_step

    def evaluate(self, stop: StopRequest, progress: Progress) -> None:
        """Score the validation split, log it, and save the network: as the last one, and if it is the best as that.

        A stop breaks it off between two images, before anything is recorded.
        """
        network = self.evaluated_network()

        def on_scored(done: int, images: int) -> None:
            progress.update(self.state.step, {"evaluating": f"{done}/{images}"})
            if self.ranks.count == 1:  # several stop together, after the evaluation
                stop.check()

        found = self.task.evaluate(network.eval(), Numerics(self.device, self.precision, self.layout), on_scored)
        network.train(self.average is None)
        state = self.state
        state.evaluated_step, state.last_score = state.step, found.score
        self._save(self.run.last, network)
        if state.best_score is None or state.last_score > state.best_score:
            state.best_score, state.best_step = state.last_score, state.step
            self._save(self.run.path, network)
        self._log_evaluation(found, progress)

    def _save(self, folder: Path, network: ImageNetwork) -> None:
        if self.ranks.first:
            self.task.save(folder, network, self._info())

    def _log_evaluation(self, found: Evaluation, progress: Progress) -> None:
        state, task = self.state, self.task
        best = {f"best_{task.measure}": state.best_score, "best_step": state.best_step}
        self.run.log("evaluation", {"step": state.step, **found.fields, **best})
        self.board.scalars("evaluation", found.scalars, state.step)
        mark = " (best so far, saved)" if state.best_step == state.step else f" (best {state.best_score:.4f})"
        progress.print(f"step {state.step}: {task.title} {found.score:.4f} on {found.split}{mark}")

    def _info(self) -> dict[str, Any]:
        return {
            "recipe": self.recipe.to_json(),
            "step": self.state.step,
            self.task.measure: self.state.last_score,
            "precision": self.precision,
        }

    def log_step(self, fields: dict[str, Any]) -> None:
        """Log what a step did, to `metrics.jsonl` and TensorBoard."""
        self.run.log("step", fields)
        self.board.scalars("train", {"loss": fields["loss"], "lr": fields["lr"]}, fields["step"])

    def checkpoint(self) -> None:
        """Save all that a resumed run needs."""
        if self._saved == (self.state.step, self.state.evaluated_step):
            return
        if not all(bool(torch.isfinite(p).all()) for p in self.network.parameters()):
            last = self.newest_checkpoint() or "none yet"
            raise DivergedError(
                f"training diverged: weights are not finite after step {self.state.step}; last good checkpoint: {last};"
                f" lower `optim.lr` or set `optim.clip_norm`"
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
        """Take up a checkpoint whose weights the network has already, and cut the log back to it (None: to nothing)."""
        if saved is None:
            self.run.cut_log(0)
            return
        if (before := saved.get("processes", 1)) != self.ranks.count:
            raise InputError(
                f"`devices`: the run in {self.run.path} was begun by {before} process(es), now there are"
                f" {self.ranks.count}; sums and batch norm would differ, so resume it with as many"
            )
        self.run.cut_log(saved["log_bytes"])
        # Before there was another score than mIoU, the state called it that.
        self.state = TrainingState(**{name.replace("miou", "score"): value for name, value in saved["state"].items()})
        self._saved = (self.state.step, self.state.evaluated_step)
        self.optimizer.load_state_dict(saved["optimizer"])
        if self.average is not None:
            self.average.network.load_state_dict(saved["average"])

    def newest_checkpoint(self) -> Path | None:
        """Return the newest checkpoint file."""
        return next(iter(checkpoints(self.run.checkpoints)), None)


def restore_network(network: ImageNetwork, saved: dict[str, Any]) -> None:
    """Give a fresh network the weights, statistics and normalisation of a checkpoint."""
    network.load_state_dict(saved["network"])
    network.mean_C11.copy_(saved["normalisation"]["mean"])
    network.std_C11.copy_(saved["normalisation"]["std"])

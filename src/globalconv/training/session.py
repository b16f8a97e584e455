"""A training put together: data, network, optimiser and run folder, and the state that a checkpoint holds."""

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from lightning.fabric import Fabric
from torch import Tensor, nn

from globalconv.data.loading import Batch
from globalconv.data.sources.source import Source
from globalconv.evaluation.score import Score, score_source
from globalconv.infer.predictor import Predictor
from globalconv.labels import Colour
from globalconv.model.network import GlobalConvNet
from globalconv.progress import Progress
from globalconv.stopping import StopRequest
from globalconv.training.checkpoint import checkpoints, load_newest, save_checkpoint
from globalconv.training.ema import MovingAverage
from globalconv.training.recipe import Recipe
from globalconv.training.run import RunFolder
from globalconv.training.tensorboard import TensorBoard
from globalconv.weights import save_weights


@dataclass
class TrainingState:
    """The numbers that change as training goes on."""

    step: int = 0
    evaluated_step: int = 0
    """Step of the last evaluation that finished."""
    last_miou: float | None = None
    best_miou: float | None = None
    best_step: int = 0
    seconds: float = 0.0
    """Time spent in steps, over all resumed parts."""


@dataclass
class Session:
    """Everything the loop works on; `globalconv.training.start` puts one together."""

    recipe: Recipe
    run: RunFolder
    fabric: Fabric
    network: GlobalConvNet
    average: MovingAverage | None
    wrapped: nn.Module
    """The network as Fabric runs it: on its device, in its precision."""
    optimizer: torch.optim.Optimizer
    train_source: Source
    val_source: Source
    class_weights_K: Tensor | None
    fill: Colour
    workers: int
    total_steps: int
    precision: str
    board: TensorBoard = field(default_factory=TensorBoard)
    state: TrainingState = field(default_factory=TrainingState)
    data_wait: float = 0.0
    """Share of recent time spent waiting for samples."""

    @property
    def device(self) -> torch.device:
        return self.fabric.device

    def to_device(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Return images_N3HW and labels_NHW of a batch where the network is, in the network's memory layout."""
        layout = torch.channels_last if self.recipe.channels_last else torch.contiguous_format
        images_N3HW = batch.images_N3HW.to(self.device, non_blocking=True).contiguous(memory_format=layout)
        return images_N3HW, batch.labels_NHW.to(self.device, non_blocking=True)

    def progress(self) -> Progress:
        """Return the progress display of the whole run."""
        return Progress("step", self.total_steps, "steps", start=self.state.step)

    def evaluated_network(self) -> GlobalConvNet:
        """Return the network whose scores count and whose weights are saved: the moving average where there is one."""
        if self.average is None:
            return self.network
        assert isinstance(self.average.network, GlobalConvNet)
        return self.average.network

    def evaluation_due(self) -> bool:
        """Return whether this step calls for an evaluation that has not been made."""
        state = self.state
        scheduled = state.step % self.recipe.evaluate_every == 0 or state.step == self.total_steps
        return scheduled and 0 < state.step != state.evaluated_step

    def evaluate(self, stop: StopRequest, progress: Progress) -> None:
        """Score the validation split, log it, and save the network if it is the best so far.

        A stop breaks it off between two images, before anything is recorded.
        """
        network = self.evaluated_network()
        predictor = Predictor(network.eval(), self.train_source.labels, self.device, self.precision)
        score = score_source(predictor.class_map, self.val_source, self.precision, on_image=lambda *_: stop.check())
        network.train(self.average is None)
        state = self.state
        state.evaluated_step, state.last_miou = state.step, score.matrix.miou()
        if state.best_miou is None or state.last_miou > state.best_miou:
            state.best_miou, state.best_step = state.last_miou, state.step
            save_weights(self.run.path, network, self.train_source.labels, self._info())
        self._log_score(score, progress)

    def _log_score(self, score: Score, progress: Progress) -> None:
        state = self.state
        fields = {"step": state.step, **score.to_json(), "best_miou": state.best_miou, "best_step": state.best_step}
        self.run.log("evaluation", fields)
        self.board.scalars(
            "evaluation", {"miou": state.last_miou, "pixel_accuracy": score.matrix.pixel_accuracy()}, state.step
        )
        mark = " (best so far, saved)" if state.best_step == state.step else f" (best {state.best_miou:.4f})"
        progress.say(f"step {state.step}: mIoU {state.last_miou:.4f} on {self.recipe.data.val_split}{mark}")

    def _info(self) -> dict[str, Any]:
        data = self.recipe.data
        return {
            "recipe": self.recipe.to_json(),
            "train_split": data.train_split,
            "val_split": data.val_split,
            "train_images": len(self.train_source),
            "step": self.state.step,
            "miou": self.state.last_miou,
            "precision": self.precision,
        }

    def log_step(self, fields: dict[str, Any]) -> None:
        """Log what a step did, to `metrics.jsonl` and TensorBoard."""
        self.run.log("step", fields)
        self.board.scalars("train", {"loss": fields["loss"], "lr": fields["lr"]}, fields["step"])

    def checkpoint(self) -> None:
        """Save all that a resumed run needs."""
        state = {
            "format": 1,
            "state": asdict(self.state),
            "network": self.network.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "average": None if self.average is None else self.average.network.state_dict(),
            "log_bytes": self.run.log_size(),
        }
        save_checkpoint(self.run.checkpoints, self.state.step, state)

    def restore(self) -> bool:
        """Take up the newest intact checkpoint, if there is one, and cut the log back to it."""
        saved = load_newest(self.run.checkpoints)
        if saved is None:
            self.run.cut_log(0)
            return False
        self.state = TrainingState(**saved["state"])
        self.network.load_state_dict(saved["network"])
        self.optimizer.load_state_dict(saved["optimizer"])
        if self.average is not None:
            self.average.network.load_state_dict(saved["average"])
        self.run.cut_log(saved["log_bytes"])
        return True

    def newest_checkpoint(self) -> Path | None:
        """Return the newest checkpoint file."""
        return next(iter(checkpoints(self.run.checkpoints)), None)

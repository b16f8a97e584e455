"""A training put together: data, network, optimiser and run folder, and the state that a checkpoint holds."""

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from lightning.fabric import Fabric
from torch import Tensor, nn

from globalconv.data.loading import Batch
from globalconv.data.sources.source import Source
from globalconv.errors import DivergedError
from globalconv.evaluation.confusion import ConfusionMatrix
from globalconv.evaluation.score import Score, score_source
from globalconv.infer.predictor import Predictor
from globalconv.labels import Colour
from globalconv.model.network import GlobalConvNet
from globalconv.progress import Progress
from globalconv.stopping import StopRequest
from globalconv.training.checkpoint import checkpoints, save_checkpoint
from globalconv.training.ema import MovingAverage
from globalconv.training.recipe import Recipe
from globalconv.training.run import RunFolder
from globalconv.training.tensorboard import TensorBoard
from globalconv.weights import Geometry, save_weights


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
    held_out: list[str] | None = None
    """Names of the validation samples, where they are a hold-out."""
    _saved: tuple[int, int] | None = None
    """Step and evaluated step of the newest checkpoint: the same state is not written twice."""
    data_wait: float = 0.0
    """Share of recent time spent waiting for samples."""

    @property
    def device(self) -> torch.device:
        return self.fabric.device

    @property
    def layout(self) -> torch.memory_format:
        return torch.channels_last if self.recipe.channels_last else torch.contiguous_format

    @property
    def geometry(self) -> Geometry:
        """What whole images go through when they are predicted: padded as in training, where that did not scale them.

        The paper pads images to 512 x 512 and never scales. Where scales are drawn, an image's size says nothing about
        how much of the network's input it filled, so it is taken as it is.
        """
        augmentation = self.recipe.data.augmentation
        return Geometry(augmentation.crop if augmentation.scale == (1.0, 1.0) else None, self.fill)

    def to_device(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Return images_N3HW and labels_NHW of a batch where the network is, in the network's memory layout."""
        images_N3HW = batch.images_N3HW.to(self.device, non_blocking=True).contiguous(memory_format=self.layout)
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
        """Score the validation split, log it, and save the network: as the last one, and if it is the best as that.

        A stop breaks it off between two images, before anything is recorded.
        """
        network = self.evaluated_network()
        labels, geometry = self.train_source.labels, self.geometry
        predictor = Predictor(network.eval(), labels, self.device, self.precision, self.layout, geometry=geometry)

        def on_image(done: int, matrix: ConfusionMatrix) -> None:
            progress.update(self.state.step, {"evaluating": f"{done}/{len(self.val_source)}"})
            stop.check()

        score = score_source(predictor.class_map, self.val_source, self.precision, on_image)
        network.train(self.average is None)
        state = self.state
        state.evaluated_step, state.last_miou = state.step, score.matrix.miou()
        save_weights(self.run.last, network, labels, self._info(), geometry)
        if state.best_miou is None or state.last_miou > state.best_miou:
            state.best_miou, state.best_step = state.last_miou, state.step
            save_weights(self.run.path, network, labels, self._info(), geometry)
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
            "held_out": self.held_out,
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
        if self._saved == (self.state.step, self.state.evaluated_step):
            return
        if not all(bool(torch.isfinite(p).all()) for p in self.network.parameters()):
            last = self.newest_checkpoint() or "none yet"
            raise DivergedError(
                f"training diverged: weights are not finite after step {self.state.step}; last good checkpoint: {last};"
                f" lower --optim.lr or set --optim.clip-norm"
            )
        state = {
            "state": asdict(self.state),
            "network": self.network.state_dict(),
            "normalisation": {"mean": self.network.mean_C11, "std": self.network.std_C11},
            "optimizer": self.optimizer.state_dict(),
            "average": None if self.average is None else self.average.network.state_dict(),
            "log_bytes": self.run.log_size(),
        }
        save_checkpoint(self.run.checkpoints, self.state.step, state)
        self._saved = (self.state.step, self.state.evaluated_step)

    def restore(self, saved: dict[str, Any] | None) -> None:
        """Take up a checkpoint whose weights the network has already, and cut the log back to it (None: to nothing)."""
        self.run.cut_log(0 if saved is None else saved["log_bytes"])
        if saved is None:
            return
        self.state = TrainingState(**saved["state"])
        self._saved = (self.state.step, self.state.evaluated_step)
        self.optimizer.load_state_dict(saved["optimizer"])
        if self.average is not None:
            self.average.network.load_state_dict(saved["average"])

    def newest_checkpoint(self) -> Path | None:
        """Return the newest checkpoint file."""
        return next(iter(checkpoints(self.run.checkpoints)), None)


def restore_network(network: GlobalConvNet, saved: dict[str, Any]) -> None:
    """Give a fresh network the weights, statistics and normalisation of a checkpoint."""
    network.load_state_dict(saved["network"])
    network.mean_C11.copy_(saved["normalisation"]["mean"])
    network.std_C11.copy_(saved["normalisation"]["std"])

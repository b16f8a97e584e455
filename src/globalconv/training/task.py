"""A task: what a training learns, as samples, a loss and a score. `globalconv.training.loop` does everything else."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Generator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor

from globalconv.data.loader import Batch
from globalconv.model.network import ImageNetwork

OnScored = Callable[[int, int], object]
"""Called during an evaluation with the images done and the number of all images; may raise to stop."""


@dataclass(frozen=True)
class Numerics:
    """Where and how a network computes: device, precision ("float32" or "bfloat16"), memory layout."""

    device: torch.device
    precision: str
    layout: torch.memory_format

    def to_device(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Return images_N3HW and targets of a batch where the network is, in the network's memory layout."""
        images_N3HW = batch.images_N3HW.to(self.device, non_blocking=True).contiguous(memory_format=self.layout)
        return images_N3HW, batch.targets.to(self.device, non_blocking=True)


@dataclass(frozen=True)
class Evaluation:
    """The result of an evaluation."""

    score: float
    """The network with the highest score is kept."""
    fields: dict[str, Any]
    """Fields of the line in `metrics.jsonl`, the score among them under its own name."""
    scalars: dict[str, float | None]
    """Values for TensorBoard."""
    split: str
    """The split that was evaluated."""


class Task(ABC):
    """A kind of training. A higher score is better."""

    measure: ClassVar[str]
    """The score's name in the log: miou, top1."""
    title: ClassVar[str]
    """The score's name in messages: mIoU, top-1."""

    @property
    @abstractmethod
    def images(self) -> int:
        """The number of training images: one epoch."""

    @abstractmethod
    def describe(self) -> str:
        """Return one line about the images to train and evaluate on."""

    def facts(self) -> dict[str, Any]:
        """Return the task's fields of the log's first line, as JSON values."""
        return {"images": self.images}

    @abstractmethod
    def batches(self, start: int, workers: int) -> Generator[Batch, None, None]:
        """Return the endless stream of batches from batch number `start` on."""

    @abstractmethod
    def counted(self, targets: Tensor) -> Tensor:
        """Return how many valid pixels, or images, a batch adds to the divisor of the loss, as a scalar tensor."""

    @abstractmethod
    def loss(self, outputs: Tensor, targets: Tensor, counted: Tensor, parts: int) -> Tensor:
        """Return the loss of one of the `parts` of a step; `counted` is the divisor over all of them.

        The loss of the step is the sum over its parts.
        """

    @abstractmethod
    def evaluate(self, network: ImageNetwork, numerics: Numerics, on_scored: OnScored) -> Evaluation:
        """Score `network`, which is in eval mode, on the validation split."""

    @abstractmethod
    def save(self, folder: Path, network: ImageNetwork, info: dict[str, Any]) -> None:
        """Write `network` into `folder`, with `info` beside it."""

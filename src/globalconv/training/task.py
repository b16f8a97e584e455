"""What a training learns, as the loop sees it: samples, a loss, a score. Everything else is the loop's."""

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
"""Called during an evaluation with the images done and the images in all; may raise to stop."""


@dataclass(frozen=True)
class Numerics:
    """Where and how a network computes."""

    device: torch.device
    precision: str
    layout: torch.memory_format


@dataclass(frozen=True)
class Evaluation:
    """How well a network does: the score that decides which one is kept, and what is logged beside it."""

    score: float
    fields: dict[str, Any]
    """Of the line in `metrics.jsonl`, under its own name the score as well."""
    scalars: dict[str, float | None]
    """For TensorBoard."""
    split: str
    """Where it was measured."""


class Task(ABC):
    """A kind of training. The higher its score, the better."""

    measure: ClassVar[str]
    """The score's name in the log: miou, top1."""
    title: ClassVar[str]
    """The score's name for people: mIoU, top-1."""

    @property
    @abstractmethod
    def images(self) -> int:
        """How many training images there are: one epoch."""

    @abstractmethod
    def describe(self) -> str:
        """Return what is trained and evaluated on, on one line."""

    def facts(self) -> dict[str, Any]:
        """Return what the log says at the start, as JSON values."""
        return {"images": self.images}

    @abstractmethod
    def batches(self, start: int, workers: int) -> Generator[Batch, None, None]:
        """Return the endless stream of batches from batch number `start` on."""

    @abstractmethod
    def counted(self, targets: Tensor) -> Tensor:
        """Return, as a scalar tensor, how many of what the loss is a mean over there are in a batch."""

    @abstractmethod
    def loss(self, outputs: Tensor, targets: Tensor, counted: Tensor, parts: int) -> Tensor:
        """Return the loss of one of a step's `parts` batches, in all of which `counted` count: their sum is the step's
        loss."""

    @abstractmethod
    def evaluate(self, network: ImageNetwork, numerics: Numerics, on_scored: OnScored) -> Evaluation:
        """Score `network`, which is in eval mode, on the validation split."""

    @abstractmethod
    def save(self, folder: Path, network: ImageNetwork, info: dict[str, Any]) -> None:
        """Write `network` into `folder`, with `info` beside it."""

"""The task of `globalconv train`: label maps, cross-entropy over the pixels that count, mIoU."""

from collections.abc import Generator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from torch import Tensor

from globalconv.data.loader import Batch, training_batches
from globalconv.data.source import Source
from globalconv.evaluation.confusion import ConfusionMatrix
from globalconv.evaluation.score import score_shard, score_source
from globalconv.geometry import Geometry
from globalconv.infer.predictor import Predictor
from globalconv.labels import Colour
from globalconv.model.network import ImageNetwork
from globalconv.training.distributed import Ranks
from globalconv.training.loss import segmentation_loss, valid_pixels
from globalconv.training.recipe import Recipe
from globalconv.training.task import Evaluation, Numerics, OnScored, Task
from globalconv.weights import save_weights


@dataclass
class Segmentation(Task):
    """Learn label maps, in the classes of `train_source`."""

    measure: ClassVar[str] = "miou"
    title: ClassVar[str] = "mIoU"

    recipe: Recipe
    train_source: Source
    val_source: Source
    fill: Colour
    """Of padding: what the network's normalisation maps to zero."""
    class_weights_K: Tensor | None = None
    """On the device of the network."""
    ranks: Ranks = field(default_factory=Ranks)
    held_out: list[str] | None = None
    """Names of the validation samples, where they are a hold-out."""

    @property
    def images(self) -> int:
        return len(self.train_source)

    @property
    def geometry(self) -> Geometry:
        """What whole images go through when they are predicted: padded as in training, where that did not scale them.

        The paper pads images to 512 x 512 and never scales. Where scales are drawn, an image's size says nothing about
        how much of the network's input it filled, so it is taken as it is.
        """
        augmentation = self.recipe.data.augmentation
        return Geometry(augmentation.crop if augmentation.scale == (1.0, 1.0) else None, self.fill)

    def describe(self) -> str:
        train, val = self.train_source, self.val_source
        size = "x".join(map(str, self.recipe.data.augmentation.crop))
        return f"{train.name}: {len(train)} images; {val.name}: {len(val)}; cropped or padded to {size}"

    def facts(self) -> dict[str, Any]:
        return {**super().facts(), "crop": list(self.recipe.data.augmentation.crop)}

    def batches(self, start: int, workers: int) -> Generator[Batch, None, None]:
        data = self.recipe.data
        return training_batches(
            self.train_source,
            data.augmentation,
            self.fill,
            data.batch_size,
            self.recipe.seed,
            start,
            workers,
            self.ranks.shard,
        )

    def counted(self, targets: Tensor) -> Tensor:
        return valid_pixels(targets)

    def loss(self, outputs: Tensor, targets: Tensor, counted: Tensor, parts: int) -> Tensor:
        optim = self.recipe.optim
        dice_weight = optim.dice_weight / parts
        return segmentation_loss(outputs, targets, counted, self.class_weights_K, dice_weight, optim.hardest)

    def evaluate(self, network: ImageNetwork, numerics: Numerics, on_scored: OnScored) -> Evaluation:
        predictor = Predictor(
            network, self.train_source.labels, numerics.device, numerics.precision, numerics.layout,
            geometry=self.geometry,
        )  # fmt: skip

        def on_image(done: int, matrix: ConfusionMatrix) -> None:
            on_scored(done, len(self.val_source))

        val, ranks = self.val_source, self.ranks
        if ranks.count == 1:
            score = score_source(predictor.class_maps, val, numerics.precision, on_image=on_image)
        else:
            score = score_shard(predictor.class_maps, val, numerics.precision, ranks.shard, ranks.sum_counts, on_image)
        scalars: dict[str, float | None] = {"miou": score.miou, "pixel_accuracy": score.matrix.pixel_accuracy()}
        return Evaluation(score.miou, score.to_json(), scalars, self.recipe.data.val_split)

    def save(self, folder: Path, network: ImageNetwork, info: dict[str, Any]) -> None:
        data = self.recipe.data
        facts = {
            "train_split": data.train_split,
            "val_split": data.val_split,
            "held_out": self.held_out,
            "train_images": len(self.train_source),
        }
        save_weights(folder, network, self.train_source.labels, {**info, **facts}, self.geometry)

"""The task of `globalconv train`: label maps, cross-entropy over valid pixels, mIoU; and its network."""

from collections.abc import Generator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor

from globalconv.data.class_weights import compute_class_weights, count_class_pixels
from globalconv.data.loader import Batch, training_batches
from globalconv.data.source import Source, image_format_of
from globalconv.errors import InputError, Log
from globalconv.evaluation.confusion import ConfusionMatrix
from globalconv.evaluation.score import score_shard, score_source
from globalconv.geometry import STRIDE, Geometry
from globalconv.infer.predictor import Predictor
from globalconv.labels import Colour, LabelSpace
from globalconv.model.backbone import batch_norms
from globalconv.model.network import GlobalConvNet, ImageNetwork
from globalconv.runtime.progress import Progress
from globalconv.training.distributed import Ranks
from globalconv.training.loss import segmentation_loss, valid_pixels
from globalconv.training.recipe import DataSettings, LossSettings, ModelSettings
from globalconv.training.task import Evaluation, Numerics, OnScored, Task
from globalconv.weights import init_from as load_initial_weights
from globalconv.weights import save_weights


@dataclass
class Segmentation(Task):
    """Learn label maps, in the classes of `train_source`."""

    measure: ClassVar[str] = "miou"
    title: ClassVar[str] = "mIoU"

    settings: DataSettings
    seed: int
    train_source: Source
    val_source: Source
    fill: Colour
    """Of padding: the colour that the network's normalisation maps (almost) to zero."""
    loss_settings: LossSettings = field(default_factory=LossSettings)
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
        """The padding of whole images when they are predicted: that of the training, where it did not scale them.

        The paper pads images to 512 x 512 and never scales. Where scales are random, an image's size says nothing about
        how much of the network's input it filled, so it is not padded.
        """
        augmentation = self.settings.augmentation
        return Geometry(augmentation.crop if augmentation.scale == (1.0, 1.0) else None, self.fill)

    def describe(self) -> str:
        train, val = self.train_source, self.val_source
        size = "x".join(map(str, self.settings.augmentation.crop))
        return f"{train.name}: {len(train)} images; {val.name}: {len(val)}; cropped or padded to {size}"

    def facts(self) -> dict[str, Any]:
        return {**super().facts(), "crop": list(self.settings.augmentation.crop)}

    def batches(self, start: int, workers: int) -> Generator[Batch, None, None]:
        augmentation, batch_size = self.settings.augmentation, self.settings.batch_size
        return training_batches(
            self.train_source, augmentation, self.fill, batch_size, self.seed, start, workers, self.ranks.shard
        )

    def counted(self, targets: Tensor) -> Tensor:
        return valid_pixels(targets)

    def loss(self, outputs: Tensor, targets: Tensor, counted: Tensor, parts: int) -> Tensor:
        return segmentation_loss(outputs, targets, counted, self.loss_settings, self.class_weights_K, parts)

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
        return Evaluation(score.miou, score.to_json(), scalars, self.settings.val_split)

    def save(self, folder: Path, network: ImageNetwork, info: dict[str, Any]) -> None:
        facts = {
            "train_split": self.settings.train_split,
            "val_split": self.settings.val_split,
            "held_out": self.held_out,
            "train_images": len(self.train_source),
            "images": image_format_of(self.train_source).to_json(),
        }
        save_weights(folder, network, self.train_source.labels, {**info, **facts}, self.geometry)


def build_network(
    settings: ModelSettings,
    labels: LabelSpace,
    seed: int,
    init_from: Path | None,
    resumes: bool,
    log: Log,
) -> GlobalConvNet:
    """Return a network with the weights in the folder `init_from`, or fresh ones.

    Fresh weights are a function of the seed, those of the backbone as `settings` say; the log tells where these were
    found. Where the weights of the whole network are loaded, none are loaded for the backbone first. Where a run
    `resumes`, all weights are still to come from its checkpoint, and the batch norms are frozen after that.
    `InputError` where stages are to be frozen that have no weights.
    """
    torch.manual_seed(seed)
    backbone_weights = None if resumes or init_from else settings.backbone_weights
    if settings.frozen_stages and not resumes and init_from is None and backbone_weights is None:
        raise InputError(
            f"`model.frozen_stages` {settings.frozen_stages}: would keep a backbone at its random weights; give"
            " `model.backbone_weights`, or `init_from`, or set it to 0"
        )
    network = GlobalConvNet(
        labels.num_classes, **settings.architecture(), backbone_weights=backbone_weights,
        drop_path=settings.drop_path, frozen_stages=settings.frozen_stages,
    )  # fmt: skip
    if resumes:
        return network
    if network.backbone.weights_origin is not None:
        log(f"weights     {network.backbone.weights_origin}")
    if init_from is not None:
        log(f"init from   {load_initial_weights(network, init_from, labels)}")
    if settings.backbone_norm == "frozen":
        network.freeze_backbone_norm()
    return network


def check_batch_norm(network: ImageNetwork, model: ModelSettings, data: DataSettings, log: Log) -> None:
    """Warn about live batch norm with one image per batch, and refuse it where a channel has one value only."""
    if data.batch_size > 1 or model.backbone_norm == "frozen" or not batch_norms(network):
        return
    if max(data.augmentation.crop) <= STRIDE:
        raise InputError(
            f"`data.batch_size` 1 with crops of {data.augmentation.crop}: batch norm sees a single value per"
            f" channel; use a larger crop or batch, or `model.backbone_norm` frozen"
        )
    log("warning     batch size 1 with live batch norm rarely trains; the paper's is `model.backbone_norm` frozen")


def measure_class_weights(source: Source, kind: str, device: torch.device, log: Log) -> Tensor | None:
    """Return the weights (K,) of the classes in the loss, from how often `source` labels them; None for kind "none"."""
    if kind == "none":
        return None
    with Progress("counting classes", len(source), "label maps") as progress:
        pixels = count_class_pixels(source, lambda done, total: progress.update(done, total=total))
    weights_K = compute_class_weights(pixels, kind)
    pairs = zip(source.labels.class_names, weights_K.tolist(), strict=True)
    log(f"loss        class weights {', '.join(f'{name} {weight:.2f}' for name, weight in pairs)}")
    return torch.as_tensor(weights_K, dtype=torch.float32, device=device)

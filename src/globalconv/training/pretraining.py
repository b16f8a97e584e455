"""The task of `globalconv pretrain`: a class per image, smoothed cross-entropy, top-1 and top-5; and its two splits.

Shapes: N images, K classes, S x S pixels.
"""

import contextlib
import json
import time
from collections import Counter
from collections.abc import Generator
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, ClassVar

import torch
from safetensors.torch import save
from torch import Tensor
from torch.nn import functional as F

from globalconv.data.classification import TRAIN, ImageFolder, augmented_batches, centre_crop_batches, open_image_folder
from globalconv.data.image_format import declare_format
from globalconv.data.images import image_size
from globalconv.data.loader import Batch
from globalconv.data.source import spread_evenly
from globalconv.errors import InputError
from globalconv.evaluation.confusion import TopKAccuracy
from globalconv.model.network import ImageNetwork
from globalconv.model.wrapped import Classifier
from globalconv.runtime.files import write_atomic
from globalconv.training.recipe import ImageSettings
from globalconv.training.task import Evaluation, Numerics, OnScored, Task
from globalconv.training.training_splits import fingerprint
from globalconv.weights import BACKBONE_FILE

VAL = "val"

NO_CLASSES = (("images", "labels"), ("images", "masks"))
"""Folders of a segmentation data set, which would pass for two classes."""

DECODED, HEADERS = 16, 2000
"""Images of each split that are decoded before a run starts, and images whose header is read, evenly spaced."""


@dataclass
class Classification(Task):
    """Learn the class of an image, one of the classes of `train_source`."""

    measure: ClassVar[str] = "top1"
    title: ClassVar[str] = "top-1"

    settings: ImageSettings
    seed: int
    label_smoothing: float
    train_source: ImageFolder
    val_source: ImageFolder
    workers: int
    """Processes that decode images for an evaluation."""

    @property
    def images(self) -> int:
        return len(self.train_source)

    def describe(self) -> str:
        train, val = self.train_source, self.val_source
        return f"{train.name}: {len(train)} images of {len(train.class_names)} classes; {val.name}: {len(val)}"

    def batches(self, start: int, workers: int) -> Generator[Batch, None, None]:
        augmentation, batch_size = self.settings.augmentation, self.settings.batch_size
        return augmented_batches(self.train_source, augmentation, batch_size, self.seed, start, workers)

    def counted(self, targets: Tensor) -> Tensor:
        return torch.tensor(len(targets), device=targets.device)

    def loss(self, outputs: Tensor, targets: Tensor, counted: Tensor, parts: int) -> Tensor:
        logits_NK = outputs.float()
        total = F.cross_entropy(logits_NK, targets, label_smoothing=self.label_smoothing, reduction="sum")
        return total / counted

    def evaluate(self, network: ImageNetwork, numerics: Numerics, on_scored: OnScored) -> Evaluation:
        """Score centre crops; the loss in the log is the plain cross-entropy."""
        began, count, loss = time.perf_counter(), TopKAccuracy(), 0.0
        low, crop = numerics.precision == "bfloat16", self.settings.augmentation.crop
        batches = centre_crop_batches(self.val_source, crop, self.settings.batch_size, self.workers)
        with contextlib.closing(batches), torch.inference_mode():
            for batch in batches:
                images_N3SS, _ = numerics.to_device(batch)
                with torch.autocast(numerics.device.type, torch.bfloat16, enabled=low):
                    logits_NK = network(images_N3SS)
                logits_NK = logits_NK.float().cpu()
                loss += F.cross_entropy(logits_NK, batch.targets, reduction="sum").item()
                count.update(logits_NK.numpy(), batch.targets.numpy())
                on_scored(count.images, len(self.val_source))
        scores = {"top1": count.top1, "top5": count.top5, "loss": loss / count.images}
        seconds = round(time.perf_counter() - began, 3)
        facts = {"images": count.images, "precision": numerics.precision, "seconds": seconds}
        return Evaluation(count.top1, {**scores, **facts}, {**scores}, VAL)

    def save(self, folder: Path, network: ImageNetwork, info: dict[str, Any]) -> None:
        """Write `BACKBONE_FILE`: the tensors of timm's whole model under its names, and a description as metadata."""
        assert isinstance(network, Classifier)
        tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in network.body.state_dict().items()}
        description = {
            "globalconv": version("globalconv"),
            "backbone": network.settings["backbone"],
            "class_names": list(self.train_source.class_names),
            "mean": network.mean_C11.flatten().tolist(),
            "std": network.std_C11.flatten().tolist(),
            "info": info,
        }
        content = save(tensors, metadata={"description": json.dumps(description)})
        folder.mkdir(parents=True, exist_ok=True)
        write_atomic(folder / BACKBONE_FILE, lambda file: file.write(content))


def open_image_splits(data: Path, white_level: float | None = None) -> tuple[ImageFolder, ImageFolder]:
    """Open both splits; `InputError` for a class without a training image, and for images that cannot be read."""
    train_source = open_image_folder(data, TRAIN, declare_format(white_level))
    val_source = open_image_folder(data, VAL, train_source.image_format)
    if {name.lower() for name in train_source.class_names} in map(set, NO_CLASSES):
        raise InputError(
            f"`data` {data}: train/ holds {' and '.join(train_source.class_names)}, which are no classes but a data set"
            " for globalconv train; pre-training wants a folder per class"
        )
    images = Counter(train_source.classes)
    if empty := [name for number, name in enumerate(train_source.class_names) if not images[number]]:
        raise InputError(
            f"`data` {data}: the class {empty[0]!r} has no image to learn from; put some into its folder in train/,"
            f" or remove the folder"
        )
    for source in (train_source, val_source):
        for index in spread_evenly(len(source), HEADERS):
            image_size(source.files[index])
        for index in spread_evenly(len(source), DECODED):
            source.image(index)
    return train_source, val_source


def describe_image_splits(train_source: ImageFolder, val_source: ImageFolder) -> dict[str, Any]:
    """Return JSON values that identify the two splits: the classes, and the fingerprint of each split."""
    facts: dict[str, Any] = {"labels": list(train_source.class_names)}
    for split, source in ((TRAIN, train_source), (VAL, val_source)):
        names = [
            f"{source.class_names[number]}/{path.name}"  # wherever the folders are
            for path, number in zip(source.files, source.classes, strict=True)
        ]
        facts[split] = {"split": split, **fingerprint(names)}
    return facts

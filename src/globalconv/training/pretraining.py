"""From a folder of classified images to a pre-trained backbone, by the same loop as a segmentation network.

The task of `globalconv pretrain`: a class per image, smoothed cross-entropy, top-1 and top-5.

Shapes: N images, K classes.
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
from globalconv.data.images import image_size
from globalconv.data.loader import Batch
from globalconv.data.source import spread_evenly
from globalconv.errors import InputError, Log
from globalconv.evaluation.confusion import TopKAccuracy
from globalconv.model.network import ImageNetwork
from globalconv.model.wrapped import Classifier
from globalconv.runtime.devices import choose_hardware
from globalconv.runtime.files import write_atomic
from globalconv.runtime.memory import keep_freed_memory
from globalconv.runtime.signals import StopRequest
from globalconv.training.assemble import assemble, carry_out, worker_count
from globalconv.training.checkpoint import load_newest
from globalconv.training.distributed import Cluster
from globalconv.training.recipe import PretrainRecipe
from globalconv.training.run_folder import RunFolder
from globalconv.training.session import Session, restore_network
from globalconv.training.task import Evaluation, Numerics, OnScored, Task
from globalconv.training.training_splits import fingerprint
from globalconv.weights import BACKBONE_FILE


@dataclass
class Classification(Task):
    """Learn the class of an image, of those of `train_source`."""

    measure: ClassVar[str] = "top1"
    title: ClassVar[str] = "top-1"

    recipe: PretrainRecipe
    train_source: ImageFolder
    val_source: ImageFolder
    workers: int
    """Processes that decode for an evaluation."""

    @property
    def images(self) -> int:
        return len(self.train_source)

    def describe(self) -> str:
        train, val = self.train_source, self.val_source
        return f"{train.name}: {len(train)} images of {len(train.class_names)} classes; {val.name}: {len(val)}"

    def batches(self, start: int, workers: int) -> Generator[Batch, None, None]:
        data = self.recipe.data
        return augmented_batches(
            self.train_source, data.augmentation, data.batch_size, self.recipe.seed, start, workers
        )  # fmt: skip

    def counted(self, targets: Tensor) -> Tensor:
        return torch.tensor(len(targets), device=targets.device)

    def loss(self, outputs: Tensor, targets: Tensor, counted: Tensor, parts: int) -> Tensor:
        smoothing = self.recipe.optim.label_smoothing
        return F.cross_entropy(outputs.float(), targets, label_smoothing=smoothing, reduction="sum") / counted

    def evaluate(self, network: ImageNetwork, numerics: Numerics, on_scored: OnScored) -> Evaluation:
        """Score centre crops; the loss that is logged is the plain cross-entropy."""
        began, count, loss = time.perf_counter(), TopKAccuracy(), 0.0
        data, low = self.recipe.data, numerics.precision == "bfloat16"
        batches = centre_crop_batches(self.val_source, data.augmentation.crop, data.batch_size, self.workers)
        with contextlib.closing(batches), torch.inference_mode():
            for batch in batches:
                images_N3SS = batch.images_N3HW.to(numerics.device).contiguous(memory_format=numerics.layout)
                with torch.autocast(numerics.device.type, torch.bfloat16, enabled=low):
                    logits_NK = network(images_N3SS)
                logits_NK = logits_NK.float().cpu()
                loss += F.cross_entropy(logits_NK, batch.targets, reduction="sum").item()
                count.update(logits_NK.numpy(), batch.targets.numpy())
                on_scored(count.images, len(self.val_source))
        scores = {"top1": count.top1, "top5": count.top5, "loss": loss / count.images}
        seconds = round(time.perf_counter() - began, 3)
        facts = {"images": count.images, "precision": numerics.precision, "seconds": seconds}
        return Evaluation(count.top1, {**scores, **facts}, {**scores}, "val")

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


VAL = "val"

NO_CLASSES = (("images", "labels"), ("images", "masks"))
"""Folders of a segmentation data set, which would pass for two classes."""

LOOKED_AT, HEADERS = 16, 2000
"""Images of each split that are decoded before a run starts, and of which the header is read, evenly spaced."""


def run_pretraining(
    recipe: PretrainRecipe, data: Path, out: Path, resume: bool, stop: StopRequest, log: Log
) -> Session:
    """Pre-train `recipe` on the images in `data` into the run folder `out`; return the session as it ends."""
    if Cluster().size() != (1, 1):
        raise InputError("pretrain: trains in one process; start it without torchrun, or with one process")
    keep_freed_memory()
    run = RunFolder.reopen(out, recipe) if resume else RunFolder.new(out)
    hardware = choose_hardware(recipe.device, recipe.precision)
    log(f"device      {hardware.description}")
    train_source, val_source = open_splits(data)
    dataset = _facts(data, train_source, val_source)
    run.check_dataset(dataset)
    saved = load_newest(run.checkpoints)
    torch.manual_seed(recipe.seed)
    network = Classifier(recipe.model.backbone, len(train_source.class_names))
    if saved is not None:
        restore_network(network, saved)
    task = Classification(recipe, train_source, val_source, worker_count(recipe.data.workers))
    session = assemble(recipe, task, run, hardware, network)
    carry_out(session, dataset, saved, resume, stop, log)
    return session


def open_splits(data: Path) -> tuple[ImageFolder, ImageFolder]:
    """Open both splits; refuse a class without an image to learn from, and images that cannot be read."""
    train_source, val_source = open_image_folder(data, TRAIN), open_image_folder(data, VAL)
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
        for index in spread_evenly(len(source), LOOKED_AT):
            source.image(index)
    return train_source, val_source


def _facts(data: Path, train_source: ImageFolder, val_source: ImageFolder) -> dict[str, Any]:
    """Return what a run records of where it started."""
    return {
        "data": str(data),
        "labels": list(train_source.class_names),
        "train": {"split": TRAIN, **fingerprint(_names(train_source))},
        "val": {"split": VAL, **fingerprint(_names(val_source))},
    }


def _names(source: ImageFolder) -> list[str]:
    """Return what images are called: class and file, wherever they lie."""
    images = zip(source.files, source.classes, strict=True)
    return [f"{source.class_names[number]}/{path.name}" for path, number in images]

"""The task of `globalconv pretrain`: a class per picture, smoothed cross-entropy, top-1 and top-5.

Shapes: N images, K classes.
"""

import contextlib
import json
import time
from collections.abc import Generator
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, ClassVar

import torch
from safetensors.torch import save
from torch import Tensor
from torch.nn import functional as F

from globalconv.data.classified import centre_batches, varied_batches
from globalconv.data.loading import Batch
from globalconv.data.sources.image_folder import ImageFolder
from globalconv.evaluation.topk import TopCount
from globalconv.files import write_atomic
from globalconv.model.classifier import Classifier
from globalconv.model.normalise import Normalised
from globalconv.training.pretrain_recipe import PretrainRecipe
from globalconv.training.task import Evaluation, Numerics, OnScored, Task
from globalconv.weights import BACKBONE_FILE


@dataclass
class Classification(Task):
    """Learn the class of a picture, of those of `train_source`."""

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
        return varied_batches(
            self.train_source, data.augmentation, data.batch_size, self.recipe.seed, start, workers
        )  # fmt: skip

    def counted(self, targets: Tensor) -> Tensor:
        return torch.tensor(len(targets), device=targets.device)

    def loss(self, outputs: Tensor, targets: Tensor, counted: Tensor, parts: int) -> Tensor:
        smoothing = self.recipe.optim.label_smoothing
        return F.cross_entropy(outputs.float(), targets, label_smoothing=smoothing, reduction="sum") / counted

    def evaluate(self, network: Normalised, numerics: Numerics, on_scored: OnScored) -> Evaluation:
        """Score centre crops; the loss that is logged is the plain cross-entropy."""
        began, count, loss = time.perf_counter(), TopCount(), 0.0
        data, low = self.recipe.data, numerics.precision == "bfloat16"
        batches = centre_batches(self.val_source, data.augmentation.crop, data.batch_size, self.workers)
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

    def save(self, folder: Path, network: Normalised, info: dict[str, Any]) -> None:
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

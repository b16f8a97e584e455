"""From a folder of classified pictures to a pre-trained backbone, by the same loop as a segmentation network."""

from collections import Counter
from pathlib import Path
from typing import Any

import torch

from globalconv.data.images import image_size
from globalconv.data.sources.image_folder import TRAIN, ImageFolder, open_image_folder
from globalconv.data.sources.source import evenly
from globalconv.errors import InputError
from globalconv.hardware import choose_hardware
from globalconv.memory import keep_freed_memory
from globalconv.model.classifier import Classifier
from globalconv.stopping import StopRequest
from globalconv.training.checkpoint import load_newest
from globalconv.training.classification import Classification
from globalconv.training.job import Say, assemble, carry_out, worker_count
from globalconv.training.pretrain_recipe import PretrainRecipe
from globalconv.training.ranks import Cluster
from globalconv.training.run import RunFolder
from globalconv.training.session import Session, restore_network
from globalconv.training.splits import fingerprint

VAL = "val"

NO_CLASSES = (("images", "labels"), ("images", "masks"))
"""Folders of a segmentation data set, which would pass for two classes."""

LOOKED_AT, HEADERS = 16, 2000
"""Pictures of each split that are decoded before a run starts, and of which the header is read, evenly spaced."""


def run_pretraining(
    recipe: PretrainRecipe, data: Path, out: Path, resume: bool, stop: StopRequest, say: Say
) -> Session:
    """Pre-train `recipe` on the pictures in `data` into the run folder `out`; return the session as it ends."""
    if Cluster().size() != (1, 1):
        raise InputError("pretrain: trains in one process; start it without torchrun, or with one process")
    keep_freed_memory()
    run = RunFolder.reopen(out, recipe) if resume else RunFolder.new(out)
    hardware = choose_hardware(recipe.device, recipe.precision)
    say(f"device      {hardware.description}")
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
    carry_out(session, dataset, saved, resume, stop, say)
    return session


def open_splits(data: Path) -> tuple[ImageFolder, ImageFolder]:
    """Open both splits; refuse a class without a picture to learn from, and pictures that cannot be read."""
    train_source, val_source = open_image_folder(data, TRAIN), open_image_folder(data, VAL)
    if {name.lower() for name in train_source.class_names} in map(set, NO_CLASSES):
        raise InputError(
            f"--data {data}: train/ holds {' and '.join(train_source.class_names)}, which are no classes but a data set"
            " for globalconv train; pre-training wants a folder per class"
        )
    pictures = Counter(train_source.classes)
    if empty := [name for number, name in enumerate(train_source.class_names) if not pictures[number]]:
        raise InputError(
            f"--data {data}: the class {empty[0]!r} has no picture to learn from; put some into its folder in train/,"
            f" or remove the folder"
        )
    for source in (train_source, val_source):
        for index in evenly(len(source), HEADERS):
            image_size(source.files[index])
        for index in evenly(len(source), LOOKED_AT):
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
    """Return what pictures are called: class and file, wherever they lie."""
    pictures = zip(source.files, source.classes, strict=True)
    return [f"{source.class_names[number]}/{path.name}" for path, number in pictures]

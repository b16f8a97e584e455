"""`globalconv pretrain`: pre-train a backbone on images with a class each."""

from functools import partial
from pathlib import Path

import torch

from globalconv.errors import InputError, print_line
from globalconv.model.wrapped import Classifier
from globalconv.runtime.devices import choose_hardware
from globalconv.runtime.files import as_path
from globalconv.runtime.memory import keep_freed_memory
from globalconv.runtime.signals import StopRequest
from globalconv.training.assemble import Execution, assemble, carry_out, worker_count
from globalconv.training.checkpoint import check_state, load_newest, restore_network
from globalconv.training.distributed import ALONE, launch
from globalconv.training.pretraining import Classification, describe_image_splits, open_image_splits
from globalconv.training.recipe import PretrainRecipe
from globalconv.training.run_folder import RunFolder
from globalconv.weights import BACKBONE_FILE


def pretrain(
    recipe: PretrainRecipe,
    data: str | Path,
    out: str | Path = "runs/pretrain",
    resume: bool = False,
    stop: StopRequest | None = None,
) -> Path:
    """Pre-train the backbone of `recipe` on the images in `data` (`train/CLASS/`, `val/CLASS/`) into a run folder.

    Return the file that `GlobalConvNet(backbone_weights=...)` takes. Raises what `train` raises.
    """
    data, out = as_path("data", data), as_path("out", out)
    if ALONE.size() != (1, 1):
        raise InputError("pretrain: trains in one process; start it without torchrun, or with one process")
    keep_freed_memory()
    run = RunFolder.reopen(out, recipe) if resume else RunFolder.new(out)
    hardware = choose_hardware(recipe.device, recipe.precision)
    print_line(f"device      {hardware.description}")

    train_source, val_source = open_image_splits(data, recipe.data.white_level)
    dataset = {"data": str(data), **describe_image_splits(train_source, val_source)}
    run.check_dataset(dataset)

    torch.manual_seed(recipe.seed)
    network = Classifier(recipe.model.backbone, len(train_source.class_names))
    saved = load_newest(run.checkpoints, partial(check_state, network=network, settings=recipe.optim, frozen=()))
    if saved is not None:
        restore_network(network, saved)
    task = Classification(
        recipe.data, recipe.seed, recipe.optim.label_smoothing, train_source, val_source,
        worker_count(recipe.data.workers),
    )  # fmt: skip
    session = assemble(recipe, task, run, hardware, network, launch(hardware, ALONE))
    carry_out(session, dataset, saved, resume, Execution(stop or StopRequest()))
    return out / BACKBONE_FILE

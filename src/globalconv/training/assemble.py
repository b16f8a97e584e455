"""From a recipe, data and a folder to a trained network: put a session together, then run the loop.

A training of any kind, put together on its device and carried out in its run folder.
"""

import json
import math
from pathlib import Path
from typing import Any

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from globalconv.data.checks.quick import quick_check
from globalconv.data.class_weights import compute_class_weights, count_class_pixels
from globalconv.data.datasets import list_splits
from globalconv.data.roots import Root, root_to_json
from globalconv.data.source import Source
from globalconv.data.splits import uses_hold_out
from globalconv.errors import InputError, Log, StoppedError
from globalconv.geometry import STRIDE
from globalconv.labels import Colour, LabelSpace
from globalconv.model.backbone import batch_norms
from globalconv.model.network import GlobalConvNet, ImageNetwork
from globalconv.model.wrapped import structure_digest, wrap_network
from globalconv.runtime.devices import Hardware, choose_hardware, environment, peak_memory
from globalconv.runtime.memory import keep_freed_memory
from globalconv.runtime.processes import usable_cores
from globalconv.runtime.progress import Progress
from globalconv.runtime.signals import StopRequest
from globalconv.training.checkpoint import load_newest
from globalconv.training.distributed import ALONE, Cluster, Ranks, launch
from globalconv.training.loop import train_loop
from globalconv.training.optim import MovingAverage, build_optimizer
from globalconv.training.recipe import BaseRecipe, DataSettings, ModelSettings, Recipe
from globalconv.training.run_folder import ReadOnlyRunFolder, RunFolder
from globalconv.training.segmentation import Segmentation
from globalconv.training.session import Session, restore_network
from globalconv.training.task import Task
from globalconv.training.training_splits import fingerprint, open_splits, sample_names
from globalconv.weights import init_from as load_initial_weights


def assemble(
    recipe: BaseRecipe,
    task: Task,
    run: RunFolder,
    hardware: Hardware,
    network: ImageNetwork,
    fabric: Fabric | None = None,
) -> Session:
    """Return a session at step 0, on its device; alone, where no `fabric` is given."""
    fabric = launch(hardware, ALONE) if fabric is None else fabric
    network.to(memory_format=torch.channels_last if recipe.channels_last else torch.contiguous_format)
    network.to(fabric.device).train()
    average = None if recipe.optim.ema_decay is None else MovingAverage(network, recipe.optim.ema_decay)
    wrapped, optimizer = fabric.setup(network, build_optimizer(network, recipe.optim))
    images_per_step = recipe.data.batch_size * recipe.optim.accumulate
    total = recipe.steps or math.ceil(recipe.epochs * task.images / images_per_step)
    return Session(
        recipe, task, run, fabric, network, average, wrapped, optimizer, worker_count(recipe.data.workers), total,
        hardware, Ranks(fabric),
    )  # fmt: skip


def carry_out(
    session: Session,
    dataset: dict[str, Any],
    saved: dict[str, Any] | None,
    resume: bool,
    stop: StopRequest,
    log: Log,
) -> None:
    """Train to the end in the run folder, on from the checkpoint `saved` where the run is resumed."""
    run = session.run
    session.ranks.first_does(lambda: run.begin(session.recipe, dataset))
    try:
        if resume:
            session.restore(saved)
            log(f"resume      {f'after step {session.state.step}' if saved else 'no checkpoint yet: from the start'}")
        if session.ranks.first:
            session.board.open(run.path / "tensorboard", session.state.step)
        _announce(session, log)
        facts = {"step": session.state.step, "steps": session.total_steps, **session.task.facts()}
        ran = {
            "network": session.network.settings,
            "hardware": session.hardware.description,
            "precision": session.hardware.precision,
        }
        run.log("start", {**facts, **ran, **environment()})
        train_loop(session, stop)
        session.ranks.wait()  # until what the first one writes is there for all
        run.log("end", {"seconds": session.state.seconds, "peak_memory": peak_memory(session.device)})
    except StoppedError as stopped:
        session.ranks.wait()
        if not session.ranks.first:
            raise SystemExit(0) from None
        where = f"after step {session.state.step}, saved in {run.path}; the same command with `resume` goes on"
        raise StoppedError(f"{stopped} {where}", stopped.exit_code - 128) from None
    finally:
        session.board.close()
        run.close()


def worker_count(asked: int | None) -> int:
    """Return how many processes decode: as asked, else half of the cores this process may use, at most 8."""
    if asked is not None:
        return asked
    return min(8, usable_cores() // 2)


def _announce(session: Session, log: Log) -> None:
    recipe, parameters = session.recipe, sum(p.numel() for p in session.network.parameters())
    log(f"data        {session.task.describe()}")
    log(f"network     {json.dumps(session.network.settings)}, {parameters / 1e6:.2f} M parameters")
    log(f"training    {session.total_steps} steps of {recipe.data.batch_size * recipe.optim.accumulate} images,"
        f" {session.workers} workers; run folder {session.run.path}")  # fmt: skip
    if (warmup := recipe.optim.warmup_steps) > session.total_steps / 2:
        log(f"warning     `optim.warmup_steps` {warmup} is more than half of the {session.total_steps} steps: the rate"
            f" hardly comes to its peak; lower it for so short a run")  # fmt: skip
    if session.ranks.first and not session.board.available:
        log(
            "tensorboard not installed, so no event files (pip install globalconv[log]); metrics.jsonl has every number"
        )


def run_training(
    recipe: Recipe,
    data: Root | None,
    out: Path,
    resume: bool,
    init_from: Path | None,
    stop: StopRequest,
    log: Log,
    cluster: Cluster = ALONE,
    module: nn.Module | None = None,
) -> Session:
    """Train `recipe` on `data` into the run folder `out`; return the session as the loop left it.

    `module` is trained in place of the network that the recipe describes.
    """
    keep_freed_memory()
    hardware = choose_hardware(recipe.device, recipe.precision)
    fabric = launch(hardware, cluster)
    ranks = Ranks(fabric)
    run = ranks.first_does(
        lambda: RunFolder.reopen(out, recipe) if resume else RunFolder.new(out)
    ) or ReadOnlyRunFolder(out)
    _check_shares(recipe, ranks)
    log(f"device      {hardware.description}{f', {ranks.count} processes' if ranks.count > 1 else ''}")
    train_source, val_source = open_splits(recipe.data, data)
    for line in quick_check(train_source, val_source):
        log(f"warning     {line}")
    crop = recipe.data.augmentation.crop
    given = None if module is None else wrap_network(module, train_source.labels.num_classes, crop)
    dataset = dataset_facts(recipe.data, data, init_from, train_source, val_source, given)
    run.check_dataset(dataset)
    saved = load_newest(run.checkpoints)
    if resume and init_from is None and (recorded := run.initial_weights()) is not None:
        init_from = Path(recorded)
    network: ImageNetwork = (
        build_network(recipe, train_source.labels, init_from, saved, log) if given is None else given
    )
    if given is not None and saved is not None:
        restore_network(given, saved)
    weights_K = _class_weights(recipe, train_source, hardware.device, log)
    chosen = dataset["val"]["held_out"]
    task = Segmentation(recipe, train_source, val_source, fill_colour(network), weights_K, ranks, chosen)
    session = assemble(recipe, task, run, hardware, network, fabric)
    carry_out(session, dataset, saved, resume, stop, log)
    return session


def _check_shares(recipe: Recipe, ranks: Ranks) -> None:
    if recipe.data.batch_size % ranks.count:
        ranks.refuse_together(
            f"`data.batch_size` {recipe.data.batch_size}: is that of all processes together, and cannot be divided"
            f" among {ranks.count}; give a multiple of it"
        )
    if recipe.optim.hardest is not None and ranks.count > 1:
        ranks.refuse_together(
            f"`optim.hardest` {recipe.optim.hardest}: the hardest pixels of a batch are not those of its"
            f" {ranks.count} parts; train with one process"
        )


def build_network(
    recipe: Recipe, labels: LabelSpace, init_from: Path | None, saved: dict[str, Any] | None, log: Log
) -> GlobalConvNet:
    """Return the network of a recipe: with the weights of checkpoint `saved`, of `init_from`, or fresh ones.

    Fresh weights are a function of the seed, with those of the backbone loaded as the recipe says. A whole network
    that is loaded needs no backbone weights first.
    """
    settings = recipe.model
    torch.manual_seed(recipe.seed)
    weights = None if saved or init_from else settings.backbone_weights
    network = GlobalConvNet(labels.num_classes, **settings.architecture(), backbone_weights=weights)
    if saved is not None:
        restore_network(network, saved)
    elif init_from is not None:
        log(f"init from   {load_initial_weights(network, init_from, labels)}")
    if settings.backbone_norm == "frozen":
        network.freeze_backbone_norm()
    _check_batch_norm(recipe, settings, network, log)
    return network


def _check_batch_norm(recipe: Recipe, settings: ModelSettings, network: GlobalConvNet, log: Log) -> None:
    """Say, before it costs a night, that live batch norm and one image per batch do not go together."""
    if recipe.data.batch_size > 1 or settings.backbone_norm == "frozen" or not batch_norms(network):
        return
    if max(recipe.data.augmentation.crop) <= STRIDE:
        raise InputError(
            f"`data.batch_size` 1 with crops of {recipe.data.augmentation.crop}: batch norm sees a single value per"
            f" channel; use a larger crop or batch, or `model.backbone_norm` frozen"
        )
    log("warning     batch size 1 with live batch norm rarely trains; the paper's is `model.backbone_norm` frozen")


def dataset_facts(
    settings: DataSettings, data: Root | None, init_from: Path | None, train_source: Source, val_source: Source,
    given: ImageNetwork | None = None,
) -> dict[str, Any]:  # fmt: skip
    """Return what a run records of where it started: data, splits, a fingerprint of the samples' names, weights, and
    the make of a network that was given to it."""
    return {
        "data": root_to_json(data),
        "init_from": None if init_from is None else str(init_from.resolve()),
        "network": None if given is None else {**given.settings, "fingerprint": structure_digest(given)},
        "labels": train_source.labels.to_json(),
        "train": {"split": settings.train_split, **fingerprint(sample_names(train_source))},
        "val": {
            "split": settings.val_split,
            **fingerprint(sample_names(val_source)),
            "held_out": _held_out(settings, data, val_source),
        },
    }


def _held_out(settings: DataSettings, data: Root | None, val_source: Source) -> list[str] | None:
    """Return the names of the validation samples where they are a hold-out, which only their names identify."""
    if (
        not isinstance(data, Path)
        or settings.val_split != "val"
        or not uses_hold_out(list_splits(data, settings.layout))
    ):
        return None
    return sample_names(val_source)


def _class_weights(recipe: Recipe, source: Source, device: torch.device, log: Log) -> Tensor | None:
    if recipe.optim.class_weights == "none":
        return None
    with Progress("counting classes", len(source), "label maps") as progress:
        pixels = count_class_pixels(source, lambda done, total: progress.update(done, total=total))
    weights = compute_class_weights(pixels, recipe.optim.class_weights)
    named = zip(source.labels.class_names, weights.tolist(), strict=True)
    log(f"weights     {', '.join(f'{name} {weight:.2f}' for name, weight in named)}")
    return torch.as_tensor(weights, dtype=torch.float32, device=device)


def fill_colour(network: ImageNetwork) -> Colour:
    """Return the colour that the network's normalisation maps (almost) to zero: the fill of padding."""
    red, green, blue = (round(255 * value) for value in network.mean_C11.flatten().tolist())
    return (red, green, blue)

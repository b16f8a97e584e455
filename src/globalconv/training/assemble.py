"""A training, put together on its device and carried out in its run folder."""

import json
import math
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from lightning_fabric import Fabric
from torch import nn

from globalconv.data.checks.quick import quick_check
from globalconv.data.roots import Root, root_to_json
from globalconv.errors import Log, StoppedError, print_line
from globalconv.hub.address import recorded_path
from globalconv.model.backbone import batch_norms
from globalconv.model.network import ImageNetwork
from globalconv.model.wrapped import structure_digest, wrap_network
from globalconv.runtime.devices import Hardware, choose_hardware, environment, peak_memory
from globalconv.runtime.memory import keep_freed_memory
from globalconv.runtime.processes import usable_cores
from globalconv.runtime.signals import StopRequest
from globalconv.training.checkpoint import check_state, checkpoints, load_newest, restore_network
from globalconv.training.distributed import ALONE, Cluster, Ranks, launch
from globalconv.training.fine_tuning import frozen_start, log_fine_tuning
from globalconv.training.loop import Session, train_loop
from globalconv.training.optim import MovingAverage, build_optimizer
from globalconv.training.recipe import BaseRecipe, ModelSettings, Recipe
from globalconv.training.run_folder import RunFolder
from globalconv.training.segmentation import Segmentation, build_network, check_batch_norm, measure_class_weights
from globalconv.training.task import Numerics, Task
from globalconv.training.training_splits import describe_splits, open_splits


@dataclass(frozen=True)
class Execution:
    """How a training is carried out, whatever it learns."""

    stop: StopRequest = field(default_factory=StopRequest)
    log: Log = print_line
    cluster: Cluster = ALONE


def run_training(
    recipe: Recipe,
    data: Root | None,
    out: Path,
    execution: Execution,
    resume: bool = False,
    init_from: Path | None = None,
    module: nn.Module | None = None,
) -> Session:
    """Train `recipe` on `data` in the run folder `out`; return the session as the loop left it.

    `init_from` is a folder with weights to start from. A `module` is trained in place of the recipe's network.
    """
    keep_freed_memory()
    log = execution.log
    hardware = choose_hardware(recipe.device, recipe.precision)
    fabric = launch(hardware, execution.cluster)
    ranks = Ranks(fabric)

    def check_folder() -> RunFolder:
        return RunFolder.reopen(out, recipe) if resume else RunFolder.new(out)

    run = ranks.first_does(check_folder) or RunFolder(out, read_only=True)
    check_processes(recipe, ranks)
    log(f"device      {hardware.description}{f', {ranks.count} processes' if ranks.count > 1 else ''}")

    train_source, val_source = open_splits(recipe.data, data)
    for line in quick_check(train_source, val_source):
        log(f"warning     {line}")
    network: ImageNetwork | None = None
    if module is not None:
        network = wrap_network(module, train_source.labels.num_classes, recipe.data.augmentation.crop)
    dataset = {
        "data": root_to_json(data),
        "init_from": None if init_from is None else recorded_path(init_from),
        "network": None if network is None else {**network.settings, "fingerprint": structure_digest(network)},
        **describe_splits(recipe.data, data, train_source, val_source),
    }
    run.check_dataset(dataset)

    to_freeze: list[nn.Parameter] = []
    if network is None:
        if resume and init_from is None and (recorded := run.initial_weights()) is not None:
            init_from = Path(recorded)
        resumes = bool(checkpoints(run.checkpoints))
        network = built = build_network(recipe.model, train_source.labels, recipe.seed, init_from, resumes, log)
        dataset["backbone_weights"] = built.backbone.weights_origin
        check_batch_norm(network, recipe.model, recipe.data, log)
        if resumes and recipe.model.backbone_norm == "frozen":
            to_freeze = [p for layer in batch_norms(built.backbone) for p in layer.parameters(recurse=False)]
    has_weights = module is not None or init_from is not None or recipe.model.backbone_weights is not None
    log_fine_tuning(recipe if module is None else replace(recipe, model=ModelSettings()), has_weights, log)
    check = partial(check_state, network=network, settings=recipe.optim, frozen=to_freeze)
    if (saved := load_newest(run.checkpoints, check)) is not None:
        restore_network(network, saved)
    if to_freeze:
        built.freeze_backbone_norm()
    class_weights_K = measure_class_weights(train_source, recipe.optim.class_weights, hardware.device, log)
    red, green, blue = (round(255 * value) for value in network.mean_C11.flatten().tolist())
    task = Segmentation(
        recipe.data, recipe.seed, train_source, val_source, (red, green, blue), recipe.optim.loss(),
        class_weights_K, ranks, dataset["val"]["held_out"],
    )  # fmt: skip
    session = assemble(recipe, task, run, hardware, network, fabric)
    carry_out(session, dataset, saved, resume, execution)
    return session


def check_processes(recipe: Recipe, ranks: Ranks) -> None:
    """Raise `InputError` in every process for a recipe that so many of them cannot train."""
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


def assemble(
    recipe: BaseRecipe, task: Task, run: RunFolder, hardware: Hardware, network: ImageNetwork, fabric: Fabric
) -> Session:
    """Return a session at step 0, on its device."""
    layout = torch.channels_last if recipe.channels_last else torch.contiguous_format
    network.to(memory_format=layout)
    network.to(fabric.device).train()
    average = None if recipe.optim.ema_decay is None else MovingAverage(network, recipe.optim.ema_decay)
    wrapped, optimizer = fabric.setup(network, build_optimizer(network, recipe.optim))
    images_per_step = recipe.data.batch_size * recipe.optim.accumulate
    return Session(
        recipe=recipe,
        task=task,
        run=run,
        hardware=hardware,
        fabric=fabric,
        ranks=Ranks(fabric),
        network=network,
        wrapped=wrapped,
        average=average,
        optimizer=optimizer,
        numerics=Numerics(fabric.device, hardware.precision, layout),
        workers=worker_count(recipe.data.workers),
        total_steps=recipe.steps or math.ceil(recipe.epochs * task.images / images_per_step),
        frozen_start=frozen_start(network, recipe.optim, fabric.world_size),
    )


def worker_count(workers: int | None) -> int:
    """Return the number of decoding processes: `workers`, or half of the usable cores, at most 8."""
    return min(8, usable_cores() // 2) if workers is None else workers


def carry_out(
    session: Session, dataset: dict[str, Any], saved: dict[str, Any] | None, resume: bool, execution: Execution
) -> None:
    """Train to the end in the run folder, from the checkpoint `saved` on where the run is resumed."""
    recipe, run, task, ranks, board = session.recipe, session.run, session.task, session.ranks, session.board
    log = execution.log

    def begin() -> None:
        run.open(recipe.to_json())
        run.record_dataset(dataset)

    ranks.first_does(begin)
    try:
        if resume:
            session.restore(saved)
            log(f"resume      {f'after step {session.state.step}' if saved else 'no checkpoint yet: from the start'}")
        if ranks.first:
            board.open(run.path / "tensorboard", session.state.step)
        parameters = sum(parameter.numel() for parameter in session.network.parameters())
        images_per_step, warmup_steps = recipe.data.batch_size * recipe.optim.accumulate, recipe.optim.warmup_steps
        log(f"data        {task.describe()}")
        log(f"network     {json.dumps(session.network.settings)}, {parameters / 1e6:.2f} M parameters")
        log(f"training    {session.total_steps} steps of {images_per_step} images, {session.workers} workers;"
            f" run folder {run.path}")  # fmt: skip
        if warmup_steps > session.total_steps / 2:
            log(f"warning     `optim.warmup_steps` {warmup_steps} is more than half of the {session.total_steps} steps:"
                f" the rate hardly comes to its peak; lower it for so short a run")  # fmt: skip
        if ranks.first and not board.available:
            log("tensorboard not installed, so no event files (pip install globalconv[log]); metrics.jsonl has every"
                " number")  # fmt: skip
        start = {
            "step": session.state.step,
            "steps": session.total_steps,
            **task.facts(),
            "network": session.network.settings,
            "hardware": session.hardware.description,
            "precision": session.hardware.precision,
            **environment(),
        }
        run.log("start", start)
        train_loop(session, execution.stop)
        ranks.wait()  # until the first process has written everything
        run.log("end", {"seconds": session.state.seconds, "peak_memory": peak_memory(session.fabric.device)})
    except StoppedError as stopped:
        ranks.wait()
        if not ranks.first:
            raise SystemExit(0) from None
        where = f"after step {session.state.step}, saved in {run.path}; the same command with `resume` goes on"
        raise StoppedError(f"{stopped} {where}", stopped.exit_code - 128) from None
    finally:
        board.close()
        run.close()

"""From a recipe, data and a folder to a trained network: put a session together, then run the loop."""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from globalconv.data.check.quick import quick_check
from globalconv.data.loading import class_pixels, class_weights
from globalconv.data.sources import Root, splits, to_json
from globalconv.data.sources.source import Source
from globalconv.data.sources.splits import held_out
from globalconv.errors import InputError
from globalconv.hardware import choose_hardware
from globalconv.labels import Colour, LabelSpace
from globalconv.memory import keep_freed_memory
from globalconv.model.adopted import adopted
from globalconv.model.adopted import fingerprint as make_of
from globalconv.model.backbone import batch_norms
from globalconv.model.network import CELL, GlobalConvNet
from globalconv.model.normalise import Normalised
from globalconv.progress import Progress
from globalconv.stopping import StopRequest
from globalconv.training.checkpoint import load_newest
from globalconv.training.job import Say, assemble, carry_out
from globalconv.training.ranks import ALONE, Cluster, Ranks, launch
from globalconv.training.recipe import DataSettings, ModelSettings, Recipe
from globalconv.training.run import Onlooker, RunFolder
from globalconv.training.segmentation import Segmentation
from globalconv.training.session import Session, restore_network
from globalconv.training.splits import fingerprint, open_splits, sample_names
from globalconv.weights import init_from as load_initial_weights


def run_training(
    recipe: Recipe,
    data: Root | None,
    out: Path,
    resume: bool,
    init_from: Path | None,
    stop: StopRequest,
    say: Say,
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
    run = ranks.first_does(lambda: RunFolder.reopen(out, recipe) if resume else RunFolder.new(out)) or Onlooker(out)
    _check_shares(recipe, ranks)
    say(f"device      {hardware.description}{f', {ranks.count} processes' if ranks.count > 1 else ''}")
    train_source, val_source = open_splits(recipe.data, data)
    for line in quick_check(train_source, val_source):
        say(f"warning     {line}")
    crop = recipe.data.augmentation.crop
    given = None if module is None else adopted(module, train_source.labels.num_classes, crop)
    dataset = dataset_facts(recipe.data, data, init_from, train_source, val_source, given)
    run.check_dataset(dataset)
    saved = load_newest(run.checkpoints)
    if resume and init_from is None and (recorded := run.initial_weights()) is not None:
        init_from = Path(recorded)
    network: Normalised = build_network(recipe, train_source.labels, init_from, saved, say) if given is None else given
    if given is not None and saved is not None:
        restore_network(given, saved)
    weights_K = _class_weights(recipe, train_source, hardware.device, say)
    chosen = dataset["val"]["held_out"]
    task = Segmentation(recipe, train_source, val_source, fill_colour(network), weights_K, ranks, chosen)
    session = assemble(recipe, task, run, hardware, network, fabric)
    carry_out(session, dataset, saved, resume, stop, say)
    return session


def _check_shares(recipe: Recipe, ranks: Ranks) -> None:
    if recipe.data.batch_size % ranks.count:
        ranks.refuse_together(
            f"--data.batch-size {recipe.data.batch_size}: is that of all processes together, and cannot be divided"
            f" among {ranks.count}; give a multiple of it"
        )
    if recipe.optim.hardest is not None and ranks.count > 1:
        ranks.refuse_together(
            f"--optim.hardest {recipe.optim.hardest}: the hardest pixels of a batch are not those of its"
            f" {ranks.count} parts; train with one process"
        )


def build_network(
    recipe: Recipe, labels: LabelSpace, init_from: Path | None, saved: dict[str, Any] | None, say: Say
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
        say(f"init from   {load_initial_weights(network, init_from, labels)}")
    if settings.backbone_norm == "frozen":
        network.freeze_backbone_norm()
    _check_batch_norm(recipe, settings, network, say)
    return network


def _check_batch_norm(recipe: Recipe, settings: ModelSettings, network: GlobalConvNet, say: Say) -> None:
    """Say, before it costs a night, that live batch norm and one image per batch do not go together."""
    if recipe.data.batch_size > 1 or settings.backbone_norm == "frozen" or not batch_norms(network):
        return
    if max(recipe.data.augmentation.crop) <= CELL:
        raise InputError(
            f"--data.batch-size 1 with crops of {recipe.data.augmentation.crop}: batch norm sees a single value per"
            f" channel; use a larger crop or batch, or --model.backbone-norm frozen"
        )
    say("warning     batch size 1 with live batch norm rarely trains; the paper's is --model.backbone-norm frozen")


def dataset_facts(
    settings: DataSettings, data: Root | None, init_from: Path | None, train_source: Source, val_source: Source,
    given: Normalised | None = None,
) -> dict[str, Any]:  # fmt: skip
    """Return what a run records of where it started: data, splits, a fingerprint of the samples' names, weights, and
    the make of a network that was given to it."""
    return {
        "data": to_json(data),
        "init_from": None if init_from is None else str(init_from.resolve()),
        "network": None if given is None else {**given.settings, "fingerprint": make_of(given)},
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
    if not isinstance(data, Path) or settings.val_split != "val" or not held_out(splits(data, settings.layout)):
        return None
    return sample_names(val_source)


def _class_weights(recipe: Recipe, source: Source, device: torch.device, say: Say) -> Tensor | None:
    if recipe.optim.class_weights == "none":
        return None
    with Progress("counting classes", len(source), "label maps") as progress:
        pixels = class_pixels(source, lambda done, total: progress.update(done, total=total))
    weights = class_weights(pixels, recipe.optim.class_weights)
    named = zip(source.labels.class_names, weights.tolist(), strict=True)
    say(f"weights     {', '.join(f'{name} {weight:.2f}' for name, weight in named)}")
    return torch.as_tensor(weights, dtype=torch.float32, device=device)


def fill_colour(network: Normalised) -> Colour:
    """Return the colour that the network's normalisation maps (almost) to zero: the fill of padding."""
    red, green, blue = (round(255 * value) for value in network.mean_C11.flatten().tolist())
    return (red, green, blue)

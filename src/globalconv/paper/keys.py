"""Keys of trainings: two trainings that give the same result on the same data have the same key.

The key of a run is a hash of its recipe without the fields that change nothing, of the way of prediction, and of the
data's name, classes and sample names. Files of results are named after it, so a change of the key loses them all.
Imports no torch.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from functools import cache
from pathlib import Path
from typing import Any

from globalconv.data.roots import Root
from globalconv.data.source import Source
from globalconv.training.fine_tune_settings import FineTuneSettings
from globalconv.training.recipe import DataSettings, ModelSettings, Recipe, StagedRecipe
from globalconv.training.training_splits import fingerprint, open_splits, sample_names

IRRELEVANT_FIELDS = ("device", "evaluate_every", "checkpoint_every", "log_every")
"""Fields that do not change the last weights of a training; nor does `data.workers`."""

LATER_FIELDS = {"head_width": ModelSettings.head_width, "decoder": "scores", "drop_path": 0.0, "frozen_stages": 0}
"""Fields of `model` that the first results lack -> their value there, which changes no key."""

LATER_OPTIM_FIELDS = {setting.name: setting.default for setting in fields(FineTuneSettings)}
"""The same of `optim`."""

KEY_DIGITS = 12
"""Hexadecimal digits of a key."""


def stages_of(recipe: Recipe | StagedRecipe) -> Mapping[str, Recipe]:
    """Return the trainings of a recipe by their names; a recipe without stages is one training named ""."""
    return recipe.stages if isinstance(recipe, StagedRecipe) else {"": recipe}


def portable_json(recipe: Recipe | StagedRecipe) -> dict[str, Any]:
    """Return a recipe as JSON that is the same on every machine: a file of weights by its name and contents."""
    settings = recipe.to_json()
    for stage in settings.get("stages", {"": settings}).values():
        weights = stage["model"]["backbone_weights"]
        if weights is not None and (file := Path(weights)).is_file():
            digest = _file_digest(file, file.stat().st_mtime_ns)
            stage["model"]["backbone_weights"] = f"{file.name}, sha256 {digest}"
    return settings


@cache
def _file_digest(file: Path, modified_ns: int) -> str:
    return _digest(file.read_bytes())


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:KEY_DIGITS]


def identity(recipe: Mapping[str, Any], inference: Mapping[str, Any]) -> str:
    """Return a string that is equal for recipes (of `portable_json`) and predictions that give the same result."""
    trainings = []
    for stage in recipe.get("stages", {"": recipe}).values():
        settings = {name: value for name, value in stage.items() if name not in IRRELEVANT_FIELDS}
        unset = () if stage["data"].get("white_level") is not None else ("white_level",)  # the first results lack it
        settings["data"] = {name: value for name, value in stage["data"].items() if name not in ("workers", *unset)}
        settings["model"] = canonical_model(stage["model"])
        settings["optim"] = without_later_fields(stage["optim"], LATER_OPTIM_FIELDS)
        if settings["steps"] is not None:
            del settings["epochs"]
        trainings.append(settings)
    return json.dumps([trainings, inference], sort_keys=True)


def canonical_model(model: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of `model` in one of the spellings that build the same network.

    Head and kernel size are given for each of the four levels, a pointwise head has k = 1, a stack of one 3x3
    convolution is that convolution, and a stack's width means nothing without a stack.
    """
    heads, kernels = (list(model[name]) * (4 // len(model[name])) for name in ("head", "kernel_size"))
    levels = []
    for head, kernel in zip(heads, kernels, strict=True):
        if head == "pointwise":
            levels.append((head, 1))
        else:
            levels.append(("conv" if (head, kernel) == ("stack", 3) else head, kernel))
    width = model["stack_width"] if any(head == "stack" for head, _ in levels) else None
    if isinstance(width, list | tuple):
        width = width[0] if len(set(width)) == 1 else list(width)
    return {**without_later_fields(model), "head": None, "kernel_size": levels, "stack_width": width}


def without_later_fields(settings: Mapping[str, Any], later: Mapping[str, Any] = LATER_FIELDS) -> dict[str, Any]:
    """Return the fields of `model`, or of another part of a recipe, without `later` ones of their implicit value."""
    return {name: value for name, value in settings.items() if name not in later or value != later[name]}


def run_key(run_identity: str, data: Mapping[str, Any]) -> str:
    """Return the key of a result from its `identity` and the facts about its data (`RunResult.data`)."""
    facts = [data[name] for name in ("name", "class_names", "fingerprint")]
    return _digest(json.dumps([run_identity, facts]).encode())


def data_name(root: Root | None) -> str:
    """Return the name of data in results: the folder's name, not its place."""
    if isinstance(root, Mapping):
        return "+".join(sorted(root))
    return "scenes" if root is None else root.resolve().name


@dataclass
class GridData:
    """The data of a grid of trainings; each pair of splits is opened once."""

    root: Root | None
    _opened: dict[tuple[str | None, str, str], tuple[Source, Source]] = field(default_factory=dict)

    def splits(self, settings: DataSettings) -> tuple[Source, Source]:
        """Return the splits for training and validation."""
        pair = (settings.layout, settings.train_split, settings.val_split)
        if pair not in self._opened:
            self._opened[pair] = open_splits(settings, self.root)
        return self._opened[pair]

    def facts(self, recipe: Recipe | StagedRecipe) -> dict[str, Any]:
        """Return `RunResult.data` of a recipe: splits and classes of its last stage, the fingerprint of all stages."""
        stages = list(stages_of(recipe).values())
        splits = [self.splits(stage.data) for stage in stages]
        train, val = splits[-1]
        digests = [fingerprint(sample_names(source))["fingerprint"] for pair in splits for source in pair]
        return {
            "name": data_name(self.root),
            "train_split": stages[-1].data.train_split,
            "val_split": stages[-1].data.val_split,
            "train_images": len(train),
            "val_images": len(val),
            "fingerprint": hashlib.sha256("\n".join(digests).encode()).hexdigest(),
            "class_names": list(train.labels.class_names),
        }

    def key(self, recipe: Recipe | StagedRecipe, inference: Mapping[str, Any]) -> str:
        """Return the key of a recipe that is trained on these data and predicts so."""
        return run_key(identity(portable_json(recipe), inference), self.facts(recipe))

"""When two trainings are the same: settings without what changes nothing, hashed together with the data.

Widths of Figure 4's stack (Table 4) for any backbone and number of classes.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from globalconv.data.roots import Root
from globalconv.training.recipe import ModelSettings, Recipe, StagedRecipe

UNIMPORTANT = ("device", "evaluate_every", "checkpoint_every", "log_every")
"""Fields that do not change the last weights of a training; nor does `data.workers`."""

LATER = {"head_width": ModelSettings.head_width}
"""Settings of a network that the first results did not have -> what they were: no reason for another key."""

LEVELS = 4

DIGITS = 12
"""Of a key, hexadecimal."""


def portable(recipe: Recipe | StagedRecipe) -> dict[str, Any]:
    """Return a recipe as JSON that says the same on every machine: a file of weights by its name and contents."""
    fields = recipe.to_json()
    for stage in fields.get("stages", {"": fields}).values():
        weights = stage["model"]["backbone_weights"]
        if weights is not None and (file := Path(weights)).is_file():
            stage["model"]["backbone_weights"] = f"{file.name}, sha256 {_digest_of(file, file.stat().st_mtime_ns)}"
    return fields


def identity(recipe: Mapping[str, Any], inference: Mapping[str, Any]) -> str:
    """Return what is equal for recipes (as `portable` has them) and predictions that give the same result."""
    stages = recipe.get("stages", {"": recipe}).values()
    return json.dumps([[_essential(stage) for stage in stages], inference], sort_keys=True)


def run_key(identity: str, data: Mapping[str, Any]) -> str:
    """Return the key of a result: `identity`, and the data's name, classes and fingerprint."""
    facts = [data[name] for name in ("name", "class_names", "fingerprint")]
    return _digest(json.dumps([identity, facts]).encode())


def data_name(root: Root | None) -> str:
    """Return what data are called in results: the folder's name, not its place."""
    if isinstance(root, Mapping):
        return "+".join(sorted(root))
    return "scenes" if root is None else root.resolve().name


def _essential(recipe: Mapping[str, Any]) -> dict[str, Any]:
    """Return one training's settings as far as they matter, each network in one spelling."""
    fields = {name: value for name, value in recipe.items() if name not in UNIMPORTANT}
    fields["data"] = {name: value for name, value in recipe["data"].items() if name != "workers"}
    fields["model"] = spelled(recipe["model"])
    if fields["steps"] is not None:
        del fields["epochs"]
    return fields


def spelled(model: Mapping[str, Any]) -> dict[str, Any]:
    """Return a network's settings in one of the spellings that build it: a stack of one 3x3 is a 3x3 convolution."""
    levels = [
        _level(head, kernel) for head, kernel in zip(four(model["head"]), four(model["kernel_size"]), strict=True)
    ]
    width = model["stack_width"] if any(head == "stack" for head, _ in levels) else None
    if isinstance(width, list | tuple):
        width = width[0] if len(set(width)) == 1 else list(width)
    return {**without_later(model), "head": None, "kernel_size": levels, "stack_width": width}


def without_later(model: Mapping[str, Any]) -> dict[str, Any]:
    """Return a network's settings without those of later versions that say what was always so."""
    return {name: value for name, value in model.items() if name not in LATER or value != LATER[name]}


def _level(head: str, kernel: int) -> tuple[str, int]:
    if head == "pointwise":
        return head, 1
    return ("conv" if (head, kernel) == ("stack", 3) else head), kernel


def four(values: Any) -> list[Any]:
    """Return one value or four as four, one per level."""
    return list(values) * (LEVELS // len(values))


@cache
def _digest_of(file: Path, changed: int) -> str:
    return _digest(file.read_bytes())


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:DIGITS]


KERNEL = 7
"""Of Table 4."""

PAPER_CHANNELS, PAPER_NARROW = 2048, 210
"""Channels of res-5 in the paper, and the third width that it tries there."""


def stack_width(name: str, channels: Sequence[int], classes: int) -> tuple[int, ...] | None:
    """Return Table 4's width of that name on each level, after levels of `channels`; None are all of its channels.

    "half" is half of the level's channels. "narrow" is, over the paper's backbone, the share that its 210 are of 2048;
    over others it is the width whose stack has as many weights as the GCN beside it, which the paper's has not (4307K
    against 608K). The paper prints its widths of the head after res-5 and does not say what the other levels have.
    """
    from globalconv.cost.count import matching_width  # loads torch

    match name:
        case "full":
            return None
        case "half":
            return tuple(level // 2 for level in channels)
        case _ if channels[-1] == PAPER_CHANNELS:
            return tuple(round(level * PAPER_NARROW / PAPER_CHANNELS) for level in channels)
        case _:
            return tuple(matching_width(level, classes, KERNEL) for level in channels)


def channels_of(backbone: str) -> tuple[int, ...]:
    """Return the channels of the four levels of a backbone."""
    import torch

    from globalconv.model.backbone import Backbone

    with torch.device("meta"):
        return tuple(Backbone(backbone).channels)

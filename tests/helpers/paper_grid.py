"""Results of a grid that never was, of networks whose gains are chosen."""

import dataclasses
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from helpers.paper import a_result

from globalconv.paper.keys import stack_width
from globalconv.paper.results import RunResult
from globalconv.paper.tables import TABLES, Variant
from globalconv.training.recipes.index import RECIPES

CLASSES = ("sky", "road", "car")
PIXELS = 4000


@dataclass(frozen=True)
class Planted:
    """What networks gain over others, as shares of the pixels: over all, and more at boundaries than inside."""

    gains: Mapping[str, float]
    """Name of a variant -> its gain; variants left out have no results."""
    at_boundaries: Mapping[str, float] = field(default_factory=dict)
    seeds: Sequence[int] = (0, 1, 2)
    images: Sequence[str] = tuple(f"image-{number}" for number in range(24))
    noise: float = 0.01
    """Standard deviation of a gain over images and seeds."""
    data: str = "blobs"
    train_split: str = "train"
    val_split: str = "val"
    model: Mapping[str, Any] = field(default_factory=lambda: {"backbone": "resnet18"})
    fields: Mapping[str, Any] = field(default_factory=dict)
    """Of the results."""


def results(planted: Planted, table: str) -> list[RunResult]:
    """Return a result for each variant of the table with a gain, and each seed."""
    found = [variant for variant in TABLES[table].variants if variant.name in planted.gains]
    return [_result(planted, variant, seed) for variant in found for seed in planted.seeds]


def _result(planted: Planted, variant: Variant, seed: int) -> RunResult:
    recipe = _recipe(planted, variant, seed)
    counts = _counts(planted, variant.name, seed)
    key = hashlib.sha256(json.dumps([recipe, planted.data]).encode()).hexdigest()[:12]
    data = {
        "name": planted.data, "train_split": planted.train_split, "val_split": planted.val_split, "train_images": 276,
        "val_images": len(planted.images), "fingerprint": "0", "class_names": list(CLASSES),
    }  # fmt: skip
    sizes = {"head_parameters": 21000, "multiply_adds": 3_210_000_000, "crop": [224, 224], "minutes": 6.5}
    made = a_result(key, recipe=recipe, seed=seed, data=data, images=list(planted.images), **counts, **sizes)
    return dataclasses.replace(made, **planted.fields)


def _recipe(planted: Planted, variant: Variant, seed: int) -> dict[str, Any]:
    base = RECIPES["folder"]()
    model = {**planted.model, **variant.model}
    if "stack_width" in model:  # of the channels of ResNet-18
        model["stack_width"] = stack_width(model["stack_width"], (64, 128, 256, 512), len(CLASSES))
    data = dataclasses.replace(base.data, train_split=planted.train_split, val_split=planted.val_split)
    return dataclasses.replace(base, model=dataclasses.replace(base.model, **model), data=data, seed=seed).to_json()


def _counts(planted: Planted, name: str, seed: int) -> dict[str, Any]:
    """Return counts per image: images and seeds have levels that all networks share, gains that vary a little."""
    n = len(planted.images)
    level_N = np.random.default_rng(7).uniform(0.45, 0.65, n) + np.random.default_rng(seed).normal(0, 0.02)
    rng = np.random.default_rng([seed, *name.encode()])
    varying_N = rng.normal(0, planted.noise, n) + rng.normal(0, planted.noise / 2)
    share_N = np.clip(level_N + planted.gains[name] + varying_N, 0, 1)
    border_N = np.clip(share_N - 0.1 + planted.at_boundaries.get(name, 0), 0, 1)
    right = (share_N * PIXELS).astype(int).tolist()
    border = (border_N * PIXELS / 4).astype(int).tolist()
    return {
        "hits": [[pixels] * len(CLASSES) for pixels in right],
        "unions": [[PIXELS] * len(CLASSES)] * n,
        "regions": [[b, PIXELS // 4, pixels, PIXELS] for b, pixels in zip(border, right, strict=True)],
    }

"""Results of trainings of the paper's tables that were never run, from networks whose gains are chosen."""

import dataclasses
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from globalconv.paper.plan import stack_width
from globalconv.paper.results import RunResult
from globalconv.paper.tables import TABLES, Variant
from globalconv.training.recipes.index import RECIPES

CLASSES = ("sky", "road", "car")
PIXELS = 4000


def example_result(key: str, **fields: Any) -> RunResult:
    """Return a result of two images and two classes, with these fields."""
    result = RunResult(
        key=key,
        recipe={"model": {"head": ["gcn"]}},
        data={"name": "blobs", "train_split": "train", "val_split": "val", "train_images": 7, "val_images": 2,
              "fingerprint": "0", "class_names": ["grey", "red"]},
        seed=0,
        scores={"miou": 0.5, "pixel_accuracy": 0.75, "mean_accuracy": 0.7, "boundary_accuracy": None,
                "internal_accuracy": 0.8},
        region={"width": 7.0, "metric": "euclidean"},
        images=["a", "b"],
        hits=[[3, 1], [2, 0]],
        unions=[[4, 2], [3, 1]],
        regions=[[0, 0, 4, 5], [0, 0, 2, 4]],
        final_loss=0.25, steps=12, parameters=100, head_parameters=10, multiply_adds=1000, crop=[48, 64], minutes=0.1,
        machine="none", precision="float32", versions={}, date="2026-11-28T00:00:00+00:00",
    )  # fmt: skip
    return dataclasses.replace(result, **fields)


@dataclass(frozen=True)
class SimulatedTrainings:
    """Trainings of variants whose gains in correct pixels are chosen, as shares."""

    gains: Mapping[str, float]
    """Name of a variant -> its gain; variants left out have no results."""
    boundary_gains: Mapping[str, float] = field(default_factory=dict)
    """What is gained at boundaries beyond that."""
    seeds: Sequence[int] = (0, 1, 2)
    images: Sequence[str] = tuple(f"image-{number}" for number in range(24))
    noise: float = 0.01
    """Standard deviation of a gain over images and seeds."""
    data: str = "blobs"
    train_split: str = "train"
    val_split: str = "val"
    model: Mapping[str, Any] = field(default_factory=lambda: {"backbone": "resnet18"})

    def results(self, table: str) -> list[RunResult]:
        """Return a result for each variant of the table that has a gain, and each seed."""
        variants = [variant for variant in TABLES[table].variants if variant.name in self.gains]
        return [self._result(variant, seed) for variant in variants for seed in self.seeds]

    def _result(self, variant: Variant, seed: int) -> RunResult:
        base = RECIPES["folder"]()
        model = {**self.model, **variant.model}
        if "stack_width" in model:
            model["stack_width"] = stack_width(model["stack_width"], model["backbone"], len(CLASSES))
        splits = dataclasses.replace(base.data, train_split=self.train_split, val_split=self.val_split)
        network = dataclasses.replace(base.model, **model)
        recipe = dataclasses.replace(base, model=network, data=splits, seed=seed).to_json()
        data = {
            "name": self.data, "train_split": self.train_split, "val_split": self.val_split, "train_images": 276,
            "val_images": len(self.images), "fingerprint": "0", "class_names": list(CLASSES),
        }  # fmt: skip
        return example_result(
            hashlib.sha256(json.dumps([recipe, self.data]).encode()).hexdigest()[:12],
            recipe=recipe, seed=seed, data=data, images=list(self.images), **self._counts(variant.name, seed),
            head_parameters=21000, multiply_adds=3_210_000_000, crop=[224, 224], minutes=6.5,
        )  # fmt: skip

    def _counts(self, name: str, seed: int) -> dict[str, Any]:
        """Return counts per image: images and seeds have levels that all networks share, gains that vary a little."""
        count = len(self.images)
        level_N = np.random.default_rng(7).uniform(0.45, 0.65, count) + np.random.default_rng(seed).normal(0, 0.02)
        rng = np.random.default_rng([seed, *name.encode()])
        noise_N = rng.normal(0, self.noise, count) + rng.normal(0, self.noise / 2)
        share_N = np.clip(level_N + self.gains[name] + noise_N, 0, 1)
        boundary_share_N = np.clip(share_N - 0.1 + self.boundary_gains.get(name, 0), 0, 1)
        correct = (share_N * PIXELS).astype(int).tolist()
        at_boundary = (boundary_share_N * PIXELS / 4).astype(int).tolist()
        return {
            "hits": [[pixels] * len(CLASSES) for pixels in correct],
            "unions": [[PIXELS] * len(CLASSES)] * count,
            "regions": [[b, PIXELS // 4, pixels, PIXELS] for b, pixels in zip(at_boundary, correct, strict=True)],
        }

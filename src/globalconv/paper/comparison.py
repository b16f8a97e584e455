"""Results of trainings, laid out as a table of the paper: which training is which row, with which seed, on which part.

Results are compared where their recipes differ in nothing but what the table compares, the seed, and the fold.
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, cached_property
from typing import Any

import numpy as np

from globalconv.arrays import Int64Array
from globalconv.errors import InputError
from globalconv.infer.inference_settings import InferenceSettings
from globalconv.paper.keys import UNIMPORTANT, spelled, without_later
from globalconv.paper.results import RunResult
from globalconv.paper.statistics import Scores, scores
from globalconv.paper.tables import WIDTHS, Table, Variant

CLIP = re.compile(r"0001TP|0006R0|0016E5|Seq05VD")
"""CamVid's drives, in the names of its frames."""

FOLD = ".train", ".val"
"""Ends of the names of a fold's splits."""

TAKEN_WITH = {"backbone": ("backbone_weights",)}
"""Fields of a network that change with another one."""


@dataclass(frozen=True)
class Row:
    """The trainings of one variant: seed -> results, one for each fold (or the only one), as far as they are there."""

    variant: Variant
    folds: tuple[str, ...]
    """Splits for validation that a seed needs to be complete, in order."""
    results: Mapping[int, Mapping[str, RunResult]] = field(default_factory=dict)

    @property
    def seeds(self) -> list[int]:
        """Seeds with every fold, none of which diverged."""
        return [seed for seed, found in sorted(self.results.items()) if self._is_complete(found)]

    def _is_complete(self, found: Mapping[str, RunResult]) -> bool:
        return all(fold in found and not found[fold].diverged for fold in self.folds)

    @property
    def every_result(self) -> list[RunResult]:
        return [found[fold] for _, found in sorted(self.results.items()) for fold in self.folds if fold in found]

    def scores(self, name: str) -> Scores | None:
        """Return a score of all complete seeds: miou, boundary_accuracy or internal_accuracy; None where none is."""
        return self._scored.get(name)

    @cached_property
    def _scored(self) -> dict[str, Scores]:
        if not self.seeds:
            return {}
        runs = [[self.results[seed][fold] for fold in self.folds] for seed in self.seeds]
        hits, unions, regions = (_counts(runs, name) for name in ("hits", "unions", "regions"))
        apart = len(self.folds) > 1
        clusters = [cluster for result in runs[0] for cluster in clusters_of(result, apart)]
        parts = {
            "miou": (hits, unions),
            "boundary_accuracy": (regions[..., :1], regions[..., 1:2]),
            "internal_accuracy": (regions[..., 2:3], regions[..., 3:]),
        }
        known = {name: (right, all_) for name, (right, all_) in parts.items() if all_.any()}
        return {name: scores(self.seeds, right, all_, clusters, apart) for name, (right, all_) in known.items()}


def _counts(runs: Sequence[Sequence[RunResult]], name: str) -> Int64Array:
    """Return the counts of all folds' images (S, N, ...)."""
    return np.array([[line for result in folds for line in getattr(result, name)] for folds in runs], np.int64)


def clusters_of(result: RunResult, one_of_several: bool) -> list[str]:
    """Return of each image what is independent of the others: its fold, its clip, or itself where it has none."""
    if one_of_several:
        return [result.data["val_split"]] * len(result.images)
    return [clip[0] if (clip := CLIP.search(name)) else name for name in result.images]


@dataclass(frozen=True)
class Comparison:
    """A table of the paper with the results of one setting."""

    table: Table
    rows: tuple[Row, ...]

    @property
    def seeds(self) -> list[int]:
        """Every seed that any row has a result of."""
        return sorted({seed for row in self.rows for seed in row.results})

    @property
    def every_result(self) -> list[RunResult]:
        return [result for row in self.rows for result in row.every_result]

    @property
    def measured(self) -> list[Row]:
        return [row for row in self.rows if row.seeds]

    def row(self, name: str) -> Row:
        """Return the row of the variant of that name."""
        return next(row for row in self.rows if row.variant.name == name)


def comparisons(table: Table, results: Sequence[RunResult]) -> list[Comparison]:
    """Return the results as this table, once for each setting that has two of its rows or more."""
    settings: dict[str, list[RunResult]] = {}
    for result in results:
        if any(_is(variant, result) for variant in table.variants):
            settings.setdefault(_setting(table, result), []).append(result)
    found = [_comparison(table, group) for group in settings.values()]
    return [comparison for comparison in found if sum(bool(row.results) for row in comparison.rows) > 1]


def _comparison(table: Table, results: Sequence[RunResult]) -> Comparison:
    _check_alike(results)
    folds = tuple(sorted({result.data["val_split"] for result in results}))
    rows = []
    for variant in table.variants:
        by_seed: dict[int, dict[str, RunResult]] = {}
        for result in results:
            if _is(variant, result):
                of_seed = by_seed.setdefault(result.seed, {})
                _check_single(result, of_seed.setdefault(result.data["val_split"], result))
        rows.append(Row(variant, folds, by_seed))
    return Comparison(table, tuple(rows))


def _check_single(result: RunResult, other: RunResult) -> None:
    if result.data["fingerprint"] != other.data["fingerprint"]:
        raise InputError(
            f"{result.key}.json: is of the same network, seed and split as {other.key}.json, but was trained on other"
            " images; keep the results of different data in different folders"
        )


def _check_alike(results: Sequence[RunResult]) -> None:
    """Refuse results that were scored on other images or other regions than each other: they cannot be paired."""
    first: dict[str, RunResult] = {}
    for result in results:
        one = first.setdefault(result.data["val_split"], result)
        if not result.diverged and one.diverged:
            first[result.data["val_split"]] = result
        elif not result.diverged and (result.images, result.region) != (one.images, one.region):
            raise InputError(
                f"{result.key}.json: was scored on other images or boundary regions than {one.key}.json, with which"
                " it would be compared; keep the results of different data in different folders"
            )


def stages(result: RunResult) -> list[Mapping[str, Any]]:
    """Return the recipes of a result's trainings, in their order."""
    return list(result.recipe.get("stages", {"": result.recipe}).values())


def _is(variant: Variant, result: RunResult) -> bool:
    """Return whether a result is one of a variant."""
    recipes = stages(result)
    used = InferenceSettings(**variant.inference).changes()
    if variant.stage and ("stages" not in result.recipe or len(recipes) != variant.stage):
        return False
    if json.dumps(used) != json.dumps(result.inference):
        return False
    model, wanted = recipes[-1]["model"], dict(variant.model)
    if (name := wanted.get("stack_width")) in WIDTHS:
        if "stack" not in model["head"]:  # and its backbone need not be looked at
            return False
        wanted["stack_width"] = _stack_width(name, model["backbone"], len(result.data["class_names"]))
    return spelled({**model, "stack_width": None, **wanted}) == spelled(model)


@cache
def _stack_width(name: str, backbone: str, classes: int) -> tuple[int, ...] | None:
    from globalconv.paper.keys import channels_of, stack_width

    return stack_width(name, channels_of(backbone), classes)


def _setting(table: Table, result: RunResult) -> str:
    """Return what must be equal for results to be compared in a table."""
    compared = {name for variant in table.variants for name in variant.model} | {"stack_width"}
    compared |= {other for name in compared for other in TAKEN_WITH.get(name, ())}
    staged = any(variant.stage for variant in table.variants)
    recipes = stages(result)[:1] if staged else stages(result)
    return json.dumps([_essential(recipe, compared) for recipe in recipes], sort_keys=True)


def _essential(recipe: Mapping[str, Any], compared: set[str]) -> dict[str, Any]:
    kept = {name: value for name, value in recipe.items() if name not in (*UNIMPORTANT, "seed", "model", "data")}
    model = {name: value for name, value in without_later(recipe["model"]).items() if name not in compared}
    data = {name: value for name, value in recipe["data"].items() if name != "workers"}
    splits = data["train_split"], data["val_split"]
    if all(split.endswith(end) for split, end in zip(splits, FOLD, strict=True)):
        data |= {"train_split": FOLD[0], "val_split": FOLD[1]}
    return {**kept, "model": model, "data": data}

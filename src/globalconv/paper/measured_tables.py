"""Results of trainings arranged as tables of the paper: each result belongs to a row, a seed and a split.

Results are compared where their recipes differ only in what the table compares, in the seed, and in the fold.
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from globalconv.errors import InputError
from globalconv.infer.inference_settings import InferenceSettings
from globalconv.paper.keys import IRRELEVANT_FIELDS, LATER_OPTIM_FIELDS, canonical_model, without_later_fields
from globalconv.paper.plan import stack_width
from globalconv.paper.results import MIOU_OF_ALL, RunResult
from globalconv.paper.statistics import SeedScores, bootstrap_scores
from globalconv.paper.tables import WIDTHS, PaperTable, Variant

CLIP = re.compile(r"0001TP|0006R0|0016E5|Seq05VD")
"""CamVid's drives, in the names of its frames."""

FOLD_SUFFIXES = ".train", ".val"


@dataclass(frozen=True)
class MeasuredRow:
    """The results of one variant: seed -> validation split -> result, as far as they are there."""

    variant: Variant
    folds: tuple[str, ...]
    """Validation splits that a seed needs to be complete, in order; one where there are no folds."""
    results: Mapping[int, Mapping[str, RunResult]] = field(default_factory=dict)
    classes: tuple[int, ...] = ()
    """Those that the mean IoU is over; all where there are none."""

    @property
    def seeds(self) -> list[int]:
        """Complete seeds: those with every fold, none of which diverged."""
        return [
            seed
            for seed, by_fold in sorted(self.results.items())
            if all(fold in by_fold and not by_fold[fold].diverged for fold in self.folds)
        ]

    @property
    def all_results(self) -> list[RunResult]:
        return [by_fold[fold] for _, by_fold in sorted(self.results.items()) for fold in self.folds if fold in by_fold]

    @cached_property
    def scores(self) -> dict[str, SeedScores]:
        """Scores of the complete seeds by name: miou, boundary_accuracy, internal_accuracy.

        With `classes`, miou is over these, and miou_of_all over all.
        """
        if not self.seeds:
            return {}
        folds = [[self.results[seed][fold] for fold in self.folds] for seed in self.seeds]
        hits_SNK, unions_SNK, regions_SN4 = (
            np.array(
                [[counts for result in of_seed for counts in getattr(result, name)] for of_seed in folds], np.int64
            )
            for name in ("hits", "unions", "regions")
        )
        clusters = [cluster for result in folds[0] for cluster in clusters_of(result, len(self.folds) > 1)]
        classes = list(self.classes) or slice(None)
        counts = {
            "miou": (hits_SNK[..., classes], unions_SNK[..., classes]),
            **({MIOU_OF_ALL: (hits_SNK, unions_SNK)} if self.classes else {}),
            "boundary_accuracy": (regions_SN4[..., :1], regions_SN4[..., 1:2]),
            "internal_accuracy": (regions_SN4[..., 2:3], regions_SN4[..., 3:]),
        }
        return {
            name: bootstrap_scores(self.seeds, correct, total, clusters, len(self.folds) > 1)
            for name, (correct, total) in counts.items()
            if total.any()
        }


def clusters_of(result: RunResult, is_fold: bool) -> list[str]:
    """Return for each image the unit that is independent of others: its fold, its clip, or the image itself."""
    if is_fold:
        return [result.data["val_split"]] * len(result.images)
    return [clip[0] if (clip := CLIP.search(name)) else name for name in result.images]


@dataclass(frozen=True)
class MeasuredTable:
    """A table of the paper with the results of one setting."""

    table: PaperTable
    rows: tuple[MeasuredRow, ...]

    @property
    def seeds(self) -> list[int]:
        """Every seed of which any row has a result."""
        return sorted({seed for row in self.rows for seed in row.results})

    @property
    def all_results(self) -> list[RunResult]:
        return [result for row in self.rows for result in row.all_results]

    @property
    def complete_rows(self) -> list[MeasuredRow]:
        """Rows with at least one complete seed."""
        return [row for row in self.rows if row.seeds]

    def row(self, name: str) -> MeasuredRow:
        """Return the row of the variant of that name."""
        return next(row for row in self.rows if row.variant.name == name)


def measured_tables(
    table: PaperTable, results: Sequence[RunResult], classes: tuple[int, ...] = ()
) -> list[MeasuredTable]:
    """Return the results as this table, once for each setting that has at least two of its rows.

    The mean IoU is over `classes`, or over all where none are given.

    Results of one setting that were scored on other images or regions, or trained on other images, are refused: they
    cannot be paired.
    """
    by_setting: dict[str, list[RunResult]] = {}
    for result in results:
        if any(_belongs_to(variant, result) for variant in table.variants):
            by_setting.setdefault(_setting(table, result), []).append(result)
    tables = []
    for comparable in by_setting.values():
        _check_same_images(comparable)
        folds = tuple(sorted({result.data["val_split"] for result in comparable}))
        rows = []
        for variant in table.variants:
            by_seed: dict[int, dict[str, RunResult]] = {}
            for result in comparable:
                if not _belongs_to(variant, result):
                    continue
                other = by_seed.setdefault(result.seed, {}).setdefault(result.data["val_split"], result)
                if result.data["fingerprint"] != other.data["fingerprint"]:
                    raise InputError(
                        f"{result.key}.json: is of the same network, seed and split as {other.key}.json, but was"
                        " trained on other images; keep the results of different data in different folders"
                    )
            rows.append(MeasuredRow(variant, folds, by_seed, classes))
        if sum(bool(row.results) for row in rows) > 1:
            tables.append(MeasuredTable(table, tuple(rows)))
    return tables


def _check_same_images(results: Sequence[RunResult]) -> None:
    """Refuse results on one split that were scored on other images or other regions than each other."""
    references: dict[str, RunResult] = {}
    for result in results:
        if result.diverged:
            continue
        reference = references.setdefault(result.data["val_split"], result)
        if (result.images, result.region) != (reference.images, reference.region):
            raise InputError(
                f"{result.key}.json: was scored on other images or boundary regions than {reference.key}.json, with"
                " which it would be compared; keep the results of different data in different folders"
            )


def stages_of_result(result: RunResult) -> list[Mapping[str, Any]]:
    """Return the recipes, as JSON, of a result's trainings in their order."""
    return list(result.recipe.get("stages", {"": result.recipe}).values())


def _belongs_to(variant: Variant, result: RunResult) -> bool:
    """Return whether a result is one of a variant: network, number of stages and way of prediction are equal."""
    stages = stages_of_result(result)
    if variant.stage and ("stages" not in result.recipe or len(stages) != variant.stage):
        return False
    if json.dumps(InferenceSettings(**variant.inference).changes()) != json.dumps(result.inference):
        return False
    model, expected = stages[-1]["model"], dict(variant.model)
    if (name := expected.get("stack_width")) in WIDTHS:
        if "stack" not in model["head"]:  # then its backbone need not be built
            return False
        expected["stack_width"] = stack_width(name, model["backbone"], len(result.data["class_names"]))
    return canonical_model({**model, "stack_width": None, **expected}) == canonical_model(model)


def _setting(table: PaperTable, result: RunResult) -> str:
    """Return a string that is equal for results that can be compared in a table."""
    compared = {name for variant in table.variants for name in variant.model} | {"stack_width"}
    if "backbone" in compared:
        compared.add("backbone_weights")
    settings = []
    for stage in stages_of_result(result):
        fields = {name: value for name, value in stage.items() if name not in (*IRRELEVANT_FIELDS, "seed")}
        model, data = without_later_fields(stage["model"]), dict(stage["data"])
        fields["model"] = {name: value for name, value in model.items() if name not in compared}
        fields["optim"] = without_later_fields(stage["optim"], LATER_OPTIM_FIELDS)
        data.pop("workers", None)
        if data.get("white_level") is None:  # the first results lack it
            data.pop("white_level", None)
        splits = data["train_split"], data["val_split"]
        if all(split.endswith(suffix) for split, suffix in zip(splits, FOLD_SUFFIXES, strict=True)):
            data["train_split"], data["val_split"] = FOLD_SUFFIXES
        fields["data"] = data
        settings.append(fields)
    # Rows after different stages of one training are compared by its first stage.
    compared_stages = settings[:1] if any(variant.stage for variant in table.variants) else settings
    return json.dumps(compared_stages, sort_keys=True)

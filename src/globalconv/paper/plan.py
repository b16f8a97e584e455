"""The runs behind the tables: from tables, a recipe and a number of seeds to the list of trainings, in their order."""

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache

from globalconv.errors import InputError
from globalconv.infer.inference_settings import InferenceSettings
from globalconv.paper.keys import GridData, identity, portable_json, stages_of
from globalconv.paper.tables import WIDTHS, PaperTable, Variant
from globalconv.training.recipe import Recipe, StagedRecipe

NEVER = 10**9
"""Steps between evaluations: only the last weights are evaluated, so that none can be the best by chance."""

PAPER_DECODER = "scores"
"""What every row is trained with, whatever the recipe's: the tables are of Figure 2A."""

TABLE_4_KERNEL = 7
RES5_CHANNELS, NARROW_STACK = 2048, 210
"""Channels of res-5 in the paper, and the third width of Table 4 there."""


@dataclass(frozen=True)
class Run:
    """A variant trained with one seed on one pair of splits."""

    table: PaperTable
    variant: Variant
    recipe: Recipe | StagedRecipe
    """With the variant's fields and the seed; of a staged recipe only the stages that the variant needs."""
    inference: InferenceSettings

    @property
    def last_stage(self) -> Recipe:
        """The recipe of the last stage, or the only one."""
        return list(stages_of(self.recipe).values())[-1]

    @property
    def identity(self) -> str:
        """The same string for all runs with the same result on the same data."""
        return identity(portable_json(self.recipe), self.inference.changes())

    def key(self, data: GridData) -> str:
        """Return the key of the run's result on `data`."""
        return data.key(self.recipe, self.inference.changes())

    @property
    def description(self) -> str:
        """Variant, seed and split, for a line of progress."""
        split = self.last_stage.data.train_split
        return f"{self.variant.name}, seed {self.last_stage.seed}" + ("" if split == "train" else f", {split}")


def plan(
    tables: Sequence[PaperTable],
    recipes: Sequence[Recipe | StagedRecipe],
    seeds: int,
    first_only: bool,
    num_classes: Callable[[], int],
) -> list[Run]:
    """Return all runs in the order in which they are trained: seed by seed, and the `first` variants first.

    `recipes` are one recipe on one or several pairs of splits. With `first_only` no other variants are planned.
    `num_classes` is called where a table needs the widths of stacks (Table 4).
    """
    for table in tables:
        if first_only and not any(variant.first for variant in table.variants):
            raise InputError(f"`first`: {table.name} has none of those rows; leave it out")
    rows = [(table, variant) for table in tables for variant in table.variants if variant.first or not first_only]
    rows.sort(key=lambda row: not row[1].first)

    def recipe_of(variant: Variant, base: Recipe | StagedRecipe, seed: int) -> Recipe | StagedRecipe:
        def with_variant(recipe: Recipe) -> Recipe:
            fields = {"decoder": PAPER_DECODER, **variant.model}
            if (width := fields.get("stack_width")) in WIDTHS:
                fields["stack_width"] = stack_width(width, recipe.model.backbone, num_classes())
            model = dataclasses.replace(recipe.model, **fields)
            return dataclasses.replace(recipe, model=model, seed=seed, evaluate_every=NEVER)

        return _map_stages(list(prefixes(base))[(variant.stage or 0) - 1], with_variant)

    return [
        Run(table, variant, recipe_of(variant, base, seed), InferenceSettings(**variant.inference))
        for seed in range(seeds)
        for base in recipes
        for table, variant in rows
    ]


def prefixes(recipe: Recipe | StagedRecipe) -> Iterator[Recipe | StagedRecipe]:
    """Yield the recipe up to its first stage, up to its second, ..., and at last itself."""
    if isinstance(recipe, Recipe):
        yield recipe
        return
    stages = list(recipe.stages.items())
    for count in range(1, len(stages) + 1):
        yield StagedRecipe(dict(stages[:count]))


def with_steps(recipe: Recipe | StagedRecipe, steps: int) -> Recipe | StagedRecipe:
    """Return a recipe each of whose stages takes that many steps."""
    if steps < 1:
        raise InputError(f"`budget` {steps}: give the steps of every training, at least 1")
    return _map_stages(recipe, lambda stage: dataclasses.replace(stage, steps=steps))


def on_fold(recipe: Recipe | StagedRecipe, fold: str) -> Recipe | StagedRecipe:
    """Return a recipe on the splits FOLD.train and FOLD.val."""

    def on_splits(stage: Recipe) -> Recipe:
        data = dataclasses.replace(stage.data, train_split=f"{fold}.train", val_split=f"{fold}.val")
        return dataclasses.replace(stage, data=data)

    return _map_stages(recipe, on_splits)


def _map_stages(recipe: Recipe | StagedRecipe, change: Callable[[Recipe], Recipe]) -> Recipe | StagedRecipe:
    if isinstance(recipe, Recipe):
        return change(recipe)
    return StagedRecipe({name: change(stage) for name, stage in recipe.stages.items()})


def check_overrides(
    tables: Sequence[PaperTable], default: Recipe | StagedRecipe, recipe: Recipe | StagedRecipe
) -> None:
    """Refuse a recipe that changes what a table sets itself, or that has too few stages for a table."""
    compared = sorted({name for table in tables for variant in table.variants for name in variant.model})
    for before, after in zip(stages_of(default).values(), stages_of(recipe).values(), strict=True):
        for name in compared:
            if getattr(before.model, name) != getattr(after.model, name):
                raise InputError(f"`model.{name}`: is what the table compares; leave it out")
        if after.model.decoder not in (before.model.decoder, PAPER_DECODER):
            raise InputError(f"`model.decoder` {after.model.decoder}: the tables are of {PAPER_DECODER}; leave it out")
        if before.seed != after.seed:
            raise InputError(f"`seed` {after.seed}: a table takes the seeds from 0; give their number, `seeds`")
        if before.evaluate_every != after.evaluate_every:
            raise InputError(f"`evaluate_every` {after.evaluate_every}: only the last weights are scored; leave it out")
    count = len(stages_of(recipe))
    for table in tables:
        if (needed := max(variant.stage or 1 for variant in table.variants)) > count:
            raise InputError(
                f"paper {table.name}: compares {needed} stages of a training, and the recipe has {count}; name one with"
                f" stages, such as `recipe` {table.recipe}"
            )


@cache
def stack_width(name: str, backbone: str, num_classes: int) -> tuple[int, ...] | None:
    """Return the width of Table 4's stack on each level, by its name in `WIDTHS`; None for all channels of a level.

    "half" is half of the level's channels. "narrow" is, over the paper's backbone, the share that its 210 are of 2048;
    over others it is the width whose stack has as many weights as the GCN beside it, which the paper's has not (4307K
    against 608K). The paper prints its widths of the head after res-5 and does not say what the other levels have.
    """
    if name == "full":
        return None
    import torch

    from globalconv.cost.count import matching_width
    from globalconv.model.backbone import Backbone

    with torch.device("meta"):
        channels = Backbone(backbone).channels
    if name == "half":
        return tuple(level // 2 for level in channels)
    if channels[-1] == RES5_CHANNELS:
        return tuple(round(level * NARROW_STACK / RES5_CHANNELS) for level in channels)
    return tuple(matching_width(level, num_classes, TABLE_4_KERNEL) for level in channels)

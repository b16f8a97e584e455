"""From tables, a recipe and seeds to the list of runs: each a recipe, a way of prediction, and what it is a row of."""

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from globalconv.errors import InputError, suggest
from globalconv.infer.inference_settings import InferenceSettings
from globalconv.paper.keys import identity, portable
from globalconv.paper.tables import TABLES, WIDTHS, Table, Variant
from globalconv.training.recipe import Recipe, StagedRecipe

AT_THE_END = 10**9
"""Steps between evaluations: so many that only the last weights are evaluated, and none can be the best by chance."""

Width = Callable[[str, str], tuple[int, ...] | None]
"""(one of `WIDTHS`, backbone) -> m of a stack on each level."""


@dataclass(frozen=True)
class Run:
    """A variant trained with one seed on one pair of splits."""

    table: Table
    variant: Variant
    recipe: Recipe | StagedRecipe
    """With the variant's fields and the seed; of a staged one the stages that the variant needs."""
    inference: InferenceSettings

    @property
    def last(self) -> Recipe:
        """The recipe of the last stage, or the only one."""
        return list(stages_of(self.recipe).values())[-1]

    @property
    def identity(self) -> str:
        """What is equal for runs with the same result on the same data."""
        return identity(portable(self.recipe), self.inference.changes())

    @property
    def words(self) -> str:
        """What the run is, for a line of progress."""
        split = self.last.data.train_split
        return f"{self.variant.name}, seed {self.last.seed}" + ("" if split == "train" else f", {split}")


def stages_of(recipe: Recipe | StagedRecipe) -> Mapping[str, Recipe]:
    """Return the trainings of a recipe by their names."""
    return recipe.stages if isinstance(recipe, StagedRecipe) else {"": recipe}


def prefixes(recipe: Recipe | StagedRecipe) -> Iterator[Recipe | StagedRecipe]:
    """Yield the recipe up to its first stage, up to its second, ..., and at last itself."""
    if isinstance(recipe, Recipe):
        yield recipe
        return
    stages = list(recipe.stages.items())
    for count in range(1, len(stages) + 1):
        yield StagedRecipe(dict(stages[:count]))


def tables_named(names: Sequence[str]) -> list[Table]:
    """Return the tables of these names; unknown ones are refused."""
    for name in names:
        if name not in TABLES:
            raise InputError(f"paper {name}: {suggest(name, TABLES)}")
    return [TABLES[name] for name in dict.fromkeys(names)]


def plan(
    tables: Sequence[Table],
    bases: Sequence[Recipe | StagedRecipe],
    seeds: int,
    first_only: bool,
    width: Width,
) -> list[Run]:
    """Return all runs in the order in which they are made: seed by seed, and in it the variants that tell most first.

    `bases` are one recipe on several pairs of splits. With `first_only` no other variants are planned.
    """
    if first_only:
        _check_first(tables)
    rows = [(table, variant) for table in tables for variant in table.variants if variant.first or not first_only]
    rows.sort(key=lambda row: not row[1].first)
    return [
        Run(table, variant, _varied(base, variant, seed, width), InferenceSettings(**variant.inference))
        for seed in range(seeds)
        for base in bases
        for table, variant in rows
    ]


def _check_first(tables: Sequence[Table]) -> None:
    for table in tables:
        if not any(variant.first for variant in table.variants):
            raise InputError(f"`first`: {table.name} has none of those rows; leave it out")


def check_overrides(tables: Sequence[Table], default: Recipe | StagedRecipe, base: Recipe | StagedRecipe) -> None:
    """Refuse options that a table sets itself, and stages that the recipe does not have."""
    names = sorted({name for table in tables for variant in table.variants for name in variant.model})
    for was, now in zip(stages_of(default).values(), stages_of(base).values(), strict=True):
        for name in names:
            if getattr(was.model, name) != getattr(now.model, name):
                option = f"`model.{name}`"
                raise InputError(f"{option}: is what the table compares; leave it out")
        if was.seed != now.seed:
            raise InputError(f"`seed` {now.seed}: a table takes the seeds from 0; give their number, `seeds`")
        if was.evaluate_every != now.evaluate_every:
            raise InputError(f"`evaluate_every` {now.evaluate_every}: only the last weights are scored; leave it out")
    have = len(stages_of(base))
    for table in tables:
        if (needed := max(variant.stage or 1 for variant in table.variants)) > have:
            raise InputError(
                f"paper {table.name}: compares {needed} stages of a training, and the recipe has {have}; name one with"
                f" stages, such as `recipe` {table.recipe}"
            )


def budgeted(base: Recipe | StagedRecipe, steps: int) -> Recipe | StagedRecipe:
    """Return a recipe whose every stage takes so many steps."""
    if steps < 1:
        raise InputError(f"`budget` {steps}: give the steps of every training, at least 1")
    return _each(base, lambda recipe: dataclasses.replace(recipe, steps=steps))


def on_splits(base: Recipe | StagedRecipe, fold: str) -> Recipe | StagedRecipe:
    """Return a recipe on the splits FOLD.train and FOLD.val."""

    def change(recipe: Recipe) -> Recipe:
        data = dataclasses.replace(recipe.data, train_split=f"{fold}.train", val_split=f"{fold}.val")
        return dataclasses.replace(recipe, data=data)

    return _each(base, change)


def _varied(base: Recipe | StagedRecipe, variant: Variant, seed: int, width: Width) -> Recipe | StagedRecipe:
    """Return the recipe of a variant: of the base as many stages as it trains, with its fields and the seed."""

    def change(recipe: Recipe) -> Recipe:
        fields = dict(variant.model)
        if (name := fields.get("stack_width")) in WIDTHS:
            fields["stack_width"] = width(name, recipe.model.backbone)
        model = dataclasses.replace(recipe.model, **fields)
        return dataclasses.replace(recipe, model=model, seed=seed, evaluate_every=AT_THE_END)

    return _each(list(prefixes(base))[(variant.stage or 0) - 1], change)


def _each(base: Recipe | StagedRecipe, change: Callable[[Recipe], Recipe]) -> Recipe | StagedRecipe:
    if isinstance(base, Recipe):
        return change(base)
    return StagedRecipe({name: change(recipe) for name, recipe in base.stages.items()})

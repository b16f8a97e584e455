"""Options of `globalconv paper TABLE ...`, and what they make."""

from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any

import tyro

from globalconv.cli.options import DataOption, read_recipe
from globalconv.data.roots import parse_data
from globalconv.errors import InputError, print_line
from globalconv.paper.plan import budgeted, check_overrides, on_splits, tables_named
from globalconv.paper.table_job import Asked, list_tables, run_tables
from globalconv.paper.tables import TABLES
from globalconv.runtime.signals import StopRequest
from globalconv.training.recipe import Recipe, StagedRecipe
from globalconv.training.recipes.index import recipe_named


def _options(default: Recipe) -> Any:
    """Return the type of the options, of which all fields of the recipe are some."""

    @dataclass(frozen=True)
    class PaperOptions:
        data: DataOption = ()
        """Root of the data set, or voc=PATH sbd=PATH ...; the built-in scenes need none."""
        base: Annotated[str | None, tyro.conf.arg(name="recipe")] = None
        """Recipe that every row trains, by its name; without it the paper's own."""
        seeds: int = 1
        """How many times each row is trained: with the seeds 0, 1, ..."""
        budget: int | None = None
        """Steps of every training (of each stage); without it, what the recipe says."""
        folds: tuple[str, ...] = ()
        """Repeat everything on the splits NAME.train and NAME.val of each of these names."""
        first: bool = False
        """Only the rows that show most: 1x1, GCN of k = 3, 7 and 15, and GCN + BR."""
        list: bool = False
        """Train nothing: list the runs, which are done, and what they took."""
        runs: Path = Path("runs/paper")
        """Folder of the trainings."""
        results: Path = Path("results/paper")
        """Folder of the results, one JSON file for each run."""
        recipe: Annotated[Recipe, tyro.conf.arg(name="")] = default

    return PaperOptions


def measure(names: list[str], arguments: list[str], stop: StopRequest) -> None:
    """Make what tables of trainings lack, and print them."""
    tables = tables_named(names)
    recipe_name = _value_of("--recipe", arguments) or _common_recipe(names)
    default = recipe_named(recipe_name)
    base, options = read_recipe(default, f"paper {names[0]}", recipe_name, _options, arguments)
    check_overrides(tables, default, base)
    base = base if options.budget is None else budgeted(base, options.budget)
    bases: list[Recipe | StagedRecipe] = [on_splits(base, fold) for fold in options.folds] or [base]
    asked = Asked(
        tables, bases, parse_data(options.data), options.runs, options.results, options.seeds, options.first
    )  # fmt: skip
    print(list_tables(asked) if options.list else run_tables(asked, stop, print_line))


def _common_recipe(names: list[str]) -> str:
    recipes = {TABLES[name].recipe for name in names}
    if len(recipes) > 1:
        raise InputError(f"paper {' '.join(names)}: the paper has other recipes for each; give one, --recipe NAME")
    return recipes.pop()


def _value_of(option: str, arguments: list[str]) -> str | None:
    """Return the value of an option, as the last one given counts."""
    values = [word.partition("=")[2] for word in arguments if word.startswith(f"{option}=")]
    values += [value for word, value in pairwise(arguments) if word == option]
    return values[-1] if values else None

"""`globalconv paper TABLE ...`: the paper's tables, measured, beside the printed numbers; `globalconv paper report`."""

from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any

import tyro

from globalconv.cli.options import DataOption, read_options, read_recipe, repeat_option
from globalconv.data.roots import parse_data
from globalconv.errors import InputError, print_line, suggest
from globalconv.jobs.paper import TableSettings, list_runs, make_tables, write_reports
from globalconv.paper.plan import check_overrides, on_fold, with_steps
from globalconv.paper.tables import RANKINGS, TABLES, ranking_text
from globalconv.runtime.signals import StopRequest
from globalconv.runtime.text import print_text
from globalconv.training.recipe import Recipe, StagedRecipe
from globalconv.training.recipes.index import recipe_named

USAGE = """usage: globalconv paper TABLE ... [--recipe NAME] [--data PATH] [--seeds N] [--budget STEPS] [--FIELD V ...]

{tables}
  report   all results as a page: what agrees with the paper, what does not, and what is inconclusive

Several tables share their runs. globalconv paper table1 --help lists all options; docs/paper-tables.md is the guide."""


def run(arguments: list[str], stop: StopRequest) -> int:
    """Make what the tables lack, and print them."""
    if not arguments or arguments[0] in ("-h", "--help"):
        titles = {name: table.title for name, table in (TABLES | RANKINGS).items()}
        lines = (f"  {name:<8} {titles[name]}" for name in sorted(titles, key=lambda name: int(name[5:])))
        print_text(USAGE.format(tables="\n".join(lines)))
        return 0
    if arguments[0] == "report":
        return _write_report(arguments[1:])
    count = next((place for place, word in enumerate(arguments) if word.startswith("-")), len(arguments))
    names, options = list(dict.fromkeys(arguments[:count])), arguments[count:]
    if unknown := [name for name in names or arguments[:1] if name not in TABLES | RANKINGS]:
        raise InputError(f"paper {unknown[0]}: name a table first; {suggest(unknown[0], TABLES | RANKINGS)}")
    measured = [name for name in names if name in TABLES]
    if options and not measured:
        raise InputError(f"paper {' '.join(names)}: is printed and takes no options; leave out {options[0]}")
    for name in names:
        if name in RANKINGS:
            print_text(ranking_text(RANKINGS[name]))
    if measured:
        _print_tables(measured, options, stop)
    return 0


def _table_options(default: Recipe) -> Any:
    """Return the type of the options of tables, of which all fields of the recipe are some."""

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


def _print_tables(names: list[str], arguments: list[str], stop: StopRequest) -> None:
    """Make what tables of trainings lack, and print them."""
    tables = [TABLES[name] for name in names]
    # The recipe's fields are options with its values as defaults, so its name is read before all others.
    values = [word.partition("=")[2] for word in arguments if word.startswith("--recipe=")]
    values += [value for word, value in pairwise(arguments) if word == "--recipe"]
    recipes = {values[-1]} if values else {table.recipe for table in tables}
    if len(recipes) > 1:
        raise InputError(f"paper {' '.join(names)}: the paper has other recipes for each; give one, --recipe NAME")
    recipe_name = recipes.pop()
    default = recipe_named(recipe_name)
    recipe, options = read_recipe(default, f"paper {names[0]}", recipe_name, _table_options, arguments)
    check_overrides(tables, default, recipe)
    if options.budget is not None:
        recipe = with_steps(recipe, options.budget)
    folds: list[Recipe | StagedRecipe] = [on_fold(recipe, fold) for fold in options.folds] or [recipe]
    settings = TableSettings(
        tables, folds, parse_data(options.data), options.runs, options.results, options.seeds, options.first
    )
    print_text(list_runs(settings) if options.list else make_tables(settings, stop, print_line))


@dataclass(frozen=True)
class PaperReportOptions:
    """Options of `globalconv paper report`."""

    results: tyro.conf.UseAppendAction[tuple[Path, ...]] = ()
    """Folders of results, one for each data set; at least one is needed."""
    out: Path | None = None
    """HTML file to write."""
    text: Annotated[Path | None, tyro.conf.arg(name="markdown")] = None
    """Markdown file to write, with the same tables and no plots."""
    classes: tuple[str, ...] = ()
    """Classes that mIoU is the mean over, by name, with that over all beside it; by default all."""
    runs: Path | None = None
    """Folder of the trainings: the page then shows images of Table 5's networks, on the data of --data."""
    occluders: int | None = None
    """Show valid receptive fields, too, measured with about so many occluders (the paper: 5000, minutes on a CPU)."""
    data: DataOption = ()
    """Root of the data of those images, or voc=PATH sbd=PATH ...; the built-in scenes need none."""


def _write_report(arguments: list[str]) -> int:
    """Write the report and print where it is."""
    about = "Compare the results of the paper's tables with its numbers."
    options = read_options(PaperReportOptions, "paper report", repeat_option(arguments, "--results", "(?!-)"), about)
    if not options.results:
        raise InputError("paper report: name the folders of results, --results FOLDER ...")
    root = parse_data(options.data)
    files = write_reports(
        options.results, options.out, options.text, options.runs, root, options.occluders, options.classes
    )
    for path in files:
        print_text(path.resolve())
    return 0

"""`globalconv train RECIPE --data PATH --out RUN`: train a network into a run folder."""

import shlex
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro

from globalconv.api import train
from globalconv.cli.options import DataOption, read_options
from globalconv.data.roots import parse_data
from globalconv.errors import InputError, nearest
from globalconv.processes import is_first_process
from globalconv.stopping import StopRequest
from globalconv.training.recipe import Recipe, StagedRecipe
from globalconv.training.recipes import RECIPES, STAGED, first_line, recipe_named

USAGE = """usage: globalconv train RECIPE --data PATH --out RUN [--FIELD VALUE ...] [--resume] [--init-from WEIGHTS]

{recipes}

globalconv train RECIPE --help lists all fields of a recipe; globalconv recipes says what each costs and reaches.
"""


def _options(default: Recipe) -> Any:
    """Return the type of the options, of which all fields of the recipe are some."""

    @dataclass(frozen=True)
    class TrainOptions:
        out: Path
        """Run folder to make (with --resume: to go on with)."""
        data: DataOption = ()
        """Root of the data set, or voc=PATH sbd=PATH ...; the built-in scenes need none."""
        resume: bool = False
        """Go on where the run in --out stopped."""
        init_from: Path | None = None
        """Run folder, or folder with weights.safetensors and model.json, whose network this one starts from."""
        devices: int | None = None
        """Processes on this machine that train together, one per GPU; the batch is that of all (docs/training.md)."""
        nodes: int | None = None
        """Machines that train together, each running this command."""
        strategy: Literal["ddp", "ddp_find_unused_parameters_true"] = "ddp"
        """How processes share a step; the second where parts of the network take no part in the loss."""
        recipe: Annotated[Recipe, tyro.conf.arg(name="")] = default

    return TrainOptions


def run(arguments: list[str], stop: StopRequest) -> int:
    """Train; say at the end where the network is and what to do with it."""
    name, *rest = arguments or ["--help"]
    if name in ("-h", "--help"):
        known = {**RECIPES, **STAGED}
        width = max(map(len, known))
        print(USAGE.format(recipes="\n".join(f"  {name:<{width}}  {first_line(name)}" for name in known)), end="")
        return 0
    if name.startswith("-"):
        raise InputError(f"train {name}: name a recipe first; {nearest(name, {**RECIPES, **STAGED})}")
    recipe, options = _read(recipe_named(name), name, rest)
    out = train(
        recipe, parse_data(options.data), options.out, options.resume, options.init_from, stop,
        options.devices, options.nodes, options.strategy,
    )  # fmt: skip
    if not is_first_process():
        return 0
    run_folder = shlex.quote(str(out))
    data = "".join([" --data", *(f" {shlex.quote(word)}" for word in options.data)]) if options.data else ""
    print(f"done: {out}; its report: {out / 'report.html'}\nnext: globalconv evaluate {run_folder}{data}")
    print(f"      globalconv predict {run_folder} IMAGE --out FOLDER")
    return 0


def _read(recipe: Recipe | StagedRecipe, name: str, arguments: list[str]) -> tuple[Recipe | StagedRecipe, Any]:
    """Return the recipe with its fields as given, and the other options."""
    if isinstance(recipe, Recipe):
        options = read_options(_options(recipe), f"train {name}", arguments, first_line(name))
        return options.recipe, options
    _check_stage_options(recipe, arguments)
    stages = ", ".join(recipe.stages)
    about = (
        f"{first_line(name)} Stages: {stages}; --FIELD is for all of them, --STAGE.FIELD for one. Below are the"
        f" defaults of {next(iter(recipe.stages))}; globalconv recipes {name} has all."
    )
    read = {stage: _read_stage(stage, recipe, name, arguments, about) for stage in recipe.stages}
    return StagedRecipe({stage: options.recipe for stage, options in read.items()}), next(iter(read.values()))


def _read_stage(stage: str, recipe: StagedRecipe, name: str, arguments: list[str], about: str) -> Any:
    """Return the options of one stage; what is wrong with its own says whose they are."""
    words = _of_stage(stage, recipe, arguments)
    try:
        return read_options(_options(recipe.stages[stage]), f"train {name}", words, about)
    except InputError as error:
        own = any(word.startswith(f"--{stage}.") for word in arguments)
        raise InputError(f"{error} (of the stage {stage})" if own else str(error)) from None


def _check_stage_options(recipe: StagedRecipe, arguments: list[str]) -> None:
    """Refuse what belongs to the whole training, or to nothing, behind the name of a stage."""
    whole = {option.name.replace("_", "-") for option in fields(_options(Recipe()))}
    for word in arguments:
        stage, _, field = word.partition("=")[0].removeprefix("--").partition(".")
        if not word.startswith("--") or stage not in recipe.stages:
            continue
        if not field:
            raise InputError(f"{word}: is a stage; name a field of it, --{stage}.FIELD VALUE")
        if (option := field.replace("_", "-").removeprefix("no-")) in whole:
            raise InputError(f"{word}: is of the whole training, not of a stage; give --{option}")


def _of_stage(stage: str, recipe: StagedRecipe, arguments: list[str]) -> list[str]:
    """Return the words that concern a stage: those for all, then, without its name, its own, so that these win."""
    shared: list[str] = []
    own: list[str] = []
    group = shared
    for word in arguments:
        if word.startswith("--"):
            named, _, field = word[2:].partition(".")
            group = own if named == stage else [] if named in recipe.stages else shared
            word = f"--{field}" if named == stage else word
        group.append(word)
    return shared + own

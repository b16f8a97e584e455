"""`globalconv train RECIPE --data PATH --out RUN`: train a network into a run folder."""

import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro

from globalconv.cli.options import DataOption, read_recipe
from globalconv.data.roots import parse_data
from globalconv.errors import InputError, suggest
from globalconv.runtime.memory import fast_imports
from globalconv.runtime.processes import is_first_process
from globalconv.runtime.signals import StopRequest
from globalconv.runtime.text import print_text
from globalconv.training.recipe import Recipe
from globalconv.training.recipes.index import RECIPES, STAGED, first_line, recipe_named

USAGE = """usage: globalconv train RECIPE --data PATH --out RUN [--FIELD VALUE ...] [--resume] [--init-from WEIGHTS]

{recipes}

globalconv train RECIPE --help lists all fields of a recipe; globalconv recipes says what each costs and reaches."""


def train_options(default: Recipe) -> Any:
    """Return the type of the options, among them all fields of the recipe, with those of `default` as defaults."""

    @dataclass(frozen=True)
    class TrainOptions:
        out: Path
        """Run folder to make (with --resume: to go on with)."""
        data: DataOption = ()
        """Root of the data set, or voc=PATH sbd=PATH ...; the built-in scenes need none."""
        resume: bool = False
        """Go on where the run in --out stopped."""
        init_from: Path | None = None
        """Run folder, folder with weights.safetensors and model.json, or hf://USER/NAME, that this one starts from."""
        devices: int | None = None
        """Processes on this machine that train together, one per GPU; the batch is that of all (docs/training.md)."""
        nodes: int | None = None
        """Machines that train together, each running this command."""
        strategy: Literal["ddp", "ddp_find_unused_parameters_true"] = "ddp"
        """How processes share a step; the second where parts of the network take no part in the loss."""
        recipe: Annotated[Recipe, tyro.conf.arg(name="")] = default

    return TrainOptions


def run(arguments: list[str], stop: StopRequest) -> int:
    """Train; print where the network is and what to do with it."""
    name, *words = arguments or ["--help"]
    names = [*RECIPES, *STAGED]
    if name in ("-h", "--help"):
        width = max(map(len, names))
        print_text(USAGE.format(recipes="\n".join(f"  {name:<{width}}  {first_line(name)}" for name in names)))
        return 0
    if name.startswith("-"):
        raise InputError(f"train {name}: name a recipe first; {suggest(name, names)}")
    recipe, options = read_recipe(recipe_named(name), f"train {name}", name, train_options, words)
    with fast_imports():
        from globalconv.jobs.train import train

    out = train(
        recipe, parse_data(options.data), options.out, options.resume, options.init_from, stop,
        options.devices, options.nodes, options.strategy,
    )  # fmt: skip
    if not is_first_process():
        return 0
    run_folder = shlex.quote(str(out))
    data = "".join([" --data", *(f" {shlex.quote(word)}" for word in options.data)]) if options.data else ""
    print_text(f"done: {out}; its report: {out / 'report.html'}\nnext: globalconv evaluate {run_folder}{data}")
    print_text(f"      globalconv predict {run_folder} IMAGE --out FOLDER")
    return 0

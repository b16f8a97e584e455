"""`globalconv train RECIPE --data PATH --out RUN`: train a network into a run folder."""

import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import tyro

from globalconv.api import train
from globalconv.cli.options import read_options
from globalconv.errors import InputError, nearest
from globalconv.stopping import StopRequest
from globalconv.training.recipes import RECIPES


def _options() -> Any:
    """Return the type of the options: every recipe is a subcommand whose fields are options."""
    recipes = tyro.extras.subcommand_type_from_defaults(
        {name: make() for name, make in RECIPES.items()},
        descriptions={name: (make.__doc__ or "").split("\n")[0] for name, make in RECIPES.items()},
        prefix_names=False,
    )

    @dataclass(frozen=True)
    class TrainOptions:
        recipe: Annotated[recipes, tyro.conf.arg(name="")]  # type: ignore[valid-type]
        out: Path
        """Run folder to make (with --resume: to go on with)."""
        data: Path | None = None
        """Root of the data set; the built-in scenes need none."""
        resume: bool = False
        """Go on where the run in --out stopped."""
        init_from: Path | None = None
        """Run folder, or folder with weights.safetensors and model.json, whose network this one starts from."""

    return TrainOptions


def run(arguments: list[str], stop: StopRequest) -> int:
    """Train; say at the end where the network is and what to do with it."""
    if arguments and not arguments[0].startswith("-") and arguments[0] not in RECIPES:
        raise InputError(f"recipe {arguments[0]!r} is unknown; {nearest(arguments[0], RECIPES)}")
    options = read_options(_options(), "train", arguments, "Train a recipe; any of its fields is an option.")
    out = train(options.recipe, options.data, options.out, options.resume, options.init_from, stop)
    run_folder = shlex.quote(str(out))
    data = "" if options.data is None else f" --data {shlex.quote(str(options.data))}"
    print(f"done: {out}; its report: {out / 'report.html'}\nnext: globalconv evaluate {run_folder}{data}")
    print(f"      globalconv predict {run_folder} IMAGE --out FOLDER")
    return 0

"""`globalconv recipes [NAME]`: what there is, what each costs and reaches."""

import inspect
import json
from dataclasses import dataclass

import tyro

from globalconv.cli.options import read_options
from globalconv.errors import InputError, nearest
from globalconv.stopping import StopRequest
from globalconv.training.recipes import RECIPES


@dataclass(frozen=True)
class RecipesOptions:
    """Options of `globalconv recipes`."""

    name: tyro.conf.Positional[str | None] = None
    """A recipe to show with all its settings; without it, all are described."""


def run(arguments: list[str], stop: StopRequest) -> int:
    """Print the docstrings of all recipes, or one with its settings as JSON."""
    options = read_options(RecipesOptions, "recipes", arguments, "List the recipes.")
    if options.name is not None and options.name not in RECIPES:
        raise InputError(f"recipe {options.name!r} is unknown; {nearest(options.name, RECIPES)}")
    for name in RECIPES if options.name is None else [options.name]:
        print(f"{name}\n{_indented(inspect.getdoc(RECIPES[name]) or '')}\n")
    if options.name is not None:
        print(json.dumps(RECIPES[options.name]().to_json(), indent=2))
    return 0


def _indented(text: str) -> str:
    return "\n".join(f"    {line}".rstrip() for line in text.splitlines())

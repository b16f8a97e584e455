"""`globalconv recipes [NAME]`: what there is, what each costs and reaches."""

import json
import textwrap
from dataclasses import dataclass

import tyro

from globalconv.cli.options import read_options
from globalconv.runtime.signals import StopRequest
from globalconv.runtime.text import print_text
from globalconv.training.recipe import StagedRecipe
from globalconv.training.recipes.index import RECIPES, STAGED, description, pretrained_backbones, recipe_named


@dataclass(frozen=True)
class RecipesOptions:
    """Options of `globalconv recipes`."""

    name: tyro.conf.Positional[str | None] = None
    """A recipe to show with all its settings; without it, all are described."""


def run(arguments: list[str], stop: StopRequest) -> int:
    """Print the docstrings of all recipes and the packaged weights of backbones, or one recipe with its settings."""
    options = read_options(RecipesOptions, "recipes", arguments, "List the recipes.")
    for name in (*RECIPES, *STAGED) if options.name is None else [options.name]:
        recipe = recipe_named(name)
        stages = f" (stages {', '.join(recipe.stages)})" if isinstance(recipe, StagedRecipe) else ""
        print_text(f"{name}{stages}\n{textwrap.indent(description(name), '    ')}\n")
    if options.name is None:
        print_text(pretrained_backbones())
    else:
        print_text(json.dumps(recipe_named(options.name).to_json(), indent=2))
    return 0

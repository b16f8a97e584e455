"""Options of a verb that takes a recipe, of which all fields are options; of a staged one, each stage's too."""

from collections.abc import Callable
from dataclasses import fields
from typing import Any

from globalconv.cli.options import read_options
from globalconv.errors import InputError
from globalconv.training.recipe import Recipe, StagedRecipe
from globalconv.training.recipes import first_line

OptionsOf = Callable[[Recipe], Any]
"""Returns the type of a verb's options, of which the fields of a recipe, with these defaults, are some: `recipe`."""


def read_recipe(
    recipe: Recipe | StagedRecipe, verb: str, name: str, options_of: OptionsOf, arguments: list[str]
) -> tuple[Recipe | StagedRecipe, Any]:
    """Return the recipe `name` with its fields as given to `globalconv VERB`, and the other options."""
    if isinstance(recipe, Recipe):
        options = read_options(options_of(recipe), verb, arguments, first_line(name))
        return options.recipe, options
    _check_stage_options(recipe, options_of, arguments)
    stages = ", ".join(recipe.stages)
    about = (
        f"{first_line(name)} Stages: {stages}; --FIELD is for all of them, --STAGE.FIELD for one. Below are the"
        f" defaults of {next(iter(recipe.stages))}; globalconv recipes {name} has all."
    )

    def read_stage(stage: str) -> Any:
        kind, words = options_of(recipe.stages[stage]), _of_stage(stage, recipe, arguments)
        try:
            return read_options(kind, verb, words, about)
        except InputError as error:  # what is wrong with its own says whose they are
            own = any(word.startswith(f"--{stage}.") for word in arguments)
            raise InputError(f"{error} (of the stage {stage})" if own else str(error)) from None

    read = {stage: read_stage(stage) for stage in recipe.stages}
    return StagedRecipe({stage: options.recipe for stage, options in read.items()}), next(iter(read.values()))


def _check_stage_options(recipe: StagedRecipe, options_of: OptionsOf, arguments: list[str]) -> None:
    """Refuse what belongs to the whole training, or to nothing, behind the name of a stage."""
    whole = {option.name.replace("_", "-") for option in fields(options_of(Recipe()))}
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

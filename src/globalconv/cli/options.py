"""Options of a verb that takes a recipe, of which all fields are options; of a staged one, each stage's too.

Options of a verb: a dataclass or a union of them, read by tyro; what it refuses becomes one line.
"""

import contextlib
import io
import re
from collections.abc import Callable
from dataclasses import fields
from typing import Any

import tyro

from globalconv.errors import InputError
from globalconv.training.recipe import Recipe, StagedRecipe
from globalconv.training.recipes.index import first_line

DataOption = tyro.conf.UseAppendAction[tuple[str, ...]]
"""`--data PATH`, or `--data voc=PATH sbd=PATH`: words for `parse_data`."""

_OPTION = re.compile(r"--[\w.-]+")
_PLACE = re.compile(r"^Error parsing \w+: (?=`)")
"""Names a group of options, which nobody typed."""


def read_options(kind: Any, verb: str, arguments: list[str], description: str) -> Any:
    """Return `arguments` as an instance of `kind`; `InputError`, one line, for what does not fit.

    `--help` prints and exits, as usual.
    """
    refused = io.StringIO()
    try:
        with contextlib.redirect_stderr(refused):
            return tyro.cli(
                kind,
                prog=f"globalconv {verb}",
                args=each_by_itself(arguments, "--data", r"\w+="),
                description=description,
                config=(tyro.conf.OmitSubcommandPrefixes, tyro.conf.CascadeSubcommandArgs),
            )
    except SystemExit as end:
        if not end.code:
            raise
        raise InputError(_one_line(refused.getvalue(), verb)) from None


def with_value(arguments: list[str], option: str, value: str) -> list[str]:
    """Return `arguments` with `value` after an `option` that stands alone."""
    filled: list[str] = []
    for place, word in enumerate(arguments):
        alone = word == option and all(following.startswith("--") for following in arguments[place + 1 : place + 2])
        filled += [word, value] if alone else [word]
    return filled


def each_by_itself(arguments: list[str], option: str, own: str) -> list[str]:
    """Return `arguments` with `option` before each word behind it: `--data voc=A sbd=B`, `--results A B`.

    Only words that begin as the pattern `own` says are taken for its own, so that what else stands behind keeps its
    meaning. For options of `tyro.conf.UseAppendAction`, which take one word at a time and may be repeated.
    """
    spread: list[str] = []
    goes_on = False
    for word in arguments:
        fits = re.match(own, word) is not None
        if spread[-1:] == [option]:
            goes_on = fits
        elif goes_on and fits:
            spread.append(option)
        else:
            goes_on = re.match(f"{option}={own}", word) is not None
        spread.append(word)
    return spread


def _one_line(box: str, verb: str) -> str:
    """Return what tyro drew in a box as a sentence: the complaint, and the option or command it suggests instead."""
    sections = _sections(box)
    complaint, *others = sections if box.startswith("╭") else sections[1:]  # in ASCII the title is a section too
    said = [_PLACE.sub("", complaint.rstrip("."))]
    for section in others:
        if section.startswith("Perhaps you meant") and (option := _OPTION.search(section)):
            said.append(f"did you mean {option[0]}?")
        elif section.startswith("Available subcommands"):
            said.append(section)
    return f"{verb}: {'; '.join(said)}; see globalconv {verb} --help"


def _sections(box: str) -> list[str]:
    """Return the texts between the rules of a box, drawn in Unicode or, where the terminal has none, in ASCII."""
    sections: list[list[str]] = [[]]
    for line in box.splitlines():
        text = line.strip("│| ")
        if line.startswith(("╭", "╰")):
            continue
        if text and set(text) <= {"─", "-"}:
            sections.append([])
        else:
            sections[-1].append(text)
    return [" ".join(" ".join(section).split()) for section in sections]


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

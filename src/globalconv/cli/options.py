"""Options of a verb: a dataclass, or a union of them, read by tyro; what tyro refuses becomes one line.

Of a verb that takes a recipe, all fields of the recipe are options; of a staged one, those of each stage too.
"""

import contextlib
import io
import os
import re
import shutil
from collections.abc import Callable, Collection, Iterator
from dataclasses import fields
from typing import Any

import tyro

from globalconv.cli.limits import check_limits
from globalconv.errors import InputError, print_line
from globalconv.runtime.processes import is_first_process
from globalconv.runtime.text import one_line
from globalconv.training.recipe import Recipe, StagedRecipe, differences
from globalconv.training.recipes.index import first_line

DataOption = tyro.conf.UseAppendAction[tuple[str, ...]]
"""`--data PATH`, or `--data voc=PATH sbd=PATH`: words for `parse_data`."""

NARROWEST = 40
"""Columns of the narrowest terminal that help is laid out for."""


def read_options(kind: Any, verb: str, arguments: list[str], description: str) -> Any:
    """Return `arguments` as an instance of `kind`; `InputError`, one line, for what does not fit.

    `--help` prints and exits, as usual.
    """
    box = io.StringIO()
    try:
        with contextlib.redirect_stderr(box), _wide_enough():
            options = tyro.cli(
                kind,
                prog=f"globalconv {verb}",
                args=repeat_option(arguments, "--data", r"\w+="),
                description=description,
                config=(tyro.conf.OmitSubcommandPrefixes, tyro.conf.CascadeSubcommandArgs),
            )
    except SystemExit as end:
        if not end.code:
            raise
        raise InputError(f"{verb}: {_read_box(box.getvalue())}; see globalconv {verb} --help") from None
    check_limits(options)
    return options


@contextlib.contextmanager
def _wide_enough() -> Iterator[None]:
    """Let a terminal be at least `NARROWEST` wide inside the block: tyro never ends to break its lines for less."""
    if shutil.get_terminal_size().columns >= NARROWEST:
        yield
        return
    before = os.environ.get("COLUMNS")
    os.environ["COLUMNS"] = str(NARROWEST)
    try:
        yield
    finally:
        del os.environ["COLUMNS"]
        if before is not None:
            os.environ["COLUMNS"] = before


def with_value(arguments: list[str], option: str, value: str) -> list[str]:
    """Return `arguments` with `value` after an `option` that has none: `--crf` alone is `--crf default`."""
    filled: list[str] = []
    for place, word in enumerate(arguments):
        alone = word == option and all(following.startswith("--") for following in arguments[place + 1 : place + 2])
        filled += [word, value] if alone else [word]
    return filled


def repeat_option(arguments: list[str], option: str, pattern: str) -> list[str]:
    """Return `arguments` with `option` repeated before each of its words: `--data voc=A sbd=B`, `--results A B`.

    Only words that match `pattern` belong to the option; others keep their meaning. For options of
    `tyro.conf.UseAppendAction`, which take one word at a time.
    """
    repeated: list[str] = []
    continues = False
    for word in arguments:
        matches = re.match(pattern, word) is not None
        if repeated[-1:] == [option]:
            continues = matches
        elif continues and matches:
            repeated.append(option)
        else:
            continues = re.match(f"{option}={pattern}", word) is not None
        repeated.append(word)
    return repeated


def _read_box(box: str) -> str:
    """Return the text of tyro's box as a sentence: what was refused, and the option or command it suggests instead.

    A box is drawn in Unicode or, where the terminal has none, in ASCII, and has sections between horizontal rules.
    """
    sections = [""]
    for line in box.splitlines():
        text = line.strip("│| ")
        if line.startswith(("╭", "╰")):
            continue
        if text and set(text) <= {"─", "-"}:
            sections.append("")
        else:
            sections[-1] += f" {text}"
    refusal, *others = [one_line(text, limit=None) for text in sections][0 if box.startswith("╭") else 1 :]
    sentence = [
        re.sub(r"^Error parsing \w+: (?=`)", "", refusal.rstrip("."))
    ]  # the name of a group, which nobody typed
    for section in others:
        if section.startswith("Perhaps you meant") and (option := re.search(r"--[\w.-]+", section)):
            sentence.append(f"did you mean {option[0]}?")
        elif section.startswith("Available subcommands"):
            sentence.append(section)
    return "; ".join(sentence)


OptionsOf = Callable[[Recipe], Any]
"""Returns the type of a verb's options, one of which is `recipe`, whose fields have the given recipe as defaults."""


def read_recipe(
    recipe: Recipe | StagedRecipe, verb: str, name: str, options_of: OptionsOf, arguments: list[str]
) -> tuple[Recipe | StagedRecipe, Any]:
    """Return the recipe `name` with its fields as given to `globalconv VERB`, and the other options."""
    if isinstance(recipe, Recipe):
        options = _read_fields(recipe, verb, options_of, arguments, first_line(name))
        return options.recipe, options

    common = {option.name.replace("_", "-") for option in fields(options_of(Recipe()))}
    for word in arguments:
        stage, _, field = word.partition("=")[0].removeprefix("--").partition(".")
        if not word.startswith("--") or stage not in recipe.stages:
            continue
        if not field:
            raise InputError(f"{word}: is a stage; name a field of it, --{stage}.FIELD VALUE")
        if (option := field.replace("_", "-").removeprefix("no-")) in common:
            raise InputError(f"{word}: is of the whole training, not of a stage; give --{option}")

    description = (
        f"{first_line(name)} Stages: {', '.join(recipe.stages)}; --FIELD is for all of them, --STAGE.FIELD for one."
        f" Below are the defaults of {next(iter(recipe.stages))}; globalconv recipes {name} has all."
    )
    options_by_stage = {}
    for stage, defaults in recipe.stages.items():
        words = _arguments_of_stage(stage, recipe.stages, arguments)
        try:
            options_by_stage[stage] = _read_fields(defaults, verb, options_of, words, description)
        except InputError as error:
            has_own = any(word.startswith(f"--{stage}.") for word in arguments)
            raise InputError(f"{error} (of the stage {stage})" if has_own else str(error)) from None
    stages = {stage: options.recipe for stage, options in options_by_stage.items()}
    return StagedRecipe(stages), next(iter(options_by_stage.values()))


def _read_fields(recipe: Recipe, verb: str, options_of: OptionsOf, arguments: list[str], description: str) -> Any:
    """Return the options, with the values of `recipe` where `arguments` have none.

    `--model.backbone-weights none` alone trains a recipe from scratch that starts from weights: what spares these is
    off then, unless it is asked for, and a line tells it.
    """
    options = read_options(options_of(recipe), verb, arguments, description)
    if recipe.model.backbone_weights is None or options.recipe.model.backbone_weights is not None:
        return options
    fresh = read_options(options_of(recipe.from_scratch()), verb, arguments, description)
    if (changes := differences(options.recipe, fresh.recipe)) and is_first_process():
        print_line(f"backbone    no weights to spare, so other than in the recipe: {', '.join(changes)}")
    return fresh


def _arguments_of_stage(stage: str, stages: Collection[str], arguments: list[str]) -> list[str]:
    """Return the arguments for all stages, then those of `stage` without its name: the last one wins."""
    common: list[str] = []
    own: list[str] = []
    group = common
    for word in arguments:
        if word.startswith("--"):
            prefix, _, field = word[2:].partition(".")
            group = own if prefix == stage else [] if prefix in stages else common
            word = f"--{field}" if prefix == stage else word
        group.append(word)
    return common + own

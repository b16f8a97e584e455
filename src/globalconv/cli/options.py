"""Options of a verb: a dataclass or a union of them, read by tyro; what it refuses becomes one line."""

import contextlib
import io
import re
from typing import Any

import tyro

from globalconv.errors import InputError

DataOption = tyro.conf.UseAppendAction[tuple[str, ...]]
"""`--data PATH`, or `--data voc=PATH sbd=PATH`: words for `parse_data`."""

_OPTION = re.compile(r"--[\w.-]+")
_PLACE = re.compile(r"^Error parsing \w+: (?=--)")
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

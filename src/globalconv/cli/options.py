"""Options of a verb: a dataclass or a union of them, read by tyro; what it refuses becomes one line."""

import contextlib
import io
import re
from typing import Any

import tyro

from globalconv.errors import InputError

_RULE = re.compile(r"─{5,}")
_BOX = re.compile(r"[╭╮╰╯│─]+")


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
                args=arguments,
                description=description,
                config=(tyro.conf.OmitSubcommandPrefixes, tyro.conf.CascadeSubcommandArgs),
            )
    except SystemExit as end:
        if not end.code:
            raise
        raise InputError(_one_line(refused.getvalue(), verb)) from None


def _one_line(box: str, verb: str) -> str:
    """Return what tyro drew in a box as a sentence: the complaint, then its suggestion."""
    inside = "\n".join(line for line in box.splitlines() if not line.startswith(("╭", "╰")))
    parts = [" ".join(_BOX.sub(" ", part).split()) for part in _RULE.split(inside)]
    said = [part for part in parts if part and "full helptext" not in part]
    return f"{'; '.join(said[:2])}; see globalconv {verb} --help"

"""What may not be published with a network: places on a machine, and the names of its users and of the machine.

Paths give way to their last name (/Users/me/CamVid: CamVid), names of users and machines to an ellipsis. Which names
these are is asked of this machine and read from the home folders in what was recorded, perhaps on another one.
"""

import contextlib
import getpass
import os
import platform
import re
import socket
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

HIDDEN = "…"

COMMON = {
    "admin", "container", "data", "docker", "home", "image", "images", "linux", "localhost", "model", "root", "runner",
    "runs", "test", "train", "ubuntu", "user", "users", "val", "work",
}  # fmt: skip
"""Names of users and machines that many have, so that they tell nothing about one, and that other things have too."""

PATH = re.compile(
    r"""(?<![\w:/\\])  # the middle of a word, of a URL or of another path begins none
    (?: (?:file://|~[\w.-]*|[A-Za-z]:|\.\.?|\\)(?=[/\\]) | (?=[/\\][^/\\\s]+[/\\]) )
    (?:[/\\]+[^/\\\n"'<>|*?]*(?=[/\\]))*  # names of folders may hold spaces
    [/\\]+(?P<name>[^/\\\s"'<>|*?,;)]*)""",
    re.VERBOSE,
)
"""A path in a text that is none of a repository or of a class such as road/pavement: absolute, or from . or ~."""

HUB_ADDRESS = re.compile(r"(hf://[\w.-]+/[\w.-]+(?:@[\w./-]+)?)")
"""A place on the hub, which is public: a user's name there may be that on the machine."""

HOMES = re.compile(r"[/\\](?:home|Users)[/\\]([^/\\\s\"']+)")


def private_names(*recorded: str) -> tuple[str, ...]:
    """Return names of this machine's user and of the machine, and of the users whose home folders are in `recorded`."""
    names = [platform.node(), socket.gethostname(), Path.home().name]
    names += [os.environ.get(name, "") for name in ("USER", "LOGNAME", "USERNAME", "HOSTNAME", "COMPUTERNAME")]
    with contextlib.suppress(OSError, KeyError, ImportError):  # a user without a name
        names.append(getpass.getuser())
    names += [name.partition(".")[0] for name in names]
    for text in recorded:
        names += HOMES.findall(text)
    kept = {name for name in names if len(name) > 1 and name.lower() not in COMMON}
    return tuple(sorted(kept, key=lambda name: (-len(name), name)))  # the longest first: it may hold another


def without_private(text: str, names: Sequence[str]) -> str:
    """Return `text` with each path as its last name, and `names`, where they stand as words, as an ellipsis."""
    return "".join(
        part if HUB_ADDRESS.fullmatch(part) else _without_private(part, names) for part in HUB_ADDRESS.split(text)
    )


def _without_private(text: str, names: Sequence[str]) -> str:
    for folder in (str(Path.home()), str(Path.cwd())):
        if len(Path(folder).parts) > 1:  # these may hold spaces
            text = re.sub(rf"(?<![\w:/\\]){re.escape(folder)}(?![\w-])", "~", text)
    text = PATH.sub(lambda path: path["name"] or HIDDEN, text)
    text = re.sub(r"(?<![\w.~-])~(?![\w])", HIDDEN, text)
    for name in names:
        text = re.sub(rf"(?<![^\W_]){re.escape(name)}(?![^\W_])", HIDDEN, text, flags=re.IGNORECASE)
    return text


def public_name(path: str, names: Sequence[str]) -> str:
    """Return the last name of `path`, which may be relative, and hold spaces."""
    return without_private(re.split(r"[/\\]", path.rstrip("/\\"))[-1], names) or HIDDEN


def is_private(text: str, names: Sequence[str]) -> bool:
    """Return whether `without_private` would change `text`."""
    return without_private(text, names) != text


def public_json(value: Any, names: Sequence[str]) -> Any:
    """Return a JSON value whose texts, keys too, are `without_private`."""
    if isinstance(value, dict):
        return {without_private(str(key), names): public_json(inner, names) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [public_json(inner, names) for inner in value]
    return without_private(value, names) if isinstance(value, str) else value


def texts_in(value: Any) -> Iterable[str]:
    """Yield every text in a JSON value, keys too."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield str(key)
            yield from texts_in(inner)
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from texts_in(inner)
    elif isinstance(value, str):
        yield value

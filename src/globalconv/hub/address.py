"""Addresses of repositories on the hub: hf://USER/NAME, or hf://USER/NAME@REVISION. Imports nothing of the hub."""

import re
from dataclasses import dataclass
from pathlib import Path

from globalconv.errors import InputError

SCHEME = re.compile(r"hf:[/\\]+")
"""How an address begins, also after it went through `Path`, which leaves one slash of two."""

PART = r"(?!.*(?:--|\.\.))[A-Za-z0-9_](?:[\w.-]{0,94}[A-Za-z0-9_])?"

COMMIT = re.compile(r"[0-9a-f]{40}")


@dataclass(frozen=True)
class HubAddress:
    """A repository on the hub, and the branch, tag or commit of it; None is the hub's default branch."""

    repository: str
    revision: str | None = None

    def __str__(self) -> str:
        return f"hf://{self.repository}" + ("" if self.revision is None else f"@{self.revision}")

    @property
    def is_commit(self) -> bool:
        """Whether it names one commit, whose files never change."""
        return self.revision is not None and COMMIT.fullmatch(self.revision) is not None


def is_address(path: object) -> bool:
    """Return whether `path`, a text or a `Path`, is an address on the hub."""
    return isinstance(path, str | Path) and SCHEME.match(str(path)) is not None


def parse_address(path: str | Path) -> HubAddress:
    """Return the address that `path` is; `InputError` for one that no repository can have."""
    text = SCHEME.sub("", str(path).replace("\\", "/"), count=1)
    repository, at, revision = text.partition("@")
    shown = f"hf://{text}"
    check_repository(repository, shown)
    if at and not re.fullmatch(r"(?!.*(?:\.\.|//))[\w.][\w./+-]*(?<![./])", revision):
        raise InputError(f"{shown}: {revision!r} is no branch, tag or commit; write hf://USER/NAME@REVISION")
    return HubAddress(repository, revision if at else None)


def check_repository(repository: str, shown: str | None = None) -> str:
    """Return `repository`; `InputError`, which calls it `shown`, unless it is USER/NAME as the hub allows them."""
    owner, _, name = repository.partition("/")
    if not re.fullmatch(PART, owner) or not re.fullmatch(PART, name) or name.endswith(".git"):
        raise InputError(
            f"{shown or repository}: {repository!r} is no name of a repository; write USER/NAME, of letters, digits,"
            " '-', '_' and '.', at most 96 each, without '--' and '..'"
        )
    return repository


def shown_path(path: str | Path) -> str:
    """Return what to call `path` in words: an address as it is written, which `Path` spoils, or the path."""
    return str(parse_address(path)) if is_address(path) else str(path)


def recorded_path(path: Path) -> str:
    """Return `path` as a run records it: an address as it is written, or an absolute path."""
    return str(parse_address(path)) if is_address(path) else str(path.resolve())

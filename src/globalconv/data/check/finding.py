"""What `data check` says: one thing about a data set."""

from dataclasses import dataclass
from typing import Literal

Severity = Literal["error", "warning", "note"]
SEVERITIES: tuple[Severity, ...] = ("error", "warning", "note")


@dataclass(frozen=True)
class Finding:
    """One thing about a data set: what it is, how often, where, and what to do."""

    severity: Severity
    kind: str
    message: str
    count: int = 1
    samples: tuple[str, ...] = ()
    """All that have it, where it is a matter of samples."""


def counted(number: int, what: str) -> str:
    """Return "1 picture", "2 pictures"."""
    return f"{number} {what}{'' if number == 1 else 's'}"

"""What readers tell of a data set, by its causes: one finding a cause, however many files have it.

A cause is a kind, of an error or a warning, together with the remedy in its message, the words after the last "; ",
without what differs from file to file: names, paths, numbers.
"""

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from globalconv.data.checks.sample import Finding, Severity

MAX_CAUSES = 8
"""Findings that one kind may become; whatever its messages hold, all further ones are one more finding."""

OWN_FINDINGS = 4
"""Cases of one cause that each name several samples and stay findings of their own: one a folder, one a split."""

_VARIABLE = re.compile(
    r"""'(?:[^'\\]|\\.)*' | "(?:[^"\\]|\\.)*" | `[^`]*`  # names in quotes, settings
    | \S*[/\\]\S*                                         # paths
    | \S*\w\.\w\S*                                         # names of files, numbers with a point
    | \S*\d\S*                                            # numbers, sizes, names with a number
    """,
    re.VERBOSE,
)


class Case(NamedTuple):
    """One thing that a reader told: an error, a warning or a note, and the samples that it is about."""

    severity: Severity
    kind: str
    message: str
    samples: tuple[str, ...]


def find_causes(cases: Iterable[Case]) -> list[Finding]:
    """Return a finding for each cause of `cases`, in the order of their first cases.

    Its message is the first case's; its count and samples are of all.
    """
    causes: dict[tuple[str, str, str], list[Case]] = defaultdict(list)
    for case in dict.fromkeys(cases):  # several splits may meet one
        causes[case.severity, case.kind, cause_of(case.message)].append(case)
    groups: dict[tuple[str, str], list[list[Case]]] = defaultdict(list)
    for (severity, kind, _), group in causes.items():
        summaries = [case for case in group if len(case.samples) > 1]
        own = summaries if len(summaries) <= OWN_FINDINGS else []
        groups[severity, kind] += [[case] for case in own]
        if others := [case for case in group if case not in own]:
            groups[severity, kind].append(others)
    findings = []
    for of_kind in groups.values():
        rest = [case for group in of_kind[MAX_CAUSES:] for case in group]
        findings += [_make_finding(group) for group in [*of_kind[:MAX_CAUSES], rest] if group]
    return findings


def cause_of(message: str) -> str:
    """Return what a message says whatever the file: its remedy without names, paths and numbers."""
    where, _, problem = message.partition(": ")
    text = message.rpartition("; ")[2] if "; " in message else problem or where
    return " ".join(_VARIABLE.sub("*", text).split())


def _make_finding(cases: Sequence[Case]) -> Finding:
    # A case without samples is named by the file or entry at the beginning of its message.
    severity, kind, message, samples = cases[0]
    if cases[1:]:
        samples = tuple(name for case in cases for name in case.samples or (case.message.partition(": ")[0],))
    return Finding(severity, kind, message, max(1, len(samples)), samples)

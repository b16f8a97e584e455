"""From the facts of all samples to what a person should know, by severity, each with a remedy."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from globalconv.data.check.examine import THUMBNAIL, Facts
from globalconv.labels import IGNORE, LabelSpace

Severity = Literal["error", "warning", "note"]
SEVERITIES: tuple[Severity, ...] = ("error", "warning", "note")

ALIKE, SAME_PLACE = 0.98, 0.85
"""Correlation of two thumbnails from which pictures count as near-identical, and, as the median over a split, as taken
in the same places. CamVid's val frames have 0.90 (0.93 at most) to the nearest training frame, which is a second away;
MSRC21's photographs 0.64; a film's neighbouring frames 0.99."""

BLOCK = 2048
"""Pictures compared with all others at once: bounds the memory of the comparison."""


@dataclass(frozen=True)
class Finding:
    """One thing about a data set: what it is, how often, where, and what to do."""

    severity: Severity
    kind: str
    message: str
    count: int = 1
    examples: tuple[str, ...] = ()
    """Samples, the first few."""


def findings(samples: Sequence[Facts], listing: Iterable[tuple[str, str]], labels: LabelSpace) -> list[Finding]:
    """Return what there is to say, errors first.

    `listing` are (kind, message) of what went wrong before any sample was read.
    """
    found = [Finding("error", kind or "listing", message) for kind, message in listing]
    found += _problems(samples)
    found += _duplicates(samples)
    found += _classes(samples, labels)
    found += _colours(samples)
    found += _sizes(samples)
    return sorted(found, key=lambda finding: SEVERITIES.index(finding.severity))


def _few(names: Sequence[str]) -> tuple[str, ...]:
    return tuple(names[:5])


def _problems(samples: Sequence[Facts]) -> list[Finding]:
    """Group the problems of samples: one finding a kind and cause, with the first message in full."""
    groups: dict[tuple[str, str], list[tuple[str, str]]] = defaultdict(list)
    for sample in samples:
        for problem in sample.problems:
            groups[problem.kind, problem.message.rpartition("; ")[2]].append((sample.name, problem.message))
    return [
        Finding("error", kind, group[0][1], len(group), _few([name for name, _ in group]))
        for (kind, _), group in groups.items()
    ]


def _duplicates(samples: Sequence[Facts]) -> list[Finding]:
    """Find pictures that occur twice: the same in two splits is an error, for the score would be of pictures learnt."""
    readable = [sample for sample in samples if sample.digest]
    same: dict[str, list[Facts]] = defaultdict(list)
    for sample in readable:
        same[sample.digest].append(sample)
    groups = [group for group in same.values() if len(group) > 1]
    across = [group for group in groups if len({sample.split for sample in group}) > 1]
    within = [group for group in groups if len({sample.split for sample in group}) == 1]
    found = []
    if across:
        found.append(
            Finding(
                "error", "duplicate",
                f"{len(across)} picture(s) in more than one split, so that scores would be of pictures seen in"
                " training; keep each in one split", len(across),
                _few([" = ".join(f"{sample.split}: {sample.name}" for sample in group) for group in across]),
            )
        )  # fmt: skip
    if within:
        found.append(
            Finding(
                "warning", "duplicate", f"{len(within)} picture(s) twice in a split; remove the copies", len(within),
                _few([" = ".join(sample.name for sample in group) for group in within]),
            )
        )  # fmt: skip
    return found + _near_identical(readable)


def _near_identical(samples: Sequence[Facts]) -> list[Finding]:
    """Find pictures outside the training split that look like a training picture (equal ones are told elsewhere)."""
    train = [sample for sample in samples if sample.split == "train"]
    others = [sample for sample in samples if sample.split != "train"]
    if not train or not others:
        return []
    nearest_N, likeness_N = _nearest(others, train)
    alike = [
        f"{other.split}: {other.name} ~ {train[index].name} ({likeness:.3f})"
        for other, index, likeness in zip(others, nearest_N, likeness_N, strict=True)
        if likeness >= ALIKE and other.digest != train[index].digest
    ]
    if alike:
        said = (
            f"{len(alike)} of {len(others)} pictures outside the training split look almost like a training picture, as"
            " neighbouring frames of a film do: scores on them say little about new places; split by film or by place"
        )
        return [Finding("warning", "near-identical", said, len(alike), _few(alike))]
    if (middle := float(np.median(likeness_N))) >= SAME_PLACE:
        said = (
            f"pictures outside the training split look like the same places or films as the training pictures (median"
            f" correlation with the nearest one {middle:.2f}, at most {likeness_N.max():.2f}): scores may not hold for"
            " new places; split by film or by place to know"
        )
        return [Finding("warning", "same-place", said)]
    return []


def _nearest(others: Sequence[Facts], train: Sequence[Facts]) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Return, for each of `others`, the index of the training picture that looks most like it, and the correlation."""
    train_NT, indices, likeness = _normalised(train), [], []
    for start in range(0, len(others), BLOCK):
        correlation_BN = _normalised(others[start : start + BLOCK]) @ train_NT.T
        indices.append(correlation_BN.argmax(axis=1))
        likeness.append(correlation_BN.max(axis=1))
    return np.concatenate(indices), np.concatenate(likeness)


def _normalised(samples: Sequence[Facts]) -> NDArray[np.float32]:
    """Return thumbnails as rows of zero mean and unit length; their products are correlations."""
    flat = np.array([np.frombuffer(sample.thumbnail, np.uint8) for sample in samples], np.float32)
    flat = flat.reshape(len(samples), THUMBNAIL**2)
    flat -= flat.mean(axis=1, keepdims=True)
    unit: NDArray[np.float32] = flat / np.maximum(np.linalg.norm(flat, axis=1, keepdims=True), 1e-3)
    return unit


def _classes(samples: Sequence[Facts], labels: LabelSpace) -> list[Finding]:
    """Find classes that never occur or only in some splits, and masks that hold nothing."""
    labelled = [sample for sample in samples if sample.pixels is not None]
    splits = sorted({sample.split for sample in labelled})
    seen = {split: {v for s in labelled if s.split == split for v in s.pixels or ()} - {IGNORE} for split in splits}
    names = labels.class_names
    found = []
    if never := [name for value, name in enumerate(names) if not any(value in there for there in seen.values())]:
        said = f"classes that never occur: {', '.join(never)}; remove them from the class list, or label some"
        found.append(Finding("warning", "class-never", said, len(never)))
    if "train" in seen:
        elsewhere = set().union(*(there for split, there in seen.items() if split != "train"))
        if unlearnt := [names[value] for value in sorted(elsewhere - seen["train"])]:
            said = f"classes outside the training split only: {', '.join(unlearnt)}; nothing can learn them: label some"
            found.append(Finding("error", "class-unlearnt", f"{said} for training", len(unlearnt)))
        if len(splits) > 1 and (unscored := [names[value] for value in sorted(seen["train"] - elsewhere)]):
            said = f"classes in the training split only: {', '.join(unscored)}; they are never scored"
            found.append(Finding("warning", "class-unscored", said, len(unscored)))
    if empty := [sample.name for sample in labelled if set(sample.pixels or ()) <= {IGNORE}]:
        said = f"{len(empty)} mask(s) hold void only; label them or leave them out"
        found.append(Finding("warning", "void-only", said, len(empty), _few(empty)))
    return found


def _colours(samples: Sequence[Facts]) -> list[Finding]:
    near, far = sum(sample.near_colours for sample in samples), sum(sample.far_colours for sample in samples)
    if not near + far:
        return []
    pixels = sum(sum((sample.pixels or {}).values()) for sample in samples)
    touched = [sample.name for sample in samples if sample.near_colours + sample.far_colours]
    said = (
        f"{near} pixels ({near / pixels:.3%}) take the nearest class within the tolerance, {far} ({far / pixels:.3%})"
        " are farther from every class and void; if that is more than smoothed edges, name the missing colours"
    )
    return [Finding("warning" if far > near else "note", "tolerance", said, len(touched), _few(touched))]


def _sizes(samples: Sequence[Facts]) -> list[Finding]:
    readable = [sample for sample in samples if sample.size]
    if small := [sample.name for sample in readable if sample.size and min(sample.size) < 32]:
        said = f"{len(small)} picture(s) less than 32 pixels wide or high: one cell of the coarsest features; enlarge"
        return [Finding("warning", "small", f"{said} or remove them", len(small), _few(small))]
    return []

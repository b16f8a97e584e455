"""Images that occur twice, and images outside the training split that look like training images.

Shapes: B of N images, thumbnails of T pixels.
"""

from collections import defaultdict
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from globalconv.data.checks.sample import THUMBNAIL, Facts, Finding, counted

ALIKE, SAME_PLACE = 0.98, 0.85
"""Correlation of two thumbnails from which images count as near-identical, and, as the median over a split, as taken
in the same places. CamVid's val frames have 0.90 (0.93 at most) to the nearest training frame, which is a second away;
MSRC21's photographs 0.64; a film's neighbouring frames 0.99."""

BLOCK = 2048
"""Images compared with all others at once: bounds the memory of the comparison."""


def duplicates(samples: Sequence[Facts]) -> list[Finding]:
    """Find images that occur twice: the same in two splits is an error, for the score would be of images learnt."""
    readable = [sample for sample in samples if sample.digest]
    same: dict[str, list[Facts]] = defaultdict(list)
    for sample in readable:
        same[sample.digest].append(sample)
    groups = [group for group in same.values() if len(group) > 1]
    across = [group for group in groups if len({sample.split for sample in group}) > 1]
    within = [group for group in groups if len({sample.split for sample in group}) == 1]
    found = []
    if across:
        said = (
            f"{counted(len(across), 'image')} in more than one split, so that scores would be of images seen in"
            " training; keep each in one split"
        )
        names = tuple(_copies(group, lambda sample: f"{sample.split}: {sample.name}") for group in across)
        found.append(Finding("error", "duplicate", said, len(across), names))
    if within:
        said = f"{counted(len(within), 'image')} twice in a split; remove the copies"
        names = tuple(_copies(group, lambda sample: sample.name) for group in within)
        found.append(Finding("warning", "duplicate", said, len(within), names))
    return found + _near_identical(readable)


def _copies(group: Sequence[Facts], told: Callable[[Facts], str]) -> str:
    """Name copies of one image, of every split first: few, for there may be thousands of one blank image."""
    first = list({sample.split: sample for sample in reversed(group)}.values())[::-1]
    shown = (first + [sample for sample in group if sample not in first])[:4]
    return " = ".join(map(told, shown)) + (f" = ... ({len(group)} in all)" if group[4:] else "")


def _near_identical(samples: Sequence[Facts]) -> list[Finding]:
    """Find images outside the training split that look like a training image (equal ones are told elsewhere)."""
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
            f"{len(alike)} of {len(others)} images outside the training split look almost like a training image, as"
            " neighbouring frames of a film do: scores on them say little about new places; split by film or by place"
        )
        return [Finding("warning", "near-identical", said, len(alike), tuple(alike))]
    if (middle := float(np.median(likeness_N))) >= SAME_PLACE:
        said = (
            f"images outside the training split look like the same places or films as the training images (median"
            f" correlation with the nearest one {middle:.2f}, at most {likeness_N.max():.2f}): scores may not hold for"
            " new places; split by film or by place to know"
        )
        return [Finding("warning", "same-place", said)]
    return []


def _nearest(others: Sequence[Facts], train: Sequence[Facts]) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Return, for each of `others`, the index of the training image that looks most like it, and the correlation."""
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

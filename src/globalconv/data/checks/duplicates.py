"""Images and masks that occur twice, and images outside the training split that look like training images.

Shapes: B of N images, thumbnails of T pixels.
"""

from collections import defaultdict
from collections.abc import Callable, Sequence

import numpy as np

from globalconv.arrays import Float32Array
from globalconv.data.checks.sample import THUMBNAIL, Facts, Finding, count_of
from globalconv.labels import IGNORE

NEAR_IDENTICAL, SAME_PLACE = 0.98, 0.85
"""Correlation of two thumbnails from which images count as near-identical, and, as the median over a split, as taken
in the same places. CamVid's val frames have 0.90 (0.93 at most) to the nearest training frame, which is a second away;
MSRC21's photographs 0.64; a film's neighbouring frames 0.99."""

BLOCK = 2048
"""Number of images that are compared with all others at once: bounds the memory of the comparison."""


def find_duplicates(samples: Sequence[Facts]) -> list[Finding]:
    """Find images that occur twice; one that is in two splits is an error: scores would be of images trained on."""
    # Images of one colour are no copies of each other, and have a finding of their own.
    readable = [sample for sample in samples if sample.digest and not sample.plain]
    by_digest: dict[str, list[Facts]] = defaultdict(list)
    for sample in readable:
        by_digest[sample.digest].append(sample)
    groups = [group for group in by_digest.values() if len(group) > 1]
    across = [group for group in groups if len({sample.split for sample in group}) > 1]
    within = [group for group in groups if len({sample.split for sample in group}) == 1]
    findings = []
    if across:
        message = (
            f"{count_of(len(across), 'image')} in more than one split, so that scores would be of images seen in"
            " training; keep each in one split"
        )
        names = tuple(_name_copies(group, lambda sample: f"{sample.split}: {sample.name}") for group in across)
        findings.append(Finding("error", "duplicate", message, len(across), names))
    if within:
        message = f"{count_of(len(within), 'image')} twice in a split; remove the copies"
        names = tuple(_name_copies(group, lambda sample: sample.name) for group in within)
        findings.append(Finding("warning", "duplicate", message, len(within), names))
    differing = [group for group in within if len({sample.mask_digest for sample in group if sample.mask_digest}) > 1]
    if differing:
        message = (
            f"{count_of(len(differing), 'image')} twice in a split, with different masks; keep the right one of each"
        )
        names = tuple(_name_copies(group, lambda sample: sample.name) for group in differing)
        findings.append(Finding("warning", "conflict", message, len(differing), names))
    return [*findings, *_find_copied_masks(readable), *_find_near_identical(readable)]


def _find_copied_masks(samples: Sequence[Facts]) -> list[Finding]:
    """Find masks that lie beside several different images. A mask of one class only may be right for any number."""
    by_mask: dict[str, list[Facts]] = defaultdict(list)
    for sample in samples:
        if len((sample.pixels or {}).keys() - {IGNORE}) > 1:
            by_mask[sample.mask_digest].append(sample)
    groups = [group for group in by_mask.values() if len({sample.digest for sample in group}) > 1]
    if not groups:
        return []
    message = (
        f"{count_of(len(groups), 'mask')} of several classes beside more than one image, equal to the pixel: copies of"
        " one image in other colours, or masks that were copied; look at them"
    )
    names = tuple(_name_copies(group, lambda sample: sample.name) for group in groups)
    return [Finding("note", "same-mask", message, len(groups), names)]


def _name_copies(group: Sequence[Facts], full_name: Callable[[Facts], str]) -> str:
    """Name at most four copies of one image, one of every split first: a blank image may occur thousands of times."""
    first = list({sample.split: sample for sample in reversed(group)}.values())[::-1]
    named = (first + [sample for sample in group if sample not in first])[:4]
    return " = ".join(map(full_name, named)) + (f" = ... ({len(group)} in all)" if group[4:] else "")


def _find_near_identical(samples: Sequence[Facts]) -> list[Finding]:
    """Find images outside the training split that look like a training image, apart from exact copies."""
    train = [sample for sample in samples if sample.split == "train"]
    others = [sample for sample in samples if sample.split != "train"]
    if not train or not others:
        return []
    train_NT = _normalised_thumbnails(train)
    blocks = [others[start : start + BLOCK] for start in range(0, len(others), BLOCK)]
    nearest, correlations = [], []
    for block in blocks:
        correlation_BN = _normalised_thumbnails(block) @ train_NT.T
        nearest.append(correlation_BN.argmax(axis=1))
        correlations.append(correlation_BN.max(axis=1))
    nearest_N, correlation_N = np.concatenate(nearest), np.concatenate(correlations)

    near_identical = tuple(
        f"{other.split}: {other.name} ~ {train[index].name} ({correlation:.3f})"
        for other, index, correlation in zip(others, nearest_N, correlation_N, strict=True)
        if correlation >= NEAR_IDENTICAL and other.digest != train[index].digest
    )
    if near_identical:
        message = (
            f"{len(near_identical)} of {len(others)} images outside the training split look almost like a training"
            " image, as neighbouring frames of a film do: scores on them say little about new places; split by film or"
            " by place"
        )
        return [Finding("warning", "near-identical", message, len(near_identical), near_identical)]
    if (median := float(np.median(correlation_N))) >= SAME_PLACE:
        message = (
            f"images outside the training split look like the same places or films as the training images (median"
            f" correlation with the nearest one {median:.2f}, at most {correlation_N.max():.2f}): scores may not hold"
            " for new places; split by film or by place to know"
        )
        return [Finding("warning", "same-place", message)]
    return []


def _normalised_thumbnails(samples: Sequence[Facts]) -> Float32Array:
    """Return thumbnails as rows of zero mean and unit length (N, T); their products are correlations."""
    rows_NT = np.array([np.frombuffer(sample.thumbnail, np.uint8) for sample in samples], np.float32)
    rows_NT = rows_NT.reshape(len(samples), THUMBNAIL**2)
    rows_NT -= rows_NT.mean(axis=1, keepdims=True)
    unit_NT: Float32Array = rows_NT / np.maximum(np.linalg.norm(rows_NT, axis=1, keepdims=True), 1e-3)
    return unit_NT

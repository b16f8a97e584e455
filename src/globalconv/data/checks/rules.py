"""The rules of `data check`: from the facts of all samples to findings, each with its severity and a remedy.

The rules are about values of no class, masks that hold too little, classes that never occur, colours within a
tolerance, small images, files of several frames, and images that belong to no sample. `duplicates` has those about
copies.
"""

import os
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path

from globalconv.data.annotations import DrawnSource
from globalconv.data.checks.duplicates import find_duplicates
from globalconv.data.checks.sample import Facts, Finding, count_of
from globalconv.data.datasets import list_used_files
from globalconv.data.formats.pairing import is_image, list_files
from globalconv.data.masks import CITYSCAPES_CLASSES, CITYSCAPES_LAST_ID, describe_valid_values, explain_wrong_values
from globalconv.data.source import Source
from globalconv.errors import InputError
from globalconv.geometry import STRIDE
from globalconv.labels import IGNORE, LabelSpace
from globalconv.runtime.text import abbreviate


def find_problems(samples: Sequence[Facts], listing_errors: Iterable[InputError], source: Source) -> list[Finding]:
    """Return the findings about `samples`, in no order.

    `listing_errors` are those of listing the samples, before any was read; `source` is one of the splits.
    """
    findings = [
        Finding("error", error.kind or "listing", str(error), max(1, len(error.samples)), error.samples)
        for error in listing_errors
    ]
    # Problems of samples: one finding a kind and remedy, with the first message in full.
    groups: dict[tuple[str, str], list[tuple[str, str]]] = defaultdict(list)
    for sample in samples:
        for problem in sample.problems if sample.stored is None else ():
            groups[problem.kind, problem.message.rpartition("; ")[2]].append((sample.name, problem.message))
    for (kind, _), group in groups.items():
        findings.append(Finding("error", kind, group[0][1], len(group), tuple(name for name, _ in group)))
    findings += _find_wrong_values(samples, source.labels)
    findings += find_duplicates(samples)
    findings += _find_empty_masks(samples, source)
    findings += _find_missing_classes(samples, source.labels)
    findings += _find_odd_files(samples)
    return findings


def _find_wrong_values(samples: Sequence[Facts], labels: LabelSpace) -> list[Finding]:
    """Find values of no class: one finding a cause, which all masks together show better than one does."""
    valid = {*range(labels.num_classes), *labels.void_values, IGNORE}
    present = sorted({value for sample in samples for value in (sample.stored or sample.pixels or ())})
    groups: dict[str, list[Facts]] = defaultdict(list)
    for sample in samples:
        if sample.stored is not None:
            wrong = sorted(sample.stored.keys() - valid)
            groups[explain_wrong_values(wrong, present, labels.num_classes)].append(sample)
    findings = []
    for cause, group in groups.items():
        pixels: Counter[int] = Counter()
        masks: Counter[int] = Counter()
        for sample in group:
            counts = {value: count for value, count in (sample.stored or {}).items() if value not in valid}
            pixels.update(counts)
            masks.update(counts.keys())
        values = ", ".join(f"{value} ({count} pixels in {masks[value]})" for value, count in pixels.most_common(8))
        more = f", ... ({len(pixels)} values)" if len(pixels) > 8 else ""
        message = (
            f"label values out of range in {len(group)} of {len(samples)} masks: {values}{more}"
            f" ({describe_valid_values(labels)}); {cause}"
        )
        findings.append(Finding("error", "values", message, len(group), tuple(sample.name for sample in group)))
    return findings


def _find_empty_masks(samples: Sequence[Facts], source: Source) -> list[Finding]:
    """Find images without any shape, and masks of 0 and 255 only, where 255 is not the second of two classes."""
    labels = source.labels
    if isinstance(source, DrawnSource):
        undrawn = source.classes.undrawn
        empty = [sample.name for sample in samples if sample.pixels and sample.pixels.keys() == {undrawn}]
        if not empty or undrawn == IGNORE:
            return []
        message = (
            f"{len(empty)} of {len(samples)} images without any shape count as background all over; if nobody has drawn"
            " on them yet, draw, or leave them out"
        )
        return [Finding("warning", "undrawn", message, len(empty), tuple(empty))]
    present = {value for sample in samples for value in (sample.pixels or ())}
    wrong_values = any(sample.stored for sample in samples)
    if present != {0, IGNORE} or labels.num_classes == 2 or labels.void_values or wrong_values:
        return []
    message = (
        f"all masks hold 0 and 255 only, as masks of two classes do, but there are {labels.num_classes} classes, so 255"
        f" is void and nothing but {labels.class_names[0]!r} can be learnt; name two classes (255 is the second then),"
        " or save the class indices"
    )
    return [Finding("error", "binary", message)]


def _find_missing_classes(samples: Sequence[Facts], labels: LabelSpace) -> list[Finding]:
    """Find classes that never occur or only in some splits, and masks with void only."""
    labelled = [sample for sample in samples if sample.pixels is not None]
    if not labelled:
        return []
    by_split: dict[str, set[int]] = defaultdict(set)
    for sample in labelled:
        by_split[sample.split] |= set(sample.pixels or ()) - {IGNORE}
    everywhere = set().union(*by_split.values())
    names = labels.class_names
    findings = []
    if never := [name for value, name in enumerate(names) if value not in everywhere]:
        remedy = "remove them from the class list, or label some"
        if len(names) == CITYSCAPES_LAST_ID + 1 and everywhere <= {*range(CITYSCAPES_CLASSES)}:
            remedy = (
                "the masks look like Cityscapes train ids and the class list like its label ids: use the same of both"
            )
        message = f"classes that never occur: {abbreviate(never)}; {remedy}"
        findings.append(Finding("warning", "class-never", message, len(never)))
    if "train" in by_split:
        elsewhere = set().union(*(values for split, values in by_split.items() if split != "train"))
        if untrained := [names[value] for value in sorted(elsewhere - by_split["train"])]:
            message = (
                f"classes outside the training split only: {abbreviate(untrained)}; nothing can learn them: label some"
                " for training"
            )
            findings.append(Finding("error", "class-unlearnt", message, len(untrained)))
        if len(by_split) > 1 and (unscored := [names[value] for value in sorted(by_split["train"] - elsewhere)]):
            message = (
                f"classes in the training split only: {abbreviate(unscored)}; they are never scored: label some for"
                " validation"
            )
            findings.append(Finding("warning", "class-unscored", message, len(unscored)))
    if void_only := tuple(sample.name for sample in labelled if set(sample.pixels or ()) <= {IGNORE}):
        message = f"{count_of(len(void_only), 'mask')} with void only; label them or leave them out"
        findings.append(Finding("warning", "void-only", message, len(void_only), void_only))
    return findings


def _find_odd_files(samples: Sequence[Facts]) -> list[Finding]:
    """Find masks whose colours are not exact, small images, and files of several frames."""
    findings = []
    near, far = sum(sample.near_colours for sample in samples), sum(sample.far_colours for sample in samples)
    if near + far:
        pixels = sum(sum((sample.pixels or {}).values()) for sample in samples)
        inexact = tuple(sample.name for sample in samples if sample.near_colours + sample.far_colours)
        message = (
            f"{near} pixels ({near / pixels:.3%}) take the nearest class within the tolerance, {far}"
            f" ({far / pixels:.3%}) are farther from every class and void; if that is more than"
            " smoothed edges, name the missing colours"
        )
        findings.append(Finding("warning" if far > near else "note", "tolerance", message, len(inexact), inexact))
    if small := tuple(sample.name for sample in samples if sample.size and min(sample.size) < STRIDE):
        message = (
            f"{count_of(len(small), 'image')} less than {STRIDE} pixels wide or high: one cell of the coarsest"
            " features; enlarge or remove them"
        )
        findings.append(Finding("warning", "small", message, len(small), small))
    if several := tuple(sample.name for sample in samples if sample.frames > 1):
        message = (
            f"{count_of(len(several), 'sample')} with files of several frames or pages, of which the first counts; save"
            " another one alone if it is meant"
        )
        findings.append(Finding("note", "frames", message, len(several), several))
    return findings


def find_unused_images(root: Path, layout: str, drawn: bool) -> list[Finding]:
    """Return one finding about the images below `root` that no sample of any split uses, if there are any.

    It is a warning where the annotations are drawn: nobody may have drawn on these images yet.
    """
    try:
        used = list_used_files(root, layout)
    except InputError:  # reported where the splits are read
        return []
    others = [path for path in list_files(root) if is_image(path) and path not in used]
    real = {os.path.realpath(path) for path in used} if others else set()
    unused = [path.relative_to(root) for path in others if os.path.realpath(path) not in real]
    if not unused:
        return []
    folders = Counter(path.parent.as_posix() for path in unused).most_common()
    places = ", ".join(f"{count} in {folder}" for folder, count in folders[:5]) + (", ..." if folders[5:] else "")
    message = f"images that belong to no sample, and are left out: {places}; annotate or list them, or move them away"
    names = tuple(path.as_posix() for path in unused)
    return [Finding("warning" if drawn else "note", "unused", message, len(unused), names)]

"""Images that lie in a data set and belong to no sample: nobody has drawn on them, or no list names them.

What `data check` says: one thing about a data set.

From the facts of all samples to what a person should know, by severity, each with a remedy.
"""

import os
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path

from globalconv.data.annotations import DrawnSource
from globalconv.data.checks.duplicates import duplicates
from globalconv.data.checks.sample import Facts, Finding, counted
from globalconv.data.datasets import used_files
from globalconv.data.formats.pairing import list_files
from globalconv.data.images import IMAGE_SUFFIXES
from globalconv.data.masks import CITYSCAPES_CLASSES, CITYSCAPES_LAST_ID, describe_valid_values, explain_wrong_values
from globalconv.data.source import Source
from globalconv.errors import InputError
from globalconv.geometry import STRIDE
from globalconv.labels import IGNORE, LabelSpace
from globalconv.runtime.text import abbreviate


def findings(samples: Sequence[Facts], listing: Iterable[InputError], source: Source) -> list[Finding]:
    """Return what there is to say, in no order.

    `listing` is what went wrong before any sample was read; `source` is one of the splits.
    """
    labels = source.labels
    found = [_of_listing(error) for error in listing]
    found += _problems(samples)
    found += _outside(samples, labels)
    found += duplicates(samples)
    found += _drawn_on(samples, source) if isinstance(source, DrawnSource) else _two_values(samples, labels)
    found += _classes(samples, labels)
    found += _colours(samples)
    found += _images(samples)
    return found


def _of_listing(error: InputError) -> Finding:
    return Finding("error", error.kind or "listing", str(error), max(1, len(error.samples)), error.samples)


def _problems(samples: Sequence[Facts]) -> list[Finding]:
    """Group the problems of samples: one finding a kind and cause, with the first message in full."""
    groups: dict[tuple[str, str], list[tuple[str, str]]] = defaultdict(list)
    for sample in samples:
        for problem in sample.problems if sample.stored is None else ():
            groups[problem.kind, problem.message.rpartition("; ")[2]].append((sample.name, problem.message))
    return [
        Finding("error", kind, group[0][1], len(group), tuple(name for name, _ in group))
        for (kind, _), group in groups.items()
    ]


def _outside(samples: Sequence[Facts], labels: LabelSpace) -> list[Finding]:
    """Tell the values that are no class: one finding a cause, which all masks together tell better than one."""
    known = {*range(labels.num_classes), *labels.void_values, IGNORE}
    present = {value for sample in samples for value in (sample.stored or sample.pixels or ())}
    groups: dict[str, list[Facts]] = defaultdict(list)
    for sample in samples:
        if sample.stored is not None:
            wrong = sorted(sample.stored.keys() - known)
            groups[explain_wrong_values(wrong, sorted(present), labels.num_classes)].append(sample)
    return [
        Finding(
            "error", "values",
            f"label values out of range in {len(group)} of {len(samples)} masks: {_counted(group, known)}"
            f" ({describe_valid_values(labels)}); {cause}", len(group), tuple(sample.name for sample in group),
        )
        for cause, group in groups.items()
    ]  # fmt: skip


def _counted(group: Sequence[Facts], known: set[int]) -> str:
    """Return the commonest values of no class, with their pixels and masks."""
    pixels: Counter[int] = Counter()
    masks: Counter[int] = Counter()
    for sample in group:
        outside = {value: count for value, count in (sample.stored or {}).items() if value not in known}
        pixels.update(outside)
        masks.update(outside.keys())
    shown = [f"{value} ({count} pixels in {masks[value]})" for value, count in pixels.most_common(8)]
    return ", ".join(shown) + (f", ... ({len(pixels)} values)" if len(pixels) > len(shown) else "")


def _two_values(samples: Sequence[Facts], labels: LabelSpace) -> list[Finding]:
    """Find masks of 0 and 255 where the classes are not two, of which 255 would be the second."""
    present = {value for sample in samples for value in (sample.pixels or ())}
    if present != {0, IGNORE} or labels.num_classes == 2 or labels.void_values or any(s.stored for s in samples):
        return []
    said = (
        f"all masks hold 0 and 255 only, as masks of two classes do, but there are {labels.num_classes} classes, so 255"
        f" is void and nothing but {labels.class_names[0]!r} can be learnt; name two classes (255 is the second then),"
        " or save the class indices"
    )
    return [Finding("error", "binary", said)]


def _drawn_on(samples: Sequence[Facts], source: DrawnSource) -> list[Finding]:
    """Find images on which nothing is drawn: background if that is a class, and maybe only not done yet."""
    nothing = [sample.name for sample in samples if sample.pixels and sample.pixels.keys() == {source.classes.undrawn}]
    if not nothing or source.classes.undrawn == IGNORE:
        return []
    said = (
        f"{len(nothing)} of {len(samples)} images without any shape count as background all over; if nobody has drawn"
        " on them yet, draw, or leave them out"
    )
    return [Finding("warning", "undrawn", said, len(nothing), tuple(nothing))]


def _classes(samples: Sequence[Facts], labels: LabelSpace) -> list[Finding]:
    """Find classes that never occur or only in some splits, and masks that hold nothing."""
    labelled = [sample for sample in samples if sample.pixels is not None]
    if not labelled:
        return []
    splits = sorted({sample.split for sample in labelled})
    seen = {split: {v for s in labelled if s.split == split for v in s.pixels or ()} - {IGNORE} for split in splits}
    names = labels.class_names
    found = []
    if never := [name for value, name in enumerate(names) if not any(value in there for there in seen.values())]:
        remedy = "remove them from the class list, or label some"
        if len(names) == CITYSCAPES_LAST_ID + 1 and set().union(*seen.values()) <= {*range(CITYSCAPES_CLASSES)}:
            remedy = (
                "the masks look like Cityscapes train ids and the class list like its label ids: use the same of both"
            )
        said = f"classes that never occur: {abbreviate(never)}; {remedy}"
        found.append(Finding("warning", "class-never", said, len(never)))
    if "train" in seen:
        elsewhere = set().union(*(there for split, there in seen.items() if split != "train"))
        if unlearnt := [names[value] for value in sorted(elsewhere - seen["train"])]:
            said = (
                f"classes outside the training split only: {abbreviate(unlearnt)}; nothing can learn them: label some"
            )
            found.append(Finding("error", "class-unlearnt", f"{said} for training", len(unlearnt)))
        if len(splits) > 1 and (unscored := [names[value] for value in sorted(seen["train"] - elsewhere)]):
            said = f"classes in the training split only: {abbreviate(unscored)}; they are never scored: label some"
            found.append(Finding("warning", "class-unscored", f"{said} for validation", len(unscored)))
    if empty := tuple(sample.name for sample in labelled if set(sample.pixels or ()) <= {IGNORE}):
        said = f"{counted(len(empty), 'mask')} with void only; label them or leave them out"
        found.append(Finding("warning", "void-only", said, len(empty), empty))
    return found


def _colours(samples: Sequence[Facts]) -> list[Finding]:
    near, far = sum(sample.near_colours for sample in samples), sum(sample.far_colours for sample in samples)
    if not near + far:
        return []
    pixels = sum(sum((sample.pixels or {}).values()) for sample in samples)
    touched = tuple(sample.name for sample in samples if sample.near_colours + sample.far_colours)
    said = (
        f"{near} pixels ({near / pixels:.3%}) take the nearest class within the tolerance, {far} ({far / pixels:.3%})"
        " are farther from every class and void; if that is more than smoothed edges, name the missing colours"
    )
    return [Finding("warning" if far > near else "note", "tolerance", said, len(touched), touched)]


def _images(samples: Sequence[Facts]) -> list[Finding]:
    found = []
    if small := tuple(sample.name for sample in samples if sample.size and min(sample.size) < STRIDE):
        said = (
            f"{counted(len(small), 'image')} less than {STRIDE} pixels wide or high: one cell of the coarsest features"
        )
        found.append(Finding("warning", "small", f"{said}; enlarge or remove them", len(small), small))
    if several := tuple(sample.name for sample in samples if sample.frames > 1):
        said = f"{counted(len(several), 'sample')} with files of several frames or pages, of which the first counts"
        found.append(Finding("note", "frames", f"{said}; save another one alone if it is meant", len(several), several))
    return found


def unused_images(root: Path, layout: str, drawn: bool) -> list[Finding]:
    """Return one finding about the images below `root` that no sample of any split uses; else nothing.

    It is a warning where images are `drawn` on: these may be waiting for it.
    """
    try:
        used = used_files(root, layout)
    except InputError:  # reading the splits says so
        return []
    there = [path for path in list_files(root) if path.suffix.lower() in IMAGE_SUFFIXES and path not in used]
    real = {os.path.realpath(path) for path in used} if there else set()
    left = [path.relative_to(root) for path in there if os.path.realpath(path) not in real]
    if not left:
        return []
    folders = Counter(path.parent.as_posix() for path in left).most_common()
    shown = ", ".join(f"{count} in {folder}" for folder, count in folders[:5]) + (", ..." if folders[5:] else "")
    said = f"images that belong to no sample, and are left out: {shown}; annotate or list them, or move them away"
    return [Finding("warning" if drawn else "note", "unused", said, len(left), tuple(path.as_posix() for path in left))]

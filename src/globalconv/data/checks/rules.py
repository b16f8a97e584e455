"""The rules of `data check`: from the facts of all samples to findings, each with its severity and a remedy.

The rules are about values of no class, masks that hold too little, that are their images or full of specks, classes
that never occur, colours within a tolerance, small images, files of several frames, and images that belong to no
sample. `causes` has what the readers tell, `duplicates` the rules about copies, `levels` those about blank and nearly
black images, `turned` those about EXIF.
"""

import os
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path

from globalconv.data.annotations import DrawnSource
from globalconv.data.checks.causes import Case, cause_of, find_causes
from globalconv.data.checks.duplicates import find_duplicates
from globalconv.data.checks.levels import find_odd_levels
from globalconv.data.checks.sample import MAX_VALUES, Facts, Finding, count_of
from globalconv.data.checks.turned import find_turned
from globalconv.data.datasets import LAYOUTS_ON_DISK, list_used_files
from globalconv.data.formats.pairing import list_files
from globalconv.data.masks import CITYSCAPES_CLASSES, CITYSCAPES_LAST_ID, describe_valid_values, explain_wrong_values
from globalconv.data.source import Source
from globalconv.data.suffixes import PHOTO_SUFFIXES, is_image
from globalconv.errors import InputError
from globalconv.geometry import STRIDE
from globalconv.labels import IGNORE, LabelSpace
from globalconv.runtime.text import abbreviate

CLASS_LIST_NAMES = re.compile(
    r"_?(class(es|_?names|_dict|_list|_?colou?rs)|label(s|_?map|_?names|_?colou?rs)|names|codes|palette|data|dataset|obj)"
    r"\.(txt|csv|tsv|json|ya?ml|names|xlsx?|pbtxt)",
    re.IGNORECASE,
)
"""Names of files in which tools write the names or colours of classes."""
THIN = 0.05
"""Classes are lines if less than this share of their pixels has four neighbours of the class."""
SPECK, MIN_SPECKS, SPECKS_SHARE = 4, 50, 0.02
"""Parts of fewer pixels are specks. They are told of where a class has as many of them, where they are half of its
parts, and where they hold less than this share of its pixels: else its objects are as small as that."""


def find_problems(samples: Sequence[Facts], listing_errors: Iterable[InputError], source: Source) -> list[Finding]:
    """Return the findings about `samples`, in no order.

    `listing_errors` are those of listing the samples, before any was read; `source` is one of the splits.
    """
    drawn = isinstance(source, DrawnSource)
    listed = [Case("error", error.kind or "listing", str(error), error.samples) for error in listing_errors]
    of_samples = [
        Case("error", problem.kind, problem.message, (sample.name,))
        for sample in samples
        if sample.stored is None  # wrong values are found over all masks together, below
        for problem in sample.problems
    ]
    return [
        *find_causes([*listed, *of_samples]),
        *_find_wrong_values(samples, source.labels),
        *find_duplicates(samples),
        *_find_empty_masks(samples, source),
        *_find_missing_classes(samples, source.labels),
        *_find_odd_masks(samples, source.labels, drawn),
        *_find_smeared_edges(samples),
        *_find_odd_files(samples),
        *find_odd_levels(samples),
        *find_turned(samples, drawn),
    ]


def _find_wrong_values(samples: Sequence[Facts], labels: LabelSpace) -> list[Finding]:
    """Find values of no class: one finding a cause, which all masks together show better than one does."""
    valid = {*range(labels.num_classes), *labels.void_values, IGNORE}
    present = sorted({value for sample in samples for value in (sample.stored or sample.pixels or ())})
    groups: dict[str, list[Facts]] = defaultdict(list)
    causes: dict[str, str] = {}
    for sample in samples:
        if sample.stored is not None:
            wrong = sorted(sample.stored.keys() - valid)
            explanation = explain_wrong_values(wrong, present, labels.num_classes)
            groups[cause_of(explanation)].append(sample)
            causes.setdefault(cause_of(explanation), explanation)
    findings = []
    for cause, group in groups.items():
        pixels: Counter[int] = Counter()
        masks: Counter[int] = Counter()
        for sample in group:
            counts = {value: count for value, count in (sample.stored or {}).items() if value not in valid}
            pixels.update(counts)
            masks.update(counts.keys())
        values = ", ".join(f"{value} ({count} pixels in {masks[value]})" for value, count in pixels.most_common(8))
        most = " or more" if any(len(sample.stored or ()) >= MAX_VALUES for sample in group) else ""
        more = f", ... ({len(pixels)}{most} values)" if len(pixels) > 8 else ""
        message = (
            f"label values out of range in {len(group)} of {len(samples)} masks: {values}{more}"
            f" ({describe_valid_values(labels)}); {causes[cause]}"
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
        alone = len(void_only) == len(samples)
        message = f"{count_of(len(void_only), 'mask')} with void only; label them or leave them out"
        if alone:
            message = "every mask is void only, so nothing can be learnt; see whether they were saved as they should be"
        findings.append(Finding("error" if alone else "warning", "void-only", message, len(void_only), void_only))
    return findings


def _find_odd_masks(samples: Sequence[Facts], labels: LabelSpace, drawn: bool) -> list[Finding]:
    """Find masks that are their images, masks that teach one class only, and parts that are specks."""
    findings = []
    if copies := tuple(sample.name for sample in samples if sample.is_copy):
        message = (
            f"{len(copies)} of {len(samples)} masks are their images, pixel by pixel; put the masks where these copies"
            " are"
        )
        findings.append(Finding("error", "copy", message, len(copies), copies))
    present = {value for sample in samples for value in (sample.pixels or ())} - {IGNORE}
    if len(present) == 1 and not drawn and not any(sample.problems for sample in samples):
        message = (
            f"every mask holds the class {labels.class_names[min(present)]!r} only, so nothing else can be learnt; see"
            " whether the masks were saved as they should be"
        )
        findings.append(Finding("error", "one-class", message))

    specks: list[str] = []
    speck_pixels = 0
    for value, name in enumerate(labels.class_names):
        parts: Counter[int] = Counter()
        for sample in samples:
            parts.update((sample.parts or {}).get(value, {}))
        small = {area: count for area, count in parts.items() if area < SPECK}
        pixels = sum(area * count for area, count in small.items())
        many = sum(small.values()) >= max(MIN_SPECKS, parts.total() / 2)
        if many and pixels < SPECKS_SHARE * sum(area * count for area, count in parts.items()):
            specks.append(f"{name} {sum(small.values())} of {parts.total()}")
            speck_pixels += pixels
    if specks:
        total = sum(sum((sample.pixels or {}).values()) for sample in samples)
        message = (
            f"most connected parts of some classes have fewer than {SPECK} pixels ({abbreviate(specks)}), together"
            f" {100 * speck_pixels / total:.2g}% of all pixels: specks, as of unsteady annotation; sizes go by area, so"
            " they do not matter there: clear them where objects are counted"
        )
        findings.append(Finding("note", "specks", message, len(specks)))
    return findings


def _find_smeared_edges(samples: Sequence[Facts]) -> list[Finding]:
    """Find classes that are the edges of others: values that compression or interpolation made, in lossless files."""
    crowded = [sample for sample in samples if sample.inner is not None]
    pixels, inner = Counter[int](), Counter[int]()
    for sample in crowded:
        pixels.update({value: count for value, count in (sample.pixels or {}).items() if value != IGNORE})
        inner.update(sample.inner or {})
    thin = [value for value, count in sorted(pixels.items()) if inner[value] < THIN * count]
    if not thin or len(thin) <= len(pixels) / 2:
        return []
    message = (
        f"{len(thin)} of {len(pixels)} classes are lines without an inside ({abbreviate(thin)}), as values are that"
        " JPEG, smoothing or resizing made at edges; save the masks anew from the original ones, as PNG, without"
        " smoothing, resized by nearest neighbour"
    )
    return [Finding("warning", "smeared", message, len(crowded), tuple(sample.name for sample in crowded))]


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
    rest = "in files of several frames or pages, of which the first counts; save another one alone if it is meant"
    if several := tuple(sample.name for sample in samples if sample.frames > 1):
        message = f"{count_of(len(several), 'image')} {rest}"
        findings.append(Finding("note", "frames", message, len(several), several))
    if several := tuple(sample.name for sample in samples if sample.mask_frames > 1):
        message = f"{count_of(len(several), 'mask')} {rest}"
        findings.append(Finding("warning", "frames", message, len(several), several))
    return findings


def find_unread_class_list(root: Path, labels: LabelSpace) -> list[Finding]:
    """Return one finding about files at `root` that seem to name the classes, where nothing else names them."""
    if labels.class_names[0] != "class 0":
        return []
    names = [path.name for path in sorted(root.iterdir()) if CLASS_LIST_NAMES.fullmatch(path.name) and path.is_file()]
    if not names:
        return []
    message = (
        f"the classes have no names, though there is {abbreviate(names)}, which is not read; write the names into"
        " classes.json or classes.csv"
    )
    return [Finding("note", "class-list", message)]


def find_unread_images(root: Path) -> list[Finding]:
    """Return one finding about the photographs below `root` whose format is not read, if there are any.

    A raw file beside an image of its name is that image.
    """
    files = list(list_files(root))
    unread = [file for file in files if file.suffix.lower() in PHOTO_SUFFIXES]
    if unread:
        images = {file.with_suffix("") for file in files if is_image(file)}
        unread = [file for file in unread if file.with_suffix("") not in images]
    if not unread:
        return []
    kinds = Counter(file.suffix.lower() for file in unread).most_common()
    counts = ", ".join(f"{count} {kind}" for kind, count in kinds)
    message = f"photographs of a format that is not read, and that are left out: {counts}; convert them to PNG or JPEG"
    return [
        Finding(
            "warning", "left-out", message, len(unread), tuple(file.relative_to(root).as_posix() for file in unread)
        )
    ]


def find_unused_images(root: Path, layout: str, drawn: bool) -> list[Finding]:
    """Return one finding about the images below `root` that no sample of any split uses, if there are any.

    It is a warning where the annotations are drawn: nobody may have drawn on these images yet.
    """
    try:
        used = list_used_files(root, layout)
    except InputError:  # reported where the splits are read
        return []
    beside = LAYOUTS_ON_DISK[layout].beside
    others = [
        path
        for path in list_files(root)
        if is_image(path) and path not in used and not re.search(beside, path.relative_to(root).as_posix())
    ]
    real = {os.path.realpath(path) for path in used} if others else set()
    unused = [path.relative_to(root) for path in others if os.path.realpath(path) not in real]
    if not unused:
        return []
    folders = Counter(path.parent.as_posix() for path in unused).most_common()
    places = ", ".join(f"{count} in {folder}" for folder, count in folders[:5]) + (", ..." if folders[5:] else "")
    message = f"images that belong to no sample, and are left out: {places}; annotate or list them, or move them away"
    names = tuple(path.as_posix() for path in unused)
    return [Finding("warning" if drawn else "note", "unused", message, len(unused), names)]

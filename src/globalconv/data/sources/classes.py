"""Which classes a data set has and how its masks hold them: as a class list declares, or as found in the masks."""

import dataclasses
from collections.abc import Iterable, Sequence
from pathlib import Path

from globalconv.data.masks import INDICES, MaskFormat, palette_of, read_mask, values_of
from globalconv.data.sources.class_list import ClassList, few, read_class_list
from globalconv.data.sources.source import Pair
from globalconv.errors import Complain, InputError, refuse
from globalconv.labels import IGNORE, MAX_CLASSES, Colour, LabelSpace

SPARSE = 32
"""Up to so many classes a few files may well hold only some; beyond, mostly missing values are no class indices."""

BINARY = ("background", "foreground")
"""What the classes of 0/255 masks are called that no list names."""


def declared_classes(root: Path, pairs: Sequence[Pair]) -> ClassList | None:
    """Return what the class list at `root` declares, or None; without colours, those of the masks' palette."""
    declared = read_class_list(root)
    if declared is None or declared.masks.colours:
        return declared
    palette = _stored_palette(pairs, declared.labels.num_classes)
    return dataclasses.replace(declared, labels=dataclasses.replace(declared.labels, palette=palette))


def scanned_classes(pairs: Sequence[Pair], complain: Complain = refuse) -> tuple[LabelSpace, MaskFormat]:
    """Return "class 0" .. for the values that occur in all masks, void being `IGNORE` only; 0/255 masks are binary.

    Masks that cannot be read go to `complain`.
    """
    first: dict[int, Path] = {}
    unread: list[InputError] = []
    for pair in pairs:
        try:
            for value in values_of(read_mask(pair.label)):
                first.setdefault(value, pair.label)
        except InputError as error:
            unread.append(error)
            complain(error)
    present = set(first)
    if not present:
        raise unread[0] if unread else InputError("the data hold no complete pair of an image and a mask; add some")
    if present == {0, IGNORE}:
        return LabelSpace(BINARY), MaskFormat(binary=True)
    values = sorted(present - {IGNORE})
    count = max(values, default=-1) + 1
    gaps = count > max(SPARSE, 4 * len(values))
    if min(values, default=-1) < 0 or count > MAX_CLASSES or gaps:
        raise InputError(
            f"{pairs[0].label.parent}: the label files hold the values {few(sorted(present))}"
            f"{f' (the largest in {first[values[-1]].name})' if values else ''}, which are not the indices of a class"
            " list; save classes as 0, 1, 2, ... and void as 255, or name the classes in classes.json",
            "values",
        )
    return LabelSpace(tuple(f"class {index}" for index in range(count)), _stored_palette(pairs, count)), INDICES


def agreed_classes(declared: LabelSpace, expected: LabelSpace | None, where: str) -> LabelSpace:
    """Return `declared`; `InputError` if the class names are not those `expected` (of trained weights)."""
    if expected is None or expected.class_names == declared.class_names:
        return declared
    differences = [
        f"{index}: {found!r} where {wanted!r} is expected"
        for index, (found, wanted) in enumerate(zip(declared.class_names, expected.class_names, strict=False))
        if found != wanted
    ]
    counts = f"{declared.num_classes} classes where {expected.num_classes} are expected"
    raise InputError(
        f"{where}: its classes are not those of the weights ({'; '.join([*differences[:3]] or [counts])});"
        " use the data the weights were trained for, or correct the class list"
    )


def holds_binary(labels: LabelSpace, masks: MaskFormat, pairs: Iterable[Pair], complain: Complain = refuse) -> bool:
    """Say whether two-class data hold 0 and 255 but never 1: then 255 is the foreground and nothing is void."""
    if labels.num_classes != len(BINARY):
        return False
    present: set[int] = set()
    for pair in pairs:
        try:
            stored = read_mask(pair.label, masks)
        except InputError as error:
            complain(error)
            continue
        if stored.ndim == 3:
            return False
        present.update(values_of(stored))
        if 1 in present:
            return False
    return present == {0, IGNORE}


def _stored_palette(pairs: Sequence[Pair], count: int) -> tuple[Colour, ...]:
    """Return the colours of the first mask's palette if it has one for every class, all different."""
    try:
        colours = palette_of(pairs[0].label)[:count] if pairs else []
    except InputError:  # whoever reads the mask will say so
        colours = []
    return tuple(colours) if len(set(colours)) == count else ()

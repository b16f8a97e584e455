"""Which classes a data set on disk has: declared in `classes.json`, or found in its label files.

`classes.json` at the root is a list of classes, `[{"name": "sky", "index": 0, "color": [128, 128, 128]}, ...]` (colour
optional) or plain names in order, or the fields of a `LabelSpace` as saved beside weights.
"""

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from globalconv.data.images import palette_of, read_indices, values_of
from globalconv.data.sources.source import Pair
from globalconv.errors import InputError
from globalconv.labels import IGNORE, MAX_CLASSES, Colour, LabelSpace

FILE_NAME = "classes.json"

SPARSE = 32
"""Up to so many classes a few files may well hold only some; beyond, mostly missing values are no class indices."""


def declared_classes(root: Path, pairs: Sequence[Pair]) -> LabelSpace | None:
    """Return the classes that `ROOT/classes.json` declares, or None if there is no such file."""
    file = root / FILE_NAME
    if not file.is_file():
        return None
    try:
        content = json.loads(file.read_text(encoding="utf-8-sig"))
        if isinstance(content, dict):
            return LabelSpace.from_json(content)
        names, colours = _entries(content)
        return LabelSpace(names, colours or _stored_palette(pairs, len(names)))
    except InputError as error:
        raise InputError(f"{file}: {error}") from None
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(
            f'{file}: not a class list ({error}); write [{{"name": "sky", "index": 0}}, ...], indices from 0'
        ) from None


def scanned_classes(pairs: Sequence[Pair]) -> LabelSpace:
    """Return "class 0" .. for the values that occur in all label files; void is `IGNORE` only."""
    present: set[int] = set()
    for pair in pairs:
        present.update(values_of(read_indices(pair.label)))
    values = sorted(present - {IGNORE})
    count = max(values, default=-1) + 1
    gaps = count > max(SPARSE, 4 * len(values))
    if min(values, default=-1) < 0 or count > MAX_CLASSES or gaps or (count == 1 and IGNORE in present):
        raise InputError(
            f"{pairs[0].label.parent}: the label files hold the values {_few(sorted(present))}, which are not the"
            f" indices of a class list{_binary(present)}; save classes as 0, 1, 2, ... and void as 255, or name the"
            f" classes in {FILE_NAME}"
        )
    return LabelSpace(tuple(f"class {index}" for index in range(count)), _stored_palette(pairs, count))


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


def refuse_binary(labels: LabelSpace, pairs: Iterable[Pair]) -> None:
    """Refuse two-class data whose masks hold 0 and 255 but never 1: its foreground would count as void."""
    if labels.num_classes != 2:
        return
    present: set[int] = set()
    for pair in pairs:
        present.update(values_of(read_indices(pair.label)))
        if 1 in present:
            return
    if IGNORE in present:
        raise InputError(
            f"{pair.label.parent}: the masks hold 0 and 255 but never 1, so {labels.class_names[1]!r} would be void"
            " everywhere; save the foreground as 1 (255 means void)"
        )


def _entries(content: Any) -> tuple[tuple[str, ...], tuple[Colour, ...]]:
    """Return names and colours (all or none) by index; an entry with the index of void is left out."""
    entries: list[dict[str, Any]] = [
        {"name": e, "index": i} if isinstance(e, str) else e for i, e in enumerate(content)
    ]
    entries = sorted((e for e in entries if e["index"] != IGNORE), key=lambda entry: int(entry["index"]))
    names = tuple(str(entry["name"]) for entry in entries)
    if (indices := [int(entry["index"]) for entry in entries]) != list(range(len(names))):
        raise InputError(f"the indices are {_few(indices)}; number the classes 0, 1, 2, ...")
    colours = [entry.get("color") for entry in entries]
    if None in colours:
        return names, ()
    return names, LabelSpace.from_json({"class_names": names, "palette": colours}).palette


def _stored_palette(pairs: Sequence[Pair], count: int) -> tuple[Colour, ...]:
    """Return the colours of the first label file's palette if it has one for every class, all different."""
    colours = palette_of(pairs[0].label)[:count] if pairs else []
    return tuple(colours) if len(set(colours)) == count else ()


def _few(values: list[int]) -> str:
    return ", ".join(map(str, values[:8])) + (f", ... ({len(values)} values)" if len(values) > 8 else "")


def _binary(present: set[int]) -> str:
    return " (0 and 255 only: a binary mask whose foreground would be void)" if present == {0, IGNORE} else ""

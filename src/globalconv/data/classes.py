"""Which classes a data set has and how its masks hold them: as a class list declares, or as found in the masks.

The class lists that people and annotation tools write, read from the root of a data set.

`classes.json` is a list of classes, `[{"name": "sky", "index": 0, "color": [128, 128, 128]}, ...]`, or of plain names,
or an object `{"classes": [...], "tolerance": 8}`, or the fields of a `LabelSpace` as saved beside weights.
`classes.csv` has a header and a class a line: `name`, `index`, and `color` (#808080) or `red,green,blue`.
`labelmap.txt` is CVAT's, `class_names.txt` labelme's. Index and colour are optional: without indices the order counts.

A class with index 255 or the name "void", "ignore" or "__ignore__" does not count: its index and colour mean void.
"""

import csv
import dataclasses
import json
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from globalconv.data.masks import INDEX_MASKS, MaskFormat, read_mask, read_palette, unique_values
from globalconv.data.source import Pair
from globalconv.errors import InputError, OnError, raise_error
from globalconv.labels import IGNORE, MAX_CLASSES, Colour, LabelSpace

VOID_NAMES = ("void", "ignore", "__ignore__")


@dataclass(frozen=True)
class ClassList:
    """What a class list declares."""

    labels: LabelSpace
    masks: MaskFormat
    """With the classes' colours where the list has them all."""
    void_names: tuple[str, ...] = VOID_NAMES
    """Names that mean pixels that do not count."""


@dataclass(frozen=True)
class ListedClass:
    """One line of a class list."""

    name: str
    index: int | None = None
    colour: Colour | None = None

    @property
    def void(self) -> bool:
        return self.index == IGNORE or self.name.lower() in VOID_NAMES


def read_class_list(root: Path, *also: str) -> ClassList | None:
    """Return what the class list at `root` declares, or None if there is none; two lists are an `InputError`.

    `also` are names of further files that hold a class a line.
    """
    files = [root / name for name in (*CLASS_LIST_READERS, *also) if (root / name).is_file()]
    if not files:
        return None
    if len(files) > 1:
        raise InputError(f"{root}: holds {' and '.join(file.name for file in files)}; keep one class list")
    file = files[0]
    try:
        return CLASS_LIST_READERS.get(file.name, _labelme_names)(file)
    except InputError as error:
        raise InputError(f"{file}: {error}") from None
    except UnicodeDecodeError as error:
        raise InputError(f"{file}: is not UTF-8 text ({error.reason}); save it as UTF-8") from None
    except (OSError, ValueError, KeyError, TypeError, AttributeError, csv.Error) as error:
        raise InputError(f"{file}: not a class list ({error}); {_EXAMPLES[file.suffix]}") from None


_EXAMPLES = {
    ".json": 'write [{"name": "sky", "index": 0}, ...], indices from 0',
    ".csv": "write a header name,index,red,green,blue and a class a line, indices from 0",
    ".txt": "write a class a line as the tool did, or a classes.csv instead",
}


def _json(file: Path) -> ClassList:
    content = json.loads(file.read_text(encoding="utf-8-sig"))
    if isinstance(content, dict) and "class_names" in content:
        return ClassList(LabelSpace.from_json(content), MaskFormat())
    tolerance = 0
    if isinstance(content, dict):
        tolerance, content = _whole(content.get("tolerance", 0), "tolerance"), content["classes"]
        if not 0 <= tolerance <= IGNORE:
            raise InputError(f'"tolerance" {tolerance}: give a difference between 0 and 255')
    return _declared([_entry({"name": e} if isinstance(e, str) else e) for e in content], tolerance)


def _csv(file: Path) -> ClassList:
    lines = file.read_text(encoding="utf-8-sig").splitlines()
    header = lines[0] if lines else ""
    delimiter = "," if "," in header else next((mark for mark in ";\t" if mark in header), ",")  # Excel's own choices
    columns, *rows = [[word.strip() for word in row] for row in csv.reader(lines, delimiter=delimiter)] or [[]]
    if long := [number for number, row in enumerate(rows, start=2) if len(row) > len(columns)]:
        raise InputError(
            f"line {long[0]} has {len(rows[long[0] - 2])} values where the header names {len(columns)} columns;"
            f" put a value that contains {delimiter!r} in quotes, or name every column"
        )
    names = [column.lower() for column in columns]
    return _declared([_entry(dict(zip(names, row, strict=False))) for row in rows if any(row)])


def _cvat_label_map(file: Path) -> ClassList:
    lines = [line.split(":") for line in _lines(file)]
    if short := [words[0] for words in lines if len(words) < 2]:
        raise InputError(f"not a class list ({short[0]!r} has no colour); {_EXAMPLES[file.suffix]}")
    return _declared([ListedClass(words[0], None, _colour(words[1])) for words in lines])


def _labelme_names(file: Path) -> ClassList:
    # Its void has no value in masks: it only occurs in drawings, and as 255 in what is exported.
    return _declared([ListedClass(line, IGNORE if line.lower() in VOID_NAMES else None) for line in _lines(file)])


CLASS_LIST_READERS: dict[str, Callable[[Path], ClassList]] = {
    "classes.json": _json,
    "classes.csv": _csv,
    "labelmap.txt": _cvat_label_map,
    "class_names.txt": _labelme_names,
}
"""Files that are looked for, and who reads them."""


def _lines(file: Path) -> list[str]:
    lines = [line.strip() for line in file.read_text(encoding="utf-8-sig").splitlines()]
    return [line for line in lines if line and not line.startswith("#")]


def _entry(fields: dict[str, Any]) -> ListedClass:
    """Return a class from a JSON object or a CSV row, whose columns have several common names."""
    index = next((fields[key] for key in ("index", "id", "value") if fields.get(key, "") != ""), None)
    separate = [next((fields[key] for key in keys if fields.get(key, "") != ""), None) for keys in _CHANNELS]
    written = next((fields[key] for key in ("color", "colour", "rgb") if fields.get(key)), None)
    colour = _colour(written) if written is not None else None if None in separate else _colour(separate)
    name = str(fields["name"])
    return ListedClass(name, None if index is None else _whole(index, f"the index of {name!r}"), colour)


_CHANNELS = (("red", "r"), ("green", "g"), ("blue", "b"))


def _whole(written: Any, what: str) -> int:
    """Return a whole number; 1.5, of which `int` would make 1, is an `InputError`."""
    try:
        if isinstance(written, bool) or not float(written).is_integer():
            raise ValueError
        return int(float(written))
    except (OverflowError, TypeError, ValueError):
        raise InputError(f"{what} is {written!r}; give a whole number") from None


def _colour(written: Any) -> Colour:
    """Return a colour from [r, g, b], "r, g, b", "r g b" or "#rrggbb"."""
    if isinstance(written, str):
        if match := re.fullmatch(r"#?([0-9a-fA-F]{6})", written.strip()):
            written = bytes.fromhex(match[1])
        else:
            written = re.split(r"[\s,;]+", written.strip(" ()[]"))
    values = [_whole(value, f"a part of the colour {written!r}") for value in written]
    if len(values) != 3 or not all(0 <= value <= 255 for value in values):
        raise InputError(f"colour {written!r}: give red, green and blue from 0 to 255, or #rrggbb")
    return (values[0], values[1], values[2])


def _declared(entries: Sequence[ListedClass], tolerance: int = 0) -> ClassList:
    """Return the class list of `entries`; indices must be 0, 1, 2, ... without gaps, where there are any."""
    if len(entries) > MAX_CLASSES + 1:
        raise InputError(f"{len(entries)} classes; a label map holds at most {MAX_CLASSES}: merge some")
    void = [entry for entry in entries if entry.void]
    classes = [entry for entry in entries if not entry.void]
    if all(entry.index is None for entry in classes):
        classes = [ListedClass(entry.name, index, entry.colour) for index, entry in enumerate(classes)]
    if without := [entry.name for entry in classes if entry.index is None]:
        raise InputError(f"class {without[0]!r} has no index while others have one; number all of them or none")
    classes.sort(key=lambda entry: entry.index or 0)
    colours = tuple(entry.colour for entry in classes if entry.colour is not None)
    if (indices := [entry.index for entry in classes]) != list(range(len(classes))):
        said = f"the indices are {abbreviate(indices)}; number the classes 0, 1, 2, ... as in the masks"
        raise InputError(f"{said}, where void may be 255 or any value beyond them")
    if void and not colours and (bare := [entry.name for entry in void if entry.index is None]):
        raise InputError(
            f"class {bare[0]!r} has neither index nor colour; give it the value that void has in the masks"
        )
    void_values = tuple(sorted({entry.index for entry in void if entry.index not in (None, IGNORE)}))
    _refuse_unclear(classes, colours, void)
    labels = LabelSpace(tuple(entry.name for entry in classes), colours, void_values)
    void_colours = tuple(entry.colour for entry in void if entry.colour is not None)
    names = tuple(dict.fromkeys((*VOID_NAMES, *(entry.name.lower() for entry in void))))
    return ClassList(labels, MaskFormat(colours, void_colours, tolerance) if colours else MaskFormat(), names)


def _refuse_unclear(classes: Sequence[ListedClass], colours: Sequence[Colour], void: Sequence[ListedClass]) -> None:
    if 0 < len(colours) < len(classes):
        missing = [entry.name for entry in classes if entry.colour is None]
        raise InputError(f"classes without a colour ({', '.join(missing[:3])}); give every class one, or none")
    owners: dict[Colour, str] = {}
    for entry in [*classes, *void]:
        if entry.colour is not None and owners.setdefault(entry.colour, entry.name) != entry.name:
            raise InputError(f"{owners[entry.colour]!r} and {entry.name!r} have the colour {entry.colour}; change one")


def abbreviate(values: Sequence[object]) -> str:
    """Return the first values for a message, and how many there are."""
    return ", ".join(map(str, values[:8])) + (f", ... ({len(values)} values)" if len(values) > 8 else "")


SPARSE = 32
"""Up to so many classes a few files may well hold only some; beyond, mostly missing values are no class indices."""

BINARY = ("background", "foreground")
"""What the classes of 0/255 masks are called that no list names."""


def read_declared_classes(root: Path, pairs: Sequence[Pair]) -> ClassList | None:
    """Return what the class list at `root` declares, or None; without colours, those of the masks' palette."""
    declared = read_class_list(root)
    if declared is None or declared.masks.colours:
        return declared
    palette = _stored_palette(pairs, declared.labels.num_classes)
    return dataclasses.replace(declared, labels=dataclasses.replace(declared.labels, palette=palette))


def scan_classes(pairs: Sequence[Pair], on_error: OnError = raise_error) -> tuple[LabelSpace, MaskFormat]:
    """Return "class 0" .. for the values that occur in all masks, void being `IGNORE` only; 0/255 masks are binary.

    Masks that cannot be read go to `on_error`.
    """
    first: dict[int, Path] = {}
    unread: list[InputError] = []
    for pair in pairs:
        try:
            for value in unique_values(read_mask(pair.label)):
                first.setdefault(value, pair.label)
        except InputError as error:
            unread.append(error)
            on_error(error)
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
            f"{pairs[0].label.parent}: the label files hold the values {abbreviate(sorted(present))}"
            f"{f' (the largest in {first[values[-1]].name})' if values else ''}, which are not the indices of a class"
            " list; save classes as 0, 1, 2, ... and void as 255, or name the classes in classes.json",
            "values",
        )
    return LabelSpace(tuple(f"class {index}" for index in range(count)), _stored_palette(pairs, count)), INDEX_MASKS


def require_same_classes(declared: LabelSpace, expected: LabelSpace | None, where: str) -> LabelSpace:
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


def are_binary_masks(
    labels: LabelSpace, masks: MaskFormat, pairs: Iterable[Pair], on_error: OnError = raise_error
) -> bool:
    """Say whether two-class data hold 0 and 255 but never 1: then 255 is the foreground and nothing is void."""
    if labels.num_classes != len(BINARY):
        return False
    present: set[int] = set()
    for pair in pairs:
        try:
            stored = read_mask(pair.label, masks)
        except InputError as error:
            on_error(error)
            continue
        if stored.ndim == 3:
            return False
        present.update(unique_values(stored))
        if 1 in present:
            return False
    return present == {0, IGNORE}


def _stored_palette(pairs: Sequence[Pair], count: int) -> tuple[Colour, ...]:
    """Return the colours of the first mask's palette if it has one for every class, all different."""
    try:
        colours = read_palette(pairs[0].label)[:count] if pairs else []
    except InputError:  # whoever reads the mask will say so
        colours = []
    return tuple(colours) if len(set(colours)) == count else ()

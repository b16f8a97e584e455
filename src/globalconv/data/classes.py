"""The classes of a data set, and how its masks hold them: as a class list declares, or as the masks show.

Class lists are what people and annotation tools write to the root of a data set:

- `classes.json`: a list of classes, `[{"name": "sky", "index": 0, "color": [128, 128, 128]}, ...]`, or of plain names,
  or an object `{"classes": [...], "tolerance": 8}`, or the fields of a `LabelSpace` as saved beside weights.
- `classes.csv`: a header and a class a line: `name`, `index`, and `color` (#808080) or `red,green,blue`.
- `labelmap.txt` as CVAT writes it, `class_names.txt` as labelme does.

Index and colour are optional: without indices, the order counts. A class with index 255 or the name "void", "ignore" or
"__ignore__" does not count: its index and colour mean void.
"""

import csv
import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from globalconv.data.mask_files import read_palette
from globalconv.data.mask_survey import decide_format, read_by_vocs_palette, survey_masks
from globalconv.data.masks import INDEX_MASKS, MaskFormat
from globalconv.data.source import Pair
from globalconv.errors import InputError, OnError, raise_error
from globalconv.labels import IGNORE, MAX_CLASSES, VOC, Colour, LabelSpace
from globalconv.runtime.text import abbreviate

VOID_NAMES = ("void", "ignore", "__ignore__")

BINARY_NAMES = ("background", "foreground")
"""Names of the classes of 0/255 masks that no list names."""

SPARSE = 32
"""With up to so many classes, a few masks may well lack most of them; beyond, values with large gaps are no class
indices."""


@dataclass(frozen=True)
class ClassList:
    """What a class list declares."""

    labels: LabelSpace
    masks: MaskFormat
    """With the classes' colours where the list has all of them."""
    void_names: tuple[str, ...] = VOID_NAMES
    """Names of pixels that do not count."""
    void_255: bool = False
    """The list says itself that 255 is void: it is no foreground then."""


@dataclass(frozen=True)
class ListedClass:
    """One line of a class list."""

    name: str
    index: int | None = None
    colour: Colour | None = None

    @property
    def void(self) -> bool:
        return self.index == IGNORE or self.name.lower() in VOID_NAMES


def read_class_list(root: Path, *more_names: str) -> ClassList | None:
    """Return what the class list at `root` declares, or None if there is none; two lists are an `InputError`.

    `more_names` are names of further files that hold a class a line.
    """
    files = [root / name for name in (*CLASS_LIST_READERS, *more_names) if (root / name).is_file()]
    if not files:
        return None
    if len(files) > 1:
        raise InputError(f"{root}: holds {' and '.join(file.name for file in files)}; keep one class list")
    file = files[0]
    try:
        return CLASS_LIST_READERS.get(file.name, _read_labelme_names)(file)
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


def _read_json(file: Path) -> ClassList:
    content = json.loads(file.read_text(encoding="utf-8-sig"))
    if isinstance(content, dict) and "class_names" in content:
        return ClassList(LabelSpace.from_json(content), MaskFormat())
    tolerance = 0
    if isinstance(content, dict):
        tolerance, content = _parse_integer(content.get("tolerance", 0), "tolerance"), content["classes"]
        if not 0 <= tolerance <= IGNORE:
            raise InputError(f'"tolerance" {tolerance}: give a difference between 0 and 255')
    return _make_class_list([_parse_class({"name": e} if isinstance(e, str) else e) for e in content], tolerance)


def _read_csv(file: Path) -> ClassList:
    lines = file.read_text(encoding="utf-8-sig").splitlines()
    header = lines[0] if lines else ""
    # Semicolons and tabs are what Excel writes in some languages.
    delimiter = "," if "," in header else next((mark for mark in ";\t" if mark in header), ",")
    columns, *rows = [[word.strip() for word in row] for row in csv.reader(lines, delimiter=delimiter)] or [[]]
    if long := [number for number, row in enumerate(rows, start=2) if len(row) > len(columns)]:
        raise InputError(
            f"line {long[0]} has {len(rows[long[0] - 2])} values where the header names {len(columns)} columns;"
            f" put a value that contains {delimiter!r} in quotes, or name every column"
        )
    names = [column.lower() for column in columns]
    return _make_class_list([_parse_class(dict(zip(names, row, strict=False))) for row in rows if any(row)])


def _read_cvat_label_map(file: Path) -> ClassList:
    lines = [line.split(":") for line in _read_lines(file)]
    if short := [words[0] for words in lines if len(words) < 2]:
        raise InputError(f"not a class list ({short[0]!r} has no colour); {_EXAMPLES[file.suffix]}")
    return _make_class_list([ListedClass(words[0], None, _parse_colour(words[1])) for words in lines])


def _read_labelme_names(file: Path) -> ClassList:
    # labelme's void has no value of its own in masks: it only occurs in annotations, and as 255 in exported masks.
    listed = [ListedClass(line, IGNORE if line.lower() in VOID_NAMES else None) for line in _read_lines(file)]
    return replace(_make_class_list(listed), void_255=False)


CLASS_LIST_READERS: dict[str, Callable[[Path], ClassList]] = {
    "classes.json": _read_json,
    "classes.csv": _read_csv,
    "labelmap.txt": _read_cvat_label_map,
    "class_names.txt": _read_labelme_names,
}
"""The names of class lists, and the functions that read them."""


def _read_lines(file: Path) -> list[str]:
    lines = [line.strip() for line in file.read_text(encoding="utf-8-sig").splitlines()]
    return [line for line in lines if line and not line.startswith("#")]


def _parse_class(fields: dict[str, Any]) -> ListedClass:
    """Return a class from a JSON object or a CSV row, in which index and colour have several common names."""

    def first_field(*keys: str) -> Any:
        return next((fields[key] for key in keys if fields.get(key, "") != ""), None)

    index = first_field("index", "id", "value")
    channels = [first_field("red", "r"), first_field("green", "g"), first_field("blue", "b")]
    written = next((fields[key] for key in ("color", "colour", "rgb") if fields.get(key)), None)
    if written is None and None not in channels:
        written = channels
    colour = None if written is None else _parse_colour(written)
    name = str(fields["name"])
    return ListedClass(name, None if index is None else _parse_integer(index, f"the index of {name!r}"), colour)


def _parse_integer(written: Any, what: str) -> int:
    """Return an integer; 1.5, of which `int` would make 1, is an `InputError`."""
    try:
        if isinstance(written, bool) or not float(written).is_integer():
            raise ValueError
        return int(float(written))
    except (OverflowError, TypeError, ValueError):
        raise InputError(f"{what} is {written!r}; give a whole number") from None


def _parse_colour(written: Any) -> Colour:
    """Return a colour from [r, g, b], "r, g, b", "r g b" or "#rrggbb"."""
    if isinstance(written, str):
        if match := re.fullmatch(r"#?([0-9a-fA-F]{6})", written.strip()):
            written = bytes.fromhex(match[1])
        else:
            written = re.split(r"[\s,;]+", written.strip(" ()[]"))
    values = [_parse_integer(value, f"a part of the colour {written!r}") for value in written]
    if len(values) != 3 or not all(0 <= value <= 255 for value in values):
        raise InputError(f"colour {written!r}: give red, green and blue from 0 to 255, or #rrggbb")
    return (values[0], values[1], values[2])


def _make_class_list(entries: Sequence[ListedClass], tolerance: int = 0) -> ClassList:
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
        raise InputError(
            f"the indices are {abbreviate(indices)}; number the classes 0, 1, 2, ... as in the masks, where void may be"
            " 255 or any value beyond them"
        )
    if void and not colours and (bare := [entry.name for entry in void if entry.index is None]):
        raise InputError(
            f"class {bare[0]!r} has neither index nor colour; give it the value that void has in the masks"
        )
    void_values = tuple(sorted({entry.index for entry in void if entry.index not in (None, IGNORE)}))
    if 0 < len(colours) < len(classes):
        missing = [entry.name for entry in classes if entry.colour is None]
        raise InputError(f"classes without a colour ({', '.join(missing[:3])}); give every class one, or none")
    owners: dict[Colour, str] = {}
    for entry in [*classes, *void]:
        if entry.colour is not None and owners.setdefault(entry.colour, entry.name) != entry.name:
            raise InputError(f"{owners[entry.colour]!r} and {entry.name!r} have the colour {entry.colour}; change one")
    labels = LabelSpace(tuple(entry.name for entry in classes), colours, void_values)
    void_colours = tuple(entry.colour for entry in void if entry.colour is not None)
    void_names = tuple(dict.fromkeys((*VOID_NAMES, *(entry.name.lower() for entry in void))))
    masks = MaskFormat(colours, void_colours, tolerance) if colours else MaskFormat()
    return ClassList(labels, masks, void_names, any(entry.index == IGNORE for entry in void))


def read_declared_classes(root: Path, pairs: Sequence[Pair]) -> ClassList | None:
    """Return what the class list at `root` declares, or None; colours may be those of the masks' palette."""
    declared = read_class_list(root)
    if declared is None or declared.masks.colours:
        return declared
    palette = _find_palette(pairs, declared.labels.num_classes)
    return replace(declared, labels=replace(declared.labels, palette=palette))


def scan_classes(
    pairs: Sequence[Pair], on_error: OnError = raise_error, vocs: bool = False
) -> tuple[LabelSpace, MaskFormat]:
    """Return classes "class 0", "class 1", ... for the values in all masks; void is `IGNORE`, 0/255 masks are binary.

    Masks that cannot be read go to `on_error`. With `vocs`, palettes that are ordered file by file and hold the colours
    of VOC's classes alone are VOC's.
    """
    errors: list[InputError] = []

    def note(error: InputError) -> None:
        errors.append(error)
        on_error(error)

    survey = survey_masks((pair.label for pair in pairs), INDEX_MASKS, note)
    files = survey.first_files
    if not files:
        raise errors[0] if errors else InputError("the data hold no complete pair of an image and a mask; add some")
    present = {*files}
    if survey.binary:
        return LabelSpace(BINARY_NAMES), decide_format(LabelSpace(BINARY_NAMES), INDEX_MASKS, survey)
    if present == {0, 1, IGNORE}:
        survey.require_one_kind_of_on()
    if survey.conflict:
        palette = read_by_vocs_palette(survey)
        present = {palette.index(colour) if colour else IGNORE for _, colour in survey.palettes} | {
            *survey.greys.values()
        }
        if vocs and present <= {*range(VOC.num_classes), IGNORE}:
            return VOC, replace(INDEX_MASKS, palette=palette)
    values = sorted(present - {IGNORE})
    count = max(values, default=-1) + 1
    gaps = count > max(SPARSE, 4 * len(values))
    if min(values, default=-1) < 0 or count > MAX_CLASSES or gaps:
        largest = f" (the largest in {files[values[-1]].name})" if values and values[-1] in files else ""
        raise InputError(
            f"{pairs[0].label.parent}: the label files hold the values {abbreviate(sorted(present))}{largest}, which"
            " are not the indices of a class list; save classes as 0, 1, 2, ... and void as 255, or name the classes"
            " in classes.json",
            "values",
        )
    names = tuple(f"class {index}" for index in range(count))
    if survey.conflict:
        return LabelSpace(names), replace(INDEX_MASKS, palette=palette)
    labels = LabelSpace(names, _find_palette(pairs, count))
    return labels, decide_format(labels, INDEX_MASKS, survey)


def require_same_classes(declared: LabelSpace, expected: LabelSpace | None, where: str) -> LabelSpace:
    """Return `declared`; `InputError` if its class names are not those of `expected` (of trained weights)."""
    if expected is None or expected.class_names == declared.class_names:
        return declared
    differences = [
        f"{index}: {name!r} where {expected_name!r} is expected"
        for index, (name, expected_name) in enumerate(zip(declared.class_names, expected.class_names, strict=False))
        if name != expected_name
    ]
    counts = f"{declared.num_classes} classes where {expected.num_classes} are expected"
    raise InputError(
        f"{where}: its classes are not those of the weights ({'; '.join([*differences[:3]] or [counts])});"
        " use the data the weights were trained for, or correct the class list"
    )


def _find_palette(pairs: Sequence[Pair], count: int) -> tuple[Colour, ...]:
    """Return the colours of the first mask's palette if it has one for every class, all different."""
    try:
        colours = read_palette(pairs[0].label)[:count] if pairs else []
    except InputError:  # Whoever reads the mask reports the error.
        colours = []
    return tuple(colours) if len(set(colours)) == count else ()

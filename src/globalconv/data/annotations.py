"""Drawn annotations in, label maps out: a `Source` whose label maps are drawn from shapes when they are asked for.

Sizes and ids in annotations are claims: a size is compared with the real image's before anything is drawn.

Shapes: H x W pixels of the image.
"""

import json
import math
import re
import unicodedata
import warnings
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from globalconv.arrays import Uint8Array
from globalconv.data.classes import VOID_NAMES
from globalconv.data.file_names import name_of
from globalconv.data.image_format import UNKNOWN_FORMAT, ImageFormat
from globalconv.data.images import image_size, read_image
from globalconv.data.shapes import Shape, draw_shapes
from globalconv.data.source import size_mismatch
from globalconv.data.suffixes import IMAGE_SUFFIXES
from globalconv.errors import InputError, InputWarning, suggest
from globalconv.labels import IGNORE, MAX_CLASSES, LabelSpace
from globalconv.runtime.files import cache_by_file
from globalconv.runtime.text import one_line

ClaimedSize = tuple[int | None, int | None]
"""Width and height of an image as its annotation has them; None: it has none."""

CONVENTIONS = ("__ignore__", "_background_", "__background__")
"""Names of void and of the background that mean nothing else, so that nobody has to be told."""


def plain_name(name: str) -> str:
    """Return what a person sees of a class name: without case, blanks around it, signs and invisible letters."""
    visible = "".join(letter for letter in unicodedata.normalize("NFKC", name) if unicodedata.category(letter) != "Cf")
    return " ".join(re.split(r"[\s_-]+", visible.casefold())).strip()


BACKGROUND = "background"


def is_background(name: str) -> bool:
    """Return whether `name` is one of the background: of pixels that are no object."""
    return plain_name(name) == BACKGROUND


@dataclass(frozen=True)
class DrawnClasses:
    """The classes of a drawn data set, and the values of the names in its annotations."""

    labels: LabelSpace
    undrawn: int
    """Value of pixels under no shape: the class "background" if there is one, else void."""
    void_names: tuple[str, ...] = VOID_NAMES

    def value(self, name: str, where: str) -> int:
        """Return the value of a class or void name; an unknown one is an `InputError`."""
        if name in self.labels.class_names:
            return self.labels.class_names.index(name)
        if plain_name(name) in map(plain_name, self.void_names):
            return IGNORE
        if is_background(name) and (self.undrawn != IGNORE or name in CONVENTIONS):
            return self.undrawn
        raise InputError(
            f"{where}: class {name!r} is not in the class list; {suggest(name, self.labels.class_names)}"
            " (add it there, or correct the annotation)",
            "class",
        )


def resolve_drawn_classes(
    names: Mapping[str, int], labels: LabelSpace | None, where: str, void_names: tuple[str, ...] = VOID_NAMES
) -> DrawnClasses:
    """Return the classes of a drawn data set: `labels`, or if that is None, background and the `names` that occur.

    `names` are those in the annotations with their number of shapes. What they leave open is told: names that differ in
    what nobody sees, and those that are read as void or as the background.
    """
    if labels is None:
        void = [name for name in names if plain_name(name) in map(plain_name, VOID_NAMES)]
        backgrounds = [name for name in names if is_background(name)]
        others = [name for name in names if name not in void and name not in backgrounds]
        if not others:
            raise InputError("nothing is drawn in any annotation; draw the objects first")
        if len(others) >= MAX_CLASSES:
            raise InputError(f"{len(others)} classes are drawn; a label map holds at most {MAX_CLASSES}")
        labels = LabelSpace(((backgrounds or [BACKGROUND])[0], *others))
        _tell_of_similar_names(names, where)
        _tell_of_meaning(void, names, where, "do not count: their pixels are void; rename them if they are a class")
        _tell_of_meaning(
            [name for name in backgrounds if names[name]], names, where,
            "are one class with the pixels under no shape; rename them if they are another class",
        )  # fmt: skip
    indices = [index for index, name in enumerate(labels.class_names) if is_background(name)]
    return DrawnClasses(labels, indices[0] if indices else IGNORE, void_names)


def _tell_of_similar_names(names: Mapping[str, int], where: str) -> None:
    """Warn of classes whose names look the same."""
    groups: dict[str, list[str]] = defaultdict(list)
    for name in names:
        groups[plain_name(name)].append(name)
    alike = [group for plain, group in groups.items() if len(group) > 1 and plain != BACKGROUND]
    if not alike:
        return
    listed = " and ".join(_describe_names(group, names) for group in alike[:3]) + (", ..." if alike[3:] else "")
    message = (
        f"{where}: class names that differ in case, blanks or signs alone are different classes: {listed}; if they are"
        " one, give it one name"
    )
    warnings.warn(InputWarning(message, "class"), stacklevel=3)


def _tell_of_meaning(group: Sequence[str], names: Mapping[str, int], where: str, meaning: str) -> None:
    """Note how the names of a `group` are read, unless they are a convention of labelme."""
    if set(group) - set(CONVENTIONS):
        message = f"{where}: shapes called {_describe_names(group, names)} {meaning}"
        warnings.warn(InputWarning(message, "class", severity="note"), stacklevel=3)


def _describe_names(group: Sequence[str], names: Mapping[str, int]) -> str:
    """Return the names with their numbers of shapes, such that no two look the same."""
    same = len({unicodedata.normalize("NFC", name) for name in group}) < len(group)
    counts = (f"{names[name]} shape{'' if names[name] == 1 else 's'}" for name in group)
    shown = map(ascii if same else repr, group)
    return ", ".join(f"{name} ({count})" for name, count in zip(shown, counts, strict=True))


@dataclass(frozen=True)
class Drawing:
    """What an annotation says of one image."""

    size: ClaimedSize
    shapes: Iterable[tuple[str, Shape]]
    """Class name and shape of each object in drawing order, perhaps read one by one."""


@dataclass(frozen=True)
class DrawnSample:
    """One sample: an image, and the shapes drawn on it."""

    name: str
    image: Path
    where: str
    """Annotation file, and the entry where a file holds many: for messages."""
    read: Callable[[], Drawing]


@dataclass(frozen=True)
class DrawnSource:
    """A `Source` of drawn samples."""

    name: str
    classes: DrawnClasses
    samples: tuple[DrawnSample, ...]
    image_format: ImageFormat = UNKNOWN_FORMAT

    @property
    def labels(self) -> LabelSpace:
        return self.classes.labels

    def __len__(self) -> int:
        return len(self.samples)

    def sample_name(self, index: int) -> str:
        return self.samples[index].name

    def image(self, index: int) -> Uint8Array:
        return read_image(self.samples[index].image, self.image_format)

    def label_map(self, index: int) -> Uint8Array:
        """Return the label map, drawn; `InputError` if the image is not of the size that was annotated."""
        sample = self.samples[index]
        actual = image_size(sample.image)
        with parsing(sample.where):
            drawing = sample.read()
            width, height = drawing.size
            if (annotated := (width or actual[0], height or actual[1])) != actual:
                raise InputError(size_mismatch(sample.where, "annotation", annotated, sample.image, actual), "size")
            shapes = [(name, self.classes.value(name, sample.where), shape) for name, shape in drawing.shapes]
            try:
                return draw_shapes(shapes, actual, self.classes.undrawn)
            except InputError as error:
                raise InputError(f"{sample.where}: {error}", "shape") from None


@contextmanager
def parsing(where: str) -> Iterator[None]:
    """Turn every error that a malformed annotation causes in the block into an `InputError` that names `where`."""
    try:
        yield
    except InputError:
        raise
    except (ArithmeticError, AttributeError, LookupError, MemoryError, RecursionError, TypeError, ValueError) as error:
        message = f"{where}: not as its format says ({one_line(error)}); export it again"
        raise InputError(message, "annotation") from None


def read_json(file: Path) -> Any:
    """Return the content of a JSON file, not to be changed; anything else is an `InputError`."""
    try:
        return _parse_json(file)
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"{file}: cannot be read as JSON ({one_line(error)}); export it again") from None


@cache_by_file(maxsize=4)
def _parse_json(file: Path) -> Any:
    """Parse a file once, which may have hundreds of megabytes and is read several times: UTF-8, UTF-16 or UTF-32."""
    return json.loads(file.read_bytes(), object_pairs_hook=_make_object)


def _make_object(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    """Return a JSON object. A field that stands twice, as in files that were joined as text, would be lost."""
    fields = dict(pairs)
    if len(fields) < len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f"the field {next(name for name in names if names.count(name) > 1)!r} stands twice")
    return fields


def safe_name(*parts: str) -> str:
    """Return a sample's name from the path in an annotation: relative, without suffix, never out of its folder."""
    local = (re.sub(r"^[A-Za-z]:/|^[\w+.-]+://", "", part.replace("\\", "/")) for part in parts)
    words = [word for part in local for word in PurePosixPath(part).parts]
    return name_of(PurePosixPath(*(word for word in words if word not in ("..", "/"))), IMAGE_SUFFIXES)


def required_field(fields: Mapping[str, Any], key: str, where: str) -> Any:
    """Return a field that has to be there; a missing one is an `InputError`."""
    if key not in fields:
        raise InputError(f"{where}: the field {key!r} is missing; export the annotation again")
    return fields[key]


def required_text(fields: Mapping[str, Any], key: str, where: str) -> str:
    """Return a field that has to be a text or a number, as a text; an empty one is an `InputError`."""
    value = required_field(fields, key, where)
    if isinstance(value, bool) or not isinstance(value, str | int | float) or not str(value).strip():
        raise InputError(f"{where}: the field {key!r} is {value!r}; write a name there", "annotation")
    return str(value)


def claimed_length(value: object) -> int | None:
    """Return the width or height of an image as an annotation has it; None where that is none: null, 0, -1, a word."""
    if isinstance(value, bool):
        return None
    try:
        length = float(value) if isinstance(value, float | str) else value
    except ValueError:
        return None
    if isinstance(length, float):
        return math.ceil(length) if math.isfinite(length) and length > 0 else None
    return length if isinstance(length, int) and length > 0 else None

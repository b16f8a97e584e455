"""Samples whose ground truth is drawn (polygons, boxes, run lengths) and turned into label maps when asked for."""

import functools
import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from globalconv.data.images import Uint8Array, image_size, read_image
from globalconv.data.polygons import Shape, draw
from globalconv.data.sources.class_list import VOID_NAMES
from globalconv.data.sources.source import sizes_differ
from globalconv.errors import Complain, InputError, nearest
from globalconv.labels import IGNORE, MAX_CLASSES, LabelSpace

BACKGROUND_NAMES = ("background", "_background_", "__background__")


@dataclass(frozen=True)
class DrawnClasses:
    """The classes of a drawn data set, and what its names mean."""

    labels: LabelSpace
    undrawn: int
    """Value of pixels that nobody has drawn: the class "background" if there is one, else void."""
    void_names: tuple[str, ...] = VOID_NAMES

    def value(self, name: str, where: str) -> int:
        """Return the value of a class or void name; an unknown one is an `InputError`."""
        if name in self.labels.class_names:
            return self.labels.class_names.index(name)
        if name.lower() in self.void_names:
            return IGNORE
        if name.lower() in BACKGROUND_NAMES:
            return self.undrawn
        raise InputError(
            f"{where}: class {name!r} is not in the class list; {nearest(name, self.labels.class_names)}"
            " (add it there, or correct the annotation)",
            "class",
        )


def drawn_classes(
    found: Iterable[str], labels: LabelSpace | None, void_names: tuple[str, ...] = VOID_NAMES
) -> DrawnClasses:
    """Return the classes of a drawn data set: `labels` where they are known, else background and the names found."""
    if labels is None:
        names = [name for name in dict.fromkeys(found) if name.lower() not in VOID_NAMES]
        background = [name for name in names if name.lower() in BACKGROUND_NAMES] or ["background"]
        others = [name for name in names if name.lower() not in BACKGROUND_NAMES]
        if not others:
            raise InputError("nothing is drawn in any annotation; draw the objects first")
        if len(others) >= MAX_CLASSES:
            raise InputError(f"{len(others)} classes are drawn; a label map holds at most {MAX_CLASSES}")
        labels = LabelSpace((background[0], *others))
    at = [index for index, name in enumerate(labels.class_names) if name.lower() in BACKGROUND_NAMES]
    return DrawnClasses(labels, at[0] if at else IGNORE, void_names)


@dataclass(frozen=True)
class Drawing:
    """One sample: a picture, and the shapes drawn on it."""

    name: str
    image: Path
    where: str
    """Annotation file, and the entry where a file holds many: for messages."""
    read: Callable[[], tuple[tuple[int, int], list[tuple[str, Shape]]]]
    """Returns the (width, height) that was drawn on, and the shapes, in drawing order, with their classes' names;
    the shapes' own value is not used."""


@dataclass(frozen=True)
class DrawnSource:
    """A `Source` of drawings."""

    name: str
    classes: DrawnClasses
    drawings: tuple[Drawing, ...]

    @property
    def labels(self) -> LabelSpace:
        return self.classes.labels

    def __len__(self) -> int:
        return len(self.drawings)

    def sample_name(self, index: int) -> str:
        return self.drawings[index].name

    def image(self, index: int) -> Uint8Array:
        return read_image(self.drawings[index].image)

    def label_map(self, index: int) -> Uint8Array:
        """Return the label map, drawn; `InputError` if the picture is not of the size that was drawn on."""
        drawing = self.drawings[index]
        with understood(drawing.where):
            size, named = drawing.read()
        if (actual := image_size(drawing.image)) != size:
            raise InputError(sizes_differ(drawing.where, "annotation", size, drawing.image, actual), "size")
        shapes = [
            Shape(shape.kind, shape.points, self.classes.value(name, drawing.where), shape.mask_hw)
            for name, shape in named
        ]
        try:
            return draw(shapes, size, self.classes.undrawn)
        except InputError as error:
            raise InputError(f"{drawing.where}: {error}", "shape") from None


@contextmanager
def understood(where: str) -> Iterator[None]:
    """Turn whatever an annotation that is not as its format says makes a reader stumble over into an `InputError`."""
    try:
        yield
    except InputError:
        raise
    except (ArithmeticError, AttributeError, LookupError, MemoryError, RecursionError, TypeError, ValueError) as error:
        said = " ".join(str(error).split()) or type(error).__name__
        raise InputError(f"{where}: not as its format says ({said}); export it again", "annotation") from None


def safe_name(*parts: str) -> str:
    """Return a sample's name from the path an annotation gives: relative, and never out of its folder."""
    words = [word for part in parts for word in PurePosixPath(part.replace("\\", "/")).parts]
    return PurePosixPath(*(word for word in words if word not in ("..", "/"))).with_suffix("").as_posix()


def read_json(file: Path) -> Any:
    """Return the content of a JSON file, not to be changed; anything else is an `InputError`."""
    try:
        facts = file.stat()
        return _parsed(file, facts.st_mtime_ns, facts.st_size)
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"{file}: cannot be read as JSON ({error}); export it again") from None


@functools.lru_cache(maxsize=4)
def _parsed(file: Path, _changed: int, _size: int) -> Any:
    """Parse a file that may be hundreds of megabytes, and is asked for several times, once."""
    return json.loads(file.read_text(encoding="utf-8-sig"))


def collected(makers: Iterable[Callable[[], Drawing]], complain: Complain) -> tuple[Drawing, ...]:
    """Return the drawings that can be made; what keeps one from it goes to `complain`."""
    made = []
    for make in makers:
        try:
            made.append(make())
        except InputError as error:
            complain(error)
    names = Counter(drawing.name for drawing in made)
    if repeated := [name for name, count in names.items() if count > 1]:
        complain(
            InputError(f"{made[0].where}: the image {repeated[0]!r} is listed {names[repeated[0]]} times", "names")
        )
    return tuple({drawing.name: drawing for drawing in made}.values())


def find_image(candidates: Sequence[Path], where: str, said: str) -> Path:
    """Return the first of `candidates` that exists; none is an `InputError`."""
    for candidate in candidates:
        if candidate.is_file():
            return candidate
    raise InputError(f"{where}: its image {said!r} is not there (looked for {candidates[0]}); put it there", "partner")


def entry(fields: Mapping[str, Any], key: str, where: str) -> Any:
    """Return a field that must be there; a missing one is an `InputError`."""
    if key not in fields:
        raise InputError(f"{where}: the field {key!r} is missing; export the annotation again")
    return fields[key]

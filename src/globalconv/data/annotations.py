"""Samples whose ground truth is drawn (polygons, boxes, run lengths) and turned into label maps when asked for.

Drawn annotations in, label maps out: polygons and the like, later ones over earlier ones.

Coordinates are (x, y) in pixels with the origin at the outer corner of the first pixel, as annotation tools write
them. Outlines belong to what they enclose, which is how labelme itself renders (Pillow's `ImageDraw`).

Shapes: H x W pixels of the image, h x w of a shape's own mask.

Objects as COCO writes them, polygons or run lengths, into pixels: by pycocotools, the format's own tool.

Shapes: H x W pixels of the image.
"""

import functools
import json
import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from globalconv.arrays import Uint8Array
from globalconv.data.classes import VOID_NAMES
from globalconv.data.images import image_size, read_image
from globalconv.data.source import size_mismatch
from globalconv.errors import InputError, OnError, suggest
from globalconv.labels import IGNORE, MAX_CLASSES, LabelSpace
from globalconv.runtime.text import one_line

Point = tuple[float, float]

LINE_WIDTH, POINT_RADIUS = 10, 5
"""Pixels that a line is wide and that a point reaches, labelme's."""


FARTHEST = 1e6
"""Coordinates beyond it are mistakes, and some are more than drawing can bear."""


@dataclass(frozen=True)
class Shape:
    """One drawn object and the value it takes in the label map."""

    kind: str
    """One of `KINDS`, or "mask"."""
    points: tuple[Point, ...]
    value: int
    mask_hw: NDArray[np.bool_] | None = None
    """Pixels of a shape of kind "mask", whose first point is its top left corner."""


def draw(shapes: Iterable[Shape], size: tuple[int, int], undrawn: int) -> Uint8Array:
    """Return the label map (H, W) of `shapes` in drawing order; `size` is (width, height).

    Pixels under no shape are `undrawn`. A shape that cannot be what its kind says is an `InputError`.
    """
    canvas = Image.new("L", size, undrawn)
    pen = ImageDraw.Draw(canvas)
    for shape in shapes:
        if shape.kind == "mask":
            _paste(canvas, shape)
            continue
        if shape.kind not in KINDS:
            raise InputError(f"shape of kind {shape.kind!r}: known are {', '.join([*KINDS, 'mask'])}; remove it")
        fewest, paint = KINDS[shape.kind]
        if not all(math.isfinite(v) and abs(v) <= FARTHEST for point in shape.points for v in point):
            raise InputError(f"a {shape.kind} has coordinates that are no numbers or far outside; redraw or remove it")
        if len(shape.points) < fewest:
            raise InputError(f"a {shape.kind} of {len(shape.points)} points needs {fewest}; complete or remove it")
        paint(pen, shape.points, shape.value)
    return np.array(canvas)


def _polygon(pen: ImageDraw.ImageDraw, points: tuple[Point, ...], value: int) -> None:
    pen.polygon(list(points), fill=value, outline=value)


def _rectangle(pen: ImageDraw.ImageDraw, points: tuple[Point, ...], value: int) -> None:
    columns, rows = sorted(x for x, _ in points[:2]), sorted(y for _, y in points[:2])
    pen.rectangle([columns[0], rows[0], columns[1], rows[1]], fill=value, outline=value)


def _circle(pen: ImageDraw.ImageDraw, points: tuple[Point, ...], value: int) -> None:
    """Draw the circle around the first point through the second."""
    (x, y), edge = points[0], points[1]
    radius = math.dist(points[0], edge)
    pen.ellipse([x - radius, y - radius, x + radius, y + radius], fill=value, outline=value)


def _line(pen: ImageDraw.ImageDraw, points: tuple[Point, ...], value: int) -> None:
    pen.line(list(points), fill=value, width=LINE_WIDTH)


def _dots(pen: ImageDraw.ImageDraw, points: tuple[Point, ...], value: int) -> None:
    for x, y in points:
        box = [x - POINT_RADIUS, y - POINT_RADIUS, x + POINT_RADIUS, y + POINT_RADIUS]
        pen.ellipse(box, fill=value, outline=value)


KINDS: dict[str, tuple[int, Callable[[ImageDraw.ImageDraw, tuple[Point, ...], int], None]]] = {
    "polygon": (3, _polygon),
    "rectangle": (2, _rectangle),
    "circle": (2, _circle),
    "line": (2, _line),
    "linestrip": (2, _line),
    "point": (1, _dots),
}
"""What can be drawn: the fewest points that make one, and how."""


def _paste(canvas: Image.Image, shape: Shape) -> None:
    if shape.mask_hw is None or not shape.points:
        raise InputError("a shape of kind 'mask' without its pixels; draw it anew or remove it")
    left, top = (round(value) for value in shape.points[0])
    canvas.paste(shape.value, (left, top), Image.fromarray(shape.mask_hw.astype(np.uint8) * 255))


def rasterise(segmentations: Sequence[Any], size: tuple[int, int], where: str) -> NDArray[np.bool_]:
    """Return the pixels (H, W) that any of the objects covers in an image of (width, height); `where` is for errors."""
    try:
        from pycocotools import mask as coco
    except ImportError:
        raise InputError(f"{where}: COCO needs pycocotools; pip install globalconv[coco]") from None
    width, height = size
    runs = [_encoded(coco, segmentation, size, where) for segmentation in segmentations]
    try:
        decoded: NDArray[np.bool_] = coco.decode(runs[0] if len(runs) == 1 else coco.merge(runs)).astype(bool)
    except Exception as error:  # the C code inside raises almost anything
        raise _not_rasterised(where, error) from None
    if decoded.shape != (height, width):
        raise InputError(f"{where}: a segmentation is of size {decoded.shape[::-1]}, its image of {size}; export again")
    return decoded


def _encoded(coco: Any, segmentation: Any, size: tuple[int, int], where: str) -> Any:
    """Return the run lengths of one object as pycocotools keeps them."""
    if not segmentation:
        raise InputError(f"{where}: an object has a box and no outline; draw its outline, or remove it", "shape")
    width, height = size
    try:
        _check(segmentation, size)
        if isinstance(segmentation, list):
            return coco.merge(coco.frPyObjects(segmentation, height, width))
        if isinstance(segmentation["counts"], list):
            return coco.frPyObjects(segmentation, height, width)
    except Exception as error:
        raise _not_rasterised(where, error) from None
    return segmentation


def _not_rasterised(where: str, error: Exception) -> InputError:
    return InputError(f"{where}: a segmentation cannot be rasterised ({error}); export it again")


def _check(segmentation: Any, size: tuple[int, int]) -> None:
    """Refuse, as `ValueError`, what the C code would take for memory: it trusts every number it is given."""
    if isinstance(segmentation, list):
        for polygon in segmentation:
            if len(polygon) < 6 or len(polygon) % 2:
                raise ValueError(f"a polygon of {len(polygon)} numbers")
            if not all(isinstance(value, int | float) and abs(value) <= FARTHEST for value in polygon):
                raise ValueError("a coordinate is no number, or far outside")
        return
    counts = segmentation["counts"]
    lengths = counts if isinstance(counts, list) else _lengths(counts)
    if min(lengths, default=0) < 0 or sum(lengths) != size[0] * size[1]:
        raise ValueError(f"run lengths of {sum(lengths)} pixels for an image of {size[0]}x{size[1]}")


def _lengths(counts: str | bytes) -> list[int]:
    """Return the run lengths of COCO's compressed form: six bits a character, from the third on as differences."""
    lengths: list[int] = []
    value = shift = 0
    for code in counts.encode("ascii") if isinstance(counts, str) else counts:
        bits = code - 48
        if not 0 <= bits < 64:
            raise ValueError(f"the character {chr(code)!r} in run lengths")
        value |= (bits & 31) << shift
        shift += 5
        if bits & 32:
            continue
        if bits & 16:
            value -= 1 << shift
        lengths.append(value + (lengths[-2] if len(lengths) > 2 else 0))
        value = shift = 0
    if shift:
        raise ValueError("run lengths that end in the middle")
    return lengths


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
            f"{where}: class {name!r} is not in the class list; {suggest(name, self.labels.class_names)}"
            " (add it there, or correct the annotation)",
            "class",
        )


def resolve_drawn_classes(
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
    """One sample: an image, and the shapes drawn on it."""

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
        """Return the label map, drawn; `InputError` if the image is not of the size that was drawn on."""
        drawing = self.drawings[index]
        with parsing(drawing.where):
            size, named = drawing.read()
        if (actual := image_size(drawing.image)) != size:
            raise InputError(size_mismatch(drawing.where, "annotation", size, drawing.image, actual), "size")
        shapes = [
            Shape(shape.kind, shape.points, self.classes.value(name, drawing.where), shape.mask_hw)
            for name, shape in named
        ]
        try:
            return draw(shapes, size, self.classes.undrawn)
        except InputError as error:
            raise InputError(f"{drawing.where}: {error}", "shape") from None


@contextmanager
def parsing(where: str) -> Iterator[None]:
    """Turn whatever an annotation that is not as its format says makes a reader stumble over into an `InputError`."""
    try:
        yield
    except InputError:
        raise
    except (ArithmeticError, AttributeError, LookupError, MemoryError, RecursionError, TypeError, ValueError) as error:
        said = one_line(error)
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


def collect_drawings(makers: Iterable[Callable[[], Drawing]], on_error: OnError) -> tuple[Drawing, ...]:
    """Return the drawings that can be made; what keeps one from it goes to `on_error`."""
    made = []
    for make in makers:
        try:
            made.append(make())
        except InputError as error:
            on_error(error)
    names = Counter(drawing.name for drawing in made)
    if repeated := [name for name, count in names.items() if count > 1]:
        on_error(
            InputError(f"{made[0].where}: the image {repeated[0]!r} is listed {names[repeated[0]]} times", "names")
        )
    return tuple({drawing.name: drawing for drawing in made}.values())


def find_image(candidates: Sequence[Path], where: str, said: str) -> Path:
    """Return the first of `candidates` that exists; none is an `InputError`."""
    for candidate in candidates:
        if candidate.is_file():
            return candidate
    raise InputError(f"{where}: its image {said!r} is not there (looked for {candidates[0]}); put it there", "partner")


def required_field(fields: Mapping[str, Any], key: str, where: str) -> Any:
    """Return a field that must be there; a missing one is an `InputError`."""
    if key not in fields:
        raise InputError(f"{where}: the field {key!r} is missing; export the annotation again")
    return fields[key]

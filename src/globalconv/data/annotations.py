"""Drawn annotations in, label maps out: a `Source` whose label maps are drawn from shapes when they are asked for.

Shapes are polygons, boxes, circles, lines, points and masks; later ones lie over earlier ones. They are drawn as
labelme draws them, by Pillow's `ImageDraw`. COCO's polygons and run lengths are rasterised by pycocotools, the format's
own tool. Coordinates are (x, y) in pixels with the origin at the outer corner of the first pixel, as annotation tools
write them.

Shapes: H x W pixels of the image, h x w of a shape's own mask.
"""

import json
import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

from globalconv.arrays import BoolArray, Uint8Array
from globalconv.data.classes import VOID_NAMES
from globalconv.data.file_names import find_file, name_of
from globalconv.data.image_format import UNKNOWN_FORMAT, ImageFormat
from globalconv.data.images import IMAGE_SUFFIXES, image_size, read_image
from globalconv.data.source import size_mismatch
from globalconv.errors import InputError, OnError, suggest
from globalconv.labels import IGNORE, MAX_CLASSES, LabelSpace
from globalconv.runtime.files import cache_by_file
from globalconv.runtime.text import one_line

Point = tuple[float, float]

LINE_WIDTH, POINT_RADIUS = 10, 5
"""Width of a line and radius of a point in pixels, as labelme draws them."""

MAX_COORDINATE = 1e6
"""Coordinates beyond it are mistakes, and drawing some of them would take all memory."""

FEWEST_POINTS = {"polygon": 3, "rectangle": 2, "circle": 2, "line": 2, "linestrip": 2, "point": 1}
"""The kinds of shapes that are drawn from points, and the fewest points that make one."""

BACKGROUND_NAMES = ("background", "_background_", "__background__")


@dataclass(frozen=True)
class Shape:
    """One drawn object."""

    kind: str
    """One of `FEWEST_POINTS`, or "mask"."""
    points: tuple[Point, ...]
    mask_hw: BoolArray | None = None
    """Pixels of a shape of kind "mask", whose first point is its top left corner."""


def draw_shapes(shapes: Iterable[tuple[int, Shape]], size: tuple[int, int], undrawn: int) -> Uint8Array:
    """Return the label map (H, W) of the (value, shape) pairs in drawing order; `size` is (width, height).

    Pixels under no shape are `undrawn`. A shape that its kind does not allow is an `InputError`.
    """
    canvas = Image.new("L", size, undrawn)
    pen = ImageDraw.Draw(canvas)
    for value, shape in shapes:
        points = list(shape.points)
        if shape.kind == "mask":
            if shape.mask_hw is None or not points:
                raise InputError("a shape of kind 'mask' without its pixels; draw it anew or remove it")
            corner = (round(points[0][0]), round(points[0][1]))
            canvas.paste(value, corner, Image.fromarray(shape.mask_hw.astype(np.uint8) * 255))
            continue
        if shape.kind not in FEWEST_POINTS:
            kinds = ", ".join([*FEWEST_POINTS, "mask"])
            raise InputError(f"shape of kind {shape.kind!r}: known are {kinds}; remove it")
        if not all(math.isfinite(v) and abs(v) <= MAX_COORDINATE for point in points for v in point):
            raise InputError(f"a {shape.kind} has coordinates that are no numbers or far outside; redraw or remove it")
        if len(points) < (fewest := FEWEST_POINTS[shape.kind]):
            raise InputError(f"a {shape.kind} of {len(points)} points needs {fewest}; complete or remove it")
        if shape.kind == "polygon":
            pen.polygon(points, fill=value, outline=value)
        elif shape.kind == "rectangle":
            (left, right), (top, bottom) = sorted(x for x, _ in points[:2]), sorted(y for _, y in points[:2])
            pen.rectangle([left, top, right, bottom], fill=value, outline=value)
        elif shape.kind == "circle":  # around the first point, through the second
            (x, y), radius = points[0], math.dist(points[0], points[1])
            pen.ellipse([x - radius, y - radius, x + radius, y + radius], fill=value, outline=value)
        elif shape.kind == "point":
            for x, y in points:
                box = [x - POINT_RADIUS, y - POINT_RADIUS, x + POINT_RADIUS, y + POINT_RADIUS]
                pen.ellipse(box, fill=value, outline=value)
        else:
            pen.line(points, fill=value, width=LINE_WIDTH)
    return np.array(canvas)


def rasterise(segmentations: Sequence[Any], size: tuple[int, int], where: str) -> BoolArray:
    """Return the pixels (H, W) that any of COCO's `segmentations` covers: polygons, or run lengths of either form.

    `size` is the image's (width, height), `where` names the annotation in errors. The C code of pycocotools trusts
    every number it is given, so whatever it would take for memory is refused first.
    """
    try:
        from pycocotools import mask as coco
    except ImportError:
        raise InputError(f"{where}: COCO needs pycocotools; pip install globalconv[coco]") from None
    width, height = size
    encoded = []
    try:
        for segmentation in segmentations:
            if not segmentation:
                raise InputError(
                    f"{where}: an object has a box and no outline; draw its outline, or remove it", "shape"
                )
            if isinstance(segmentation, list):
                for polygon in segmentation:
                    if len(polygon) < 6 or len(polygon) % 2:
                        raise ValueError(f"a polygon of {len(polygon)} numbers")
                    if not all(isinstance(value, int | float) and abs(value) <= MAX_COORDINATE for value in polygon):
                        raise ValueError("a coordinate is no number, or far outside")
                encoded.append(coco.merge(coco.frPyObjects(segmentation, height, width)))
                continue
            counts = segmentation["counts"]
            lengths = counts if isinstance(counts, list) else _decode_run_lengths(counts)
            if min(lengths, default=0) < 0 or sum(lengths) != width * height:
                raise ValueError(f"run lengths of {sum(lengths)} pixels for an image of {width}x{height}")
            uncompressed = isinstance(counts, list)
            encoded.append(coco.frPyObjects(segmentation, height, width) if uncompressed else segmentation)
        covered_HW: BoolArray = coco.decode(encoded[0] if len(encoded) == 1 else coco.merge(encoded)).astype(bool)
    except InputError:
        raise
    except Exception as error:  # The C code raises almost anything.
        raise InputError(f"{where}: a segmentation cannot be rasterised ({error}); export it again") from None
    if covered_HW.shape != (height, width):
        raise InputError(
            f"{where}: a segmentation is of size {covered_HW.shape[::-1]}, its image of {size}; export again"
        )
    return covered_HW


def _decode_run_lengths(counts: str | bytes) -> list[int]:
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
    names: Iterable[str], labels: LabelSpace | None, void_names: tuple[str, ...] = VOID_NAMES
) -> DrawnClasses:
    """Return the classes of a drawn data set: `labels`, or if that is None, background and the `names` that occur."""
    if labels is None:
        drawn = [name for name in dict.fromkeys(names) if name.lower() not in VOID_NAMES]
        background = [name for name in drawn if name.lower() in BACKGROUND_NAMES] or ["background"]
        others = [name for name in drawn if name.lower() not in BACKGROUND_NAMES]
        if not others:
            raise InputError("nothing is drawn in any annotation; draw the objects first")
        if len(others) >= MAX_CLASSES:
            raise InputError(f"{len(others)} classes are drawn; a label map holds at most {MAX_CLASSES}")
        labels = LabelSpace((background[0], *others))
    indices = [index for index, name in enumerate(labels.class_names) if name.lower() in BACKGROUND_NAMES]
    return DrawnClasses(labels, indices[0] if indices else IGNORE, void_names)


@dataclass(frozen=True)
class DrawnSample:
    """One sample: an image, and the shapes drawn on it."""

    name: str
    image: Path
    where: str
    """Annotation file, and the entry where a file holds many: for messages."""
    read: Callable[[], tuple[tuple[int, int], list[tuple[str, Shape]]]]
    """Returns (width, height) of the annotated image, and in drawing order each object's class name and shape."""


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
        with parsing(sample.where):
            size, named_shapes = sample.read()
        if (actual := image_size(sample.image)) != size:
            raise InputError(size_mismatch(sample.where, "annotation", size, sample.image, actual), "size")
        shapes = [(self.classes.value(name, sample.where), shape) for name, shape in named_shapes]
        try:
            return draw_shapes(shapes, size, self.classes.undrawn)
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
        raise InputError(f"{file}: cannot be read as JSON ({error}); export it again") from None


@cache_by_file(maxsize=4)
def _parse_json(file: Path) -> Any:
    """Parse a file once, which may have hundreds of megabytes and is read several times."""
    return json.loads(file.read_text(encoding="utf-8-sig"))


def collect_drawn_samples(makers: Iterable[Callable[[], DrawnSample]], on_error: OnError) -> tuple[DrawnSample, ...]:
    """Return the samples of those `makers` that raise no `InputError`; the errors go to `on_error`."""
    samples = []
    for make in makers:
        try:
            samples.append(make())
        except InputError as error:
            on_error(error)
    counts = Counter(sample.name for sample in samples)
    if repeated := [name for name, count in counts.items() if count > 1]:
        message = f"{samples[0].where}: the image {repeated[0]!r} is listed {counts[repeated[0]]} times"
        on_error(InputError(message, "names"))
    return tuple({sample.name: sample for sample in samples}.values())


def find_image(candidates: Sequence[Path], where: str, written: str) -> Path:
    """Return the first of `candidates` that exists; if none does, an `InputError` names the path as `written`."""
    if (found := find_file(candidates)) is not None:
        return found
    raise InputError(
        f"{where}: its image {written!r} is not there (looked for {candidates[0]}); put it there", "partner"
    )


def safe_name(*parts: str) -> str:
    """Return a sample's name from the path in an annotation: relative, without suffix, never out of its folder."""
    words = [word for part in parts for word in PurePosixPath(part.replace("\\", "/")).parts]
    return name_of(PurePosixPath(*(word for word in words if word not in ("..", "/"))), IMAGE_SUFFIXES)


def required_field(fields: Mapping[str, Any], key: str, where: str) -> Any:
    """Return a field that has to be there; a missing one is an `InputError`."""
    if key not in fields:
        raise InputError(f"{where}: the field {key!r} is missing; export the annotation again")
    return fields[key]

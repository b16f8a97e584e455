"""Drawn annotations in, label maps out: polygons and the like, later ones over earlier ones.

Coordinates are (x, y) in pixels with the origin at the outer corner of the first pixel, as annotation tools write
them. Outlines belong to what they enclose, which is how labelme itself renders (Pillow's `ImageDraw`).

Shapes: H x W pixels of the image, h x w of a shape's own mask.
"""

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from globalconv.data.images import Uint8Array
from globalconv.errors import InputError

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

"""Drawn shapes, rasterised: polygons, boxes, circles, lines, points and masks, the later ones over the earlier ones.

They are drawn as labelme draws them, by Pillow's `ImageDraw`. Coordinates are (x, y) in pixels with the origin at the
outer corner of the first pixel, as annotation tools write them.

Shapes: H x W pixels of the image, h x w of a shape's own mask.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike
from PIL import Image, ImageDraw

from globalconv.arrays import BoolArray, Uint8Array
from globalconv.errors import InputError

Point = tuple[float, float]

LINE_WIDTH, POINT_RADIUS = 10, 5
"""Width of a line and radius of a point in pixels, as labelme draws them."""

MAX_COORDINATE = 1e6
"""Coordinates beyond it are mistakes, and drawing some of them would take all memory."""

MAX_RADIUS = 2
"""Radius of a circle over width and height of its image: larger ones are mistakes, and drawing them takes minutes."""

ANY = 1 << 30

POINT_COUNTS: dict[str, tuple[int, int]] = {
    "polygon": (3, ANY),
    "rectangle": (2, 2),
    "circle": (2, 2),
    "line": (2, 2),
    "linestrip": (2, ANY),
    "point": (1, 1),
    "points": (1, ANY),
    "mask": (1, 2),
}
"""The kinds of shapes, and the fewest and the most points that make one."""


@dataclass(frozen=True)
class Shape:
    """One drawn object."""

    kind: str
    """One of `POINT_COUNTS`."""
    points: tuple[Point, ...]
    """Of a rectangle two opposite corners, of a circle its centre and a point on it, of a mask its top left corner."""
    pixels: Callable[[tuple[int, int]], BoolArray] | None = None
    """Of a mask: returns its pixels (h, w) for an image of (width, height), when it is drawn; they may be large."""
    joint: Literal["curve"] | None = None
    """Of a linestrip: whether its turns are round."""


def draw_shapes(shapes: Iterable[tuple[str, int, Shape]], size: tuple[int, int], undrawn: int) -> Uint8Array:
    """Return the label map (H, W) of the (class, value, shape) triples in drawing order; `size` is (width, height).

    Pixels under no shape are `undrawn`. A shape that its kind does not allow is an `InputError`.
    """
    canvas = Image.new("L", size, undrawn)
    pen = ImageDraw.Draw(canvas)
    for name, value, shape in shapes:
        _require_drawable(name, shape)
        points = list(shape.points)
        if shape.pixels is not None:
            try:
                mask_hw = shape.pixels(size)
            except InputError as error:
                raise InputError(f"an object of class {name!r}: {error}") from None
            corner = (int(points[0][0]), int(points[0][1]))
            far_corner = (corner[0] + mask_hw.shape[1] - 1, corner[1] + mask_hw.shape[0] - 1)
            require_inside((corner, far_corner), 0, size, f"a mask of class {name!r}")
            canvas.paste(value, corner, Image.fromarray(mask_hw.astype(np.uint8) * 255))
            continue
        radius = math.dist(*points) if shape.kind == "circle" else 0
        if radius > MAX_RADIUS * sum(size):
            raise InputError(f"a circle of class {name!r} has a radius of {radius:.0f} pixels; redraw or remove it")
        reach = {"point": POINT_RADIUS, "points": POINT_RADIUS, "line": LINE_WIDTH, "linestrip": LINE_WIDTH}
        require_inside(points, radius or reach.get(shape.kind, 0), size, f"a {shape.kind} of class {name!r}")
        if shape.kind == "polygon":
            pen.polygon(points, fill=value, outline=value)
        elif shape.kind == "rectangle":
            (left, right), (top, bottom) = sorted(x for x, _ in points), sorted(y for _, y in points)
            pen.rectangle([left, top, right, bottom], fill=value, outline=value)
        elif shape.kind in ("line", "linestrip"):
            pen.line(points, fill=value, width=LINE_WIDTH, joint=shape.joint)
        else:
            radius = radius if shape.kind == "circle" else POINT_RADIUS
            for x, y in points[:1] if shape.kind == "circle" else points:
                pen.ellipse([x - radius, y - radius, x + radius, y + radius], fill=value, outline=value)
    return np.array(canvas)


def _require_drawable(name: str, shape: Shape) -> None:
    """Refuse a shape of an unknown kind, of too few or too many points, or of points that are none."""
    if shape.kind not in POINT_COUNTS:
        known = ", ".join(kind for kind in POINT_COUNTS if kind != "points")  # which only CVAT has
        raise InputError(f"a shape of kind {shape.kind!r} (class {name!r}): known are {known}; redraw or remove it")
    require_numbers(shape.points, f"a {shape.kind} of class {name!r}")
    fewest, most = POINT_COUNTS[shape.kind]
    if not fewest <= len(shape.points) <= most:
        wanted = f"{fewest}" if fewest == most else f"{fewest} or more" if most == ANY else f"{fewest} or {most}"
        raise InputError(
            f"a {shape.kind} of class {name!r} has {count_points(shape.points)}, and needs {wanted}; correct or remove"
            " it"
        )


def count_points(points: Sequence[Point]) -> str:
    """Return "1 point", "2 points"."""
    return f"{len(points)} point{'' if len(points) == 1 else 's'}"


def require_numbers(points: Iterable[Point], what: str) -> None:
    """Refuse points with coordinates that are no numbers, or far beyond any image; `what` is their shape."""
    if not all(math.isfinite(v) and abs(v) <= MAX_COORDINATE for point in points for v in point):
        raise InputError(f"{what} has coordinates that are no numbers or far outside; redraw or remove it")


def require_inside(points: ArrayLike, reach: float, size: tuple[int, int], what: str) -> None:
    """Refuse a shape that covers nothing of an image of (width, height), or is drawn in fractions of its size.

    `points` are (N, 2), (x, y); `reach` is how far the shape extends around them. A part of it may lie outside.
    """
    values = np.asarray(points, np.float64)
    if (values.max(axis=0) < -reach).any() or (values.min(axis=0) > np.add(size, reach)).any():
        raise InputError(f"{what} lies outside of its image of {size[0]}x{size[1]}; redraw or remove it")
    if len(values) > 1 and values.min() >= 0 and values.max() <= 1 and (values % 1).any():
        raise InputError(f"{what} has coordinates from 0 to 1, as if in fractions of the image; write them in pixels")


def upright_corners(points: Sequence[Point]) -> tuple[Point, Point] | None:
    """Return two opposite corners of the upright box whose four corners are `points`, in any order; None: of no box.

    A corner may be off by less than a pixel.
    """
    left, right = min(x for x, _ in points), max(x for x, _ in points)
    top, bottom = min(y for _, y in points), max(y for _, y in points)
    corners = ((left, top), (left, bottom), (right, top), (right, bottom))
    at_corner = [[math.dist(corner, point) < 1 for point in points] for corner in corners]
    fits = len(points) == 4 and all(map(any, at_corner)) and all(map(any, zip(*at_corner, strict=True)))
    return ((left, top), (right, bottom)) if fits else None

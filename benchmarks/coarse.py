"""Label maps as somebody draws them in a minute: a few rough polygons, inside the objects, nothing that is small.

What Cityscapes calls coarse annotations, made of fine ones, for `benchmarks/stages.py`. A function of the label map
alone. Shapes: H x W pixels.
"""

from collections.abc import Iterator

import numpy as np
from contourpy import LineType, contour_generator
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from scipy import ndimage

from globalconv.arrays import Float64Array, Uint8Array
from globalconv.labels import IGNORE

"""Corners (x, y) in pixels, the last one the first."""

MARGIN = 4
"""Pixels that an outline stays inside its object."""
TOLERANCE = 6.0
"""How far a corner that is left out may lie from the line that replaces it."""
LEAST = 300
"""Pixels, after the margin, below which an object is not drawn; of 480x360 it is 0.2 %."""
LEAST_HOLE = 100
"""Pixels from which on a hole in an object is left open."""


def coarse(label_map: Uint8Array) -> Uint8Array:
    """Return the label map of the polygons; what none covers is void. Large objects are drawn first."""
    drawn = Image.new("L", label_map.shape[::-1], IGNORE)
    pen = ImageDraw.Draw(drawn)
    regions = [(int(mask.sum()), label, mask) for label, mask in _regions(label_map)]
    for _, label, mask in sorted(regions, key=lambda region: (-region[0], region[1])):
        for outline in _outlines(mask):
            hole = _area(outline) < 0
            if not hole or -_area(outline) >= LEAST_HOLE:
                corners = [(float(x), float(y)) for x, y in simplified(outline, TOLERANCE)]
                if len(corners) > 3:  # the first one counts twice
                    pen.polygon(corners, fill=IGNORE if hole else label)
    return np.array(drawn)


def _regions(label_map: Uint8Array) -> Iterator[tuple[int, NDArray[np.bool_]]]:
    """Yield the connected regions of every class, less the margin, that are large enough to be drawn."""
    for label in np.unique(label_map[label_map != IGNORE]).tolist():
        # Pixels next to the image's edge are as far inside as they look: nothing else begins there.
        inside = ndimage.distance_transform_edt(np.pad(label_map == label, MARGIN + 1, mode="edge"))
        inside = inside[MARGIN + 1 : -MARGIN - 1, MARGIN + 1 : -MARGIN - 1] > MARGIN
        numbered, count = ndimage.label(inside)
        sizes = np.bincount(numbered.ravel(), minlength=count + 1)
        yield from ((label, numbered == number) for number in range(1, count + 1) if sizes[number] >= LEAST)


def _outlines(mask: NDArray[np.bool_]) -> list[Float64Array]:
    """Return the outlines of a region, those around it first; they run the other way round holes."""
    padded = np.pad(mask, 1).astype(np.float64)
    lines = contour_generator(z=padded, line_type=LineType.Separate).lines(0.5)
    return sorted((np.asarray(line) - 1 for line in lines), key=lambda line: -_area(line))


def _area(outline: Float64Array) -> float:
    """Return the signed area: below zero where the outline runs round a hole."""
    x, y = outline[:, 0], outline[:, 1]
    return float(np.sum(x[:-1] * y[1:] - x[1:] * y[:-1]) / 2)


def simplified(outline: Float64Array, tolerance: float) -> Float64Array:
    """Return the fewest corners that Douglas and Peucker's rule leaves: none dropped is farther than `tolerance`."""
    if len(outline) <= 2:
        return outline
    farthest = int(np.argmax(_distances(outline)))
    if _distances(outline)[farthest] <= tolerance:
        return outline[[0, -1]]
    parts = simplified(outline[: farthest + 1], tolerance), simplified(outline[farthest:], tolerance)
    return np.concatenate([parts[0][:-1], parts[1]])


def _distances(line: Float64Array) -> NDArray[np.float64]:
    """Return how far each point lies from the segment between the first and the last one."""
    start, along = line[0], line[-1] - line[0]
    length = max(float(along @ along), 1e-12)
    share = np.clip((line - start) @ along / length, 0, 1)
    return np.asarray(np.linalg.norm(line - start - share[:, None] * along, axis=1))

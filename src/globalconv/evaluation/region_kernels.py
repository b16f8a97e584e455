"""The compiled inner loops of `regions` and `region_curves`: distances to boundaries, areas of objects, counting.

A boundary is made of cracks: a crack is the unit segment between two 4-neighbours of unequal class. Distances are
exact up to a `reach` in pixels and not looked at beyond it. They are whole numbers of half pixels, so squares compare
without rounding. Each search runs along the columns first, then along the rows over what the columns hold within
reach, a whole row at a time.

Shapes: H x W pixels, K classes, D + 1 distances, S + 1 sizes.
"""

import numpy as np

from globalconv.arrays import BoolArray, Int32Array, Int64Array, Uint8Array, Uint16Array
from globalconv.labels import IGNORE
from globalconv.runtime.jit import compiled

BEYOND = 65535
"""Square of a distance beyond the reach."""
_FAR = 2**30


@compiled
def fill_void(label_map: Uint8Array, reach: int) -> Uint8Array:
    """Return `label_map` with the class of the nearest labelled pixel in each void pixel that has one within `reach`.

    Distances are Euclidean, between pixel centres. Of several classes at the same distance the lowest index wins, so
    that a mirror image gives the mirrored result. Void pixels further away stay void. Squared distance and class are
    packed into one number, square * 256 + class, whose minimum is the nearest class.
    """
    height, width = label_map.shape
    rows = _nearest_label_in_column(label_map, reach)
    filled = label_map.copy()
    line = np.full(width + 2 * reach, np.int32(_FAR))
    for y in range(height):
        if not (label_map[y] == IGNORE).any():
            continue
        for x in range(width):
            halves = np.int32(2 * (rows[y, x] >> 8))
            line[reach + x] = (halves * halves << 8) | (rows[y, x] & 255)
        best = line[reach : reach + width].copy()
        _lower(best, line, 2, reach, 8, False)
        for x in range(width):
            filled[y, x] = best[x] & 255 if best[x] >> 8 <= 4 * reach * reach else IGNORE
    return filled


@compiled
def _nearest_label_in_column(label_map: Uint8Array, reach: int) -> Int32Array:
    """Return distance * 256 + class of the nearest labelled pixel in the column of each pixel."""
    height, width = label_map.shape
    nearest = np.empty((height, width), np.int32)
    for y in range(height):
        for x in range(width):
            nearest[y, x] = label_map[y, x] if label_map[y, x] != IGNORE else (reach + 1) * 256 + IGNORE
    for y in range(1, height):
        for x in range(width):
            nearest[y, x] = min(nearest[y, x], nearest[y - 1, x] + 256)
    for y in range(height - 2, -1, -1):
        for x in range(width):
            nearest[y, x] = min(nearest[y, x], nearest[y + 1, x] + 256)
    return nearest


@compiled
def crack_squares(class_map: Uint8Array, reach: int, ignored: int, chessboard: bool) -> Uint16Array:
    """Return the squared distance of each pixel to the nearest crack, in half pixels; `BEYOND` above the reach.

    The distance is from the pixel's centre to the nearest point of a crack. The value `ignored` has no cracks.
    """
    height, width = class_map.shape
    lines, centres = cracks_in_columns(class_map, 2 * reach + 1, ignored)
    squares = np.empty((height, width), np.uint16)
    line = np.full(width + 1 + 2 * reach, np.int32(_FAR))
    best = np.empty(width, np.int32)
    for y in range(height):
        for x in range(width + 1):
            line[reach + x] = np.int32(lines[y, x]) * lines[y, x]
        for x in range(width):
            best[x] = np.int32(centres[y, x]) * centres[y, x]
        _lower(best, line, 1, reach, 0, chessboard)
        for x in range(width):
            squares[y, x] = best[x] if best[x] <= 4 * reach * reach else BEYOND
    return squares


@compiled
def _lower(best: Int32Array, line: Int32Array, first: int, reach: int, shift: int, chessboard: bool) -> None:
    """Lower the squares `best` of a row by way of `line`, `first`, `first` + 2, ... half pixels to the left and right.

    `line` begins `reach` pixels before the row. All squares are shifted left by `shift` bits.
    """
    width = len(best)
    for halves in range(first, 2 * reach + 1, 2):
        across = np.int32(halves * halves << shift)
        left = line[reach - halves // 2 :]
        right = line[reach + (halves + 1) // 2 :]
        highest = np.int32(0)
        for x in range(width):
            along = min(left[x], right[x])
            lower = min(best[x], max(across, along) if chessboard else across + along)
            best[x] = lower
            highest = max(highest, lower)
        if highest < across:
            break


@compiled
def cracks_in_columns(class_map: Uint8Array, limit: int, ignored: int) -> tuple[Uint16Array, Uint16Array]:
    """Return the distances to the nearest crack along the W + 1 lines between columns and the W lines through centres.

    A line between columns has 0 beside a crack of its own, else the distance to the nearest end of any crack; a centre
    line has the distance to the nearest crack across it. Distances above `limit` are `limit`.
    """
    height, width = class_map.shape
    lines = np.full((height, width + 1), np.uint16(limit))
    centres = np.full((height, width), np.uint16(limit))
    for y in range(height):
        for x in range(width):
            if x > 0 and _differ(class_map[y, x - 1], class_map[y, x], ignored):
                lines[y, x] = 0
            if y > 0 and _differ(class_map[y - 1, x], class_map[y, x], ignored):
                for row in (y - 1, y):
                    centres[row, x] = 1
                    lines[row, x], lines[row, x + 1] = min(lines[row, x], 1), min(lines[row, x + 1], 1)
    for distances in (lines, centres):
        for y in range(1, height):
            _pass_on(distances[y - 1], distances[y])
        for y in range(height - 2, -1, -1):
            _pass_on(distances[y + 1], distances[y])
    return lines, centres


@compiled
def _differ(a: int, b: int, ignored: int) -> bool:
    return a != b and a != ignored and b != ignored


@compiled
def _pass_on(before: Uint16Array, row: Uint16Array) -> None:
    """Lower the distances of a row by those of the row before it; a crack beside that row ends after half a pixel."""
    for x in range(len(row)):
        further = 1 if before[x] == 0 else before[x] + 2
        row[x] = min(row[x], further)


@compiled
def in_band(class_map: Uint8Array, reach: int, ignored: int) -> BoolArray:
    """Return the pixels (H, W) in the Boundary IoU band of their class, for all classes at once.

    These are the pixels that an erosion of their class by a square of `reach` pixels to every side removes: the square
    leaves the image or holds another class, which means a crack at a chessboard distance below `reach`.
    """
    height, width = class_map.shape
    lines, centres = cracks_in_columns(class_map, 2 * reach + 1, ignored)
    band = np.empty((height, width), np.bool_)
    for y in range(height):
        outside = min(y, height - 1 - y) < reach
        since = 0
        for x in range(width):
            since = 0 if x == 0 or lines[y, x] < 2 * reach else since + 1
            band[y, x] = outside or since < reach or centres[y, x] < 2 * reach
        since = 0
        for x in range(width - 1, -1, -1):
            since = 0 if x == width - 1 or lines[y, x + 1] < 2 * reach else since + 1
            band[y, x] |= since < reach
    return band


@compiled
def object_areas(label_map: Uint8Array) -> Int32Array:
    """Return the area of the object of each pixel (H, W): its region of one class, connected by 4-neighbours; void 0.

    Union-find: each pixel points to an earlier one of its region, the first one to itself.
    """
    height, width = label_map.shape
    labels, points_to = label_map.ravel(), np.empty(height * width, np.int32)
    for y in range(height):
        for pixel in range(y * width, (y + 1) * width):
            left = pixel > y * width and labels[pixel - 1] == labels[pixel]
            points_to[pixel] = points_to[pixel - 1] if left else pixel
            above = y > 0 and labels[pixel - width] == labels[pixel]
            if above and not (left and labels[pixel - width - 1] == labels[pixel]):  # else the left one is joined to it
                a, b = _root(points_to, pixel), _root(points_to, pixel - width)
                points_to[max(a, b)] = min(a, b)
    areas = np.zeros(height * width, np.int32)
    for pixel in range(height * width):
        points_to[pixel] = points_to[points_to[pixel]]
        areas[points_to[pixel]] += labels[pixel] != IGNORE
    for pixel in range(height * width):
        areas[pixel] = areas[points_to[pixel]]
    return areas.reshape(height, width)


@compiled
def _root(points_to: Int32Array, pixel: int) -> int:
    while points_to[pixel] != pixel:
        points_to[pixel] = points_to[points_to[pixel]]
        pixel = points_to[pixel]
    return pixel


@compiled
def count_by_distance(
    squares: Uint16Array, class_map: Uint8Array, label_map: Uint8Array, counts_DKK: Int64Array
) -> None:
    """Add the labelled pixels of an image to `counts_DKK`: by distance (up to 1, 2, ... D, beyond), truth, prediction.

    `squares` are squared distances in half pixels, as `crack_squares` returns them.
    """
    farthest = len(counts_DKK) - 1
    bin_of_square = np.full(4 * farthest * farthest + 1, farthest)
    for distance in range(farthest, 0, -1):
        bin_of_square[: 4 * distance * distance + 1] = distance - 1
    for y in range(label_map.shape[0]):
        for x in range(label_map.shape[1]):
            if label_map[y, x] != IGNORE:
                distance = bin_of_square[squares[y, x]] if squares[y, x] < len(bin_of_square) else farthest
                counts_DKK[distance, label_map[y, x], class_map[y, x]] += 1


@compiled
def count_by_size(
    squares: Uint16Array,
    class_map: Uint8Array,
    label_map: Uint8Array,
    width: float,
    bounds: Int32Array,
    counts_S22: Int64Array,
) -> None:
    """Add the labelled pixels of an image to `counts_S22`: by area of their object, inside or near a boundary, right.

    The first size is below the first of `bounds`; inside means further than `width` pixels from a boundary.
    """
    areas = object_areas(label_map)
    for y in range(label_map.shape[0]):
        for x in range(label_map.shape[1]):
            if label_map[y, x] != IGNORE:
                size = 0
                while size < len(bounds) and areas[y, x] >= bounds[size]:
                    size += 1
                inside, right = squares[y, x] > 4 * width * width, class_map[y, x] == label_map[y, x]
                counts_S22[size, np.int64(inside), np.int64(right)] += 1


@compiled
def count_edges(
    in_prediction: BoolArray,
    in_truth: BoolArray,
    class_map: Uint8Array,
    label_map: Uint8Array,
    hits_K: Int64Array,
    unions_K: Int64Array,
) -> None:
    """Add per class the labelled pixels in its band in both prediction and truth (hits), and in either (unions)."""
    for y in range(label_map.shape[0]):
        for x in range(label_map.shape[1]):
            if label_map[y, x] == IGNORE:
                continue
            hit = in_prediction[y, x] and in_truth[y, x] and class_map[y, x] == label_map[y, x]
            hits_K[label_map[y, x]] += hit
            unions_K[label_map[y, x]] += in_truth[y, x]
            unions_K[class_map[y, x]] += in_prediction[y, x] and not hit

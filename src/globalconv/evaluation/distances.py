"""How far every pixel is from the nearest boundary of a label map: the compiled inner loops of `regions`.

Everything is exact up to a `reach` in pixels and not looked at beyond it. All distances are whole numbers of half
pixels, so that squares compare without rounding. Each search goes first along the columns, then along the rows over
what the columns within reach have found, a whole row at a time.

Shapes: H x W pixels.
"""

import numpy as np

from globalconv.arrays import BoolArray, Int32Array, Uint8Array, Uint16Array
from globalconv.labels import IGNORE
from globalconv.runtime.jit import compiled

BEYOND = 65535
"""Square of a distance that is larger than the reach."""
_FAR = 2**30


@compiled
def fill_void(label_map: Uint8Array, reach: int) -> Uint8Array:
    """Return `label_map` with the class of the nearest labelled pixel in each void pixel that has one within `reach`.

    Nearest by the Euclidean distance of centres; of several equally near classes the one of the lowest index, so that
    a mirror image gives the mirror image. What is further away stays void. A square and a class are one number, square
    * 256 + class, of which the smallest is the nearest.
    """
    height, width = label_map.shape
    rows = _rows_to_a_label(label_map, reach)
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
def _rows_to_a_label(label_map: Uint8Array, reach: int) -> Int32Array:
    """Return rows * 256 + class of the labelled pixel that is nearest in the column of each pixel."""
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
def crack_squares(class_map: Uint8Array, reach: int, unseen: int, chessboard: bool) -> Uint16Array:
    """Return of each pixel the square of its distance in half pixels to the nearest boundary; `BEYOND` the reach.

    A boundary is the unit segment (the crack) between two 4-neighbours of unequal value, neither of them `unseen`;
    the distance is from the centre of the pixel to the nearest point of a segment.
    """
    height, width = class_map.shape
    lines, centres = cracks_in_columns(class_map, 2 * reach + 1, unseen)
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
    """Lower the squares of a row to what `line` holds `first`, `first` + 2, ... half pixels to the left and right.

    `line` begins `reach` pixels before the row. All squares are shifted by `shift` bits.
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
def cracks_in_columns(class_map: Uint8Array, most: int, unseen: int) -> tuple[Uint16Array, Uint16Array]:
    """Return the distances along the columns to the nearest boundary, `most` for more.

    On the W + 1 lines left and right of the columns: 0 beside a crack of the line itself, else to the nearest end of
    any crack. On the W centre lines: to the nearest crack across them.
    """
    height, width = class_map.shape
    lines = np.full((height, width + 1), np.uint16(most))
    centres = np.full((height, width), np.uint16(most))
    for y in range(height):
        for x in range(width):
            if x > 0 and _differ(class_map[y, x - 1], class_map[y, x], unseen):
                lines[y, x] = 0
            if y > 0 and _differ(class_map[y - 1, x], class_map[y, x], unseen):
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
def _differ(one: int, other: int, unseen: int) -> bool:
    return one != other and one != unseen and other != unseen


@compiled
def _pass_on(before: Uint16Array, row: Uint16Array) -> None:
    """Lower the distances of a row to what the row before it gives; a crack beside that one ends after half a pixel."""
    for x in range(len(row)):
        further = 1 if before[x] == 0 else before[x] + 2
        row[x] = min(row[x], further)


@compiled
def near_unequal(class_map: Uint8Array, reach: int, unseen: int) -> BoolArray:
    """Return the pixels whose square of `reach` pixels to every side holds another class or leaves the image.

    So an erosion of each class by that square would remove them: each class's band of Boundary IoU, all at once. A
    square holds another class just where it holds a crack, at a chessboard distance below `reach`.
    """
    height, width = class_map.shape
    lines, centres = cracks_in_columns(class_map, 2 * reach + 1, unseen)
    near = np.empty((height, width), np.bool_)
    for y in range(height):
        outside = min(y, height - 1 - y) < reach
        since = 0
        for x in range(width):
            since = 0 if x == 0 or lines[y, x] < 2 * reach else since + 1
            near[y, x] = outside or since < reach or centres[y, x] < 2 * reach
        since = 0
        for x in range(width - 1, -1, -1):
            since = 0 if x == width - 1 or lines[y, x + 1] < 2 * reach else since + 1
            near[y, x] |= since < reach
    return near

"""How far every pixel is from the nearest boundary of a label map: the compiled inner loops of `regions`.

Everything is exact up to a `reach` and not looked at beyond it. All distances are whole numbers in half pixels, so
that squares compare without rounding.

Shapes: H x W pixels.
"""

import numpy as np
import numpy.typing as npt

from globalconv.compiled import compiled
from globalconv.labels import IGNORE

LabelMap = npt.NDArray[np.uint8]
Ints = npt.NDArray[np.int32]
Squares = npt.NDArray[np.uint16]

BEYOND = 65535
"""Square of a distance that is larger than the reach, which is at most 100 pixels: (2 x 100)^2 is smaller."""


@compiled
def fill_void(label_map: LabelMap, reach: int) -> LabelMap:
    """Return `label_map` with the class of the nearest labelled pixel in each void pixel that has one within `reach`.

    Nearest by the Euclidean distance of centres; of several equally near classes the one of the lowest index, so that
    a mirror image gives the mirror image. What is further away stays void.
    """
    rows, nearest = _nearest_in_columns(label_map, reach)
    filled = label_map.copy()
    for y in range(label_map.shape[0]):
        for x in range(label_map.shape[1]):
            if label_map[y, x] == IGNORE:
                filled[y, x] = _nearest_class(rows[y], nearest[y], x, reach)
    return filled


@compiled
def _nearest_in_columns(label_map: LabelMap, reach: int) -> tuple[Ints, LabelMap]:
    """Return of each pixel how many rows away the next labelled pixel of its column is, and of which class."""
    height, width = label_map.shape
    nearest = label_map.copy()
    rows = np.where(label_map == IGNORE, np.int32(reach + 1), np.int32(0))
    for order in range(2):
        for place in range(1, height):
            y, before = (place, place - 1) if order == 0 else (height - 1 - place, height - place)
            for x in range(width):
                steps, there = rows[before, x] + 1, nearest[before, x]
                if steps < rows[y, x] or (steps == rows[y, x] and there < nearest[y, x]):
                    rows[y, x], nearest[y, x] = steps, there
    return rows, nearest


@compiled
def _nearest_class(rows: Ints, nearest: LabelMap, x: int, reach: int) -> int:
    """Return the class that is nearest to the pixel in column `x` of a row; void beyond the reach."""
    best, chosen = reach * reach, IGNORE
    for step in range(reach + 1):
        if step * step > best:
            break
        for column in (x - step, x + step):
            if 0 <= column < len(rows):
                square = step * step + rows[column] * rows[column]
                if square < best or (square == best and nearest[column] < chosen):
                    best, chosen = square, nearest[column]
    return chosen


@compiled
def crack_squares(class_map: LabelMap, reach: int, unseen: int, chessboard: bool) -> Squares:
    """Return of each pixel the square of its distance in half pixels to the nearest boundary; `BEYOND` the reach.

    A boundary is the unit segment (the crack) between two 4-neighbours of unequal value, neither of them `unseen`;
    the distance is from the centre of the pixel to the nearest point of a segment. First by columns: how far the
    nearest point of a boundary is on each line between columns, and on the centre line of the column itself; then by
    rows over all lines within reach.
    """
    height, width = class_map.shape
    lines, centres = _distances_in_columns(class_map, 2 * reach + 1, unseen)
    squares = np.empty((height, width), np.uint16)
    line = np.full(width + 1 + 2 * reach, np.int32(BEYOND))
    best = np.empty(width, np.int32)
    for y in range(height):
        for x in range(width + 1):
            line[reach + x] = np.int32(lines[y, x]) * lines[y, x]
        for x in range(width):
            best[x] = np.int32(centres[y, x]) * centres[y, x]
        _nearest_in_row(line, best, reach, chessboard)
        for x in range(width):
            squares[y, x] = best[x] if best[x] <= 4 * reach * reach else BEYOND
    return squares


@compiled
def _nearest_in_row(line: Ints, best: Ints, reach: int, chessboard: bool) -> None:
    """Lower the squares of a row to what the lines within `reach` to its left and right give."""
    width = len(best)
    for step in range(reach):
        across = np.int32((2 * step + 1) * (2 * step + 1))
        if best.max() <= across:
            break
        left, right = line[reach - step : reach - step + width], line[reach + 1 + step : reach + 1 + step + width]
        for x in range(width):
            along = min(left[x], right[x])
            best[x] = min(best[x], max(across, along) if chessboard else across + along)


@compiled
def _distances_in_columns(class_map: LabelMap, most: int, unseen: int) -> tuple[LabelMap, LabelMap]:
    """Return distances along the columns in half pixels, `most` for more.

    On the W + 1 lines left and right of the columns: 0 beside a crack of the line itself, else to the nearest corner
    of any crack. On the W centre lines: to the nearest crack across them.
    """
    height, width = class_map.shape
    lines = np.full((height, width + 1), np.uint8(most))
    centres = np.full((height, width), np.uint8(most))
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
def _pass_on(before: LabelMap, row: LabelMap) -> None:
    """Lower the distances of a row to what the row before it gives: a corner is half a pixel past its own row."""
    for x in range(len(row)):
        further = np.uint8(1) if before[x] == 0 else before[x] + np.uint8(2)
        row[x] = min(row[x], further)

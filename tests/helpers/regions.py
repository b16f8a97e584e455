"""Random label maps, and the definitions of docs/regions.md by brute force: every crack against every pixel.

Distances are whole numbers of half pixels, so that the comparison is exact.
"""

import math

import numpy as np
import numpy.typing as npt
from scipy.ndimage import binary_dilation

from globalconv.arrays import Int64Array, Uint8Array

VOID = 255


def random_map(seed: int) -> Uint8Array:
    """A few areas of odd classes, in most maps with a void strip between them, in some with a void half."""
    random = np.random.default_rng(seed)
    height, width = random.integers(1, 32, 2)
    areas = random.integers(1, 6)
    ys, xs = random.uniform(0, height, areas), random.uniform(0, width, areas)
    rows, columns = np.mgrid[:height, :width]
    nearest = np.argmin((rows[..., None] - ys) ** 2 + (columns[..., None] - xs) ** 2, -1)
    label_map: Uint8Array = (2 * random.integers(0, 5, areas)[nearest] + 1).astype(np.uint8)
    strip = random.integers(0, 4)
    void = binary_dilation(edges(label_map), iterations=int(strip)) if strip else np.zeros_like(label_map, bool)
    void[: height // 2] |= random.random() < 0.2
    label_map[void] = VOID
    return label_map


def edges(label_map: Uint8Array) -> npt.NDArray[np.bool_]:
    edge = np.zeros(label_map.shape, bool)
    edge[:, 1:] |= label_map[:, 1:] != label_map[:, :-1]
    edge[1:] |= label_map[1:] != label_map[:-1]
    return edge


def filled(label_map: Uint8Array) -> Uint8Array:
    """Every void pixel of the lowest class among its nearest labelled pixels."""
    ys, xs = np.nonzero(label_map != VOID)
    result = label_map.copy()
    for y, x in np.argwhere(label_map == VOID):
        squares = (ys - y) ** 2 + (xs - x) ** 2
        result[y, x] = label_map[ys, xs][squares == squares.min()].min() if len(ys) else VOID
    return result


def squares(class_map: Uint8Array, metric: str = "euclidean") -> Int64Array:
    """(2 d)^2 of every pixel's distance d to the nearest of all cracks; a very large number where there is none."""
    height, width = class_map.shape
    rows, columns = np.mgrid[:height, :width]
    distances = np.full((height, width), 10**9)
    for y, x in np.ndindex(height, width):
        cracks = []
        if x + 1 < width and class_map[y, x] != class_map[y, x + 1]:
            cracks.append((abs(2 * columns - 2 * x - 1), abs(2 * rows - 2 * y)))
        if y + 1 < height and class_map[y, x] != class_map[y + 1, x]:
            cracks.append((abs(2 * rows - 2 * y - 1), abs(2 * columns - 2 * x)))
        for across, along in cracks:
            beside = np.maximum(along - 1, 0)
            square = np.maximum(across, beside) ** 2 if metric == "chessboard" else across**2 + beside**2
            distances = np.minimum(distances, square)
    return distances


def within(distances: Int64Array, width: float) -> npt.NDArray[np.bool_]:
    return distances <= math.floor(4 * width * width)

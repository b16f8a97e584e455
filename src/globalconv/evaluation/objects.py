"""Connected regions of a label map, and pixels counted by what they belong to: the compiled inner loops of `tally`.

Shapes: H x W pixels, K classes, D + 1 distances, S + 1 sizes.
"""

import numpy as np
import numpy.typing as npt

from globalconv.compiled import compiled
from globalconv.evaluation.distances import Ints, LabelMap, Mask, Squares
from globalconv.labels import IGNORE

Counts = npt.NDArray[np.int64]


@compiled
def object_areas(label_map: LabelMap) -> Ints:
    """Return of each labelled pixel how many pixels its region has, connected by 4-neighbours of equal class; void 0.

    Every pixel points to an earlier one of its region or, the first, to itself.
    """
    height, width = label_map.shape
    labels, points_to = label_map.ravel(), np.empty(height * width, np.int32)
    for y in range(height):
        for place in range(y * width, (y + 1) * width):
            left = place > y * width and labels[place - 1] == labels[place]
            points_to[place] = points_to[place - 1] if left else place
            above = y > 0 and labels[place - width] == labels[place]
            if above and not (left and labels[place - width - 1] == labels[place]):  # else the left one is joined to it
                _join(points_to, place, place - width)
    areas = np.zeros(height * width, np.int32)
    for place in range(height * width):
        points_to[place] = points_to[points_to[place]]
        areas[points_to[place]] += labels[place] != IGNORE
    for place in range(height * width):
        areas[place] = areas[points_to[place]]
    return areas.reshape(height, width)


@compiled
def _join(points_to: Ints, one: int, other: int) -> None:
    one, other = _first(points_to, one), _first(points_to, other)
    points_to[max(one, other)] = min(one, other)


@compiled
def _first(points_to: Ints, place: int) -> int:
    while points_to[place] != place:
        points_to[place] = points_to[points_to[place]]
        place = points_to[place]
    return place


@compiled
def count_by_distance(squares: Squares, class_map: LabelMap, label_map: LabelMap, counts_DKK: Counts) -> None:
    """Add the labelled pixels of an image: by distance (up to 1, 2, ... D pixels, and beyond), truth and prediction.

    `squares` are those of distances in half pixels.
    """
    farthest = len(counts_DKK) - 1
    place = np.full(4 * farthest * farthest + 1, farthest)
    for distance in range(farthest, 0, -1):
        place[: 4 * distance * distance + 1] = distance - 1
    for y in range(label_map.shape[0]):
        for x in range(label_map.shape[1]):
            if label_map[y, x] != IGNORE:
                where = place[squares[y, x]] if squares[y, x] < len(place) else farthest
                counts_DKK[where, label_map[y, x], class_map[y, x]] += 1


@compiled
def count_by_size(
    squares: Squares, class_map: LabelMap, label_map: LabelMap, width: float, bounds: Ints, counts_S22: Counts
) -> None:
    """Add the labelled pixels of an image: by the area of their region (below the first of `bounds`, ...).

    Then by whether they are further than `width` pixels from a boundary, and whether they are right.
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
    in_prediction: Mask, in_truth: Mask, class_map: LabelMap, label_map: LabelMap, hits_K: Counts, unions_K: Counts
) -> None:
    """Add the labelled pixels that lie in the band of their class in the prediction, in the truth, or in both."""
    for y in range(label_map.shape[0]):
        for x in range(label_map.shape[1]):
            if label_map[y, x] == IGNORE:
                continue
            hit = in_prediction[y, x] and in_truth[y, x] and class_map[y, x] == label_map[y, x]
            hits_K[label_map[y, x]] += hit
            unions_K[label_map[y, x]] += in_truth[y, x]
            unions_K[class_map[y, x]] += in_prediction[y, x] and not hit

"""Boundary IoU: how well the outlines of the classes are met (Cheng et al., CVPR 2021), of any number of classes.

Shapes: H x W pixels, K classes.

Accuracy near the boundaries of the ground truth and inside its areas (Table 5 of the paper; docs/regions.md).

Shapes: H x W pixels. Label maps are uint8, 255 for void.

Connected regions of a label map, and pixels counted by what they belong to: the compiled inner loops of `tally`.

Shapes: H x W pixels, K classes, D + 1 distances, S + 1 sizes.
"""

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from globalconv.arrays import BoolArray, Int32Array, Int64Array, Uint8Array, Uint16Array
from globalconv.errors import InputError
from globalconv.labels import IGNORE
from globalconv.runtime.jit import compiled

METRICS, VOID = ("euclidean", "chessboard"), ("fill", "edge")


@dataclass(frozen=True)
class RegionSettings:
    """What counts as near a boundary. The paper states the 7 pixels, and no more: the rest is this project's choice."""

    width: float = 7.0
    """Pixels from a boundary to either side, at most 100."""
    metric: Literal["euclidean", "chessboard"] = "euclidean"
    """How the distance of a pixel's centre from a boundary is measured."""
    void: Literal["fill", "edge"] = "fill"
    """Before boundaries are looked for, void takes the class nearest to it; or it stays, and its edge is a boundary."""

    def __post_init__(self) -> None:
        if not 0 < self.width <= 100:
            raise InputError(f"`regions.width` {self.width:g}: expected pixels above 0, at most 100")
        for name, value, known in (("metric", self.metric, METRICS), ("void", self.void, VOID)):
            if value not in known:
                raise InputError(f"`regions.{name}` {value}: expected {' or '.join(known)}")


REGIONS = RegionSettings()


@dataclass(frozen=True)
class RegionCounts:
    """Pixels near boundaries and inside areas, and how many of each were predicted right; void is in neither."""

    boundary_right: int = 0
    boundary: int = 0
    internal_right: int = 0
    internal: int = 0

    def __add__(self, other: "RegionCounts") -> "RegionCounts":
        """Return the counts of both sets of pixels together."""
        return RegionCounts(
            self.boundary_right + other.boundary_right,
            self.boundary + other.boundary,
            self.internal_right + other.internal_right,
            self.internal + other.internal,
        )

    def boundary_accuracy(self) -> float:
        """Return the share of the pixels near boundaries that are right; nan where there are none."""
        return self.boundary_right / self.boundary if self.boundary else math.nan

    def internal_accuracy(self) -> float:
        """Return the share of the other pixels that are right; nan where there are none."""
        return self.internal_right / self.internal if self.internal else math.nan


def boundary_region(label_map: Uint8Array, settings: RegionSettings = REGIONS) -> BoolArray:
    """Return the pixels (H, W) within `settings.width` of a boundary; where `label_map` is void it means nothing."""
    reach = math.ceil(settings.width)
    without_void = void_filled(label_map, reach, settings)
    return boundary_squares(without_void, reach, settings) <= 4 * settings.width**2


def region_counts(class_map: Uint8Array, label_map: Uint8Array, settings: RegionSettings = REGIONS) -> RegionCounts:
    """Count the pixels of one image near boundaries of `label_map` and inside, and those that `class_map` has right.

    Both are uint8 (H, W); predictions on void change nothing.
    """
    class_map, label_map = checked(class_map, label_map)
    counted, right = label_map != IGNORE, class_map == label_map
    near = boundary_region(label_map, settings) & counted
    inside = counted & ~near
    return RegionCounts(*(int(np.count_nonzero(part)) for part in (near & right, near, inside & right, inside)))


def checked(class_map: Uint8Array, label_map: Uint8Array) -> tuple[Uint8Array, Uint8Array]:
    """Return both as compiled loops take them; `InputError` unless they are uint8 and of one shape (H, W)."""
    for name, given in (("class_map", class_map), ("label_map", label_map)):
        if given.dtype != np.uint8 or given.ndim != 2:
            raise InputError(f"{name} of shape {given.shape}, {given.dtype}: regions take uint8 of shape (H, W)")
    if class_map.shape != label_map.shape:
        raise InputError(
            f"class_map of shape {class_map.shape} against label_map of shape {label_map.shape}:"
            " a prediction has the size of its label map"
        )
    return plain(class_map), plain(label_map)


def plain(array: Uint8Array) -> Uint8Array:
    """Return an array as compiled loops were compiled for: contiguous and writeable; a copy only where it is not."""
    return np.require(array, requirements=["C", "W"])


def void_filled(label_map: Uint8Array, reach: int, settings: RegionSettings = REGIONS) -> Uint8Array:
    """Return `label_map` with void filled as far as boundaries within `reach` pixels of labelled pixels need it.

    Each void pixel takes the class of the labelled pixel whose centre is nearest, of several the class of the lowest
    index; or nothing is filled, where the settings say so.
    """
    if settings.void == "edge" or not (label_map == IGNORE).any():
        return label_map
    from globalconv.evaluation.distances import fill_void

    furthest = math.sqrt(2) if settings.metric == "chessboard" else 1  # pixels of a step by the metric
    return fill_void(plain(label_map), math.ceil(reach * furthest) + 1)


def boundary_squares(label_map: Uint8Array, reach: int, settings: RegionSettings) -> npt.NDArray[np.uint16]:
    """Return (2 d)^2 of each labelled pixel's distance d to the nearest boundary, 65535 where d > `reach` pixels.

    d is from the pixel's centre to the nearest point of a crack, the unit segment between two 4-neighbours of unequal
    class: 0.5 for the pixels that touch it, 1.5 for those behind them. (2 d)^2 is a whole number, so nothing is
    rounded. The image's edge is no boundary. What `void_filled` has left void is none either, unless void is to have
    an edge of its own.
    """
    from globalconv.evaluation.distances import crack_squares

    unseen = -1 if settings.void == "edge" else IGNORE
    return crack_squares(plain(label_map), reach, unseen, settings.metric == "chessboard")


@compiled
def object_areas(label_map: Uint8Array) -> Int32Array:
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
def _join(points_to: Int32Array, one: int, other: int) -> None:
    one, other = _first(points_to, one), _first(points_to, other)
    points_to[max(one, other)] = min(one, other)


@compiled
def _first(points_to: Int32Array, place: int) -> int:
    while points_to[place] != place:
        points_to[place] = points_to[points_to[place]]
        place = points_to[place]
    return place


@compiled
def count_by_distance(
    squares: Uint16Array, class_map: Uint8Array, label_map: Uint8Array, counts_DKK: Int64Array
) -> None:
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
    squares: Uint16Array,
    class_map: Uint8Array,
    label_map: Uint8Array,
    width: float,
    bounds: Int32Array,
    counts_S22: Int64Array,
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
    in_prediction: BoolArray,
    in_truth: BoolArray,
    class_map: Uint8Array,
    label_map: Uint8Array,
    hits_K: Int64Array,
    unions_K: Int64Array,
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


DIAGONAL = 0.02
"""Width of the bands as a share of the image's diagonal."""


def band_width(height: int, width: int) -> int:
    """Return the width of the bands of an image in pixels: 2 % of its diagonal, at least 1."""
    return max(1, round(DIAGONAL * math.hypot(height, width)))


def edge_overlap(class_map: Uint8Array, label_map: Uint8Array, num_classes: int) -> tuple[Int64Array, Int64Array]:
    """Return of every class the pixels in both of its bands, and in one of them at least (K,); uint8 maps (H, W).

    A class's band, in truth and in prediction, are its pixels that as many erosions by 3 x 3 as the band is wide would
    take away; beyond the image's edge there is nothing, so the edge is an outline too. That is the published formula on
    the binary mask of each class. Void is in no band: in the truth it is filled by the nearest class, in the prediction
    what was predicted there gives way to the nearest predicted class.
    """
    from globalconv.evaluation.distances import near_unequal

    width = band_width(*label_map.shape)
    predicted = np.where(label_map == IGNORE, np.uint8(IGNORE), class_map)
    in_prediction, in_truth = (near_unequal(_filled(found, width), width, IGNORE) for found in (predicted, label_map))
    hits_K, unions_K = np.zeros((2, num_classes), np.int64)
    count_edges(in_prediction, in_truth, class_map, label_map, hits_K, unions_K)
    return hits_K, unions_K


def _filled(label_map: Uint8Array, width: int) -> Uint8Array:
    return void_filled(label_map, math.ceil(width * math.sqrt(2)))

"""Accuracy near the boundaries of the ground truth and inside its areas (Table 5), and Boundary IoU (docs/regions.md).

Everything here is of one image; `region_curves` counts a whole data set. Label maps and class maps are uint8 (H, W),
255 for void. A boundary is a crack: the unit segment between two 4-neighbours of unequal class.

The compiled loops are imported where they run: options need the settings only, and importing numba takes half a second.

Shapes: H x W pixels, K classes.
"""

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np

from globalconv.arrays import BoolArray, Int64Array, Uint8Array, Uint16Array
from globalconv.errors import InputError
from globalconv.labels import IGNORE

METRICS, VOID = ("euclidean", "chessboard"), ("fill", "edge")


@dataclass(frozen=True)
class RegionSettings:
    """Which pixels count as near a boundary. The paper gives the 7 pixels only; the rest is this project's choice."""

    width: float = 7.0
    """Pixels from a boundary to either side, at most 100."""
    metric: Literal["euclidean", "chessboard"] = "euclidean"
    """How the distance of a pixel's centre from a boundary is measured."""
    void: Literal["fill", "edge"] = "fill"
    """fill: void takes the class of the nearest labelled pixel before boundaries are looked for; edge: void is kept,
    and its edge is a boundary."""

    def __post_init__(self) -> None:
        if not 0 < self.width <= 100:
            raise InputError(f"`regions.width` {self.width:g}: expected pixels above 0, at most 100")
        for name, value, choices in (("metric", self.metric, METRICS), ("void", self.void, VOID)):
            if value not in choices:
                raise InputError(f"`regions.{name}` {value}: expected {' or '.join(choices)}")


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


def region_counts(class_map: Uint8Array, label_map: Uint8Array, settings: RegionSettings = REGIONS) -> RegionCounts:
    """Return the pixels of one image near boundaries of `label_map` and inside, and those that `class_map` has right.

    Predictions on void change nothing. `InputError` unless both are uint8 of one shape (H, W).
    """
    class_map, label_map = checked_maps(class_map, label_map)
    counted, right = label_map != IGNORE, class_map == label_map
    near = boundary_region(label_map, settings) & counted
    inside = counted & ~near
    return RegionCounts(*(int(np.count_nonzero(part)) for part in (near & right, near, inside & right, inside)))


def checked_maps(class_map: Uint8Array, label_map: Uint8Array) -> tuple[Uint8Array, Uint8Array]:
    """Return both as the compiled loops take them; `InputError` unless they are uint8 of one shape (H, W)."""
    for name, array in (("class_map", class_map), ("label_map", label_map)):
        if array.dtype != np.uint8 or array.ndim != 2:
            raise InputError(f"{name} of shape {array.shape}, {array.dtype}: regions take uint8 of shape (H, W)")
    if class_map.shape != label_map.shape:
        raise InputError(
            f"class_map of shape {class_map.shape} against label_map of shape {label_map.shape}:"
            " a prediction has the size of its label map"
        )
    return _for_loops(class_map), _for_loops(label_map)


def boundary_region(label_map: Uint8Array, settings: RegionSettings = REGIONS) -> BoolArray:
    """Return the pixels (H, W) within `settings.width` of a boundary; values on void pixels have no meaning."""
    return boundary_squares(label_map, math.ceil(settings.width), settings) <= 4 * settings.width**2


def boundary_squares(label_map: Uint8Array, reach: int, settings: RegionSettings = REGIONS) -> Uint16Array:
    """Return (2 d)^2 of each labelled pixel's distance d to the nearest boundary; 65535 where d exceeds `reach` pixels.

    d is from the pixel's centre to the nearest point of a crack: 0.5 for the pixels that touch it, 1.5 for those behind
    them. (2 d)^2 is a whole number, so nothing is rounded. The image's edge is no boundary. Void is filled first, or
    has an edge of its own, as the settings say.
    """
    from globalconv.evaluation.region_kernels import crack_squares

    chessboard = settings.metric == "chessboard"
    if settings.void == "edge":
        return crack_squares(_for_loops(label_map), reach, -1, chessboard)
    # A pixel at this distance by the metric may be farther away by the Euclidean distance, by which void is filled.
    euclidean_reach = math.ceil(reach * (math.sqrt(2) if chessboard else 1)) + 1
    return crack_squares(_filled(label_map, euclidean_reach), reach, IGNORE, chessboard)


DIAGONAL = 0.02
"""Width of the bands of Boundary IoU as a share of the image's diagonal."""


def band_width(height: int, width: int) -> int:
    """Return the width in pixels of the bands of Boundary IoU: 2 % of the image's diagonal, at least 1."""
    return max(1, round(DIAGONAL * math.hypot(height, width)))


def boundary_overlap(class_map: Uint8Array, label_map: Uint8Array, num_classes: int) -> tuple[Int64Array, Int64Array]:
    """Return intersection and union of each class's bands in pixels (K,), for Boundary IoU (Cheng et al., CVPR 2021).

    A class's band, in truth and in prediction, is what `band_width` erosions by 3 x 3 take away from its pixels. Beyond
    the image's edge there is nothing, so the edge is an outline too. That is the published formula on the binary mask
    of each class. Void is in no band: in the truth it is filled with the nearest class, and predictions on it give way
    to the nearest predicted class.
    """
    from globalconv.evaluation.region_kernels import count_edges, in_band

    width = band_width(*label_map.shape)
    fill_reach = math.ceil(width * math.sqrt(2)) + 1
    predicted = np.where(label_map == IGNORE, np.uint8(IGNORE), class_map)
    in_prediction, in_truth = (
        in_band(_filled(class_indices, fill_reach), width, IGNORE) for class_indices in (predicted, label_map)
    )
    hits_K, unions_K = np.zeros((2, num_classes), np.int64)
    count_edges(in_prediction, in_truth, class_map, label_map, hits_K, unions_K)
    return hits_K, unions_K


def _filled(label_map: Uint8Array, reach: int) -> Uint8Array:
    """Return `label_map` with void filled by the nearest class within `reach` pixels, as the compiled loops take it."""
    from globalconv.evaluation.region_kernels import fill_void

    label_map = _for_loops(label_map)
    return fill_void(label_map, reach) if (label_map == IGNORE).any() else label_map


def _for_loops(array: Uint8Array) -> Uint8Array:
    """Return an array of the kind that loops are compiled for, contiguous and writeable; a copy only where needed."""
    return np.require(array, requirements=["C", "W"])

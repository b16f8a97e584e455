"""Accuracy near the boundaries of the ground truth and inside its areas (Table 5 of the paper; docs/regions.md).

Shapes: H x W pixels. Label maps are uint8, 255 for void.
"""

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from globalconv.errors import InputError
from globalconv.labels import IGNORE

LabelMap = npt.NDArray[np.uint8]
Mask = npt.NDArray[np.bool_]
Counts = npt.NDArray[np.int64]

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
            raise InputError(f"--regions.width {self.width:g}: expected pixels above 0, at most 100")
        for name, value, known in (("metric", self.metric, METRICS), ("void", self.void, VOID)):
            if value not in known:
                raise InputError(f"--regions.{name} {value}: expected {' or '.join(known)}")


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


def boundary_region(label_map: LabelMap, settings: RegionSettings = REGIONS) -> Mask:
    """Return the pixels (H, W) within `settings.width` of a boundary; where `label_map` is void it means nothing."""
    reach = math.ceil(settings.width)
    without_void = void_filled(label_map, reach, settings)
    return boundary_squares(without_void, reach, settings) <= 4 * settings.width**2


def region_counts(class_map: LabelMap, label_map: LabelMap, settings: RegionSettings = REGIONS) -> RegionCounts:
    """Count the pixels of one image near boundaries of `label_map` and inside, and those that `class_map` has right.

    Both are uint8 (H, W); predictions on void change nothing.
    """
    class_map, label_map = checked(class_map, label_map)
    counted, right = label_map != IGNORE, class_map == label_map
    near = boundary_region(label_map, settings) & counted
    inside = counted & ~near
    return RegionCounts(*(int(np.count_nonzero(part)) for part in (near & right, near, inside & right, inside)))


def checked(class_map: LabelMap, label_map: LabelMap) -> tuple[LabelMap, LabelMap]:
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


def plain(array: LabelMap) -> LabelMap:
    """Return an array as compiled loops were compiled for: contiguous and writeable; a copy only where it is not."""
    return np.require(array, requirements=["C", "W"])


def void_filled(label_map: LabelMap, reach: int, settings: RegionSettings = REGIONS) -> LabelMap:
    """Return `label_map` with void filled as far as boundaries within `reach` pixels of labelled pixels need it.

    Each void pixel takes the class of the labelled pixel whose centre is nearest, of several the class of the lowest
    index; or nothing is filled, where the settings say so.
    """
    if settings.void == "edge" or not (label_map == IGNORE).any():
        return label_map
    from globalconv.evaluation.distances import fill_void

    furthest = math.sqrt(2) if settings.metric == "chessboard" else 1  # pixels of a step by the metric
    return fill_void(plain(label_map), math.ceil(reach * furthest) + 1)


def boundary_squares(label_map: LabelMap, reach: int, settings: RegionSettings) -> npt.NDArray[np.uint16]:
    """Return (2 d)^2 of each labelled pixel's distance d to the nearest boundary, 65535 where d > `reach` pixels.

    d is from the pixel's centre to the nearest point of a crack, the unit segment between two 4-neighbours of unequal
    class: 0.5 for the pixels that touch it, 1.5 for those behind them. (2 d)^2 is a whole number, so nothing is
    rounded. The image's edge is no boundary. What `void_filled` has left void is none either, unless void is to have
    an edge of its own.
    """
    from globalconv.evaluation.distances import crack_squares

    unseen = -1 if settings.void == "edge" else IGNORE
    return crack_squares(plain(label_map), reach, unseen, settings.metric == "chessboard")

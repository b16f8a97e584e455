"""Accuracy by regions over a whole data set: by distance to a boundary, by size of the object, and Boundary IoU.

Images are counted one after another into whole numbers, so memory does not grow with their number.

Shapes: K classes, H x W pixels, D distances, S sizes.
"""

import math
from itertools import pairwise
from typing import Any

import numpy as np

from globalconv.arrays import Float64Array, Int64Array, Uint8Array
from globalconv.evaluation.confusion import ConfusionMatrix, mean_iou, ratio
from globalconv.evaluation.regions import (
    REGIONS,
    RegionCounts,
    RegionSettings,
    boundary_overlap,
    boundary_squares,
    checked_maps,
)
from globalconv.labels import IGNORE
from globalconv.runtime.text import align_columns

WIDEST = 40
"""Pixels; the trimap curve has every width from 1 to this."""
TABLE_WIDTHS = (1, 2, 3, 5, 7, 10, 20, 40)
"""Widths of the trimap curve in the table for a terminal."""
SIZES = (16, 32, 64, 128, 256)
"""Bounds between the sizes of objects: square roots of the areas of connected regions, in pixels."""
SIZE_NAMES = (f"below {SIZES[0]}", *(f"{low} to {high}" for low, high in pairwise(SIZES)), f"{SIZES[-1]} and more")


class RegionScores:
    """Pixels of a data set by distance to a boundary of the truth and by size of their object, and Boundary IoU.

    Everything is counted in whole numbers over all images, as in `ConfusionMatrix`; docs/regions.md defines each score.
    """

    def __init__(self, num_classes: int, settings: RegionSettings = REGIONS) -> None:
        self.num_classes, self.settings = num_classes, settings
        self.by_distance_DKK: Int64Array = np.zeros((WIDEST + 1, num_classes, num_classes), np.int64)
        """Confusion counts (rows = truth) up to 1, 2, ... 40 pixels from a boundary, and beyond."""
        self.by_size_S22: Int64Array = np.zeros((len(SIZES) + 1, 2, 2), np.int64)
        """By size of the object; near a boundary or internal; wrong or right."""
        self.band_hits_K: Int64Array = np.zeros(num_classes, np.int64)
        self.band_unions_K: Int64Array = np.zeros(num_classes, np.int64)

    def update(self, class_map: Uint8Array, label_map: Uint8Array) -> None:
        """Count one image: predicted classes and true ones, uint8 (H, W); predictions on void change nothing.

        Values outside 0 .. K-1 are an `InputError`, and nothing is counted.
        """
        from globalconv.evaluation.region_kernels import count_by_distance, count_by_size  # import numba

        class_map, label_map = checked_maps(class_map, label_map)
        if np.maximum(class_map, label_map).max(where=label_map != IGNORE, initial=0) >= self.num_classes:
            ConfusionMatrix(self.num_classes).update(class_map, label_map)  # raises the error that names the values
        squares = boundary_squares(label_map, max(WIDEST, math.ceil(self.settings.width)), self.settings)
        count_by_distance(squares, class_map, label_map, self.by_distance_DKK)
        areas = np.array(SIZES, np.int32) ** 2
        count_by_size(squares, class_map, label_map, self.settings.width, areas, self.by_size_S22)
        hits_K, unions_K = boundary_overlap(class_map, label_map, self.num_classes)
        self.band_hits_K += hits_K
        self.band_unions_K += unions_K

    def counts(self) -> RegionCounts:
        """Return the pixels near boundaries and inside, and those of each that are right."""
        (near_wrong, near_right), (inside_wrong, inside_right) = self.by_size_S22.sum(0).tolist()
        return RegionCounts(near_right, near_wrong + near_right, inside_right, inside_wrong + inside_right)

    def trimap(self) -> list[ConfusionMatrix]:
        """Return the confusion matrices of the pixels within 1, 2, ... 40 pixels of a boundary."""
        return [ConfusionMatrix.from_counts(counts_KK) for counts_KK in np.cumsum(self.by_distance_DKK[:-1], 0)]

    def accuracy_by_distance(self) -> tuple[Float64Array, Int64Array]:
        """Return accuracy and number of the pixels 0 to 1, 1 to 2, ... 39 to 40 pixels from a boundary, and beyond."""
        pixels_D = self.by_distance_DKK.sum((1, 2))
        return ratio(np.trace(self.by_distance_DKK, axis1=1, axis2=2), pixels_D), pixels_D

    def wrong_share_within(self, width: int) -> float:
        """Return the share of the wrong pixels within `width` (1 to 40) pixels of a boundary; 0 if all are right."""
        wrong_D = self.by_distance_DKK.sum((1, 2)) - np.trace(self.by_distance_DKK, axis1=1, axis2=2)
        return float(wrong_D[:width].sum() / max(1, wrong_D.sum()))

    def internal_by_size(self) -> tuple[Float64Array, Int64Array]:
        """Return accuracy and number of the internal pixels in objects of each size, in the order of `SIZE_NAMES`."""
        pixels_S = self.by_size_S22[:, 1].sum(1)
        return ratio(self.by_size_S22[:, 1, 1], pixels_S), pixels_S

    def boundary_iou(self) -> Float64Array:
        """Return Boundary IoU of every class (K,), nan where none of its bands has a pixel that counts.

        These are the classes that occur in neither truth nor prediction, and those whose outlines all lie in void.
        """
        return ratio(self.band_hits_K, self.band_unions_K)

    def mean_boundary_iou(self) -> float:
        """Return the mean of `boundary_iou` over the classes that have one; nan if not one pixel was counted."""
        return mean_iou(self.band_hits_K, self.band_unions_K)

    def lines(self) -> list[str]:
        """Return the accuracies as lines for a terminal."""
        counts, trimap = self.counts(), self.trimap()
        share = counts.boundary / max(1, counts.boundary + counts.internal)
        widths = [("of a boundary", "mIoU")]
        widths += [(f"within {width} px", score_text(trimap[width - 1].miou())) for width in TABLE_WIDTHS]
        sizes = [("object size in px", "internal accuracy")]
        sizes += zip(SIZE_NAMES, map(score_text, self.internal_by_size()[0]), strict=True)
        accuracies = (
            f"boundary accuracy {score_text(counts.boundary_accuracy())} within {self.settings.width:g} pixels of a"
            f" boundary ({share:.1%} of the pixels), internal accuracy {score_text(counts.internal_accuracy())}"
        )
        return [
            accuracies,
            *align_columns(list(zip(*widths, strict=True))),
            *align_columns(list(zip(*sizes, strict=True))),
        ]

    def to_json(self, class_names: tuple[str, ...]) -> dict[str, Any]:
        """Return everything as JSON values; null where there are no pixels."""
        counts, trimap = self.counts(), self.trimap()
        by_distance, by_size = self.accuracy_by_distance(), self.internal_by_size()
        return {
            "width": self.settings.width,
            "metric": self.settings.metric,
            "void": self.settings.void,
            "boundary_pixels": counts.boundary,
            "internal_pixels": counts.internal,
            "boundary_miou": score_json(self.mean_boundary_iou()),
            "boundary_iou": dict(zip(class_names, map(score_json, self.boundary_iou()), strict=True)),
            "trimap": {
                "width": list(range(1, WIDEST + 1)),
                "miou": [score_json(matrix.miou()) for matrix in trimap],
                "pixel_accuracy": [score_json(matrix.pixel_accuracy()) for matrix in trimap],
                "pixels": [int(matrix.counts.sum()) for matrix in trimap],
            },
            "by_distance": {
                "up_to": [*range(1, WIDEST + 1), None],
                "pixel_accuracy": list(map(score_json, by_distance[0])),
                "pixels": by_distance[1].tolist(),
            },
            "by_object_size": {
                "below": [*SIZES, None],
                "internal_accuracy": list(map(score_json, by_size[0])),
                "internal_pixels": by_size[1].tolist(),
            },
        }


def score_text(value: float) -> str:
    """Return a score for a terminal: four decimals, or - for nan."""
    return "-" if math.isnan(value) else f"{value:.4f}"


def score_json(value: float) -> float | None:
    """Return a score as a JSON value: null for nan."""
    return None if math.isnan(value) else float(value)

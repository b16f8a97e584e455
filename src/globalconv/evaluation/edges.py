"""Boundary IoU: how well the outlines of the classes are met (Cheng et al., CVPR 2021), of any number of classes.

Shapes: H x W pixels, K classes.
"""

import math

import numpy as np

from globalconv.evaluation.regions import Counts, LabelMap, void_filled
from globalconv.labels import IGNORE

DIAGONAL = 0.02
"""Width of the bands as a share of the image's diagonal."""


def band_width(height: int, width: int) -> int:
    """Return the width of the bands of an image in pixels: 2 % of its diagonal, at least 1."""
    return max(1, round(DIAGONAL * math.hypot(height, width)))


def edge_overlap(class_map: LabelMap, label_map: LabelMap, num_classes: int) -> tuple[Counts, Counts]:
    """Return of every class the pixels in both of its bands, and in one of them at least (K,); uint8 maps (H, W).

    A class's band, in truth and in prediction, are its pixels that as many erosions by 3 x 3 as the band is wide would
    take away; beyond the image's edge there is nothing, so the edge is an outline too. That is the published formula on
    the binary mask of each class. Void is in no band: in the truth it is filled by the nearest class, in the prediction
    what was predicted there gives way to the nearest predicted class.
    """
    from globalconv.evaluation.distances import near_unequal
    from globalconv.evaluation.objects import count_edges

    width = band_width(*label_map.shape)
    predicted = np.where(label_map == IGNORE, np.uint8(IGNORE), class_map)
    in_prediction, in_truth = (near_unequal(_filled(found, width), width, IGNORE) for found in (predicted, label_map))
    hits_K, unions_K = np.zeros((2, num_classes), np.int64)
    count_edges(in_prediction, in_truth, class_map, label_map, hits_K, unions_K)
    return hits_K, unions_K


def _filled(label_map: LabelMap, width: int) -> LabelMap:
    return void_filled(label_map, math.ceil(width * math.sqrt(2)))

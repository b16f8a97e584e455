"""Weights of classes in the loss from how often they are labelled; without PyTorch, for `data check` tells them too.

Shapes: K classes.
"""

from typing import Literal

import numpy as np
from numpy.typing import NDArray

ClassWeighting = Literal["none", "median", "sqrt-median"]


def balance_classes(pixels_K: NDArray[np.int64], reach_K: NDArray[np.int64], kind: str) -> NDArray[np.float64]:
    """Return the weight of each class: `kind` is one of `ClassWeighting`.

    `pixels_K` are the label pixels of each class, `reach_K` all those of the images in which it occurs. "median" is
    median-frequency balancing (Eigen & Fergus 2015, as in SegNet): the frequency of a class is its share of the label
    pixels of those images, its weight the median of all frequencies over its own. "sqrt-median" is the square root of
    that, which lifts rare classes more gently. Classes that never occur have no frequency: they stay out of the median
    and weigh 1, which no loss over the same data ever uses.
    """
    weights_K = np.ones(len(pixels_K))
    occurs_K = pixels_K > 0
    if kind != "none" and occurs_K.any():
        frequency = pixels_K[occurs_K] / reach_K[occurs_K]
        weights_K[occurs_K] = np.median(frequency) / frequency
    return np.sqrt(weights_K) if kind == "sqrt-median" else weights_K

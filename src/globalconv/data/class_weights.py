"""Weights of classes in the loss, from how often the classes are labelled.

Without PyTorch, because `globalconv data check` reports the weights and the recipes name the kinds.

Shapes: K classes.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Literal, get_args

import numpy as np

from globalconv.arrays import Float64Array, Int64Array
from globalconv.errors import InputError, suggest
from globalconv.labels import IGNORE

if TYPE_CHECKING:  # Listing recipes needs no decoders of images.
    from globalconv.data.source import Source

ClassWeighting = Literal["none", "median", "sqrt-median"]

MAX_COUNTED = 1000
"""Most label maps that are counted: the frequencies of classes need no more."""


class ClassPixels:
    """How often each of K classes is labelled, summed over label maps."""

    def __init__(self, classes: int) -> None:
        self.pixels_K: Int64Array = np.zeros(classes, np.int64)
        """Label pixels of each class."""
        self.reach_K: Int64Array = np.zeros(classes, np.int64)
        """Label pixels of all classes in the label maps that contain the class."""

    def add(self, counts_K: Int64Array) -> None:
        """Add one label map that has `counts_K` pixels of each class."""
        self.pixels_K += counts_K
        self.reach_K += np.where(counts_K > 0, counts_K.sum(), 0)


def count_class_pixels(source: "Source", on_progress: Callable[[int, int], object] | None = None) -> ClassPixels:
    """Count the labels of at most `MAX_COUNTED` samples, evenly spaced over the source.

    `on_progress` is called with the number of label maps done and the number of all.
    """
    from globalconv.data.source import spread_evenly

    classes = source.labels.num_classes
    pixels, indices = ClassPixels(classes), spread_evenly(len(source), MAX_COUNTED)
    for done, index in enumerate(indices, start=1):
        pixels.add(np.bincount(source.label_map(index).ravel(), minlength=IGNORE + 1)[:classes])
        if on_progress is not None:
            on_progress(done, len(indices))
    return pixels


def compute_class_weights(pixels: ClassPixels, kind: str) -> Float64Array:
    """Return the weight of each class (K,); `kind` is one of `ClassWeighting`.

    "median" is median-frequency balancing (Eigen & Fergus 2015, as in SegNet): the frequency of a class is its share of
    the label pixels of the images that contain it, its weight the median of all frequencies divided by its own.
    "sqrt-median" is the square root of that, which gives rare classes less extra weight. Classes that never occur have
    no frequency: they do not count for the median and have weight 1, which no loss over the same data ever uses.
    """
    if kind not in get_args(ClassWeighting):
        raise InputError(f"`optim.class_weights` {kind!r}: {suggest(kind, get_args(ClassWeighting))}")
    weights_K = np.ones(len(pixels.pixels_K))
    occurs_K = pixels.pixels_K > 0
    if kind != "none" and occurs_K.any():
        frequency = pixels.pixels_K[occurs_K] / pixels.reach_K[occurs_K]
        weights_K[occurs_K] = np.median(frequency) / frequency
    return np.sqrt(weights_K) if kind == "sqrt-median" else weights_K

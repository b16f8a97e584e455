"""Counting what is predicted right: the confusion matrix of segmentation, top-1 and top-5 of classification.

The only mIoU of this project. It takes arrays or tensors, never files, and imports no torch.

Shapes: N images, K classes.
"""

from typing import Any

import numpy as np
import numpy.typing as npt
from array_api_compat import array_namespace, is_array_api_obj, to_device

from globalconv.arrays import Array, Float64Array, Int64Array
from globalconv.errors import InputError
from globalconv.labels import IGNORE

_MAX_NAMED = 5
"""How many wrong values a message names."""


class ConfusionMatrix:
    """Pixels of a whole data set, counted by true class (rows) and predicted class (columns).

    Scores follow PASCAL VOC's development kit: one matrix of int64 counts over all images, pixels whose truth is
    `ignore_index` left out altogether, IoU of a class = true positives / (true + false positives + false negatives),
    mIoU = mean over the classes. A class that occurs neither in the truth nor in the predictions has no IoU (nan) and
    takes no part in the mean; `absent_classes` names it. Nothing is averaged per image or per batch.
    """

    def __init__(self, num_classes: int, ignore_index: int = IGNORE) -> None:
        if num_classes < 1:
            raise InputError(f"num_classes={num_classes}: a confusion matrix needs at least 1 class")
        if 0 <= ignore_index < num_classes:
            raise InputError(f"ignore_index={ignore_index} is one of the {num_classes} classes; choose another value")
        self.num_classes = num_classes
        self.ignore_index = ignore_index
        self.counts: Int64Array = np.zeros((num_classes, num_classes), np.int64)

    @classmethod
    def from_counts(cls, counts: npt.ArrayLike, ignore_index: int = IGNORE) -> "ConfusionMatrix":
        """Return a matrix that holds a copy of `counts` (K, K), whole numbers, rows = truth."""
        array = np.asarray(counts)
        if array.ndim != 2 or array.shape[0] != array.shape[1] or array.dtype.kind not in "iu" or (array < 0).any():
            raise InputError(f"counts of shape {array.shape}, {array.dtype}: give a square of whole numbers >= 0")
        matrix = cls(len(array), ignore_index)
        matrix.counts += array.astype(np.int64)
        return matrix

    def __add__(self, other: "ConfusionMatrix") -> "ConfusionMatrix":
        """Return the matrix of both sets of pixels together."""
        if not isinstance(other, ConfusionMatrix):
            return NotImplemented
        if (self.num_classes, self.ignore_index) != (other.num_classes, other.ignore_index):
            raise InputError(
                f"confusion matrices of {self.num_classes} and {other.num_classes} classes, ignoring"
                f" {self.ignore_index} and {other.ignore_index}, do not add up"
            )
        return ConfusionMatrix.from_counts(self.counts + other.counts, self.ignore_index)

    def update(self, class_map: npt.ArrayLike | Array, label_map: npt.ArrayLike | Array) -> None:
        """Count the pixels of one image (or a batch): predicted class indices and true ones, of equal shape.

        Predictions on ignored pixels are never looked at. Any other value outside 0 .. K-1 is an `InputError`, and
        nothing is counted.
        """
        predicted, truth = _indices("class_map", class_map), _indices("label_map", label_map)
        if predicted.shape != truth.shape:
            raise InputError(
                f"class_map of shape {tuple(predicted.shape)} against label_map of shape {tuple(truth.shape)}:"
                " a prediction has the size of its label map"
            )
        k = self.num_classes
        if predicted.dtype == truth.dtype == np.uint8 and k <= 256:
            # One pass over the pixels: the histogram of all 256 x 256 pairs holds the counts and every wrong value.
            pairs = (truth.astype(np.uint16) << 8) | predicted
            histogram = np.bincount(pairs.ravel(), minlength=1 << 16).reshape(256, 256)
            if 0 <= self.ignore_index < 256:
                histogram[self.ignore_index] = 0
            self._refuse("label_map", np.flatnonzero(histogram[k:].sum(1)) + k)
            self._refuse("class_map", np.flatnonzero(histogram[:, k:].sum(0)) + k)
            counts = histogram[:k, :k]
        else:
            counted = truth != self.ignore_index
            truth, predicted = truth[counted].astype(np.int64), predicted[counted].astype(np.int64)
            self._refuse("label_map", truth[(truth < 0) | (truth >= k)])
            self._refuse("class_map", predicted[(predicted < 0) | (predicted >= k)])
            counts = np.bincount(truth * k + predicted, minlength=k * k).reshape(k, k)
        self.counts += counts

    def _refuse(self, what: str, values: npt.NDArray[np.integer[Any]]) -> None:
        """Raise `InputError` naming the `values` of `what` that are no class; nothing where there are none."""
        if not values.size:
            return
        wrong = np.unique(values).tolist()
        names = ", ".join(map(str, wrong[:_MAX_NAMED])) + (", ..." if len(wrong) > _MAX_NAMED else "")
        allowed = f"0 to {self.num_classes - 1}" + (f" or {self.ignore_index} (ignored)" if what == "label_map" else "")
        raise InputError(f"{what} holds {names}: expected {allowed}")

    def iou(self) -> Float64Array:
        """Return the IoU of every class (K,), nan where a class is absent from truth and predictions."""
        return ratio(*self.overlap())

    def overlap(self) -> tuple[Int64Array, Int64Array]:
        """Return intersection and union of every class in pixels (K,): what `iou` divides."""
        hits_K = self.counts.diagonal()
        return hits_K, self.counts.sum(0) + self.counts.sum(1) - hits_K

    def miou(self) -> float:
        """Return the mean IoU over the classes that occur; nan if not one pixel was counted."""
        return mean_iou(*self.overlap())

    def accuracy(self) -> Float64Array:
        """Return the share of every class's true pixels that were predicted as it (K,), nan where it has none."""
        return ratio(self.counts.diagonal(), self.counts.sum(1))

    def mean_accuracy(self) -> float:
        """Return the mean of `accuracy` over the classes that occur in the truth; nan if not one pixel was counted."""
        return _mean(self.accuracy())

    def pixel_accuracy(self) -> float:
        """Return the share of counted pixels that were predicted right; nan if not one pixel was counted."""
        return float(ratio(self.counts.trace(), self.counts.sum()))

    def absent_classes(self) -> list[int]:
        """Return the classes that occur neither in the truth nor in the predictions: `miou` leaves them out."""
        return [index for index, value in enumerate(self.iou()) if np.isnan(value)]


def mean_iou(hits_K: Int64Array, unions_K: Int64Array) -> float:
    """Return the mean IoU of intersections and unions, as `ConfusionMatrix.overlap` returns them, or of their sums."""
    return _mean(ratio(hits_K, unions_K))


def ratio(part: Any, whole: Any) -> Float64Array:
    """Return part / whole as float64, nan for 0 / 0."""
    with np.errstate(invalid="ignore"):
        return np.asarray(np.divide(part, whole, dtype=np.float64))


def _indices(what: str, values: Any) -> npt.NDArray[np.integer[Any]]:
    """Return class indices as an array, without a copy on the CPU; `InputError` unless they are whole numbers."""
    array = values if is_array_api_obj(values) else np.asarray(values)
    if not array_namespace(array).isdtype(array.dtype, ("bool", "integral")):
        raise InputError(f"{what} holds {array.dtype}: give class indices, whole numbers (uint8 is fastest)")
    return np.asarray(to_device(array, "cpu"))


def _mean(values: Float64Array) -> float:
    present = values[~np.isnan(values)]
    return float(present.mean()) if present.size else float("nan")


TOP = 5
"""ImageNet's second measure: the right class is among the first five."""


class TopKAccuracy:
    """Top-1 and top-5 accuracy of classification. With fewer than five classes the right one is always among five."""

    def __init__(self) -> None:
        self.images = self.right_first = self.right_in_top = 0

    def update(self, scores_NK: npt.NDArray[np.floating], classes_N: npt.NDArray[np.integer]) -> None:
        """Count images by the scores of all classes and the index of the right class.

        Of equal scores the class of the lower index comes first, as in an argmax. An image with a score that is not
        finite counts as wrong.
        """
        right_N1 = np.take_along_axis(scores_NK, classes_N[:, None], 1)
        index_K = np.arange(scores_NK.shape[1])
        ahead_NK = (scores_NK > right_N1) | ((scores_NK == right_N1) & (index_K < classes_N[:, None]))
        finite_N = np.isfinite(scores_NK).all(1)
        rank_N = ahead_NK.sum(1)
        self.images += len(classes_N)
        self.right_first += int((finite_N & (rank_N < 1)).sum())
        self.right_in_top += int((finite_N & (rank_N < TOP)).sum())

    @property
    def top1(self) -> float:
        """Share of the images whose right class has the highest score."""
        return self.right_first / self.images

    @property
    def top5(self) -> float:
        """Share of the images whose right class has one of the five highest scores."""
        return self.right_in_top / self.images

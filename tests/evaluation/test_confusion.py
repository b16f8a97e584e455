"""mIoU against a loop over pixels, hand-made cases and torchmetrics; top-1 and top-5 against sorting."""

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from globalconv.arrays import Uint8Array
from globalconv.errors import InputError
from globalconv.evaluation.confusion import ConfusionMatrix, TopKAccuracy, mean_iou
from globalconv.labels import IGNORE

KINDS: list[Callable[[Uint8Array], Any]] = [
    lambda values: values,
    lambda values: values.astype(np.int64),
    lambda values: values.astype(np.uint16),
    lambda values: values.tolist(),
    torch.from_numpy,
    lambda values: torch.from_numpy(values.astype(np.int64)),
]


@st.composite
def cases(draw: st.DrawFn, max_classes: int = 6) -> tuple[int, Uint8Array, Uint8Array]:
    """K, a class map and a label map of equal shape, void included."""
    k = draw(st.integers(1, max_classes))
    shape = draw(st.tuples(st.integers(1, 6), st.integers(1, 6)))
    classes = st.integers(0, k - 1)
    class_map = draw(hnp.arrays(np.uint8, shape, elements=classes))
    label_map = draw(hnp.arrays(np.uint8, shape, elements=classes | st.just(IGNORE)))
    return k, class_map, label_map


def counted(k: int, class_map: Any, label_map: Any) -> ConfusionMatrix:
    matrix = ConfusionMatrix(k)
    matrix.update(class_map, label_map)
    return matrix


def by_loop(k: int, class_map: Uint8Array, label_map: Uint8Array) -> tuple[list[list[int]], list[float]]:
    """Counts and IoUs, pixel by pixel and set by set."""
    counts = [[0] * k for _ in range(k)]
    pixels = [(int(t), int(p)) for t, p in zip(label_map.flat, class_map.flat, strict=True) if t != IGNORE]
    for truth, predicted in pixels:
        counts[truth][predicted] += 1
    ious = []
    for c in range(k):
        either = sum(1 for truth, predicted in pixels if c in (truth, predicted))
        both = sum(1 for truth, predicted in pixels if truth == c == predicted)
        ious.append(both / either if either else float("nan"))
    return counts, ious


def test_the_mean_of_sums_is_that_of_the_matrix() -> None:
    rng, matrix = np.random.default_rng(0), ConfusionMatrix(5)
    for _ in range(3):
        matrix.update(rng.integers(0, 3, (9, 9)), rng.choice([0, 1, 3, 255], (9, 9)))
    assert matrix.absent_classes() == [4]
    assert mean_iou(*matrix.overlap()) == matrix.miou()
    assert np.isnan(mean_iou(*ConfusionMatrix(5).overlap()))


@given(cases(), st.sampled_from(KINDS), st.sampled_from(KINDS))
def test_equals_a_loop_over_the_pixels(
    case: tuple[int, Uint8Array, Uint8Array],
    class_kind: Callable[[Uint8Array], Any],
    label_kind: Callable[[Uint8Array], Any],
) -> None:
    k, class_map, label_map = case
    matrix = counted(k, class_kind(class_map), label_kind(label_map))
    counts, ious = by_loop(k, class_map, label_map)
    assert matrix.counts.dtype == np.int64 and matrix.counts.tolist() == counts
    np.testing.assert_allclose(matrix.iou(), ious, rtol=1e-15)
    present = [value for value in ious if value == value]
    np.testing.assert_allclose(matrix.miou(), np.mean(present) if present else np.nan, rtol=1e-12)


def test_a_case_worked_out_by_hand() -> None:
    label_map = np.array([[0, 0, 0, 1], [1, 1, 2, IGNORE]], np.uint8)
    class_map = np.array([[0, 0, 1, 1], [1, 0, 1, 2]], np.uint8)
    matrix = counted(4, class_map, label_map)
    assert matrix.counts.tolist() == [[2, 1, 0, 0], [1, 2, 0, 0], [0, 1, 0, 0], [0, 0, 0, 0]]
    assert matrix.iou()[:3].tolist() == [2 / 4, 2 / 5, 0.0]
    assert np.isnan(matrix.iou()[3]) and matrix.absent_classes() == [3]
    assert matrix.miou() == pytest.approx((2 / 4 + 2 / 5 + 0) / 3)
    assert matrix.accuracy()[:3].tolist() == [2 / 3, 2 / 3, 0.0]
    assert matrix.mean_accuracy() == pytest.approx((2 / 3 + 2 / 3) / 3)
    assert matrix.pixel_accuracy() == pytest.approx(4 / 7)


def test_a_class_only_predicted_counts_as_zero_and_has_no_accuracy() -> None:
    matrix = counted(3, [[0, 2]], [[0, 0]])
    assert matrix.iou().tolist()[0::2] == [0.5, 0.0] and matrix.absent_classes() == [1]
    assert matrix.miou() == 0.25
    assert matrix.mean_accuracy() == 0.5


def test_one_matrix_over_the_data_set_is_not_the_mean_over_images() -> None:
    first, second = ([[0, 0, 0, 0]], [[0, 0, 0, 1]]), ([[1]], [[1]])
    matrix = counted(2, *first)
    matrix.update(*second)
    assert matrix.iou().tolist() == [3 / 4, 1 / 2]
    assert matrix.miou() != np.mean([counted(2, *first).miou(), counted(2, *second).miou()])


@given(cases(), st.data())
def test_predictions_on_ignored_pixels_change_nothing(
    case: tuple[int, Uint8Array, Uint8Array], data: st.DataObject
) -> None:
    k, class_map, label_map = case
    anything = data.draw(hnp.arrays(np.uint8, class_map.shape))
    changed = np.where(label_map == IGNORE, anything, class_map)
    assert (counted(k, changed, label_map).counts == counted(k, class_map, label_map).counts).all()


@given(cases(), st.randoms(use_true_random=False))
def test_renaming_the_classes_renames_the_scores(case: tuple[int, Uint8Array, Uint8Array], random: Any) -> None:
    k, class_map, label_map = case
    order = np.array(random.sample(range(k), k))
    table = np.full(256, IGNORE, np.uint8)
    table[:k] = order
    plain, renamed = counted(k, class_map, label_map), counted(k, table[class_map], table[label_map])
    np.testing.assert_array_equal(renamed.iou()[order], plain.iou())
    np.testing.assert_allclose(renamed.miou(), plain.miou(), rtol=1e-12)


@given(cases(), st.integers(0, 36))
def test_how_the_pixels_are_split_into_images_changes_nothing(
    case: tuple[int, Uint8Array, Uint8Array], at: int
) -> None:
    k, class_map, label_map = case
    predicted, truth = class_map.ravel(), label_map.ravel()
    merged = counted(k, predicted[:at], truth[:at]) + counted(k, predicted[at:], truth[at:])
    streamed = counted(k, predicted[at:], truth[at:])
    streamed.update(predicted[:at], truth[:at])
    whole = counted(k, class_map, label_map).counts
    assert (merged.counts == whole).all() and (streamed.counts == whole).all()


@given(cases())
def test_equals_torchmetrics(case: tuple[int, Uint8Array, Uint8Array]) -> None:
    classification = pytest.importorskip("torchmetrics.classification")
    k, class_map, label_map = case
    k = max(k, 2)  # its smallest number of classes
    if (label_map == IGNORE).all():
        return
    matrix = counted(k, class_map, label_map)
    theirs = classification.MulticlassJaccardIndex(num_classes=k, ignore_index=IGNORE, average="macro")
    predicted, truth = torch.from_numpy(class_map).long(), torch.from_numpy(label_map).long()
    assert float(theirs(predicted, truth)) == pytest.approx(matrix.miou(), abs=1e-6)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("class_map", "label_map", "says"),
    [
        ([[0, 1]], [[0, 3]], r"label_map holds 3: expected 0 to 2 or 255 \(ignored\)"),
        ([[0, 9]], [[0, 1]], r"class_map holds 9: expected 0 to 2$"),
        ([[0, 255]], [[0, 1]], r"class_map holds 255: expected 0 to 2$"),
        ([[0] * 7], [[9, 8, 7, 6, 5, 4, 3]], r"label_map holds 3, 4, 5, 6, 7, \.\.\.: expected"),
    ],
)
def test_other_values_are_named_and_nothing_is_counted(
    kind: Callable[[Uint8Array], Any], class_map: list[list[int]], label_map: list[list[int]], says: str
) -> None:
    matrix = ConfusionMatrix(3)
    with pytest.raises(InputError, match=says):
        matrix.update(kind(np.array(class_map, np.uint8)), kind(np.array(label_map, np.uint8)))
    assert not matrix.counts.any()


def test_negative_values_are_named_unless_they_are_the_ignore_index() -> None:
    with pytest.raises(InputError, match="label_map holds -1: expected"):
        ConfusionMatrix(3).update([[0, 1]], [[0, -1]])
    matrix = ConfusionMatrix(3, ignore_index=-1)
    matrix.update([[0, -7]], [[0, -1]])
    assert matrix.counts.sum() == 1


def test_more_than_256_classes() -> None:
    matrix = ConfusionMatrix(1000, ignore_index=-1)
    matrix.update(torch.tensor([[999, 3]], dtype=torch.int16), torch.tensor([[999, -1]]))
    assert matrix.counts[999, 999] == matrix.counts.sum() == 1


def test_counts_do_not_overflow() -> None:
    big = ConfusionMatrix.from_counts([[2**40, 1], [1, 2**40]])
    assert (big + big).counts[0, 0] == 2**41
    assert 0.999 < (big + big).miou() < 1


@pytest.mark.parametrize(
    ("class_map", "label_map", "says"),
    [
        (np.zeros((2, 3), np.uint8), np.zeros((3, 2), np.uint8), r"shape \(2, 3\) against label_map of shape \(3, 2\)"),
        (np.zeros((2, 2), np.float32), np.zeros((2, 2), np.uint8), "class_map holds float32: give class indices"),
        (np.zeros((2, 2), np.uint8), torch.zeros(2, 2), "label_map holds torch.float32: give class indices"),
    ],
)
def test_what_cannot_be_compared_is_refused(class_map: Any, label_map: Any, says: str) -> None:
    with pytest.raises(InputError, match=says):
        ConfusionMatrix(2).update(class_map, label_map)


def test_arguments_that_make_no_sense_are_refused() -> None:
    with pytest.raises(InputError, match="num_classes=0"):
        ConfusionMatrix(0)
    with pytest.raises(InputError, match="ignore_index=1 is one of the 2 classes"):
        ConfusionMatrix(2, ignore_index=1)
    with pytest.raises(InputError, match="of 2 and 3 classes"):
        ConfusionMatrix(2) + ConfusionMatrix(3)
    wrong: list[Any] = [[[1, 2]], [[0.5, 0], [0, 1]], [[-1, 0], [0, 1]]]
    for counts in wrong:
        with pytest.raises(InputError, match="counts of shape"):
            ConfusionMatrix.from_counts(counts)


def test_nothing_counted_is_nan_without_a_warning() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        matrix = counted(2, np.zeros((2, 2), np.uint8), np.full((2, 2), IGNORE, np.uint8))
        scores = [matrix.miou(), matrix.pixel_accuracy(), matrix.mean_accuracy()]
    assert np.isnan(scores).all() and matrix.absent_classes() == [0, 1]


def test_read_only_and_strided_arrays_are_taken_and_left_alone() -> None:
    label_map = np.arange(12, dtype=np.uint8).reshape(3, 4) % 3
    label_map.flags.writeable = False
    matrix = counted(3, label_map.T[::-1], label_map.T[::-1])
    assert matrix.counts.trace() == 12


def top_k(scores: object, classes: object) -> TopKAccuracy:
    accuracy = TopKAccuracy()
    accuracy.update(np.asarray(scores, np.float32), np.asarray(classes))
    return accuracy


@given(st.integers(0, 10_000), st.integers(2, 12), st.integers(1, 9))
def test_top_1_and_top_5_are_those_of_a_stable_sort(seed: int, classes: int, images: int) -> None:
    rng = np.random.default_rng(seed)
    scores_NK, classes_N = rng.integers(0, 4, (images, classes)), rng.integers(0, classes, images)  # many ties
    order_NK = np.argsort(-scores_NK, axis=1, kind="stable")
    accuracy = top_k(scores_NK, classes_N)
    assert accuracy.top1 == np.mean([right == order[0] for right, order in zip(classes_N, order_NK, strict=True)])
    assert accuracy.top5 == np.mean([right in order[:5] for right, order in zip(classes_N, order_NK, strict=True)])


@pytest.mark.parametrize("classes", [2, 3, 4, 5])
def test_with_up_to_five_classes_the_right_one_is_in_the_top_5(classes: int) -> None:
    accuracy = top_k(np.roll(np.eye(classes), 1, axis=0), range(classes))
    assert (accuracy.top1, accuracy.top5) == (0, 1)


def test_top_1_adds_up_over_batches() -> None:
    accuracy = top_k([[1, 0, 0], [0, 1, 0]], [0, 0])
    accuracy.update(np.array([[0.0, 0.0, 1.0]]), np.array([2]))
    assert accuracy.images == 3
    assert accuracy.top1 == pytest.approx(2 / 3)


def test_scores_that_are_not_finite_are_wrong() -> None:
    accuracy = top_k([[np.nan, 1, 2], [np.nan, np.nan, np.nan], [0, np.inf, 0]], [2, 0, 1])
    assert (accuracy.top1, accuracy.top5) == (0, 0)

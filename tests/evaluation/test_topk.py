"""Top-1 and top-5: counted as by sorting, ties and few classes and numbers that are none included."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from globalconv.evaluation.confusion import TopKAccuracy


def counted(scores: object, classes: object) -> TopKAccuracy:
    count = TopKAccuracy()
    count.update(np.asarray(scores, np.float32), np.asarray(classes))
    return count


@given(st.integers(0, 10_000), st.integers(2, 12), st.integers(1, 9))
def test_as_by_sorting(seed: int, classes: int, images: int) -> None:
    rng = np.random.default_rng(seed)
    scores_NK, classes_N = rng.integers(0, 4, (images, classes)), rng.integers(0, classes, images)  # many ties
    order_NK = np.argsort(-scores_NK, axis=1, kind="stable")
    count = counted(scores_NK, classes_N)
    assert count.top1 == np.mean([right == order[0] for right, order in zip(classes_N, order_NK, strict=True)])
    assert count.top5 == np.mean([right in order[:5] for right, order in zip(classes_N, order_NK, strict=True)])


@pytest.mark.parametrize("classes", [2, 3, 4, 5])
def test_with_up_to_five_classes_the_right_one_is_among_five(classes: int) -> None:
    count = counted(np.roll(np.eye(classes), 1, axis=0), range(classes))
    assert (count.top1, count.top5) == (0, 1)


def test_counts_add_up_over_batches() -> None:
    count = counted([[1, 0, 0], [0, 1, 0]], [0, 0])
    count.update(np.array([[0.0, 0.0, 1.0]]), np.array([2]))
    assert count.images == 3
    assert count.top1 == pytest.approx(2 / 3)


def test_scores_that_are_no_numbers_are_wrong() -> None:
    count = counted([[np.nan, 1, 2], [np.nan, np.nan, np.nan], [0, np.inf, 0]], [2, 0, 1])
    assert (count.top1, count.top5) == (0, 0)

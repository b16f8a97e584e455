"""Intervals: as wide as the images differ, none for too few, the same every time."""

import numpy as np
import pytest

from globalconv.evaluation.bootstrap import MIN_IMAGES, difference_interval, iou_intervals, miou_interval


def test_equal_images_leave_no_doubt_and_different_ones_do() -> None:
    unions = np.full((50, 2), 100)
    assert miou_interval(np.full((50, 2), 60), unions) == pytest.approx((0.6, 0.6))
    hits = np.where(np.arange(50)[:, None] % 2, 20, 100) * np.ones((1, 2), np.int64)
    interval = miou_interval(hits, unions)
    assert interval is not None
    low, high = interval
    # The mean of 50 draws of 0.2 or 1 has a standard deviation of 0.4 / sqrt(50) = 0.057.
    assert low == pytest.approx(0.6 - 1.96 * 0.057, abs=0.02) and high == pytest.approx(0.6 + 1.96 * 0.057, abs=0.02)
    assert miou_interval(hits, unions) == interval


def test_a_difference_on_the_same_images_is_surer_than_each_score() -> None:
    unions = np.full((40, 1), 100)
    hits = np.random.default_rng(1).integers(10, 90, (40, 1))
    assert difference_interval((hits, unions), (hits + 5, unions)) == pytest.approx((0.05, 0.05))


def test_absent_classes_and_empty_images_change_nothing() -> None:
    hits, unions = np.full((20, 1), 30), np.full((20, 1), 40)
    more_hits, more_unions = np.zeros((25, 2), np.int64), np.zeros((25, 2), np.int64)
    more_hits[:20, :1], more_unions[:20, :1] = hits, unions
    assert miou_interval(more_hits, more_unions) == pytest.approx((0.75, 0.75))


def test_too_few_images_have_no_interval() -> None:
    few = np.ones((MIN_IMAGES - 1, 2), np.int64)
    assert miou_interval(few, few) is None and difference_interval((few, few), (few, few)) is None


def test_a_class_has_an_interval_where_enough_images_have_it() -> None:
    rng = np.random.default_rng(0)
    unions_NK = np.full((40, 3), 100)
    unions_NK[MIN_IMAGES - 1 :, 1] = 0  # in one image too few
    unions_NK[:, 2] = 0
    hits_NK = np.minimum(rng.integers(40, 80, (40, 3)), unions_NK)
    first, *others = iou_intervals(hits_NK, unions_NK)
    assert others == [None, None]
    assert first is not None
    iou = hits_NK[:, 0].sum() / unions_NK[:, 0].sum()
    assert first[0] < iou < first[1] < first[0] + 0.1


def test_the_interval_of_the_only_class_is_that_of_the_mean() -> None:
    hits_NK = np.random.default_rng(1).integers(0, 100, (20, 1))
    unions_NK = np.full((20, 1), 100)
    assert iou_intervals(hits_NK, unions_NK) == [miou_interval(hits_NK, unions_NK)]


def test_images_without_a_pixel_that_counts_change_no_interval_of_a_class() -> None:
    hits_NK = np.random.default_rng(2).integers(0, 100, (20, 2))
    unions_NK = np.full((20, 2), 100)
    empty = np.zeros((5, 2), int)
    with_empty = iou_intervals(np.vstack([hits_NK, empty]), np.vstack([unions_NK, empty]))
    assert with_empty == iou_intervals(hits_NK, unions_NK)

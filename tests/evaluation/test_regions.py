"""Regions against brute force over every crack, and Boundary IoU against the published formula on binary masks."""

import math

import numpy as np
import numpy.typing as npt
import pytest
from helpers.regions import VOID, filled, random_map, squares, within
from scipy.ndimage import grey_erosion

from globalconv.arrays import Uint8Array
from globalconv.errors import InputError
from globalconv.evaluation.regions import (
    RegionCounts,
    RegionSettings,
    band_width,
    boundary_overlap,
    boundary_region,
    boundary_squares,
    region_counts,
)


@pytest.mark.parametrize("metric", ["euclidean", "chessboard"])
def test_distances_are_those_of_brute_force_on_200_maps_with_void_strips(metric: str) -> None:
    settings = RegionSettings(metric=metric)  # type: ignore[arg-type]
    for seed in range(200):
        label_map, reach = random_map(seed), 1 + seed % 12
        expected = squares(filled(label_map), metric)
        expected = np.where(expected <= 4 * reach * reach, expected, 65535)
        counted = label_map != VOID
        assert (boundary_squares(label_map, reach, settings) == expected)[counted].all(), seed


@pytest.mark.parametrize("width", [0.5, 1, 2.5, 7])
def test_the_region_is_what_lies_within_the_width(width: float) -> None:
    for seed in range(20):
        label_map = random_map(seed)
        for void in ("fill", "edge"):
            region = boundary_region(label_map, RegionSettings(width, void=void))
            expected = within(squares(filled(label_map) if void == "fill" else label_map), width)
            assert (region == expected)[label_map != VOID].all()


def test_classes_that_touch_only_through_void_have_a_boundary() -> None:
    label_map = np.zeros((40, 60), np.uint8)
    label_map[:, 30:] = 15
    label_map[:, 28:33] = VOID  # nearest: 0 up to column 29, a tie at 30, which goes to the lower class
    region = boundary_region(label_map)
    assert np.flatnonzero(region[0] & (label_map[0] != VOID)).tolist() == [*range(24, 28), *range(33, 38)]


def test_seven_pixels_to_either_side_of_a_straight_boundary() -> None:
    label_map = np.zeros((30, 40), np.uint8)
    label_map[:, 20:] = 1
    for metric in ("euclidean", "chessboard"):
        region = boundary_region(label_map, RegionSettings(metric=metric))
        assert np.flatnonzero(region[3]).tolist() == list(range(13, 27))
        assert (region == region[0]).all()


def test_the_edge_of_the_image_is_no_boundary() -> None:
    assert not boundary_region(np.full((5, 9), 3, np.uint8)).any()
    assert not boundary_region(np.full((5, 9), VOID, np.uint8)).any()


def test_void_may_have_a_boundary_of_its_own() -> None:
    label_map = np.zeros((1, 30), np.uint8)
    label_map[:, 20:] = VOID
    assert not boundary_region(label_map).any()
    assert np.flatnonzero(boundary_region(label_map, RegionSettings(void="edge"))[0, :20]).tolist() == [*range(13, 20)]


def test_a_mirror_image_gives_the_mirror_image() -> None:
    for seed in range(30):
        label_map = random_map(seed)
        counted = (label_map != VOID)[:, ::-1]
        mirrored = boundary_region(np.ascontiguousarray(label_map[:, ::-1]))
        assert (mirrored == boundary_region(label_map)[:, ::-1])[counted].all()


def test_counts_add_up_and_void_is_in_neither_region() -> None:
    random, total = np.random.default_rng(0), RegionCounts()
    right, near = [0, 0], [0, 0]
    for seed in range(20):
        label_map = random_map(seed)
        class_map = np.where(random.random(label_map.shape) < 0.5, filled(label_map), 2).astype(np.uint8)
        total += region_counts(class_map, label_map)
        region = within(squares(filled(label_map)), 7)
        for y, x in np.argwhere(label_map != VOID):
            near[int(region[y, x])] += 1
            right[int(region[y, x])] += int(class_map[y, x] == label_map[y, x])
    assert total == RegionCounts(right[1], near[1], right[0], near[0])
    assert total.boundary_accuracy() == right[1] / near[1]
    assert total.internal_accuracy() == right[0] / near[0]


def test_predictions_on_ignored_pixels_change_nothing() -> None:
    random = np.random.default_rng(1)
    for seed in range(20):
        label_map = random_map(seed)
        class_map = random.integers(0, 9, label_map.shape).astype(np.uint8)
        other = np.where(label_map == VOID, random.integers(0, 256, label_map.shape), class_map).astype(np.uint8)
        assert region_counts(class_map, label_map) == region_counts(other, label_map)


def test_without_pixels_there_is_no_accuracy() -> None:
    counts = region_counts(np.zeros((3, 3), np.uint8), np.zeros((3, 3), np.uint8))
    assert math.isnan(counts.boundary_accuracy())
    assert counts.internal_accuracy() == 1


def test_settings_and_shapes_that_mean_nothing_are_refused() -> None:
    with pytest.raises(InputError, match=r"`regions.width` 0: expected pixels above 0, at most 100"):
        RegionSettings(0)
    with pytest.raises(InputError, match=r"`regions.metric` city: expected euclidean or chessboard"):
        RegionSettings(metric="city")  # type: ignore[arg-type]
    with pytest.raises(InputError, match=r"shape \(2, 3\) against label_map of shape \(3, 2\)"):
        region_counts(np.zeros((2, 3), np.uint8), np.zeros((3, 2), np.uint8))


def published_band(mask: Uint8Array) -> Uint8Array:
    """mask_to_boundary of the authors' code: the mask less its erosions by 3 x 3, padded with zeros by one pixel."""
    height, width = mask.shape
    dilation = max(1, round(0.02 * math.sqrt(height**2 + width**2)))
    eroded = np.pad(mask, 1)
    for _ in range(dilation):
        eroded = np.pad(grey_erosion(eroded, size=(3, 3))[1:-1, 1:-1], 1)
    return mask - eroded[1:-1, 1:-1]


def published_overlap(truth: Uint8Array, prediction: Uint8Array) -> tuple[int, int]:
    in_truth, in_prediction = published_band(truth), published_band(prediction)
    return int(((in_truth * in_prediction) > 0).sum()), int(((in_truth + in_prediction) > 0).sum())


def blobs(seed: int, classes: int, shape: tuple[int, int]) -> Uint8Array:
    random = np.random.default_rng(seed)
    centres = random.uniform(0, 1, (classes * 2, 2)) * shape
    rows, columns = np.mgrid[: shape[0], : shape[1]]
    nearest: npt.NDArray[np.int64] = np.argmin(
        (rows[..., None] - centres[:, 0]) ** 2 + (columns[..., None] - centres[:, 1]) ** 2, -1
    )
    return (nearest % classes).astype(np.uint8)


@pytest.mark.parametrize("shape", [(60, 90), (1, 40), (200, 210), (7, 3)])
def test_binary_masks_give_the_published_numbers(shape: tuple[int, int]) -> None:
    for seed in range(8):
        truth, prediction = blobs(seed, 2, shape), blobs(seed + 100 if seed % 2 else seed, 2, shape)
        hits_K, unions_K = boundary_overlap(prediction, truth, 2)
        assert (hits_K[1], unions_K[1]) == published_overlap(truth, prediction)


def test_each_of_many_classes_is_scored_as_its_binary_mask() -> None:
    for seed in range(6):
        truth, prediction = blobs(seed, 5, (120, 90)), blobs(seed + 1, 5, (120, 90))
        hits_K, unions_K = boundary_overlap(prediction, truth, 5)
        for k in range(5):
            masks = ((maps == k).astype(np.uint8) for maps in (truth, prediction))
            assert (hits_K[k], unions_K[k]) == published_overlap(*masks)


def test_where_3_meets_5_no_other_class_has_an_edge() -> None:
    truth = np.full((50, 50), 3, np.uint8)
    truth[:, 25:] = 5
    hits_K, unions_K = boundary_overlap(truth, truth, 8)
    assert unions_K.nonzero()[0].tolist() == [3, 5] and (hits_K == unions_K).all()
    assert unions_K[3] == 50 * 25 - 48 * 23  # one pixel wide all around the half: 2 % of the diagonal


def test_predictions_on_void_change_nothing_and_void_is_in_no_band() -> None:
    random = np.random.default_rng(0)
    for seed in range(30):
        truth = random_map(seed)
        prediction = random.integers(0, 10, truth.shape).astype(np.uint8)
        other = np.where(truth == VOID, random.integers(0, 256, truth.shape), prediction).astype(np.uint8)
        for counts_K, other_counts_K in zip(
            boundary_overlap(prediction, truth, 10), boundary_overlap(other, truth, 10), strict=True
        ):
            assert (counts_K == other_counts_K).all()
        perfect = boundary_overlap(np.where(truth == VOID, 0, truth).astype(np.uint8), truth, 10)
        assert perfect[1].sum() <= (truth != VOID).sum()


def test_a_void_strip_between_classes_is_bridged() -> None:
    truth = np.zeros((100, 100), np.uint8)
    truth[:, 50:] = 1
    truth[:, 49:51] = VOID
    hits_K, unions_K = boundary_overlap(np.where(truth == VOID, 7, truth).astype(np.uint8), truth, 2)
    assert (hits_K == unions_K).all()
    assert unions_K.tolist() == [100 * 49 - 94 * 44] * 2  # 3 wide, of which void takes 1 beside the strip


def test_the_width_is_2_percent_of_the_diagonal() -> None:
    assert [band_width(1024, 2048), band_width(360, 480), band_width(3, 3)] == [46, 12, 1]

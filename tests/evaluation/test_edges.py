"""Boundary IoU against the published formula, which works on binary masks."""

import math

import numpy as np
import numpy.typing as npt
import pytest
from helpers.regions import VOID, random_map
from scipy.ndimage import grey_erosion

from globalconv.arrays import Uint8Array
from globalconv.evaluation.regions import band_width, boundary_overlap


def published_band(mask: Uint8Array) -> Uint8Array:
    """mask_to_boundary of the authors' code: the mask less its erosions by 3 x 3, padded with zeros by one pixel."""
    height, width = mask.shape
    dilation = max(1, round(0.02 * math.sqrt(height**2 + width**2)))
    eroded = np.pad(mask, 1)
    for _ in range(dilation):
        eroded = np.pad(grey_erosion(eroded, size=(3, 3))[1:-1, 1:-1], 1)
    return mask - eroded[1:-1, 1:-1]


def published(truth: Uint8Array, prediction: Uint8Array) -> tuple[int, int]:
    one, other = published_band(truth), published_band(prediction)
    return int(((one * other) > 0).sum()), int(((one + other) > 0).sum())


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
        assert (hits_K[1], unions_K[1]) == published(truth, prediction)


def test_each_of_many_classes_is_scored_as_its_binary_mask() -> None:
    for seed in range(6):
        truth, prediction = blobs(seed, 5, (120, 90)), blobs(seed + 1, 5, (120, 90))
        hits_K, unions_K = boundary_overlap(prediction, truth, 5)
        for k in range(5):
            masks = ((maps == k).astype(np.uint8) for maps in (truth, prediction))
            assert (hits_K[k], unions_K[k]) == published(*masks)


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
        for one, another in zip(
            boundary_overlap(prediction, truth, 10), boundary_overlap(other, truth, 10), strict=True
        ):
            assert (one == another).all()
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

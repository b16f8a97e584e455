import json
import math

import numpy as np
import pytest
from helpers.regions import VOID, filled, random_map, squares
from scipy.ndimage import label

from globalconv.errors import InputError
from globalconv.evaluation.confusion import ConfusionMatrix
from globalconv.evaluation.region_curves import SIZE_NAMES, SIZES, RegionScores
from globalconv.evaluation.regions import RegionCounts, RegionSettings, region_counts

K = 10


def pairs(count: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """Predictions, half of them right, and truths."""
    random = np.random.default_rng(0)
    truths = [random_map(seed) for seed in range(count)]
    return [
        (np.where(random.random(truth.shape) < 0.5, filled(truth) % K, 2).astype(np.uint8), truth) for truth in truths
    ]


def scores_of(images: list[tuple[np.ndarray, np.ndarray]], settings: RegionSettings | None = None) -> RegionScores:
    scores = RegionScores(K, settings or RegionSettings())
    for class_map, label_map in images:
        scores.update(class_map, label_map)
    return scores


def test_every_band_has_the_confusion_matrix_of_its_pixels() -> None:
    images = pairs(12)
    trimap = scores_of(images).trimap()
    for width in (1, 2, 7, 12, 40):
        matrix = ConfusionMatrix(K)
        for class_map, label_map in images:
            near = squares(filled(label_map)) <= 4 * width * width
            matrix.update(class_map, np.where(near, label_map, VOID).astype(np.uint8))
        assert (trimap[width - 1].counts == matrix.counts).all()


@pytest.mark.parametrize(
    "settings", [RegionSettings(), RegionSettings(2.5, "chessboard"), RegionSettings(3, void="edge")]
)
def test_counts_are_the_sum_over_images(settings: RegionSettings) -> None:
    images = pairs(12)
    assert scores_of(images, settings).counts() == sum(
        (region_counts(*pair, settings) for pair in images), RegionCounts()
    )


def test_by_distance_and_by_size_every_labelled_pixel_counts_once() -> None:
    images = pairs(12)
    scores, whole = scores_of(images), ConfusionMatrix(K)
    for pair in images:
        whole.update(*pair)
    assert (scores.by_distance_DKK.sum(0) == whole.counts).all()
    assert scores.accuracy_by_distance()[1].sum() == scores.by_size_S22.sum() == whole.counts.sum()
    assert scores.internal_by_size()[1].sum() == scores.counts().internal


def test_objects_are_connected_regions_and_void_parts_them() -> None:
    label_map = np.zeros((100, 140), np.uint8)
    label_map[:, 40:100] = 1  # 60 x 100: 77 across
    label_map[:, 100:] = VOID
    label_map[:10, 130:] = 1  # another, 10 across
    scores = scores_of([(label_map % VOID, label_map)], RegionSettings(0.5))
    assert scores.by_size_S22[..., 0].sum() == 0  # all are right
    assert scores.by_size_S22.sum((1, 2)).tolist() == [100, 0, 4000, 6000, 0, 0]


def test_sizes_are_those_of_an_independent_labelling() -> None:
    random = np.random.default_rng(3)
    for _ in range(10):
        label_map = random.choice(np.array([0, 1, VOID], np.uint8), (40, 50), p=[0.55, 0.4, 0.05])
        expected = np.zeros(len(SIZES) + 1, int)
        for k in (0, 1):
            areas = np.bincount(label(label_map == k)[0].ravel())[1:]
            np.add.at(expected, np.searchsorted(np.array(SIZES) ** 2, areas, side="right"), areas)
        assert (scores_of([(label_map % VOID, label_map)]).by_size_S22.sum((1, 2)) == expected).all()


def test_predictions_on_void_change_nothing() -> None:
    random = np.random.default_rng(0)
    for class_map, label_map in pairs(12):
        other = np.where(label_map == VOID, random.integers(0, 256, label_map.shape), class_map).astype(np.uint8)
        names = tuple(map(str, range(K)))
        assert scores_of([(class_map, label_map)]).to_json(names) == scores_of([(other, label_map)]).to_json(names)


def test_json_has_null_where_there_are_no_pixels() -> None:
    empty = np.zeros((9, 9), np.uint8)
    scores = scores_of([(empty, empty)])
    values = json.loads(json.dumps(scores.to_json(tuple(map(str, range(K)))), allow_nan=False))
    assert values["trimap"]["miou"] == [None] * 40 and values["trimap"]["pixels"] == [0] * 40
    assert values["by_object_size"]["internal_accuracy"] == [1, None, None, None, None, None]
    assert values["boundary_iou"]["0"] == 1 and values["boundary_iou"]["1"] is None  # the image's edge is an outline
    assert math.isnan(scores.counts().boundary_accuracy())
    assert scores.wrong_share_within(3) == 0


def test_wrong_pixels_are_counted_by_their_distance() -> None:
    label_map = np.repeat(np.arange(40)[None] // 20, 5, 0).astype(np.uint8)
    class_map = label_map.copy()
    class_map[0, 18:24] = 9  # 2 to the left, 4 to the right
    scores = scores_of([(class_map, label_map)])
    assert [scores.wrong_share_within(width) for width in (1, 2, 4)] == [2 / 6, 4 / 6, 1]
    accuracy, pixels = scores.accuracy_by_distance()
    assert accuracy[:5].tolist() == [0.8, 0.8, 0.9, 0.9, 1] and pixels[:3].tolist() == [10, 10, 10]


def test_lines_for_a_terminal() -> None:
    lines = scores_of(pairs(12)).lines()
    assert lines[0].startswith("boundary accuracy 0.") and "within 7 pixels of a boundary" in lines[0]
    assert lines[1].split("  ")[-1] == "within 40 px" and len({len(line) for line in lines[1:3]}) == 1
    assert SIZE_NAMES[0] == "below 16" and lines[3].endswith("256 and more")


@pytest.mark.parametrize("wrong", ["class_map", "label_map"])
def test_values_that_are_no_class_are_refused_and_nothing_is_counted(wrong: str) -> None:
    maps = {"class_map": np.zeros((4, 4), np.uint8), "label_map": np.zeros((4, 4), np.uint8)}
    maps[wrong][2, 2] = K
    scores = RegionScores(K)
    with pytest.raises(InputError, match=f"{wrong} holds {K}: expected 0 to 9"):
        scores.update(**maps)
    assert not scores.by_distance_DKK.any() and not scores.by_size_S22.any()

"""What is counted per image: it adds up to the score, void never counts, and disagreement is where maps differ."""

import numpy as np
import pytest
from helpers.reporting import Maps, Run, findings, stripes

from globalconv.evaluation.score import Predictions, ScoredImage, score_predictions, score_together
from globalconv.reports.sentences import error_rates


def test_images_add_up_to_the_score() -> None:
    gathered = findings(stripes(4), Run("a", [0, 5, 20, 1]))
    [result] = gathered.results
    assert (result.hits_NK.sum(0) / result.unions_NK.sum(0))[:2] == pytest.approx(result.score.matrix.iou()[:2])
    assert result.wrong_N.tolist() == [0, 5, 20, 1] and gathered.counted_N.tolist() == [240] * 4
    assert result.wrong_N.sum() / gathered.counted_N.sum() == pytest.approx(1 - result.score.matrix.pixel_accuracy())
    assert gathered.sizes == {(20, 12): 4} and gathered.pixels == 960


def test_image_mious_are_over_the_classes_of_each_image() -> None:
    source = stripes(2)
    source.label_maps[1][:] = 255
    [result] = findings(source, Run("a", [20, 20])).results
    first, second = result.image_mious()
    assert first == pytest.approx((100 / 120 + 1 + 0) / 3) and np.isnan(second)


def test_disagreement_is_the_union_over_all_pairs_and_leaves_void_out() -> None:
    source = stripes(2)
    source.label_maps[1][0, :6] = 255
    gathered = findings(source, Run("a", [0, 0]), Run("b", [4, 4]), Run("c", [3, 9], predicts=1))
    assert gathered.disputed_N.tolist() == [4, 3]


def test_errors_near_boundaries_are_told_apart() -> None:
    source = Maps([np.repeat(np.arange(30)[:, None] // 15, 9, 1).astype(np.uint8)])
    [result] = findings(source, Run("a", [4])).results
    counts = result.regions.counts()
    assert (counts.boundary, counts.internal) == (2 * 7 * 9, 2 * 8 * 9)
    assert (counts.boundary_right, counts.internal_right) == (2 * 7 * 9, 2 * 8 * 9 - 4)
    assert error_rates(result) == ("0.0%", "2.8%")


def test_together_each_gets_the_score_it_gets_alone() -> None:
    source = stripes(3)
    several = [Predictions(lambda i: np.full((12, 20), i % 3, np.uint8), "float32"), Predictions(source.label_map, "x")]
    seen: list[ScoredImage] = []
    together = score_together(several, source, seen.append)
    for predictions, score in zip(several, together, strict=True):
        alone = score_predictions(predictions, source)
        assert (alone.matrix.counts == score.matrix.counts).all()
        assert (alone.images, alone.precision) == (score.images, score.precision)
    assert [image.index for image in seen] == [0, 1, 2]
    assert (np.sum([image.matrices[0].counts for image in seen], axis=0) == together[0].matrix.counts).all()

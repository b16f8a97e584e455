"""Candidates are DeepLab's, and a tally scores what the one confusion matrix scores."""

import numpy as np
import pytest

from globalconv.crf.dense import DenseCRF
from globalconv.crf_search.search_settings import Grid, SearchSettings
from globalconv.crf_search.trials import at_the_end, coarse, fine, published, tally
from globalconv.errors import InputError
from globalconv.evaluation.confusion import ConfusionMatrix, mean_iou


def test_a_tally_scores_what_its_matrix_scores() -> None:
    rng, matrix = np.random.default_rng(0), ConfusionMatrix(5)
    for _ in range(3):
        matrix.update(rng.integers(0, 3, (9, 9)), rng.choice([0, 1, 3, 255], (9, 9)))
    assert len(matrix.absent_classes()) == 1
    assert mean_iou(*tally(matrix)) == pytest.approx(matrix.miou(), abs=1e-15)
    assert np.isnan(mean_iou(*tally(ConfusionMatrix(5))))


def test_the_grid_is_deeplabs() -> None:
    candidates = coarse(Grid())
    assert len(candidates) == 4 * 8 * 4
    assert DenseCRF(10, 4, 50, 5, 3, 3) in [candidate.crf for candidate in candidates]
    assert [candidate.name for candidate in published()][:2] == ["no CRF", "deeplabv2-voc"]
    assert len({candidate.name for candidate in candidates}) == len(candidates)


def test_around_the_best_in_half_steps() -> None:
    grid = Grid((4, 6), (10, 20, 50), (3,))
    found = [candidate.crf for candidate in fine(grid, DenseCRF(10, 4, 10, 3, 3, 3))]
    assert {crf.appearance_weight for crf in found if crf} == {3, 4, 5}
    assert {crf.appearance_xy for crf in found if crf} == {5, 10, 15}
    assert {(crf.appearance_rgb, crf.smoothness_xy) for crf in found if crf} == {(3, 3)}
    assert len(found) == 8  # all but the best itself
    assert not fine(Grid((1,), (10,), (3,)), DenseCRF(10, 1, 10, 3, 3, 3))


def test_a_step_never_leads_to_nothing() -> None:
    crfs = [candidate.crf for candidate in fine(Grid((0, 2), (5, 15), (3,)), DenseCRF(10, 0, 5, 3, 3, 3))]
    assert {crf.appearance_weight for crf in crfs if crf} == {0, 1}
    assert {crf.appearance_xy for crf in crfs if crf} == {5, 10}


def test_the_end_of_a_grid_is_noted() -> None:
    grid = Grid((1, 2, 3), (10, 20), (3,))
    assert at_the_end(grid, DenseCRF(10, 2, 20, 3, 3, 3)) == ["appearance_xy"]


def test_values_that_cannot_be_meant() -> None:
    for grid, said in ((Grid(appearance_xy=(0,)), "appearance_xy=0.0"), (Grid(iterations=-1), "iterations=-1")):
        with pytest.raises(InputError, match=said):
            coarse(grid)
    with pytest.raises(InputError, match="`appearance_rgb`: give at least one value"):
        Grid(appearance_rgb=())
    with pytest.raises(InputError, match="`images` 0"):
        SearchSettings(images=0)

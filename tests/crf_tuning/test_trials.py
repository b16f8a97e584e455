"""The candidates of a search are those of DeepLab."""

import pytest

from globalconv.crf.dense import DenseCRF
from globalconv.crf_tuning.search_settings import ParameterGrid, SearchSettings
from globalconv.crf_tuning.trials import at_the_end, coarse, fine, published
from globalconv.errors import InputError


def test_the_grid_is_deeplabs() -> None:
    candidates = coarse(ParameterGrid())
    assert len(candidates) == 4 * 8 * 4
    assert DenseCRF(10, 4, 50, 5, 3, 3) in [candidate.crf for candidate in candidates]
    assert [candidate.name for candidate in published()][:2] == ["no CRF", "deeplabv2-voc"]
    assert len({candidate.name for candidate in candidates}) == len(candidates)


def test_around_the_best_in_half_steps() -> None:
    grid = ParameterGrid((4, 6), (10, 20, 50), (3,))
    crfs = [candidate.crf for candidate in fine(grid, DenseCRF(10, 4, 10, 3, 3, 3))]
    assert {crf.appearance_weight for crf in crfs if crf} == {3, 4, 5}
    assert {crf.appearance_xy for crf in crfs if crf} == {5, 10, 15}
    assert {(crf.appearance_rgb, crf.smoothness_xy) for crf in crfs if crf} == {(3, 3)}
    assert len(crfs) == 8  # all but the best itself
    assert not fine(ParameterGrid((1,), (10,), (3,)), DenseCRF(10, 1, 10, 3, 3, 3))


def test_a_step_never_leads_to_nothing() -> None:
    crfs = [candidate.crf for candidate in fine(ParameterGrid((0, 2), (5, 15), (3,)), DenseCRF(10, 0, 5, 3, 3, 3))]
    assert {crf.appearance_weight for crf in crfs if crf} == {0, 1}
    assert {crf.appearance_xy for crf in crfs if crf} == {5, 10}


def test_the_end_of_a_grid_is_noted() -> None:
    grid = ParameterGrid((1, 2, 3), (10, 20), (3,))
    assert at_the_end(grid, DenseCRF(10, 2, 20, 3, 3, 3)) == ["appearance_xy"]


def test_values_that_cannot_be_meant() -> None:
    for grid, message in (
        (ParameterGrid(appearance_xy=(0,)), "appearance_xy=0.0"),
        (ParameterGrid(iterations=-1), "iterations=-1"),
    ):
        with pytest.raises(InputError, match=message):
            coarse(grid)
    with pytest.raises(InputError, match="`appearance_rgb`: give at least one value"):
        ParameterGrid(appearance_rgb=())
    with pytest.raises(InputError, match="`images` 0"):
        SearchSettings(images=0)

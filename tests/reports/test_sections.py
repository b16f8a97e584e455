"""Tables of scores and confusions: what is marked, and what is summed up."""

import math

import numpy as np

from globalconv.reports.page import DifferenceCell, ScoreCell, ShareCell
from globalconv.reports.sections import MATRIX_SIDE, compare, confusion_matrix


def test_the_best_of_several_is_marked_and_a_tie_is_not() -> None:
    assert compare([0.5, 0.25]) == [ScoreCell(0.5, best=True), ScoreCell(0.25), DifferenceCell(-0.25)]
    assert compare([0.4, 0.40001])[:2] == [ScoreCell(0.4), ScoreCell(0.40001)]  # alike in three digits
    assert compare([0.9]) == [ScoreCell(0.9)]
    assert compare([math.nan, 0.2, 0.3])[1:3] == [ScoreCell(0.2), ScoreCell(0.3, best=True)]


def test_the_matrix_has_shares_of_the_true_class() -> None:
    table = confusion_matrix(np.array([[3, 1], [0, 0]]), ["a", "b"])
    assert table.columns == ["a", "b"] and [row.name for row in table.rows] == ["a", "b"]
    assert [list(row.cells) for row in table.rows] == [
        [ShareCell(0.75, right=True), ShareCell(0.25, right=False)],
        [ShareCell(0, right=False), ShareCell(0, right=True)],
    ]


def test_many_classes_are_cut_to_the_most_confused_and_no_pixel_is_lost() -> None:
    k = 150
    counts = np.diag(np.full(k, 10))
    counts[7, 140] = 90
    table = confusion_matrix(counts, [f"c{index}" for index in range(k)])
    assert len(table.columns) == len(table.rows) == MATRIX_SIDE
    shares = {
        (row.name, column): cell.value
        for row in table.rows
        for column, cell in zip(table.columns, row.cells, strict=True)
        if isinstance(cell, ShareCell)
    }
    others = f"{k - MATRIX_SIDE + 1} others"
    assert shares["c7", "c140"] == 0.9 and shares["c7", "c7"] == 0.1 and shares[others, others] == 1

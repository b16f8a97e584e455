"""Tables of scores, differences and confusions: what is marked, what is left out, what is taken together."""

import numpy as np
from helpers.html import Reader, cells

from globalconv.reports.page import MATRIX_SIDE, ScoreRow, confusion_matrix, facts, scores, signed


def classes(text: str) -> list[str]:
    return [cell.get("class") or "" for cell in Reader(text).all("td")]


def test_the_best_of_a_row_is_marked_and_a_tie_is_not() -> None:
    better = scores(["a", "b", "difference"], [ScoreRow("x", [0.5, 0.25], differences=[-0.25])])
    assert classes(better) == ["bar best", "bar", "less"]
    tie = scores(["a", "b", "difference"], [ScoreRow("x", [0.4, 0.4], differences=[0.0])])
    assert classes(tie) == ["bar", "bar", ""]


def test_columns_that_are_no_rivals_are_not_marked() -> None:
    assert classes(scores(["IoU", "found"], [ScoreRow("x", [0.1, 0.9])])) == ["bar", "bar"]


def test_missing_scores_are_dashes_and_numbers_have_three_digits() -> None:
    text = scores(["pixels", "a", "b", "d"], [ScoreRow("x", [None, 1.0], (9, 9, 9), ["3%"], [None], strong=True)])
    assert cells(text) == [["", "pixels", "a", "b", "d"], ["x", "3%", "–", "1.000", "–"]]
    assert "--share: 100.0%" in text and "rgb(9, 9, 9)" in text and 'class="strong"' in text


def test_differences_have_a_sign() -> None:
    assert (signed(0.0123), signed(-0.5), signed(0.0), signed(-0.0004)) == ("+0.012", "−0.500", "0.000", "0.000")


def test_facts_have_one_value_or_one_per_column() -> None:
    assert cells(facts({"a": "1"})) == [["a", "1"]]
    assert cells(facts({"a": ["1", "2"]}, ["x", "y"])) == [["", "x", "y"], ["a", "1", "2"]]


def test_the_matrix_says_percents_of_the_true_class() -> None:
    text = confusion_matrix(np.array([[3, 1], [0, 0]]), ["a", "b"])
    assert cells(text)[1:] == [["a", "75", "25"], ["b", "", ""]]
    assert classes(text) == ["hit", "", "", "hit"]


def test_many_classes_are_cut_to_the_most_confused_and_no_pixel_is_lost() -> None:
    k = 150
    counts = np.diag(np.full(k, 10))
    counts[7, 140] = 90
    rows = cells(confusion_matrix(counts, [f"c{index}" for index in range(k)]))
    assert len(rows) == MATRIX_SIDE + 1 and all(len(row) == MATRIX_SIDE + 1 for row in rows)
    by_name = {row[0]: dict(zip(rows[0][1:], row[1:], strict=True)) for row in rows[1:]}
    assert by_name["c7"]["c140"] == "90" and by_name["c7"]["c7"] == "10"
    others = f"{k - MATRIX_SIDE + 1} others"
    assert by_name[others][others] == "100"

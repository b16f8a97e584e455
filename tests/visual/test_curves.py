"""Curves: SVG inside a page, in the page's colours, bounded in size."""

import re

import pytest
from helpers.html import Reader, check_self_contained

from globalconv.reports.curves import POINTS, Curve, curves, run_legend, thinned


def test_a_drawing_has_the_pages_colours_and_no_address() -> None:
    text = curves(
        "mIoU", "step", [Curve("a", 0, [(0, 0.1), (10, 0.5)], marked=True), Curve("b", 1, [(0, 0.2), (5, 1)])]
    )
    check_self_contained(text)
    assert "var(--run-0)" in text and "var(--run-1)" in text and "var(--muted)" in text
    assert not re.search(r"#[0-9a-f]{6}\b", text) and "xmlns" not in text and "DejaVu" not in text
    assert [svg["aria-label"] for svg in Reader(text).all("svg")] == ["mIoU: a, b"]
    assert "width" not in Reader(text).all("svg")[0]


def test_the_same_numbers_give_the_same_drawing() -> None:
    line = [Curve("a", 0, [(0, 0.1), (10, 0.5)])]
    assert curves("x", "step", line) == curves("x", "step", line)


def test_more_runs_than_colours_start_again() -> None:
    text = curves("x", "step", [Curve(str(run), run, [(0, 1.0), (1, run + 2.0)]) for run in range(8)], logarithmic=True)
    assert "var(--run-5)" in text and "var(--run-6)" not in text and "stroke-dasharray" in text
    assert run_legend([str(run) for run in range(8)]).count("var(--run-1)") == 2


def test_long_curves_are_thinned_to_means() -> None:
    points = [(float(x), float(x % 2)) for x in range(10 * POINTS)]
    thin = thinned(points)
    assert len(thin) == POINTS and all(y == pytest.approx(0.5) for _, y in thin)
    assert thinned(points[:POINTS]) == points[:POINTS]

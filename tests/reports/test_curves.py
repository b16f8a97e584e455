"""Curves: SVG inside a page, in the page's colours, bounded in size."""

import re

import pytest
from helpers.html import Reader, check_self_contained, render

from globalconv.reports.curves import POINTS, RUN_COLOURS, Curve, Curves, thin
from globalconv.reports.page import RunLegend


def svg(curves: Curves) -> str:
    """Return the drawing in a page."""
    match = re.search(r"<svg.*</svg>", render(curves), re.DOTALL)
    assert match
    return match[0]


def test_a_drawing_has_the_pages_colours_and_no_address() -> None:
    drawing = svg(
        Curves("mIoU", "step", [Curve("a", 0, [(0, 0.1), (10, 0.5)], marked=True), Curve("b", 1, [(0, 0.2), (5, 1)])])
    )
    check_self_contained(drawing)
    assert "var(--run-0)" in drawing and "var(--run-1)" in drawing
    assert not re.search(r"#[0-9a-f]{6}\b", drawing) and "xmlns" not in drawing and "DejaVu" not in drawing
    [attributes] = Reader(drawing).all("svg")
    assert attributes["aria-label"] == "mIoU: a, b" and "width" not in attributes


def test_the_same_numbers_give_the_same_drawing() -> None:
    curves = Curves("x", "step", [Curve("a", 0, [(0, 0.1), (10, 0.5)])])
    assert svg(curves) == svg(curves)


def test_more_runs_than_colours_start_again() -> None:
    many = [Curve(str(run), run, [(0, 1.0), (1, run + 2.0)]) for run in range(RUN_COLOURS + 2)]
    drawing = svg(Curves("x", "step", many, logarithmic=True))
    assert set(re.findall(r"--run-(\d+)", drawing)) == {str(number) for number in range(RUN_COLOURS)}
    assert "stroke-dasharray" in drawing  # runs that share a colour differ in their lines
    assert render(RunLegend([str(run) for run in range(RUN_COLOURS + 2)])).count("var(--run-1)") == 2


def test_long_curves_are_thinned_to_means() -> None:
    points = [(float(x), float(x % 2)) for x in range(10 * POINTS)]
    thinner = thin(points)
    assert len(thinner) == POINTS and all(y == pytest.approx(0.5) for _, y in thinner)
    assert thin(points[:POINTS]) == points[:POINTS]

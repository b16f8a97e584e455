"""Curves as SVG inside a page: drawn by matplotlib, coloured by the page, so that they fit light and dark."""

import io
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

WIDTH, HEIGHT = 5.4, 3.2
"""Inches of the drawing at 72 pixels each: letters read well when a phone shows it at about that size."""

POINTS = 300
"""Most points of a curve; of more, neighbours are averaged."""

RUN_COLOURS = 6
"""Runs that have a colour of their own, `--run-0` and so on in style.css; the next ones start again with the first."""


@dataclass(frozen=True)
class Curve:
    """Points (x, y) of one run, whose number is its colour; `marked` shows each point."""

    name: str
    run: int
    points: Sequence[tuple[float, float]]
    marked: bool = False
    dashed: bool = False
    joined: bool = True
    """Whether a line goes through the points."""
    spans: Sequence[tuple[float, float] | None] = ()
    """From where to where each point may lie; None where that is not known."""


@dataclass(frozen=True)
class Curves:
    """Curves over each other, a block of a page; `title` says what is drawn upwards, `ticks` what to write where."""

    title: str
    x_title: str
    lines: Sequence[Curve]
    logarithmic: bool = False
    ticks: Mapping[float, str] = field(default_factory=dict)


@dataclass(frozen=True)
class SvgDrawing:
    """The content of an `svg` element, and its `viewBox`."""

    view_box: str
    content: str


def draw_curves(curves: Curves) -> SvgDrawing:
    """Draw `curves` in the page's colours and letters."""
    from matplotlib import rc_context
    from matplotlib.figure import Figure
    from matplotlib.ticker import LogLocator, NullLocator, StrMethodFormatter

    # Matplotlib knows no CSS variables: it draws in stand-ins, which are replaced below.
    ink, grid = "#010203", "#040506"
    colours = [f"#0708{number:02x}" for number in range(RUN_COLOURS)]
    variables = {ink: "var(--muted)", grid: "var(--line)"}
    variables |= {colour: f"var(--run-{number})" for number, colour in enumerate(colours)}
    settings: Any = {  # matplotlib names every key of it in its types
        "svg.fonttype": "none", "svg.hashsalt": curves.title, "font.size": 11, "text.color": ink,
        "axes.edgecolor": grid, "xtick.color": ink, "ytick.color": ink, "axes.labelcolor": ink, "grid.color": grid,
    }  # fmt: skip
    with rc_context(settings):
        figure = Figure(figsize=(WIDTH, HEIGHT), layout="constrained")
        axes = figure.add_subplot()
        for line in curves.lines:
            xs, ys = zip(*thin(line.points), strict=True)
            colour = colours[line.run % RUN_COLOURS]
            axes.plot(
                xs, ys, color=colour, linewidth=1.8, marker="o" if line.marked else "", markersize=4,
                linestyle="none" if not line.joined else "-" if line.run < RUN_COLOURS and not line.dashed else "--",
                markerfacecolor="none" if line.dashed else colour,
            )  # fmt: skip
            for (x, _), span in zip(line.points, line.spans, strict=False):
                if span:
                    axes.vlines(x, *span, color=colour, linewidth=1.4)
        if curves.logarithmic:
            axes.set_yscale("log")
            axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
            axes.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
            axes.yaxis.set_minor_locator(NullLocator())
        if curves.ticks:
            axes.set_xticks(list(curves.ticks), list(curves.ticks.values()))
        axes.set_xlabel(curves.x_title)
        axes.grid(axis="y", linewidth=0.8)
        axes.spines[["top", "right", "left"]].set_visible(False)
        axes.tick_params(length=0)
        buffer = io.StringIO()
        figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None})
    svg = buffer.getvalue()
    for colour, variable in variables.items():
        svg = svg.replace(colour, variable)
    # The page brings letters and names; addresses of namespaces are of no use inside HTML.
    svg = re.sub(r"<metadata>.*?</metadata>|<title>.*?</title>", "", svg, flags=re.DOTALL)
    svg = re.sub(r' id="(?:figure|axes|patch|matplotlib\.axis|[xy]tick|text|line2d)_\d+"', "", svg)
    svg = re.sub(r' xmlns(?::\w+)?="[^"]*"|font-family: [^;"]+;? ?', "", svg)
    parts = re.search(r'<svg\b[^>]* viewBox="([^"]*)"[^>]*>(.*)</svg>', svg, re.DOTALL)
    assert parts, "matplotlib writes one svg element with a viewBox"
    return SvgDrawing(parts[1], parts[2].strip())


def thin(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """Return at most `POINTS` points: means of neighbours."""
    size = -(-len(points) // POINTS)
    parts = [points[start : start + size] for start in range(0, len(points), size)]
    return [(sum(x for x, _ in part) / len(part), sum(y for _, y in part) / len(part)) for part in parts]

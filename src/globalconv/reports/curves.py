"""Curves as SVG inside a page: drawn by matplotlib, coloured by the page, so that they fit light and dark."""

import io
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, Any

from globalconv.reports.page import RUN_COLOURS, run_colour

if TYPE_CHECKING:
    from matplotlib.axes import Axes

WIDTH, HEIGHT = 5.4, 3.2
"""Inches of the drawing at 72 pixels each: letters read well when a phone shows it at about that size."""

POINTS = 300
"""Most points of a curve; of more, neighbours are averaged."""

_STANDINS = {"#010203": "var(--muted)", "#040506": "var(--line)"} | {
    f"#0708{number:02x}": run_colour(number) for number in range(RUN_COLOURS)
}
"""Colours that matplotlib draws with, and what the page puts in their place."""
_INK, _GRID, *_RUNS = _STANDINS

_FRAME = re.compile(r"^.*?(?=<svg)|<metadata>.*?</metadata>|<title>.*?</title>", re.DOTALL)
_ADDRESSES = re.compile(
    r' xmlns(?::\w+)?="[^"]*"| id="(?:figure|axes|patch|matplotlib\.axis|[xy]tick|text|line2d)_\d+"'
)
_SIZE = re.compile(r'(<svg\b[^>]*?) width="[^"]*"| height="[\d.]+pt"')
_FONT = re.compile(r"font-family: [^;\"]+;? ?")


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


def curves(
    title: str,
    x_title: str,
    lines: Sequence[Curve],
    logarithmic: bool = False,
    ticks: Mapping[float, str] | None = None,
) -> str:
    """Return a figure of curves over each other; `title` says what is drawn upwards, `ticks` what to write where."""
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    settings: Any = {  # matplotlib names every key of it in its types
        "svg.fonttype": "none", "svg.hashsalt": title, "font.size": 11, "text.color": _INK, "axes.edgecolor": _GRID,
        "xtick.color": _INK, "ytick.color": _INK, "axes.labelcolor": _INK, "grid.color": _GRID,
    }  # fmt: skip
    with rc_context(settings):
        figure = Figure(figsize=(WIDTH, HEIGHT), layout="constrained")
        axes = figure.add_subplot()
        _draw(axes, x_title, lines, logarithmic)
        if ticks:
            axes.set_xticks(list(ticks), list(ticks.values()))
        buffer = io.StringIO()
        figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None})
    words = f"{title}: {', '.join(line.name for line in lines)}"
    drawing = _for_the_page(buffer.getvalue(), words)
    return f'<figure class="curve"><figcaption>{escape(title)}</figcaption>{drawing}</figure>'


def run_legend(names: Sequence[str]) -> str:
    """Return which colour is which run."""
    listed = "".join(
        f'<li><i class="swatch" style="background: {run_colour(number)}"></i>{escape(name)}</li>'
        for number, name in enumerate(names)
    )
    return f'<ul class="legend">{listed}</ul>'


def _draw(axes: "Axes", x_title: str, lines: Sequence[Curve], logarithmic: bool) -> None:
    from matplotlib.ticker import LogLocator, NullLocator, StrMethodFormatter

    for line in lines:
        xs, ys = zip(*thinned(line.points), strict=True)
        style = "none" if not line.joined else "-" if line.run < RUN_COLOURS and not line.dashed else "--"
        marker, colour = "o" if line.marked else "", _RUNS[line.run % RUN_COLOURS]
        filled = "none" if line.dashed else colour
        axes.plot(
            xs, ys, linestyle=style, color=colour, linewidth=1.8, marker=marker, markersize=4, markerfacecolor=filled
        )
        for (x, _), span in zip(line.points, line.spans, strict=False):
            if span:
                axes.vlines(x, *span, color=colour, linewidth=1.4)
    if logarithmic:
        axes.set_yscale("log")
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
        axes.yaxis.set_minor_locator(NullLocator())
    axes.set_xlabel(x_title)
    axes.grid(axis="y", linewidth=0.8)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.tick_params(length=0)


def thinned(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """Return at most `POINTS` points: means of neighbours."""
    size = -(-len(points) // POINTS)
    parts = [points[start : start + size] for start in range(0, len(points), size)]
    return [(sum(x for x, _ in part) / len(part), sum(y for _, y in part) / len(part)) for part in parts]


def _for_the_page(svg: str, words: str) -> str:
    """Return the drawing without frame, addresses, names and sizes, in the page's colours and letters."""
    svg = _SIZE.sub(r"\1", _ADDRESSES.sub("", _FRAME.sub("", svg)))
    for standin, colour in _STANDINS.items():
        svg = svg.replace(standin, colour)
    svg = _FONT.sub("", svg)
    return svg.replace("<svg", f'<svg role="img" aria-label="{escape(words)}"', 1).strip()

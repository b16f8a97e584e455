"""What a report consists of, said once and written twice: as a page for the browser and as Markdown."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from globalconv.reports import page
from globalconv.reports.curves import Curve, curves, run_legend
from globalconv.reports.page import Row, gallery
from globalconv.visual.overlay import LegendEntry

UNBROKEN = "\N{NO-BREAK SPACE}"
"""Between words of a table that stay in one line."""


@dataclass(frozen=True)
class Heading:
    """Of a section, or with `level` 3 inside one."""

    text: str
    level: int = 2

    @property
    def anchor(self) -> str:
        return "".join(letter if letter.isalnum() else "-" for letter in self.text.lower())


@dataclass(frozen=True)
class Text:
    """A paragraph; `aside` tells how to read a table or plot."""

    words: str
    aside: bool = True


@dataclass(frozen=True)
class Grid:
    """A table: name of a row -> its cells."""

    columns: Sequence[str]
    rows: Mapping[str, Sequence[str]]


@dataclass(frozen=True)
class Plot:
    """Curves over each other; only the page has them, for Markdown has their numbers in tables."""

    title: str
    x_title: str
    lines: Sequence[Curve]
    ticks: Mapping[float, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Images:
    """Rows of images; only on the page."""

    columns: Sequence[str]
    rows: Sequence[Row]
    legend: Sequence[LegendEntry]


Part = Heading | Text | Grid | Plot | Images


def as_html(title: str, lead: str, parts: Sequence[Part], footer: str) -> str:
    """Return the page."""
    sections = {part.anchor: part.text for part in parts if isinstance(part, Heading) and part.level == 2}
    return page.page(title, lead, [page.contents(sections), *map(_html, _side_by_side(parts))], footer)


def _side_by_side(parts: Sequence[Part]) -> list[Part | list[Plot]]:
    """Return the parts with plots that follow each other taken together."""
    found: list[Part | list[Plot]] = []
    for part in parts:
        if isinstance(part, Plot) and found and isinstance(found[-1], list):
            found[-1].append(part)
        else:
            found.append([part] if isinstance(part, Plot) else part)
    return found


def _html(part: Part | list[Plot]) -> str:
    match part:
        case Heading(text, level):
            return page.heading(text, part.anchor) if level == 2 else page.subheading(text)
        case Text(words, aside):
            return page.note(words) if aside else page.paragraph(words)
        case Grid(columns, rows):
            return page.cells(columns, rows)
        case Images(columns, images, legend):
            return gallery(columns, images, legend)
        case list():
            return page.columns([_drawn(plot) for plot in part])
        case Plot():
            return _drawn(part)


def _drawn(plot: Plot) -> str:
    names = {line.run: line.name for line in plot.lines if not line.dashed}
    key = run_legend([names.get(run, "") for run in range(max(names, default=-1) + 1)])
    return curves(plot.title, plot.x_title, plot.lines, ticks=plot.ticks) + key


def as_markdown(title: str, lead: str, parts: Sequence[Part]) -> str:
    """Return the same as Markdown, without plots and images."""
    return _joined([f"# {title}", lead, *filter(None, map(_markdown, parts))])


def _joined(parts: Sequence[str]) -> str:
    return "\n\n".join(parts).replace(UNBROKEN, " ") + "\n"


def _markdown(part: Part) -> str:
    match part:
        case Heading(text, level):
            return f"{'#' * level} {text}"
        case Text(words, _):
            return words
        case Grid(columns, rows):
            lines = [["", *columns], ["---"] * (len(columns) + 1), *([name, *cells] for name, cells in rows.items())]
            return "\n".join(f"| {' | '.join(cell.replace('|', '/') for cell in line)} |" for line in lines)
        case _:
            return ""

"""What a report consists of, said once and written twice: as a page for the browser and as Markdown."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from globalconv.reports import page
from globalconv.reports.curves import Curve, Curves
from globalconv.visual.overlay import LegendEntry

UNBROKEN = "\N{NO-BREAK SPACE}"
"""Between words of a table that stay in one line."""


@dataclass(frozen=True)
class Heading:
    """Of a section, or with `level` 3 inside one."""

    text: str
    level: int = 2


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
    rows: Sequence[page.GalleryRow]
    legend: Sequence[LegendEntry]


Part = Heading | Text | Grid | Plot | Images


def as_html(title: str, lead: str, parts: Sequence[Part], footer: str) -> str:
    """Return the page: a section per heading of level 2, plots that follow each other side by side."""
    sections: list[tuple[str, list[page.Block]]] = []
    columns: list[Sequence[page.Block]] = []
    for part in parts:
        if isinstance(part, Plot):
            if not columns:
                sections[-1][1].append(page.SideBySide(columns))
            names = {line.run: line.name for line in part.lines if not line.dashed}
            runs = page.RunLegend([names.get(run, "") for run in range(max(names, default=-1) + 1)])
            columns.append([Curves(part.title, part.x_title, part.lines, ticks=part.ticks), runs])
            continue
        columns = []
        match part:
            case Heading(text, 2):
                sections.append((text, []))
            case Heading(text, _):
                sections[-1][1].append(page.Subheading(text))
            case Text(words, aside):
                sections[-1][1].append(page.Note(words) if aside else page.Text(words))
            case Grid(titles, rows):
                table = [page.TableRow(name, cells) for name, cells in rows.items()]
                sections[-1][1].append(page.Table(titles if any(titles) else (), table, "whole"))
            case Images(titles, samples, legend):
                sections[-1][1].append(page.Gallery(titles, samples))
                if legend:
                    sections[-1][1].append(page.ClassLegend(legend))
    return page.render_page(title, lead, [page.Section(text, blocks) for text, blocks in sections], footer)


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

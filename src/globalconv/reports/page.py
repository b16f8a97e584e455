"""One page for the browser in one file: light and dark, wide and narrow, no script, nothing fetched.

A page is a title, a lead and sections; a section is a title and blocks. All of them are plain data, which the templates
in `templates/` turn into HTML: a block by the macro in `blocks.html.j2` that is named after its class. Names and values
are given as they are; Jinja2 escapes every one of them.

    page = render_page("Title", "What it is about.", [Section("Scores", [Text("..."), Table(["IoU"], rows)])])
    write_page(Path("report.html"), page)
"""

import base64
import io
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from PIL import Image

from globalconv.errors import InputError
from globalconv.labels import Colour
from globalconv.reports.curves import RUN_COLOURS, Curves, draw_curves
from globalconv.runtime.files import check_output, write_text
from globalconv.visual.overlay import LegendEntry

MARK = '<meta name="generator" content="globalconv">'
"""In every page, so that only our own pages are ever replaced."""

IMAGE_WIDTH, JPEG_QUALITY = 400, 82
"""Widest image, in pixels, and its quality: pages stay small enough to send."""


@dataclass(frozen=True)
class Text:
    """A paragraph."""

    words: str


@dataclass(frozen=True)
class Note:
    """A paragraph in muted ink: what a table or image shows and how to read it."""

    words: str


@dataclass(frozen=True)
class Subheading:
    """A heading inside a section."""

    words: str


@dataclass(frozen=True)
class Points:
    """Sentences as a list."""

    sentences: Sequence[str]


@dataclass(frozen=True)
class Tile:
    """A large number with a label above it and words below; the `winner` of several stands out."""

    label: str
    number: str
    below: str = ""
    winner: bool = False


@dataclass(frozen=True)
class Tiles:
    """Large numbers side by side."""

    tiles: Sequence[Tile]


@dataclass(frozen=True)
class NextStep:
    """What to do, why, and the option or command for it."""

    what: str
    why: str
    how: str = ""


@dataclass(frozen=True)
class NextSteps:
    """What to do next, a card each."""

    steps: Sequence[NextStep]


@dataclass(frozen=True)
class ScoreCell:
    """A score in [0, 1] with a bar below its three digits; a dash for nan. `best`: the best one of its row."""

    value: float
    best: bool = False


@dataclass(frozen=True)
class DifferenceCell:
    """A difference of scores with its sign, gains and losses in their colours; a dash for nan."""

    value: float


@dataclass(frozen=True)
class ShareCell:
    """A share of a class in percent, the deeper its colour the more; `right`: of pixels that are predicted right."""

    value: float
    right: bool


Cell = str | ScoreCell | DifferenceCell | ShareCell


@dataclass(frozen=True)
class TableRow:
    """The name of a row, with its `colour` where it is a class, and the cells behind it."""

    name: str
    cells: Sequence[Cell]
    colour: Colour | None = None
    strong: bool = False


@dataclass(frozen=True)
class Table:
    """A table. `columns` names every cell after the row's name, `corner` what stands above those; no columns, no head.

    Styles: `numbers`; `rivals`, numbers whose first column is left out on a narrow screen; `words`, broken anywhere;
    `whole`, words that are not broken, so that a table that is too wide scrolls; `matrix`, small coloured cells.
    """

    columns: Sequence[str]
    rows: Sequence[TableRow]
    style: Literal["numbers", "rivals", "words", "whole", "matrix"] = "numbers"
    corner: str = ""


@dataclass(frozen=True)
class RunLegend:
    """Which colour is which run: names in the order of the runs' numbers, "" for a number that is not drawn."""

    names: Sequence[str]


@dataclass(frozen=True)
class ClassLegend:
    """Which colour is which class."""

    entries: Sequence[LegendEntry]


@dataclass(frozen=True)
class EmbeddedImage:
    """An image inside the page, as `embed` makes it."""

    address: str
    width: int
    height: int


@dataclass(frozen=True)
class GalleryRow:
    """Images of one sample, under its name and a note about it."""

    name: str
    note: str
    images: Sequence[EmbeddedImage]


@dataclass(frozen=True)
class Gallery:
    """Rows of images, each image titled with its column; on a narrow screen a row is broken."""

    columns: Sequence[str]
    rows: Sequence[GalleryRow]


@dataclass(frozen=True)
class Columns:
    """Blocks beside each other, where there is room; each column is a list of blocks."""

    columns: Sequence[Sequence["Block"]]


@dataclass(frozen=True)
class Folded:
    """Blocks that open, or close, on a click on the summary."""

    summary: str
    blocks: Sequence["Block"]
    is_open: bool = False


Block = (
    Text | Note | Subheading | Points | Tiles | NextSteps | Table | Curves | RunLegend | ClassLegend | Gallery
    | Columns | Folded
)  # fmt: skip


@dataclass(frozen=True)
class Section:
    """A part of a page that its contents lead to."""

    title: str
    blocks: Sequence[Block]

    @property
    def anchor(self) -> str:
        return "".join(letter if letter.isalnum() else "-" for letter in self.title.lower())


def render_page(title: str, lead: str, sections: Sequence[Section], footer: str = "") -> str:
    """Return a whole HTML page, with links to its sections below the lead."""
    template = _environment().get_template("page.html.j2")
    return template.render(title=title, lead=lead, sections=sections, footer=footer)


@cache
def _environment() -> Environment:
    """Return the templates, compiled once; a name that a template does not know is an error."""
    environment = Environment(
        loader=PackageLoader("globalconv.reports"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
    )
    environment.globals |= {"mark": MARK, "run_colours": RUN_COLOURS}
    environment.filters |= {"signed": signed, "draw": draw_curves, "class_name": lambda value: type(value).__name__}
    # Narrow screens break names such as model.boundary_refinement at these places; join escapes the parts.
    environment.filters["breakable"] = lambda name: Markup("<wbr>").join(re.split(r"(?<=[._])", name))
    environment.tests["nan"] = math.isnan
    return environment


def signed(value: float) -> str:
    """Return a difference of scores with its sign, a true minus, and none where nothing is left to show."""
    words = f"{value:+.3f}".replace("-", "−")
    return words if words.strip("+−") != "0.000" else "0.000"


def embed(image: Image.Image) -> EmbeddedImage:
    """Return an image as a JPEG inside the page, reduced to `IMAGE_WIDTH` where it is wider."""
    if image.width > IMAGE_WIDTH:
        image = image.resize((IMAGE_WIDTH, max(1, round(image.height * IMAGE_WIDTH / image.width))), reducing_gap=3.0)
    buffer = io.BytesIO()
    image.convert("RGB").save(buffer, "JPEG", quality=JPEG_QUALITY, optimize=True)
    address = f"data:image/jpeg;base64,{base64.b64encode(buffer.getvalue()).decode()}"
    return EmbeddedImage(address, image.width, image.height)


def write_page(path: Path, html: str) -> None:
    """Write a page to `path`, whole or not at all."""
    check_page(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_text(path, html)


def check_page(path: Path, option: str = "out") -> None:
    """Raise `InputError` if no page can be written to `path`, the value of `option`, or something else is there."""
    check_output(option, path, ".html")
    if path.exists() and MARK.encode() not in path.read_bytes()[:400]:
        raise InputError(f"{path} exists and was not written by globalconv; move it or name another file")

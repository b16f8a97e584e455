"""Images in a page: rows of them, one per sample, each image with its own title; and legends.

How pages look: one style sheet for light and dark, wide and narrow, screen and print.

A page for the browser in one file: text, tables, curves, images. Light and dark, wide and narrow, no script.

The functions here and in `tables`, `gallery` and `curves` return parts of a page as HTML; every one escapes the names
and values it is given.

Tables of a page: scores with bars, differences, the confusion matrix, facts.
"""

import base64
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

import numpy as np
from PIL import Image

from globalconv.arrays import Int64Array
from globalconv.errors import InputError
from globalconv.labels import Colour
from globalconv.runtime.files import write_text
from globalconv.visual.overlay import LegendEntry

RUN_COLOURS = 6
"""Runs that have a colour of their own; the next ones start again with the first."""


def run_colour(number: int) -> str:
    """Return the colour of a run, which the style sheet knows for light and dark."""
    return f"var(--run-{number % RUN_COLOURS})"


STYLE = """
:root { color-scheme: light dark; --paper: #f7f7f4; --card: #fff; --ink: #20252b; --muted: #616b78; --line: #e2e3de;
  --bar: #8cc9b4; --accent: #0b6b50; --good: #0b6b50; --bad: #b3372b; --hit: 15 122 92; --miss: 205 70 50;
  --run-0: #0f7a5c; --run-1: #c2571a; --run-2: #3564b0; --run-3: #8a4bb0; --run-4: #937400; --run-5: #b03060; }
@media (prefers-color-scheme: dark) { :root { --paper: #14171b; --card: #1c2025; --ink: #e6e8ea; --muted: #9aa5b1;
  --line: #30363d; --bar: #2f7a64; --accent: #5cc9a7; --good: #5cc9a7; --bad: #f08a7c; --hit: 70 180 145;
  --miss: 225 95 75; --run-0: #4fc3a0; --run-1: #f0975c; --run-2: #7fa8ee; --run-3: #c294e4; --run-4: #d8b93f;
  --run-5: #ee83ab; } }
* { box-sizing: border-box; }
html { -webkit-text-size-adjust: 100%; scroll-behavior: smooth; }
body { margin: 0; background: var(--paper); color: var(--ink); font: 16px/1.55 system-ui, sans-serif; }
main { max-width: 74rem; margin: 0 auto; padding: clamp(1.1rem, 4vw, 3rem) clamp(1rem, 4vw, 3rem); }
h1 { font-size: clamp(1.55rem, 4.5vw, 2.3rem); line-height: 1.15; letter-spacing: -.02em; margin: 0 0 .5rem;
  overflow-wrap: anywhere; }
h2 { font-size: 1.3rem; letter-spacing: -.01em; margin: 3.2rem 0 .6rem; scroll-margin-top: 1rem; }
h3 { font-size: 1rem; margin: 1.8rem 0 .6rem; overflow-wrap: anywhere; }
p { max-width: 46rem; margin: .5rem 0; }
.lead, .note { color: var(--muted); } .lead { font-size: 1.06rem; } .note { font-size: .92rem; }
nav { display: flex; flex-wrap: wrap; gap: .2rem 1.1rem; margin: 1.2rem 0 0; font-size: .92rem; }
nav a { color: var(--accent); text-decoration: none; padding: .2rem 0; } nav a:hover { text-decoration: underline; }
code { font: .86em ui-monospace, monospace; background: var(--line); border-radius: 4px; padding: .1em .35em;
  overflow-wrap: anywhere; -webkit-box-decoration-break: clone; box-decoration-break: clone; }
.tiles { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(13.5rem, 44%), 1fr)); gap: .7rem;
  margin: 1.1rem 0; }
.tile { background: var(--card); border: 1px solid var(--line); border-radius: 12px; padding: .8rem 1rem .75rem; }
.tile b { display: block; font-size: 1.75rem; line-height: 1.2; letter-spacing: -.02em; font-weight: 650;
  font-variant-numeric: tabular-nums; }
.tile span, .tile small { display: block; color: var(--muted); font-size: .88rem; overflow-wrap: anywhere; }
.tile.winner { border-color: var(--accent); box-shadow: inset 0 0 0 1px var(--accent); }
.points { max-width: 50rem; margin: .8rem 0; padding-left: 1.15rem; } .points li { margin: .35rem 0; }
.points li::marker { color: var(--accent); }
.advice { list-style: none; padding: 0; margin: .9rem 0; display: grid; gap: .7rem;
  grid-template-columns: repeat(auto-fit, minmax(min(100%, 21rem), 1fr)); }
.advice li { background: var(--card); border: 1px solid var(--line); border-left: 3px solid var(--accent);
  border-radius: 10px; padding: .75rem 1rem; }
.advice b { display: block; }
.advice span { color: var(--muted); font-size: .93rem; display: block; margin: .1rem 0 .35rem; }
.wide { overflow-x: auto; background: var(--card); border: 1px solid var(--line); border-radius: 12px; }
.columns { display: grid; gap: 1rem; grid-template-columns: repeat(auto-fit, minmax(min(100%, 24rem), 1fr));
  align-items: start; } .wide + .columns { margin-top: 1.3rem; }
table { border-collapse: separate; border-spacing: 0; width: 100%; font-variant-numeric: tabular-nums; }
th, td { padding: .42rem .9rem; text-align: right; white-space: nowrap; border-top: 1px solid var(--line);
  font-weight: 400; }
thead th { border-top: 0; color: var(--muted); font-weight: 500; font-size: .9rem; vertical-align: bottom;
  white-space: normal; line-height: 1.3; }
th:first-child { text-align: left; position: sticky; left: 0; background: var(--card); z-index: 1; }
tr.strong th, tr.strong td { font-weight: 650; }
td.bar { background: linear-gradient(to right, var(--bar) var(--share), var(--line) var(--share))
  center bottom 3px / calc(100% - 1.8rem) 3px no-repeat; min-width: 6.5rem; }
td.best { color: var(--accent); font-weight: 650; }
td.more { color: var(--good); } td.less { color: var(--bad); }
.words td { text-align: left; white-space: normal; overflow-wrap: anywhere; min-width: 7.5rem; }
.words thead th { text-align: left; }
.words tbody th { white-space: normal; overflow-wrap: anywhere; width: 17rem; }
.whole td, .whole tbody th { overflow-wrap: normal; min-width: 0; }
i.swatch { display: inline-block; width: .85em; height: .85em; border-radius: 3px; margin-right: .5em;
  vertical-align: -.06em; border: 1px solid rgb(128 128 128 / .5); }
.matrix table { width: auto; border-spacing: 1px; font-size: .8rem; }
.matrix { padding: .5rem .4rem; } .matrix th, .matrix td { border: 0; padding: .22rem .4rem; font-size: inherit; }
 .matrix td { text-align: center; min-width: 2.2rem;
  background: rgb(var(--miss) / var(--v)); border-radius: 3px; }
.matrix td.hit { background: rgb(var(--hit) / var(--v)); }
.matrix thead th:not(:first-child) { writing-mode: vertical-rl; transform: rotate(180deg); text-align: left;
  padding: .4rem .3rem; }
.curve svg { display: block; width: 100%; max-width: 36rem; height: auto; overflow: visible; }
.curve figcaption { color: var(--ink); font-weight: 600; font-size: .95rem; padding: 0 0 .4rem; }
.sample { margin: 0 0 1.1rem; }
.sample h4 { font-size: .92rem; font-weight: 600; margin: 0 0 .3rem; overflow-wrap: anywhere; }
.sample h4 small { color: var(--muted); font-size: inherit; font-weight: 400; }
.grid { display: grid; grid-template-columns: repeat(var(--columns), minmax(0, 1fr)); gap: .5rem; }
figure { margin: 0; }
figcaption { color: var(--muted); font-size: .84rem; padding: .2rem 0 0; }
img { display: block; width: 100%; height: auto; border-radius: 6px; background: var(--line); }
.legend { display: flex; flex-wrap: wrap; gap: .3rem 1.1rem; padding: 0; margin: .8rem 0; list-style: none;
  font-size: .9rem; }
details { border-top: 1px solid var(--line); padding: .6rem 0; } summary { cursor: pointer; font-weight: 600; }
details > div { margin-top: .7rem; }
@media (max-width: 640px) { .grid { grid-template-columns: repeat(min(2, var(--columns)), minmax(0, 1fr)); }
  body { font-size: 15px; } h2 { margin-top: 2.4rem; }
  th:first-child { max-width: 8.5rem; overflow: hidden; text-overflow: ellipsis; }
  th, td { padding: .4rem .3rem; font-size: .92rem; } th:first-child { padding-left: .5rem; }
  .words td { min-width: 5.2rem; } .words tbody th { width: 9rem; } .whole td { min-width: 0; }
  .against th:nth-child(2), .against td:nth-child(2) { display: none; }
  td.bar { min-width: 3.6rem; background-size: calc(100% - .9rem) 3px; } }
@media print { body { background: #fff; } .wide, .tile, .advice li { break-inside: avoid; } }
footer { color: var(--muted); font-size: .86rem; margin-top: 3.5rem; border-top: 1px solid var(--line);
  padding-top: .8rem; }
"""


MARK = '<meta name="generator" content="globalconv">'
"""In every page, so that only our own pages are ever replaced."""


def page(title: str, lead: str, parts: Sequence[str], footer: str = "") -> str:
    """Return a whole HTML page; `parts` are what the other functions return."""
    foot = f"<footer>{escape(footer)}</footer>" if footer else ""
    return (
        f'<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n{MARK}\n'
        f'<meta name="viewport" content="width=device-width, initial-scale=1">\n<title>{escape(title)}</title>\n'
        f"<style>{STYLE}</style>\n</head>\n<body>\n<main>\n<h1>{escape(title)}</h1>\n"
        f'<p class="lead">{escape(lead)}</p>\n' + "\n".join(parts) + f"\n{foot}\n</main>\n</body>\n</html>\n"
    )


def write_page(path: Path, html: str) -> None:
    """Write a page to `path`, whole or not at all."""
    check_page(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_text(path, html)


def check_page(path: Path) -> None:
    """Raise `InputError` if no page can be written to `path`, or something else is there."""
    if path.suffix.lower() != ".html":
        raise InputError(f"{path}: a report is an HTML page; call it {path.with_suffix('.html').name}")
    if path.is_dir():
        raise InputError(f"{path}: is a folder; name a file in it, such as {path / 'report.html'}")
    if path.exists() and MARK.encode() not in path.read_bytes()[:400]:
        raise InputError(f"{path} exists and was not written by globalconv; move it or name another file")


def heading(text: str, anchor: str) -> str:
    """Return the heading of a section that `contents` can lead to."""
    return f'<h2 id="{escape(anchor)}">{escape(text)}</h2>'


def subheading(text: str) -> str:
    """Return a heading inside a section."""
    return f"<h3>{escape(text)}</h3>"


def contents(sections: Mapping[str, str]) -> str:
    """Return links to the headings of a page: anchor -> words."""
    links = "".join(f'<a href="#{escape(anchor)}">{escape(words)}</a>' for anchor, words in sections.items())
    return f'<nav aria-label="Sections">{links}</nav>'


def paragraph(text: str, code: str = "") -> str:
    """Return a paragraph, ended by a command or a path in `code`."""
    return f"<p>{escape(text)}{f' <code>{escape(code)}</code>' if code else ''}</p>"


def note(text: str) -> str:
    """Return a paragraph that stands back: what a table or image shows and how to read it."""
    return f'<p class="note">{escape(text)}</p>'


def points(lines: Sequence[str]) -> str:
    """Return sentences as a list."""
    return f'<ul class="points">{"".join(f"<li>{escape(line)}</li>" for line in lines)}</ul>'


def tile(label: str, number: str, below: str = "", winner: bool = False) -> str:
    """Return a number that is read from across the room, for `tiles`."""
    small = f"<small>{escape(below)}</small>" if below else ""
    kind = "tile winner" if winner else "tile"
    return f'<div class="{kind}"><span>{escape(label)}</span><b>{escape(number)}</b>{small}</div>'


def tiles(items: Sequence[str]) -> str:
    """Return what `tile` made, side by side."""
    return f'<div class="tiles">{"".join(items)}</div>'


def columns(parts: Sequence[str]) -> str:
    """Return parts side by side, where there is room."""
    return f'<div class="columns">{"".join(f"<div>{part}</div>" for part in parts)}</div>'


def advice(items: Sequence[tuple[str, str, str]]) -> str:
    """Return cards of what to do, why, and the option or command for it ("" = none)."""
    cards = "".join(
        f"<li><b>{escape(what)}</b><span>{escape(why)}</span>{f'<code>{escape(how)}</code>' if how else ''}</li>"
        for what, why, how in items
    )
    return f'<ul class="advice">{cards}</ul>'


def folded(summary: str, part: str, is_open: bool = False) -> str:
    """Return a part that opens, or closes, on a click."""
    return f"<details{' open' if is_open else ''}><summary>{escape(summary)}</summary><div>{part}</div></details>"


MATRIX_SIDE = 24
"""Most classes that a confusion matrix shows one by one."""


@dataclass(frozen=True)
class ScoreRow:
    """A row of scores in [0, 1] (None = none), one per column; `before` are plain cells."""

    name: str
    values: Sequence[float | None]
    colour: Colour | None = None
    before: Sequence[str] = ()
    differences: Sequence[float | None] = ()
    strong: bool = False


def scores(columns: Sequence[str], rows: Sequence[ScoreRow]) -> str:
    """Return a table of scores with bars below the numbers; `columns` names every cell after the first.

    Where there are differences, the best score of each row is marked: then columns are networks.
    """
    head = "".join(f'<th scope="col">{escape(title)}</th>' for title in ("", *columns))
    body = "".join(map(_score_row, rows))
    kind = "wide against" if any(row.differences for row in rows) else "wide"
    return f'<div class="{kind}"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'


def _score_row(row: ScoreRow) -> str:
    shown = {f"{value:.3f}" for value in row.values if value is not None}
    best = max(shown) if row.differences and len(shown) > 1 else None
    cells = "".join(f"<td>{escape(text)}</td>" for text in row.before)
    cells += "".join(_score(value, best) for value in row.values) + "".join(map(_difference, row.differences))
    swatch = "" if row.colour is None else f'<i class="swatch" style="background: rgb{row.colour}"></i>'
    kind = ' class="strong"' if row.strong else ""
    return f'<tr{kind}><th scope="row">{swatch}{escape(row.name)}</th>{cells}</tr>'


def _score(value: float | None, best: str | None) -> str:
    if value is None:
        return "<td>–</td>"
    words = f"{value:.3f}"
    kind = "bar best" if words == best else "bar"
    return f'<td class="{kind}" style="--share: {value:.1%}">{words}</td>'


def _difference(value: float | None) -> str:
    if value is None:
        return "<td>–</td>"
    kind = "more" if value >= 0.0005 else "less" if value <= -0.0005 else ""
    return f'<td class="{kind}">{signed(value)}</td>'


def signed(value: float) -> str:
    """Return a difference of scores with its sign, a true minus, and none where nothing is left to show."""
    words = f"{value:+.3f}".replace("-", "−")
    return words if words.strip("+−") != "0.000" else "0.000"


def facts(rows: Mapping[str, str | Sequence[str]], columns: Sequence[str] = ()) -> str:
    """Return a table of names and values: one value each, or one per column."""
    head = "".join(f'<th scope="col">{escape(title)}</th>' for title in ("", *columns))
    body = "".join(
        f'<tr><th scope="row">{escape(name)}</th>'
        + "".join(f"<td>{_joined(value)}</td>" for value in ([values] if isinstance(values, str) else values))
        + "</tr>"
        for name, values in rows.items()
    )
    top = f"<thead><tr>{head}</tr></thead>" if columns else ""
    return f'<div class="wide words"><table>{top}<tbody>{body}</tbody></table></div>'


def cells(columns: Sequence[str], rows: Mapping[str, Sequence[str]]) -> str:
    """Return a table of names and short cells, whose words stay whole: where it is too wide, it is moved sideways."""
    head = "".join(f'<th scope="col">{escape(title)}</th>' for title in ("", *columns))
    body = "".join(
        f'<tr><th scope="row">{escape(name)}</th>{"".join(f"<td>{escape(value)}</td>" for value in values)}</tr>'
        for name, values in rows.items()
    )
    top = f"<thead><tr>{head}</tr></thead>" if any(columns) else ""
    return f'<div class="wide words whole"><table>{top}<tbody>{body}</tbody></table></div>'


def _joined(value: str) -> str:
    """Return a value that may be broken where parts are joined: coco:train+sbd:train."""
    return escape(value).replace("+", "+<wbr>")


def confusion_matrix(counts: Int64Array, names: Sequence[str]) -> str:
    """Return counts (K, K) as a table of percents of each true class: right ones green, wrong ones red.

    Of many classes it shows those with the most wrong pixels, and takes the rest together.
    """
    counts, names = _largest(counts, names)
    head = "".join(f'<th scope="col">{escape(name)}</th>' for name in ("true ↓ predicted →", *names))
    body = ""
    for index, (name, row) in enumerate(zip(names, counts, strict=True)):
        shares = row / max(1, row.sum())
        cells = "".join(_share(share, hit=index == other) for other, share in enumerate(shares))
        body += f'<tr><th scope="row">{escape(name)}</th>{cells}</tr>'
    return f'<div class="wide matrix"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'


def _share(share: float, hit: bool) -> str:
    words = f"{share:.0%}".removesuffix("%") if share >= 0.005 else ""
    kind = ' class="hit"' if hit else ""
    return f'<td{kind} style="--v: {0.75 * share:.2f}">{words}</td>'


def _largest(counts: Int64Array, names: Sequence[str]) -> tuple[Int64Array, Sequence[str]]:
    """Return the matrix over the classes with the most wrong pixels, the others summed up in a last one."""
    if len(names) <= MATRIX_SIDE:
        return counts, names
    wrong = counts.sum(0) + counts.sum(1) - 2 * counts.diagonal()
    kept = np.sort(np.argsort(-wrong, kind="stable")[: MATRIX_SIDE - 1])
    place = np.full(len(names), len(kept))
    place[kept] = np.arange(len(kept))
    small = np.zeros((len(kept) + 1, len(kept) + 1), np.int64)
    np.add.at(small, (place[:, None], place[None, :]), counts)
    return small, [*(names[index] for index in kept), f"{len(names) - len(kept)} others"]


WIDTH, QUALITY = 400, 82
"""Widest image, in pixels, and JPEG quality: pages stay small enough to send."""


@dataclass(frozen=True)
class Row:
    """Images of one sample, under its name and what is said about it."""

    title: str
    note: str
    images: Sequence[Image.Image]


def gallery(columns: Sequence[str], rows: Sequence[Row], items: Sequence[LegendEntry] = ()) -> str:
    """Return rows of images, each titled with its column, and a legend; on a narrow screen a row breaks."""
    return "\n".join(_row(columns, row) for row in rows) + legend(items)


def legend(items: Sequence[LegendEntry]) -> str:
    """Return which colour is which class."""
    listed = "".join(
        f'<li><i class="swatch" style="background: rgb{item.colour}"></i>{escape(item.name)}</li>' for item in items
    )
    return f'\n<ul class="legend">{listed}</ul>' if items else ""


def embedded(pillow_image: Image.Image) -> str:
    """Return an image as the address of itself, reduced to `WIDTH` where it is wider."""
    if pillow_image.width > WIDTH:
        pillow_image = pillow_image.resize(
            (WIDTH, max(1, round(pillow_image.height * WIDTH / pillow_image.width))), reducing_gap=3.0
        )
    buffer = io.BytesIO()
    pillow_image.convert("RGB").save(buffer, "JPEG", quality=QUALITY, optimize=True)
    return f"data:image/jpeg;base64,{base64.b64encode(buffer.getvalue()).decode()}"


def _row(columns: Sequence[str], row: Row) -> str:
    figures = "".join(
        _figure(title, row.title, pillow_image) for title, pillow_image in zip(columns, row.images, strict=True)
    )
    head = f"<h4>{escape(row.title)} <small>{escape(row.note)}</small></h4>"
    return f'<div class="sample">{head}<div class="grid" style="--columns: {len(columns)}">{figures}</div></div>'


def _figure(title: str, sample: str, pillow_image: Image.Image) -> str:
    words = escape(f"{title} of {sample}")
    width, height = pillow_image.size
    image = f'<img src="{embedded(pillow_image)}" alt="{words}" width="{width}" height="{height}" loading="lazy">'
    return f"<figure>{image}<figcaption>{escape(title)}</figcaption></figure>"

"""A page for the browser in one file: text, tables of scores, pictures. Light and dark, wide and narrow, no script."""

import base64
import io
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from urllib.parse import quote

from PIL import Image

from globalconv.files import write_text
from globalconv.show.legend import Entry
from globalconv.show.panel import Column

STYLE = """
:root { color-scheme: light dark; --paper: #fbfbf9; --card: #fff; --ink: #23272e; --muted: #667080; --line: #e3e4e1;
  --bar: #7fbfa9; --accent: #0f7a5c; }
@media (prefers-color-scheme: dark) { :root { --paper: #15181c; --card: #1d2126; --ink: #e6e8ea; --muted: #98a2ae;
  --line: #30363d; --bar: #36806a; --accent: #5cc9a7; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--paper); color: var(--ink); font: 16px/1.55 system-ui, sans-serif; }
main { max-width: 76rem; margin: 0 auto; padding: clamp(1rem, 4vw, 3rem); }
h1 { font-size: clamp(1.6rem, 4.5vw, 2.3rem); line-height: 1.15; letter-spacing: -.02em; margin: 0 0 .6rem; }
h2 { font-size: 1.2rem; margin: 2.6rem 0 .8rem; }
p { max-width: 44rem; margin: .5rem 0; }
.lead { color: var(--muted); font-size: 1.08rem; }
code { font: .88em ui-monospace, monospace; background: var(--line); border-radius: 4px; padding: .1em .35em; }
.wide { overflow-x: auto; background: var(--card); border: 1px solid var(--line); border-radius: 10px; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
th, td { padding: .42rem .9rem; text-align: right; white-space: nowrap; border-top: 1px solid var(--line); }
thead th { border-top: 0; color: var(--muted); font-weight: 500; }
th:first-child, td:first-child { text-align: left; font-weight: 400; }
tr.strong th, tr.strong td { font-weight: 650; }
td.score { width: 24%; }
td.bar { background: linear-gradient(to right, var(--bar) var(--share), var(--line) var(--share))
  center bottom 3px / calc(100% - 1.8rem) 3px no-repeat; }
td.best { color: var(--accent); font-weight: 650; }
.grid { display: grid; grid-template-columns: repeat(var(--columns), 1fr); gap: .5rem; margin: 0 0 .5rem; }
figure { margin: 0; }
figcaption { color: var(--muted); font-size: .86rem; padding: .25rem 0 .3rem; }
figcaption b { color: var(--ink); font-weight: 600; }
img { display: block; width: 100%; height: auto; border-radius: 6px; }
.legend { display: flex; flex-wrap: wrap; gap: .3rem 1.1rem; padding: 0; margin: 1rem 0; list-style: none;
  font-size: .9rem; }
.legend i { display: inline-block; width: .85em; height: .85em; border-radius: 3px; margin-right: .45em;
  vertical-align: -.06em; border: 1px solid rgb(128 128 128 / .5); }
.later figcaption { display: none; }
@media (max-width: 640px) { .grid { grid-template-columns: repeat(min(2, var(--columns)), 1fr); }
  .later figcaption { display: block; } th, td { padding: .4rem .6rem; } body { font-size: 15px; } }
footer { color: var(--muted); font-size: .86rem; margin-top: 3rem; border-top: 1px solid var(--line);
  padding-top: .8rem; }
"""


def page(title: str, lead: str, parts: Sequence[str], footer: str = "") -> str:
    """Return a whole HTML page; `parts` are what the other functions here return."""
    foot = f"<footer>{escape(footer)}</footer>" if footer else ""
    return (
        f'<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta name="viewport" content="width=device-width, initial-scale=1">\n<title>{escape(title)}</title>\n'
        f"<style>{STYLE}</style>\n</head>\n<body>\n<main>\n<h1>{escape(title)}</h1>\n"
        f'<p class="lead">{escape(lead)}</p>\n' + "\n".join(parts) + f"\n{foot}\n</main>\n</body>\n</html>\n"
    )


def write_page(path: Path, title: str, lead: str, parts: Sequence[str], footer: str = "") -> None:
    """Write `page` to `path`, whole or not at all."""
    write_text(path, page(title, lead, parts, footer))


def heading(text: str) -> str:
    """Return a heading of a section."""
    return f"<h2>{escape(text)}</h2>"


def paragraph(text: str, code: str = "") -> str:
    """Return a paragraph, ended by a command or a path in `code`."""
    return f"<p>{escape(text)}{f' <code>{escape(code)}</code>' if code else ''}</p>"


def facts(rows: Mapping[str, str]) -> str:
    """Return a table of names and values."""
    body = "".join(f"<tr><th>{escape(name)}</th><td>{escape(value)}</td></tr>" for name, value in rows.items())
    return f'<div class="wide"><table><tbody>{body}</tbody></table></div>'


def scores(columns: Mapping[str, Mapping[str, float | None]], strong: Sequence[str] = ()) -> str:
    """Return a table of scores in [0, 1]: a row per name (class, or "mIoU"), a column per network, bars behind.

    The best of each row is marked where there are several; rows named in `strong` are set in bold. None = no score.
    """
    names = list(dict.fromkeys(name for column in columns.values() for name in column))
    head = "".join(f"<th>{escape(title)}</th>" for title in ("", *columns))
    body = "".join(_score_row(name, [c.get(name) for c in columns.values()], name in strong) for name in names)
    return f'<div class="wide"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'


def gallery(columns: Sequence[Column | str], rows: Sequence[Sequence[str]], items: Sequence[Entry] = ()) -> str:
    """Return rows of pictures under titled columns, and a legend; pictures are file names or `embedded` ones.

    On a narrow screen a row breaks, and every picture then carries its own title.
    """
    heads = [Column(column) if isinstance(column, str) else column for column in columns]
    grids = []
    for number, row in enumerate(rows):
        figures = "".join(_figure(head, picture) for head, picture in zip(heads, row, strict=True))
        later = " later" if number else ""
        grids.append(f'<div class="grid{later}" style="--columns: {len(heads)}">{figures}</div>')
    return "\n".join(grids) + (_legend(items) if items else "")


def embedded(picture: Image.Image, quality: int | None = None) -> str:
    """Return a picture as the address of itself: lossless PNG, or JPEG of the given quality."""
    buffer = io.BytesIO()
    if quality is None:
        picture.save(buffer, "PNG", optimize=True)
    else:
        picture.convert("RGB").save(buffer, "JPEG", quality=quality)
    kind = "png" if quality is None else "jpeg"
    return f"data:image/{kind};base64,{base64.b64encode(buffer.getvalue()).decode()}"


def _score_row(name: str, values: Sequence[float | None], strong: bool) -> str:
    known = [value for value in values if value is not None]
    cells = ""
    for value in values:
        if value is None:
            cells += '<td class="score">–</td>'
        else:
            best = " best" if len(values) > 1 and value == max(known) > min(known) else ""
            cells += f'<td class="score bar{best}" style="--share: {value:.1%}">{value:.3f}</td>'
    kind = ' class="strong"' if strong else ""
    return f"<tr{kind}><th>{escape(name)}</th>{cells}</tr>"


def _figure(head: Column, source: str) -> str:
    note = f" {escape(head.note)}" if head.note else ""
    address = source if source.startswith("data:") else quote(source)
    caption = f"<figcaption><b>{escape(head.title)}</b>{note}</figcaption>"
    return f'<figure>{caption}<img src="{address}" alt="{escape(head.title)}" loading="lazy"></figure>'


def _legend(items: Sequence[Entry]) -> str:
    entries = "".join(f'<li><i style="background: rgb{item.colour}"></i>{escape(item.name)}</li>' for item in items)
    return f'\n<ul class="legend">{entries}</ul>'

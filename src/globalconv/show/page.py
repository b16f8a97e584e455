"""A page for the browser in one file: text, tables, curves, pictures. Light and dark, wide and narrow, no script.

The functions here and in `tables`, `gallery` and `curves` return parts of a page as HTML; every one escapes the names
and values it is given.
"""

from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path

from globalconv.errors import InputError
from globalconv.files import write_text
from globalconv.show.style import STYLE

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
    """Return a paragraph that stands back: what a table or picture shows and how to read it."""
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

"""Pictures in a page: rows of them, one per sample, each picture with its own title; and legends."""

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from PIL import Image

from globalconv.show.legend import Entry

WIDTH, QUALITY = 400, 82
"""Widest picture, in pixels, and JPEG quality: pages stay small enough to send."""


@dataclass(frozen=True)
class Row:
    """Pictures of one sample, under its name and what is said about it."""

    title: str
    note: str
    pictures: Sequence[Image.Image]


def gallery(columns: Sequence[str], rows: Sequence[Row], items: Sequence[Entry] = ()) -> str:
    """Return rows of pictures, each titled with its column, and a legend; on a narrow screen a row breaks."""
    return "\n".join(_row(columns, row) for row in rows) + legend(items)


def legend(items: Sequence[Entry]) -> str:
    """Return which colour is which class."""
    listed = "".join(
        f'<li><i class="swatch" style="background: rgb{item.colour}"></i>{escape(item.name)}</li>' for item in items
    )
    return f'\n<ul class="legend">{listed}</ul>' if items else ""


def embedded(picture: Image.Image) -> str:
    """Return a picture as the address of itself, reduced to `WIDTH` where it is wider."""
    if picture.width > WIDTH:
        picture = picture.resize((WIDTH, max(1, round(picture.height * WIDTH / picture.width))), reducing_gap=3.0)
    buffer = io.BytesIO()
    picture.convert("RGB").save(buffer, "JPEG", quality=QUALITY, optimize=True)
    return f"data:image/jpeg;base64,{base64.b64encode(buffer.getvalue()).decode()}"


def _row(columns: Sequence[str], row: Row) -> str:
    figures = "".join(_figure(title, row.title, picture) for title, picture in zip(columns, row.pictures, strict=True))
    head = f"<h4>{escape(row.title)} <small>{escape(row.note)}</small></h4>"
    return f'<div class="sample">{head}<div class="grid" style="--columns: {len(columns)}">{figures}</div></div>'


def _figure(title: str, sample: str, picture: Image.Image) -> str:
    words = escape(f"{title} of {sample}")
    width, height = picture.size
    image = f'<img src="{embedded(picture)}" alt="{words}" width="{width}" height="{height}" loading="lazy">'
    return f"<figure>{image}<figcaption>{escape(title)}</figcaption></figure>"

"""Images side by side: columns with titles, rows of samples, one legend for all."""

from collections.abc import Sequence
from dataclasses import dataclass

from PIL import Image, ImageDraw

from globalconv.labels import Colour
from globalconv.runtime.text import printable
from globalconv.visual.overlay import INK, PAPER, Font, LegendEntry, draw_legend, load_font

MUTED: Colour = (112, 118, 126)


@dataclass(frozen=True)
class Column:
    """The title above a column, and a smaller note below it, such as its mIoU."""

    title: str
    note: str = ""


def panel(
    columns: Sequence[Column | str],
    rows: Sequence[Sequence[Image.Image]],
    entries: Sequence[LegendEntry] = (),
    cell_width: int = 320,
    title: str = "",
) -> Image.Image:
    """Return one image with a row per sample and a column per kind of image, and a legend of `entries` below.

    Images are scaled to `cell_width` and keep their shape; the images of a row are centred in its height.
    """
    heads = [Column(column) if isinstance(column, str) else column for column in columns]
    assert heads and all(len(row) == len(heads) for row in rows), "one image per column in every row"
    margin, gap, size = round(cell_width * 0.06), max(3, round(cell_width * 0.022)), max(13, round(cell_width * 0.05))
    cells = [[_fit(image, cell_width) for image in row] for row in rows]
    width = len(heads) * (cell_width + gap) - gap + 2 * margin
    strip = draw_legend(entries, width - 2 * margin, size) if entries else None
    width = max(width, strip.width + 2 * margin if strip else 0)
    # A header of its own, so that a long title ends at the last column.
    title_height = round(size * 2.2) if title else 0
    header_height = title_height + round(size * (2.9 if any(head.note for head in heads) else 1.7))
    header = Image.new("RGB", (len(heads) * (cell_width + gap) - gap, header_height), PAPER)
    draw = ImageDraw.Draw(header)
    if title:
        draw.text((0, 0), printable(title), INK, load_font(size * 1.35), anchor="la")
    title_font, note_font = load_font(size), load_font(size * 0.85)
    for index, head in enumerate(heads):
        x = index * (cell_width + gap)
        draw.text((x, title_height), _shorten(head.title, title_font, cell_width), INK, title_font, anchor="la")
        note = _shorten(head.note, note_font, cell_width)
        draw.text((x, title_height + size * 1.3), note, MUTED, note_font, anchor="la")

    heights = [max(image.height for image in row) for row in cells]
    total = margin + header_height + sum(height + gap for height in heights) + (strip.height if strip else 0) + margin
    sheet = Image.new("RGB", (width, total), PAPER)
    sheet.paste(header, (margin, margin))
    y = margin + header_height
    for row, height in zip(cells, heights, strict=True):
        for index, image in enumerate(row):
            x = margin + index * (cell_width + gap)
            sheet.paste(image, (x + (cell_width - image.width) // 2, y + (height - image.height) // 2))
        y += height + gap
    if strip:
        sheet.paste(strip, (margin - round(size * 0.55), y + gap))  # its first square stands under the images' edge
    return sheet


def _fit(image: Image.Image, width: int) -> Image.Image:
    """Return `image` scaled to `width`: enlarged in whole pixels if it is small, smoothly reduced if it is large."""
    height = max(1, round(image.height * width / image.width))
    if height >= 2 * width:  # a tall sliver would push everything else off the sheet
        height = 2 * width
        width = max(1, round(image.width * height / image.height))
    method = Image.Resampling.NEAREST if image.width * 2 <= width else Image.Resampling.LANCZOS
    return image.convert("RGB").resize((width, height), method)


def _shorten(text: str, letters: Font, width: int) -> str:
    """Return `text`, cut to `width` pixels with an ellipsis."""
    text = printable(text)
    if letters.getlength(text) <= width:
        return text
    while text and letters.getlength(text + "…") > width:
        text = text[:-1]
    return text + "…"

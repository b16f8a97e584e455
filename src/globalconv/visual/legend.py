"""Which colour is which class: rows of small squares and names, wrapped to a width."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from PIL import Image, ImageDraw, ImageFont

from globalconv.labels import IGNORE, VOID_COLOUR, Colour, LabelSpace

PAPER: Colour = (255, 255, 255)
INK: Colour = (38, 42, 48)
FRAME: Colour = (150, 154, 160)

Font = ImageFont.FreeTypeFont | ImageFont.ImageFont


@dataclass(frozen=True)
class Entry:
    """One colour and what it means."""

    name: str
    colour: Colour


def entries(indices: Sequence[int], labels: LabelSpace) -> list[Entry]:
    """Return the legend of these class indices, in their order; 255 is void."""
    return [
        Entry("void", VOID_COLOUR) if index == IGNORE else Entry(labels.class_names[index], labels.palette[index])
        for index in indices
    ]


@lru_cache
def font(size: float) -> Font:
    """Return the font that Pillow brings along."""
    return ImageFont.load_default(size)


def text_size(width: int, height: int) -> int:
    """Return a size of letters that reads well beside an image of this size."""
    return round(min(max(13, min(width, height) * 0.034), 64))


def legend(items: Sequence[Entry], width: int, size: int) -> Image.Image:
    """Return a strip with every entry, `width` wide, or as wide as its longest entry if that is more."""
    return _strip(tuple(items), width, size).copy()


@lru_cache(maxsize=64)
def _strip(items: tuple[Entry, ...], width: int, size: int) -> Image.Image:
    """Return the strip; images of one folder share most of theirs, and letters are slow to draw."""
    gap, swatch = round(size * 0.55), size
    lengths = [swatch + gap + round(font(size).getlength(item.name)) for item in items]
    width = max([width, *(length + 2 * gap for length in lengths)])
    places, lines = _wrap(lengths, width - 2 * gap, 2 * gap)
    line_height = round(size * 1.55)
    strip = Image.new("RGB", (width, lines * line_height + 2 * gap), PAPER)
    draw = ImageDraw.Draw(strip)
    for item, (x, line) in zip(items, places, strict=True):
        left, top = gap + x, gap + line * line_height + (line_height - swatch) // 2
        draw.rectangle((left, top, left + swatch - 1, top + swatch - 1), fill=item.colour, outline=FRAME)
        draw.text((left + swatch + gap * 0.75, top + swatch / 2), item.name, INK, font(size), anchor="lm")
    return strip


def _wrap(lengths: Sequence[int], width: int, gap: int) -> tuple[list[tuple[int, int]], int]:
    """Place items from left to right; return x and line of each, and the number of lines."""
    places, x, line = [], 0, 0
    for length in lengths:
        if x and x + length > width:
            x, line = 0, line + 1
        places.append((x, line))
        x += length + gap
    return places, line + 1

"""A class map in colours: as a palette PNG, as an overlay on its image, and with a legend of its classes.

A class map is uint8 (H, W) of class indices; 255 is void.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from globalconv.arrays import BoolArray, Uint8Array
from globalconv.labels import IGNORE, VOID_COLOUR, Colour, LabelSpace
from globalconv.runtime.text import printable

OPACITY = 0.5
CONTOUR_OPACITY = 0.85

PAPER: Colour = (255, 255, 255)
INK: Colour = (38, 42, 48)
FRAME: Colour = (150, 154, 160)

Font = ImageFont.FreeTypeFont | ImageFont.ImageFont


def overlay(image: Uint8Array, class_map: Uint8Array, labels: LabelSpace, legend: bool = True) -> Image.Image:
    """Return `image` (H, W, 3) tinted with the colours of `class_map` (H, W), with white contours between classes.

    The image keeps its size; with `legend`, a strip below it names the classes that occur. An image that is narrower
    than a class name is then centred on wider paper.
    """
    if image.shape != (*class_map.shape, 3):
        raise ValueError(f"image of shape {image.shape} under a class map of shape {class_map.shape}")
    blend = Image.blend(Image.fromarray(image), Image.fromarray(colourise(class_map, labels)), OPACITY)
    pixels = np.array(blend)
    edge = contours(class_map, max(1, round(min(class_map.shape) / 500)))
    pixels[edge] = (pixels[edge] * (1 - CONTOUR_OPACITY) + 255 * CONTOUR_OPACITY).astype(np.uint8)
    tinted = Image.fromarray(pixels)
    if not legend:
        return tinted
    # Letters that read well beside an image of this size.
    letter_size = round(min(max(13, min(tinted.size) * 0.034), 64))
    strip = draw_legend(legend_entries(classes_present(class_map), labels), tinted.width, letter_size)
    sheet = Image.new("RGB", (strip.width, tinted.height + strip.height), PAPER)
    sheet.paste(tinted, ((strip.width - tinted.width) // 2, 0))
    sheet.paste(strip, (0, tinted.height))
    return sheet


def error_map(image: Uint8Array, class_map: Uint8Array, label_map: Uint8Array) -> Image.Image:
    """Return the image in pale grey with every wrong pixel red; void pixels, which do not count, are hatched."""
    grey = np.asarray(Image.fromarray(image).convert("L"), np.float32)
    pale = np.repeat((150 + grey * 0.4)[..., None], 3, axis=2)
    void = label_map == IGNORE
    rows, columns = np.indices(void.shape, sparse=True)
    pale[void & ((rows + columns) % 6 < 2)] = 120
    wrong = (class_map != label_map) & ~void
    pale[wrong] = pale[wrong] * 0.25 + np.array([222, 45, 38], np.float32) * 0.75
    return Image.fromarray(pale.astype(np.uint8))


def contours(class_map: Uint8Array, width: int = 1) -> BoolArray:
    """Return the pixels (H, W) that lie on a line of about `width` pixels between different classes."""
    edge = np.zeros(class_map.shape, bool)
    edge[:, 1:] |= class_map[:, 1:] != class_map[:, :-1]
    edge[1:] |= class_map[1:] != class_map[:-1]
    for step in range(1, width):
        grown = edge.copy()
        if step % 2:
            grown[:, :-1] |= edge[:, 1:]
            grown[:-1] |= edge[1:]
        else:
            grown[:, 1:] |= edge[:, :-1]
            grown[1:] |= edge[:-1]
        edge = grown
    return edge


@lru_cache
def palette_table(labels: LabelSpace) -> Uint8Array:
    """Return the colour of every index (256, 3), read-only; see `LabelSpace.colour_table`."""
    table = np.array(labels.colour_table(), np.uint8)
    table.flags.writeable = False
    return table


def palette_png(class_map: Uint8Array, labels: LabelSpace) -> Image.Image:
    """Return a mode P image whose pixel values are the class indices and whose palette shows them in colour."""
    image = Image.fromarray(np.ascontiguousarray(class_map, np.uint8))
    image.putpalette(palette_table(labels).tobytes())
    return image


def colourise(class_map: Uint8Array, labels: LabelSpace) -> Uint8Array:
    """Return the class map in its colours, (H, W, 3)."""
    return np.asarray(palette_png(class_map, labels).convert("RGB"))


def classes_present(class_map: Uint8Array) -> list[int]:
    """Return the indices that occur, ascending."""
    return [int(index) for index in np.flatnonzero(np.bincount(class_map.ravel(), minlength=256))]


@dataclass(frozen=True)
class LegendEntry:
    """One colour and what it means."""

    name: str
    colour: Colour


def legend_entries(indices: Sequence[int], labels: LabelSpace) -> list[LegendEntry]:
    """Return the legend of these class indices, in their order; 255 is void."""
    return [
        LegendEntry("void", VOID_COLOUR)
        if index == IGNORE
        else LegendEntry(labels.class_names[index], labels.palette[index])
        for index in indices
    ]


@lru_cache
def load_font(size: float) -> Font:
    """Return the font that comes with Pillow."""
    return ImageFont.load_default(size)


def draw_legend(entries: Sequence[LegendEntry], width: int, size: int) -> Image.Image:
    """Return a strip with every entry in letters of `size`, `width` wide or as wide as its longest entry."""
    return _draw_strip(tuple(entries), width, size).copy()


@lru_cache(maxsize=64)  # images of one folder share most of their strips, and letters are slow to draw
def _draw_strip(entries: tuple[LegendEntry, ...], width: int, size: int) -> Image.Image:
    gap, swatch = round(size * 0.55), size
    names = [printable(entry.name) for entry in entries]
    lengths = [swatch + gap + round(load_font(size).getlength(name)) for name in names]
    width = max([width, *(length + 2 * gap for length in lengths)])

    # From left to right, and on to the next line where an entry would not fit.
    positions, x, line = [], 0, 0
    for length in lengths:
        if x and x + length > width - 2 * gap:
            x, line = 0, line + 1
        positions.append((x, line))
        x += length + 2 * gap

    line_height = round(size * 1.55)
    strip = Image.new("RGB", (width, (line + 1) * line_height + 2 * gap), PAPER)
    draw = ImageDraw.Draw(strip)
    for entry, name, (x, line) in zip(entries, names, positions, strict=True):
        left, top = gap + x, gap + line * line_height + (line_height - swatch) // 2
        draw.rectangle((left, top, left + swatch - 1, top + swatch - 1), fill=entry.colour, outline=FRAME)
        draw.text((left + swatch + gap * 0.75, top + swatch / 2), name, INK, load_font(size), anchor="lm")
    return strip

"""Receptive fields on their picture, as the paper's Figure 3: dimmed outside, with the position marked."""

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw

from globalconv.show.legend import INK, PAPER, font
from globalconv.show.overlay import Mask, contours
from globalconv.show.palette import Uint8Array
from globalconv.show.panel import MUTED

DIMMED = 0.28
"""How much light is left outside the field."""
MARK = (255, 59, 48)
EDGE = (255, 214, 10)


def lit(image: Uint8Array, region: Mask, at: tuple[int, int], width: int) -> Image.Image:
    """Return `image` (H, W, 3), scaled to `width`, dimmed outside `region` (H, W), with the pixel `at` marked."""
    light_HW1 = np.where(region, 1.0, DIMMED)[..., None]
    shown = _scaled(Image.fromarray((image * light_HW1).astype(np.uint8)), width)
    inside = np.asarray(Image.fromarray(region).resize(shown.size, Image.Resampling.NEAREST))
    pixels = np.array(shown)
    pixels[contours(inside.astype(np.uint8), 2)] = EDGE
    return _marked(Image.fromarray(pixels), at, image.shape)


def photograph(image: Uint8Array, at: tuple[int, int], width: int) -> Image.Image:
    """Return `image` (H, W, 3), scaled to `width`, with the pixel `at` marked."""
    return _marked(_scaled(Image.fromarray(image), width), at, image.shape)


def captioned(picture: Image.Image, *lines: str) -> Image.Image:
    """Return `picture` with lines of text below it."""
    size = max(12, round(picture.width * 0.042))
    sheet = Image.new("RGB", (picture.width, picture.height + round(size * (1.3 * len(lines) + 0.7))), PAPER)
    sheet.paste(picture, (0, 0))
    draw = ImageDraw.Draw(sheet)
    for number, line in enumerate(lines):
        draw.text((0, picture.height + size * (0.3 + 1.3 * number)), line, MUTED if number else INK, font(size), "la")
    return sheet


def _scaled(picture: Image.Image, width: int) -> Image.Image:
    height = max(1, round(picture.height * width / picture.width))
    return picture.resize((width, height), Image.Resampling.LANCZOS)


def _marked(picture: Image.Image, at: tuple[int, int], shape: Sequence[int]) -> Image.Image:
    """Draw a ringed dot where the pixel `at` of an image of this shape now is."""
    y, x = ((place + 0.5) * new / old for place, new, old in zip(at, picture.size[::-1], shape, strict=False))
    draw, radius = ImageDraw.Draw(picture), max(3.0, picture.width * 0.014)
    for reach, colour in ((radius * 1.45, PAPER), (radius, MARK)):
        draw.ellipse((x - reach, y - reach, x + reach, y + reach), fill=colour)
    return picture

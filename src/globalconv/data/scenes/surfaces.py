"""The surfaces of the desk: wood, stone, cloth, tiles, paper, all made of smooth random fields.

Shapes: H x W pixels. Colours are float32 (3,) or (H, W, 3) in [0, 1].
"""

import math
from collections.abc import Callable

import numpy as np
from PIL import Image

from globalconv.arrays import FloatArray

TAU = 2 * math.pi


def colour(*rgb: int) -> FloatArray:
    """Return a colour given as 0 .. 255."""
    return np.asarray(rgb, np.float32) / 255


def vary(base: FloatArray, rng: np.random.Generator, strength: float = 0.06) -> FloatArray:
    """Return a colour near `base`."""
    return np.clip(base + rng.normal(0, strength, 3) * 0.6 + rng.normal(0, strength), 0.02, 0.98).astype(np.float32)


def smooth_noise(size: int, cells: tuple[float, float], rng: np.random.Generator) -> FloatArray:
    """Return a smooth random field (H, W) of about unit variance with `cells` (down, across) bumps."""
    rows, columns = (max(2, round(cell) + 1) for cell in cells)
    grid = rng.standard_normal((rows, columns), np.float32)
    return np.asarray(Image.fromarray(grid).resize((size, size), Image.Resampling.BICUBIC))


def clouds(size: int, cells: float, rng: np.random.Generator, octaves: int = 3) -> FloatArray:
    """Return a fractal field: each octave twice as fine and half as strong."""
    field = smooth_noise(size, (cells, cells), rng)
    for octave in range(1, octaves):
        fine = cells * 2**octave
        field = field + smooth_noise(size, (fine, fine), rng) * np.float32(0.5**octave)
    return field


def _mix(low: FloatArray, high: FloatArray, share_HW: FloatArray) -> FloatArray:
    return low + (high - low) * np.clip(share_HW, 0, 1)[..., None]


def _grid(size: int, rng: np.random.Generator) -> tuple[FloatArray, FloatArray]:
    """Return coordinates (H, W) along and across a random direction, in units of the image's side."""
    angle = rng.uniform(0, TAU)
    y, x = np.mgrid[0:size, 0:size].astype(np.float32) / size - 0.5
    cos, sin = math.cos(angle), math.sin(angle)
    return x * cos + y * sin, y * cos - x * sin


def wood(size: int, rng: np.random.Generator) -> FloatArray:
    """Planks with grain and dark joints."""
    base = vary(_pick(rng, colour(176, 126, 82), colour(120, 78, 50), colour(205, 170, 125), colour(92, 66, 52)), rng)
    along, across = _grid(size, rng)
    plank = across * rng.uniform(2.5, 4.5) + rng.uniform(0, 1)
    number = np.floor(plank).astype(int)
    shift = rng.uniform(0, 9, 16).astype(np.float32)[number % 16]
    tone = rng.normal(0, 0.06, 16).astype(np.float32)[number % 16]
    bend = smooth_noise(size, (4, 4), rng) * 0.035
    rings = np.sin(TAU * ((across + bend) * rng.uniform(16, 26) + shift + along * rng.uniform(0.3, 1.2)))
    fibres = np.sin(TAU * ((across + 0.3 * bend) * 75 + shift + 0.35 * smooth_noise(size, (10, 10), rng)))
    gap = np.abs(plank - number - 0.5) > 0.485
    share = 0.5 + 0.16 * rings + 0.1 * fibres + 0.09 * clouds(size, 6, rng) + 2 * tone
    image = _mix(base * np.float32(0.62), np.minimum(base * np.float32(1.2), 1), share)
    image[gap] *= np.float32(0.45)
    return image


def marble(size: int, rng: np.random.Generator) -> FloatArray:
    """Pale or dark stone with veins along the zero lines of a fractal field."""
    dark = rng.random() < 0.35
    ground, vein = ((52, 56, 62), (170, 172, 176)) if dark else ((226, 223, 217), (120, 118, 120))
    field = clouds(size, rng.uniform(2, 4), rng, 4)
    veins = np.exp(-np.abs(field) * rng.uniform(9, 16)) * (0.4 + 0.3 * smooth_noise(size, (3, 3), rng))
    return _mix(vary(colour(*ground), rng, 0.03), vary(colour(*vein), rng, 0.04), veins + 0.09 * clouds(size, 5, rng))


def concrete(size: int, rng: np.random.Generator) -> FloatArray:
    """Speckled slate or concrete."""
    base = vary(_pick(rng, colour(140, 140, 138), colour(84, 92, 100), colour(176, 164, 150)), rng, 0.04)
    speckles = rng.standard_normal((size, size), np.float32)
    tone = 1 + 0.07 * clouds(size, 5, rng, 4) + 0.05 * speckles - 0.2 * (speckles > 2.6)
    image: FloatArray = base * tone[..., None]
    return image


def cloth(size: int, rng: np.random.Generator) -> FloatArray:
    """Woven linen, plain, striped or checked, with soft folds."""
    base = vary(_pick(rng, colour(196, 186, 168), colour(92, 118, 140), colour(168, 88, 78), colour(118, 132, 98)), rng)
    along, across = _grid(size, rng)
    threads = 62 + 10 * rng.random()
    weave = np.sin(TAU * threads * along) * np.sin(TAU * threads * across)
    folds = np.sin(TAU * (across * rng.uniform(1, 2) + 0.12 * smooth_noise(size, (3, 3), rng)) + rng.uniform(0, TAU))
    image = base * (1 + 0.09 * weave + 0.09 * folds + 0.05 * clouds(size, 8, rng))[..., None]
    style, period = rng.integers(3), rng.uniform(4, 8)
    one = (np.sin(TAU * period * along) > 0.2) & (style > 0)
    two = (np.sin(TAU * period * across) > 0.2) & (style > 1)
    stripes = np.float32(0.38) * (one.astype(np.float32) + two)
    return _mix(image, image * np.float32(0.4) + np.float32(0.56), stripes)


def tiles(size: int, rng: np.random.Generator) -> FloatArray:
    """Glazed tiles with grout."""
    base = vary(_pick(rng, colour(208, 214, 214), colour(96, 138, 142), colour(190, 130, 98), colour(70, 88, 122)), rng)
    along, across = _grid(size, rng)
    count = rng.uniform(2.5, 4.5)
    a, b = along * count + rng.uniform(0, 1), across * count + rng.uniform(0, 1)
    tone = rng.normal(1, 0.07, (16, 16)).astype(np.float32)[np.floor(a).astype(int) % 16, np.floor(b).astype(int) % 16]
    edge = np.maximum(np.abs(a - np.floor(a) - 0.5), np.abs(b - np.floor(b) - 0.5))
    image: FloatArray = (
        base * (tone + 0.04 * clouds(size, 6, rng) - 0.25 * np.clip((edge - 0.44) / 0.04, 0, 1))[..., None]
    )
    image[edge > 0.475] = vary(colour(172, 168, 160), rng, 0.03)
    return image


def paper(size: int, rng: np.random.Generator) -> FloatArray:
    """Coloured card with a faint texture."""
    hue = rng.uniform(0, TAU)
    base = 0.62 + 0.22 * np.cos(hue + np.asarray((0, 2.1, 4.2))) * rng.uniform(0.2, 1) - rng.uniform(0, 0.2)
    texture = 1 + 0.02 * rng.standard_normal((size, size), np.float32) + 0.03 * clouds(size, 4, rng)
    return (base.astype(np.float32) * texture[..., None]).astype(np.float32)


SURFACES: tuple[Callable[[int, np.random.Generator], FloatArray], ...] = (
    wood,
    wood,
    marble,
    concrete,
    cloth,
    tiles,
    paper,
)


def surface(size: int, rng: np.random.Generator) -> FloatArray:
    """Return one of the surfaces (H, W, 3)."""
    return np.clip(SURFACES[rng.integers(len(SURFACES))](size, rng), 0, 1).astype(np.float32)


def _pick(rng: np.random.Generator, *choices: FloatArray) -> FloatArray:
    return choices[rng.integers(len(choices))]

"""The catalogue of objects on the desk: one function per class, each returning a `SceneObject` at a given place.

Two pairs share their bodies: pencil and paintbrush have the same painted shaft, spoon and fork the same handle, drawn
from the same distributions. They differ only in the head, at one end, up to a whole object's length away from the pixel
to be labelled. A tool that is `marked` shows its class along its whole body too, by rings or by lines. A tool lies with
its head at u = 0 and its body along u > 0.
Lengths are multiples of `unit`, the side of the image over 192. Coordinates: u along, v across, r from the centre.
"""

from collections.abc import Callable

import numpy as np

from globalconv.arrays import FloatArray
from globalconv.data.scenes.canvas import Level, ObjectPart, Patch, Pose, SceneObject
from globalconv.data.scenes.surfaces import colour, vary

HEAD = 30
"""No head is longer than this many units: beyond them a tool is nothing but its body."""
RINGS, LINES = "rings", "lines"
"""Marks along a body: across it every few units, or two lines along it."""

BACKGROUND, PENCIL, BRUSH, SPOON, FORK, LEAF, COIN, MUG, BOOK = range(9)

PAINTS = (
    (196, 52, 44), (226, 150, 38), (240, 202, 66), (58, 132, 84), (44, 98, 160), (112, 72, 142), (40, 44, 52),
    (222, 120, 128), (64, 156, 160), (238, 234, 224),
)  # fmt: skip
METALS = ((188, 190, 194), (206, 172, 104), (184, 124, 96), (92, 94, 100))
LEAVES = ((70, 118, 52), (104, 142, 62), (176, 128, 48), (168, 74, 44), (52, 92, 66))
COVERS = ((150, 44, 48), (38, 62, 96), (46, 92, 80), (212, 176, 84), (70, 66, 74), (202, 120, 84), (126, 148, 166))
CUPS = ((236, 232, 224), (84, 126, 150), (196, 96, 78), (62, 70, 78), (206, 190, 150), (110, 142, 116))
DRINKS = ((58, 34, 22), (128, 82, 48), (150, 92, 34), (224, 208, 184))


def _inside(distance: FloatArray) -> FloatArray:
    """Return the cover of a shape from the signed distance to its border (positive inside), smooth over a pixel."""
    cover: FloatArray = np.clip(distance + 0.5, 0, 1).astype(np.float32)
    return cover


def _paint(values: tuple[tuple[int, ...], ...], rng: np.random.Generator) -> FloatArray:
    return vary(colour(*values[rng.integers(len(values))]), rng, 0.04)


def _banded(base: FloatArray, masks: list[tuple[FloatArray, FloatArray]]) -> FloatArray:
    """Return (h, w, 3): `base` with (cover, colour) pairs laid over it."""
    out = base
    for cover, over in masks:
        out = out + (over - out) * cover[..., None]
    return out.astype(np.float32)


def _marks(
    where: Patch, half: Level, unit: float, kind: str | None, base: FloatArray
) -> list[tuple[FloatArray, FloatArray]]:
    """Return the marks of a body as (cover, colour), nowhere farther apart than a few units; none without a kind.

    They take no random numbers, so that a scene with marks is the scene without them in all else.
    """
    if kind is None:
        return []
    contrast = (
        base * np.float32(0.35) if base.mean() > 0.45 else np.minimum(base * np.float32(0.4) + np.float32(0.6), 1)
    )
    period, thick = 8 * unit, 1.5 * unit
    if kind == RINGS:
        return [(_inside(thick - np.abs((where.along % period) - period / 2)), contrast)]
    return [(_inside(0.8 * thick - np.abs(np.abs(where.across) - 0.5 * half)), contrast)]


def _shaft(
    where: Patch, start: float, length: float, half: float, rng: np.random.Generator, unit: float, marks: str | None
) -> ObjectPart:
    """Return the painted six-sided shaft, from `start` to a rounded end: the same for pencil and paintbrush."""
    u, v = where.along, where.across
    beyond = np.maximum(u - (length - half), 0)
    distance = np.minimum(half - np.hypot(beyond, v), u - start)
    paint, band = _paint(PAINTS, rng), _paint(PAINTS, rng)
    period, count = rng.uniform(7, 11) * half / 4, rng.integers(0, 4)
    first = start + rng.uniform(0.1, 0.8) * (length - start)
    stripes = [(_inside(period / 4 - np.abs(u - first - number * period)), band) for number in range(count)]
    stripes += _marks(where, half, unit, marks, paint)
    facets = np.round(np.clip(v / half, -1, 1) * 1.4) / 1.4 * 0.75 + 0.15 * np.clip(v / half, -1, 1)
    return ObjectPart(_inside(distance), _banded(paint, stripes), 0.0, facets, 0.35)


def pencil(pose: Pose, rng: np.random.Generator, marked: bool = False) -> SceneObject:
    """A shaft with a sharpened cone: wood, then lead."""
    half, head = 6.2 * pose.unit * rng.uniform(0.85, 1.15), 24 * pose.unit
    where = pose.patch(0, pose.length, half + 1)
    shaft = _shaft(where, head, pose.length, half, rng, pose.unit, RINGS if marked else None)
    u, v = where.along, where.across
    cone = half * np.clip(u / head, 0, 1)
    scallop = head + half * 0.35 * (np.cos(np.clip(v / half, -1, 1) * 2.2 * np.pi) - 0.3)
    cover = _inside(np.minimum(np.minimum(cone + 0.15 - np.abs(v), u + 0.5), scallop - u))
    lead = _inside(0.36 * head - u)
    colours = _banded(vary(colour(222, 182, 132), rng, 0.03), [(lead, vary(colour(46, 46, 50), rng, 0.03))])
    point = ObjectPart(cover, colours, -0.2, 0.85 * np.clip(v / np.maximum(cone, 0.5), -1, 1), 0.1)
    return SceneObject(PENCIL, where, [shaft, point], 2.2 * half, cover)


def brush(pose: Pose, rng: np.random.Generator, marked: bool = False) -> SceneObject:
    """A shaft with a metal ferrule and a tuft of hair."""
    half, head = 6.2 * pose.unit * rng.uniform(0.85, 1.15), 25 * pose.unit
    hair_end = 0.84 * head
    where = pose.patch(0, pose.length, 1.5 * half + 1)
    shaft = _shaft(where, head, pose.length, half, rng, pose.unit, LINES if marked else None)
    u, v = where.along, where.across
    along = np.clip(u / hair_end, 0, 1)
    belly = half * 1.3 * np.sin(0.8 * np.pi * along**0.9)  # pointed in front, fullest before the ferrule
    hair = _inside(np.minimum(belly - np.abs(v), np.minimum(u, hair_end - u + 1)))
    strands = 0.88 + 0.12 * np.sin(v * 5.3 / pose.unit + np.sin(u / pose.unit))
    wet = (_inside(hair_end * rng.uniform(0.3, 0.6) - u), _paint(PAINTS, rng))
    colours = _banded(vary(colour(110, 70, 40), rng, 0.05), [wet]) * strands[..., None].astype(np.float32)
    tuft = ObjectPart(hair, colours, -0.1, 0.8 * np.clip(v / np.maximum(belly, 0.5), -1, 1), 0.08)
    metal = _inside(np.minimum(half * 1.06 - np.abs(v), np.minimum(u - hair_end, head + 5 * pose.unit - u)))
    rings = 1 - 0.35 * (np.abs(np.sin((u - hair_end) * 0.55 / pose.unit)) < 0.25)
    steel = _paint(METALS[:2], rng) * rings[..., None].astype(np.float32)
    ferrule = ObjectPart(metal, steel, 0.0, 0.92 * np.clip(v / half, -1, 1), 0.7)
    return SceneObject(BRUSH, where, [shaft, tuft, ferrule], 2.2 * half, np.maximum(hair, metal))


def _handle(
    where: Patch, start: float, length: float, unit: float, rng: np.random.Generator, marks: str | None
) -> tuple[ObjectPart, FloatArray]:
    """Return the metal handle that widens towards its rounded end, and its metal: the same for spoon and fork."""
    u, v = where.along, where.across
    metal = _paint(METALS, rng)
    end = rng.uniform(4.2, 5.4) * unit
    half = 2.1 * unit + (end - 2.1 * unit) * np.clip((u - start) / (length - start), 0, 1) ** 1.6
    cover = _inside(np.minimum(half - np.hypot(np.maximum(u - (length - end), 0), v), u - start + 2 * unit))
    groove = 0.9 * np.clip(v / half, -1, 1) - 0.5 * np.exp(
        -np.square(v / (0.35 * half))
    )  # asymmetric: a ridge of light
    grip = _inside(u - start - rng.uniform(0.35, 0.5) * (length - start)) * (rng.random() < 0.35)
    colours = _banded(metal, [(grip, _paint(PAINTS, rng)), *_marks(where, half, unit, marks, metal)])
    return ObjectPart(cover, colours, 0.0, np.clip(groove, -0.95, 0.95), 0.75), metal


def spoon(pose: Pose, rng: np.random.Generator, marked: bool = False) -> SceneObject:
    """A handle with a bowl."""
    unit = pose.unit
    half, depth = 9.5 * unit * rng.uniform(0.9, 1.1), 14 * unit
    where = pose.patch(0, pose.length, half + 1)
    handle, metal = _handle(where, 26 * unit, pose.length, unit, rng, RINGS if marked else None)
    du = (where.along - depth) / depth
    dv = where.across / (half * np.maximum(1 - 0.12 * du, 0.1))  # far along the handle the taper would reach zero
    ring = np.hypot(du, dv)
    cover = _inside((1 - ring) * half)
    rim = ring > 0.86
    lean = np.where(rim, 0.55, -0.85 * ring).astype(np.float32)
    bowl = ObjectPart(cover, metal, du * lean, dv * lean, 0.8)
    return SceneObject(SPOON, where, [handle, bowl], 2.6 * unit, cover)


def fork(pose: Pose, rng: np.random.Generator, marked: bool = False) -> SceneObject:
    """A handle with three tines."""
    unit = pose.unit
    half = 8 * unit * rng.uniform(0.92, 1.08)
    where = pose.patch(0, pose.length, half + 1)
    handle, metal = _handle(where, 26 * unit, pose.length, unit, rng, LINES if marked else None)
    u, v = where.along, where.across
    tine = half * 0.2
    spread = np.abs(np.abs(v) - np.where(np.abs(v) > half * 0.4, half - tine, 0))
    tines = np.minimum(tine * np.clip(0.55 + u / (10 * unit), 0, 1) - spread, np.minimum(u, 18 * unit - u))
    taper = np.clip((u - 16 * unit) / (12 * unit), 0, 1)
    shoulder = half + (2.1 * unit - half) * taper * taper * (3 - 2 * taper)
    root = np.minimum(shoulder - np.abs(v), np.minimum(u - 15 * unit, 29 * unit - u))
    cover = _inside(np.maximum(tines, root))
    body = u > 16 * unit
    lean = np.where(body, 0.7 * v / np.maximum(shoulder, 0.5), 0.5 * np.sign(v))
    return SceneObject(
        FORK, where, [handle, ObjectPart(cover, metal, -0.15, np.clip(lean, -0.9, 0.9), 0.75)], 2.6 * unit, cover
    )


def leaf(pose: Pose, rng: np.random.Generator) -> SceneObject:
    """A curved leaf with veins, a fold along the midrib, and a stalk."""
    unit = pose.unit
    length, width = rng.uniform(34, 62) * unit, rng.uniform(0.19, 0.29)
    bend = rng.uniform(-0.35, 0.35)
    stalk = 12 * unit
    where = pose.patch(-stalk, length, width * length + 0.12 * length)
    u = where.along
    v = where.across - bend * u * (length - u) / length * 0.9
    share = np.clip(u / length, 0, 1)
    half = width * length * np.maximum(np.sin(np.pi * share**0.8), 0) ** 0.85 * (1 + 0.05 * np.abs(np.sin(share * 34)))
    blade = _inside(np.minimum(half - np.abs(v), u))
    midrib = _inside(0.9 * unit * (1.1 - share) - np.abs(v))
    veins = np.clip(np.sin((u - 0.9 * np.abs(v)) * 2 * np.pi / (7.5 * unit)) * 4 - 2.9, 0, 1) * 0.55
    green = _paint(LEAVES, rng)
    spots = 1 + 0.09 * np.sin(u * 0.31 / unit + 2 * np.sin(v * 0.23 / unit))
    pale = np.minimum(green * np.float32(1.45) + np.float32(0.06), 1)
    colours = _banded(green * spots[..., None].astype(np.float32), [(veins.astype(np.float32), pale), (midrib, pale)])
    fold = np.clip(0.5 * np.sign(v) * (1 - np.abs(v) / np.maximum(half, 1)) + 0.25 * v / np.maximum(half, 1), -0.8, 0.8)
    stem = _inside(np.minimum(1.1 * unit - np.abs(v), np.minimum(u + stalk, 0.15 * length - u)))
    return SceneObject(
        LEAF, where, [ObjectPart(stem, pale * np.float32(0.8)), ObjectPart(blade, colours, 0.1, fold, 0.18)], 3 * unit
    )


def coin(pose: Pose, rng: np.random.Generator) -> SceneObject:
    """A struck disc: rim, ring of beads, a star."""
    radius = rng.uniform(7.5, 13) * pose.unit
    where = pose.patch(-radius, radius, radius)
    r = np.hypot(where.along, where.across)
    turn = np.arctan2(where.across, where.along)
    share = r / radius
    points = int(rng.integers(4, 8))
    star = share - 0.42 - 0.14 * np.cos(points * turn)
    slope = 0.7 * np.exp(-np.square((share - 0.84) * 14)) - 0.7 * np.exp(-np.square((share - 0.97) * 14))
    slope += 0.75 * np.exp(-np.square(star * 12))
    unit_u, unit_v = where.along / np.maximum(r, 0.5), where.across / np.maximum(r, 0.5)
    metal = _paint(METALS[:3], rng) * (1 - 0.1 * (share < 0.8) * (star > 0))[..., None].astype(np.float32)
    disc = ObjectPart(_inside(radius - r), metal, slope * unit_u, slope * unit_v, 0.45)
    return SceneObject(COIN, where, [disc], 1.8 * pose.unit)


def mug(pose: Pose, rng: np.random.Generator) -> SceneObject:
    """A mug from above, with a drink in it and a handle at one side."""
    unit = pose.unit
    radius = rng.uniform(19, 29) * unit
    where = pose.patch(-radius, radius + 15 * unit, radius)
    u, v, r = where.along, where.across, np.hypot(where.along, where.across)
    glaze = _paint(CUPS, rng)
    bow = np.hypot((u - radius - 1 * unit) / 1.15, v)
    arm = ObjectPart(_inside(2.6 * unit - np.abs(bow - 8.5 * unit)), glaze, 0.0, 0.5 * np.sign(bow - 8.5 * unit), 0.4)
    unit_u, unit_v = u / np.maximum(r, 0.5), v / np.maximum(r, 0.5)
    rim = 0.9 * np.clip((r - 0.91 * radius) / (0.09 * radius), -1, 1)
    wall = ObjectPart(_inside(radius - r), glaze, rim * unit_u, rim * unit_v, 0.55)
    inner = np.where(r > 0.72 * radius, -0.8, 0.0)
    deep = ObjectPart(_inside(0.84 * radius - r), glaze * np.float32(0.66), inner * unit_u, inner * unit_v, 0.1)
    drink = _paint(DRINKS, rng)
    foam = np.exp(-np.square((r - 0.7 * radius) / (1.6 * unit))) * 0.5
    swirl = 0.14 * np.sin(3 * np.arctan2(v, u) + r / (3.2 * unit)) * np.clip(r / radius, 0, 1)
    shades = _banded(drink * (1 + swirl)[..., None].astype(np.float32), [(foam.astype(np.float32), drink * 0.5 + 0.42)])
    pool = ObjectPart(_inside(0.74 * radius - r), shades, 0.12 * unit_u, 0.12 * unit_v, 0.3)
    return SceneObject(MUG, where, [arm, wall, deep, pool], 6.5 * unit)


def book(pose: Pose, rng: np.random.Generator) -> SceneObject:
    """A closed book: spine, title field, and sometimes an elastic band."""
    unit = pose.unit
    tall, wide = rng.uniform(34, 50) * unit, rng.uniform(24, 34) * unit
    where = pose.patch(-tall, tall, wide)
    u, v = where.along, where.across
    cover, accent = _paint(COVERS, rng), _paint((*COVERS, (236, 228, 206)), rng)
    edge = np.minimum(tall - np.abs(u), wide - np.abs(v))
    grain = 1 + 0.035 * np.sin(u * 2.7 / unit) * np.sin(v * 2.7 / unit)
    title = _inside(np.minimum(0.2 * tall - np.abs(u - 0.3 * tall), 0.55 * wide - np.abs(v - 0.1 * wide)))
    lines = _inside(np.minimum(0.05 * tall - np.abs(np.abs(u - 0.3 * tall) - 0.08 * tall), 0.42 * wide - np.abs(v)))
    frame = _inside(0.7 * unit - np.abs(edge - 4 * unit)) * (rng.random() < 0.6)
    band = _inside(1.3 * unit - np.abs(v - 0.72 * wide)) * (rng.random() < 0.4)
    spine = _inside(-v - 0.84 * wide)
    dark, pale = cover * np.float32(0.7), np.float32(0.9) * colour(236, 228, 206)
    colours = _banded(
        cover * grain[..., None].astype(np.float32),
        [(spine, dark), (title, accent), (lines * title * 0.8, cover), (frame * 0.6, pale), (band, dark * dark)],
    )
    fold = 0.6 * np.exp(-np.square((v + 0.82 * wide) / (1.2 * unit)))
    hinge = np.clip(fold + 0.5 * np.clip(1 - edge / (2 * unit), 0, 1) * np.sign(v), -0.9, 0.9)
    return SceneObject(BOOK, where, [ObjectPart(_inside(edge), colours, 0.0, hinge, 0.12)], 5.5 * unit)


Tool = Callable[[Pose, np.random.Generator, bool], SceneObject]
PAIRS: tuple[tuple[Tool, Tool], ...] = ((pencil, brush), (spoon, fork))
"""Tools that differ in their heads only (or, marked, in their marks too)."""

"""The built-in data set: generated photographs of a desk, each a function of (seed, index, size, dial).

There are nine classes. Every part of a mug, book, leaf or coin shows its class. Pencil and paintbrush, and spoon and
fork, are pairs of tools whose bodies are drawn from the same distributions: only the head at one end shows to which of
the two a pixel at the other end belongs (`objects.py`). A network whose classifier sees little context has to guess
there, one with large kernels does not: the paper's argument, in small. A head is never cut by the frame and hardly ever
hidden, and a scene holds at most one tool of a pair, so that no other head can be mistaken for it.

The `Dial` makes a measuring instrument of the scenes. Up to `distance` from the head, the body is void. `cue="local"`
marks the bodies all along, so that the head is not needed: the same images, in which large kernels have no advantage.
Where two objects meet there is a void strip of two pixels, as in VOC. Paper, tape, crumbs and stains are background.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Literal, get_args

import numpy as np

from globalconv.arrays import FloatArray, Uint8Array
from globalconv.data.scenes import objects
from globalconv.data.scenes.canvas import Canvas, Light, ObjectPart, Pose, SceneObject
from globalconv.data.scenes.surfaces import clouds, colour, surface, vary
from globalconv.errors import InputError, suggest
from globalconv.labels import LabelSpace

SCENES = LabelSpace(
    class_names=("background", "pencil", "paintbrush", "spoon", "fork", "leaf", "coin", "mug", "book"),
    palette=(
        (0, 0, 0), (240, 178, 50), (214, 64, 120), (70, 150, 220), (120, 84, 200),
        (96, 176, 74), (250, 226, 120), (222, 106, 60), (60, 176, 170),
    ),
)  # fmt: skip
"""The classes of the scenes; 1 and 2, and 3 and 4, are the pairs that differ in their heads only."""

SIZE = 192
SPLITS = {"train": (4000, 1), "val": (60, 2)}
"""Number of scenes, and the seed, of each split."""

TRIES = 8
"""Places that are tried for an object."""
MARGIN = 0.09
"""Share of the image's side that a head keeps from the frame."""
LENGTHS, LENGTHS_BEYOND = (0.5, 0.9), (0.2, 0.35)
"""Lengths as shares of the image's side: of whole tools, and of the part of a tool beyond the dial's distance."""

FARTHEST = 0.6
"""Largest distance of a cue, as a share of the image's side: beyond it no tool would fit in."""

Cue = Literal["far", "local"]
Draw = Callable[[Pose, np.random.Generator], SceneObject]


@dataclass(frozen=True)
class Dial:
    """What distinguishes the tools of a pair, and how far from it a pixel has to be to count."""

    cue: Cue = "far"
    """far: the head at one end only. local: marks all along the body too (the control)."""
    distance: int = 0
    """Pixels from the head within which a tool's body is void; 0 leaves nothing out."""

    def check(self, size: int) -> None:
        """Raise `InputError` for settings that cannot be drawn in an image of `size` pixels a side."""
        if self.cue not in get_args(Cue):
            raise InputError(f"`cue` {self.cue}: {suggest(str(self.cue), get_args(Cue))}")
        if not 0 <= self.distance <= FARTHEST * size:
            raise InputError(
                f"`distance` {self.distance}: between 0 and {FARTHEST * size:.0f} pixels fit into a scene of"
                f" {size}x{size}; lower it or raise `size`"
            )


def draw_scene(seed: int, index: int, size: int = SIZE, dial: Dial = Dial()) -> tuple[Uint8Array, Uint8Array]:
    """Return scene number `index` of the stream `seed`: image (size, size, 3) and label map (size, size), uint8."""
    rng = np.random.default_rng([seed, index])
    canvas = Canvas(surface(size, rng), Light.draw(rng))
    _clutter(canvas, rng)
    for draw, most in ((objects.book, 1), (objects.mug, 1), (objects.leaf, 2)):
        for _ in range(rng.integers(most + 1)):
            _lay(canvas, draw, rng)
    for pair in objects.PAIRS:
        _lay_tool(canvas, pair[rng.integers(2)], dial, rng)
    for _ in range(rng.integers(4)):
        _lay(canvas, objects.coin, rng)
    return _photograph(canvas.image_HW3, rng), canvas.label_map()


@dataclass
class SceneSource:
    """`count` scenes of the stream `seed` as a data set."""

    count: int = SPLITS["train"][0]
    size: int = SIZE
    seed: int = SPLITS["train"][1]
    name: str = "scenes"
    dial: Dial = Dial()
    labels: LabelSpace = SCENES
    _last: tuple[int, Uint8Array, Uint8Array] | None = field(default=None, repr=False, compare=False)

    def __len__(self) -> int:
        return self.count

    def sample_name(self, index: int) -> str:
        return f"scene-{index:05d}"

    def image(self, index: int) -> Uint8Array:
        return self._scene(index)[0].copy()

    def label_map(self, index: int) -> Uint8Array:
        return self._scene(index)[1].copy()

    def _scene(self, index: int) -> tuple[Uint8Array, Uint8Array]:
        """Return a scene; the last one is kept, so that image and label map are one drawing."""
        last = self._last
        if last is None or last[0] != index:
            last = self._last = (index, *draw_scene(self.seed, index, self.size, self.dial))
        return last[1], last[2]


def open_scenes(split: str) -> SceneSource:
    """Return a split of the built-in scenes."""
    if split not in SPLITS:
        raise InputError(f"split {split!r}: the built-in scenes have no such split; {suggest(split, SPLITS)}")
    count, seed = SPLITS[split]
    return SceneSource(count, seed=seed, name=f"scenes ({split})")


def _lay(canvas: Canvas, draw: Draw, rng: np.random.Generator) -> None:
    """Put an object down somewhere, or give up after a few places that would hide too much."""
    for _ in range(TRIES):
        if canvas.put(draw(_pose(canvas.size, rng), rng)):
            return


def _lay_tool(canvas: Canvas, draw: objects.Tool, dial: Dial, rng: np.random.Generator) -> None:
    """Put a tool down: its head lies inside the image, its body may leave it if enough of it is seen.

    The body is void up to the dial's distance from the head.
    """
    size, distance = canvas.size, dial.distance
    for _ in range(TRIES):
        counts_from = objects.HEAD * size / SIZE + distance if distance else 0
        length = counts_from + rng.uniform(*(LENGTHS_BEYOND if distance else LENGTHS)) * size
        seen = counts_from + 0.6 * (length - counts_from)
        while True:
            angle = rng.uniform(0, 2 * np.pi)
            head = rng.uniform(MARGIN, 1 - MARGIN, 2) * size
            end = head + seen * np.asarray((np.cos(angle), np.sin(angle)))
            if min(end) > 0 and max(end) < size:
                break
        pose = Pose(size, float(head[0]), float(head[1]), float(angle), float(length))
        tool = draw(pose, rng, dial.cue == "local")
        assert tool.cue is not None
        if distance:
            near = tool.where.along < counts_from
            tool = replace(tool, void=near & (tool.cue <= 0.5))
        if canvas.put(tool):
            return


def _pose(size: int, rng: np.random.Generator) -> Pose:
    x, y = rng.uniform(0.05 * size, 0.95 * size, 2)
    return Pose(size, float(x), float(y), float(rng.uniform(0, 2 * np.pi)))


def _clutter(canvas: Canvas, rng: np.random.Generator) -> None:
    """Lay out what belongs to no class: sheets of paper, tape, crumbs, ring stains."""
    size = canvas.size
    unit = size / 192
    for _ in range(rng.integers(3)):
        half = (rng.uniform(30, 60) * unit, rng.uniform(20, 44) * unit)
        _rectangle(canvas, half, vary(colour(238, 234, 222), rng, 0.04), lined=rng.random() < 0.7, rng=rng)
    for _ in range(rng.integers(3)):
        _rectangle(
            canvas, (rng.uniform(12, 30) * unit, 4 * unit), rng.uniform(0.2, 0.9, 3).astype(np.float32), False, rng
        )
    if rng.random() < 0.3:  # the ring that a cup leaves
        pose, radius = _pose(size, rng), rng.uniform(16, 26) * size / 192
        where = pose.patch(-radius - 4, radius + 4, radius + 4)
        ring = np.exp(-np.square((np.hypot(where.along, where.across) - radius) / (1.4 * size / 192)))
        canvas.image_HW3[where.place] *= 1 - 0.35 * ring[..., None] * colour(90, 140, 190)
    for _ in range(rng.integers(12)):
        pose, radius = _pose(size, rng), rng.uniform(0.7, 2.2) * unit
        where = pose.patch(-radius, radius, radius)
        round_ = np.clip(radius - np.hypot(where.along, 1.3 * where.across) + 0.5, 0, 1)
        canvas.paint(where, [ObjectPart(round_, vary(colour(150, 110, 70), rng, 0.1))], round_, radius)


def _rectangle(
    canvas: Canvas, half: tuple[float, float], tone: FloatArray, lined: bool, rng: np.random.Generator
) -> None:
    size = canvas.size
    pose = _pose(size, rng)
    where = pose.patch(-half[0], half[0], half[1])
    cover = np.clip(np.minimum(half[0] - np.abs(where.along), half[1] - np.abs(where.across)) + 0.5, 0, 1)
    colours = np.broadcast_to(tone, (*cover.shape, 3)).astype(np.float32)
    if lined:
        rule = np.sin(where.across * 2 * np.pi / (6 * size / 192)) > 0.86
        words = rule & (np.abs(where.along) < 0.84 * half[0]) & (np.sin(where.along * 0.9 + 3 * where.across) > -0.6)
        colours[words] *= np.float32(0.72)
    canvas.paint(where, [ObjectPart(cover, colours, gloss=0.05)], cover, 0.9 * size / 192)


def _photograph(image_HW3: FloatArray, rng: np.random.Generator) -> Uint8Array:
    """Return what a camera makes of the desk: uneven light, vignette, white balance, exposure, grain."""
    size = image_HW3.shape[0]
    y, x = np.mgrid[0:size, 0:size].astype(np.float32) / size - 0.5
    angle = rng.uniform(0, 2 * np.pi)
    light = 1 + rng.uniform(0.05, 0.3) * (x * math.cos(angle) + y * math.sin(angle))
    light = light * (1 - rng.uniform(0.1, 0.5) * (x * x + y * y)) * (1 + 0.03 * clouds(size, 2, rng, 1))
    balance = rng.normal(1, 0.04, 3) * rng.uniform(0.98, 1.2)
    exposed = image_HW3 * (light[..., None] * balance.astype(np.float32))
    grain = np.float32(rng.uniform(0.006, 0.02)) * rng.standard_normal((size, size), np.float32)
    for channel in range(3):  # Mostly the same in all channels, a little of it from elsewhere: coloured grain.
        exposed[..., channel] += grain + 0.6 * np.roll(grain, (7 + 5 * channel, 3 - 11 * channel), (0, 1))
    image: Uint8Array = (np.clip(exposed, 0, 1) * 255 + 0.5).astype(np.uint8)
    return image

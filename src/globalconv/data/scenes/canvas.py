"""The desk on which a scene is laid out: local coordinates, light, soft shadows, and which object covers which.

Shapes: H x W pixels of the image, h x w of the patch that an object covers. Colours are float32 in [0, 1].
An object is a list of parts; a part is a cover (0 outside, 1 inside, smooth at the edge) with colours and a surface
that is lit. Coordinates of a patch run `along` and `across` the object's own axis, in pixels.
"""

import math
from dataclasses import dataclass, field

import numpy as np
from PIL import Image, ImageFilter

from globalconv.arrays import BoolArray, FloatArray, Uint8Array
from globalconv.labels import IGNORE

Level = FloatArray | float

AMBIENT, DIFFUSE, SHININESS = 0.42, 0.68, 24
SHADOW, CONTACT = 0.55, 0.35
MAX_CUE_HIDDEN, MAX_OBJECT_HIDDEN = 0.1, 0.4
"""Shares of a cue and of a whole object that later objects may cover."""


@dataclass(frozen=True)
class Light:
    """Direction towards the light: x right, y down, z out of the image (a unit vector)."""

    x: float
    y: float
    z: float

    @classmethod
    def draw(cls, rng: np.random.Generator) -> "Light":
        azimuth, height = rng.uniform(0, 2 * np.pi), rng.uniform(0.6, 0.95)
        flat = math.cos(height)
        return cls(math.cos(azimuth) * flat, math.sin(azimuth) * flat, math.sin(height))


@dataclass(frozen=True)
class Patch:
    """The part of the image that an object may cover, with the object's own coordinates."""

    top: int
    left: int
    along: FloatArray
    across: FloatArray
    cos: float
    sin: float

    @property
    def place(self) -> tuple[slice, slice]:
        height, width = self.along.shape
        return slice(self.top, self.top + height), slice(self.left, self.left + width)


@dataclass(frozen=True)
class Pose:
    """Where an object lies: a point of it, the direction of its axis, and the scale of its lengths."""

    size: int
    """Side of the image in pixels."""
    x: float
    y: float
    angle: float
    length: float = 0.0
    """Of a tool, from the tip of its head to the end of its body, in pixels."""

    @property
    def unit(self) -> float:
        """Pixels of one unit, of which the side of an image has 192."""
        return self.size / 192

    def patch(self, start: float, end: float, half: float) -> Patch:
        """Return the patch of an object that runs from `start` to `end` along the axis, `half` to either side."""
        cos, sin = math.cos(self.angle), math.sin(self.angle)
        corners = [
            (self.x + u * cos - v * sin, self.y + u * sin + v * cos) for u in (start, end) for v in (-half, half)
        ]
        bounds = []
        for values in zip(*corners, strict=True):
            low = min(max(int(min(values)) - 2, 0), self.size - 1)
            bounds.append((low, max(min(int(max(values)) + 3, self.size), low + 1)))
        (left, right), (top, bottom) = bounds
        dx = np.arange(left, right, dtype=np.float32)[None, :] - self.x
        dy = np.arange(top, bottom, dtype=np.float32)[:, None] - self.y
        return Patch(top, left, dx * cos + dy * sin, dy * cos - dx * sin, cos, sin)


@dataclass(frozen=True)
class ObjectPart:
    """One piece of an object: where it is, its colour, how its surface leans (unit normal) and shines."""

    cover: FloatArray
    colour: FloatArray
    lean_along: Level = 0.0
    lean_across: Level = 0.0
    gloss: float = 0.1

    def lit(self, where: Patch, light: Light) -> FloatArray:
        """Return the colours (h, w, 3) under `light`: ambient + diffuse + a highlight."""
        light_along = light.x * where.cos + light.y * where.sin
        light_across = light.y * where.cos - light.x * where.sin
        up = np.sqrt(np.maximum(1 - np.square(self.lean_along) - np.square(self.lean_across), 0.02))
        facing = self.lean_along * light_along + self.lean_across * light_across + up * light.z
        diffuse = np.clip(facing, 0, 1)  # Outside the cover a lean may be any number.
        length = math.sqrt(2 + 2 * light.z)  # of light + viewer, the viewer being straight above
        shine = self.gloss * np.minimum((diffuse + up) / length, 1) ** SHININESS
        shaded = self.colour * np.asarray(AMBIENT + DIFFUSE * diffuse)[..., None] + np.asarray(shine)[..., None]
        return np.broadcast_to(shaded, (*self.cover.shape, 3)).astype(np.float32)


@dataclass(frozen=True)
class SceneObject:
    """An object ready to be put down: class, parts from below to above, thickness in pixels, and its cue.

    `cue` is the cover of the part that alone shows the class; nothing may hide it. Where `void` is true, the object's
    pixels do not count.
    """

    label: int
    where: Patch
    parts: list[ObjectPart]
    thickness: float
    cue: FloatArray | None = None
    void: BoolArray | None = None

    def cover(self) -> FloatArray:
        gap = np.ones_like(self.where.along)
        for part in self.parts:
            gap *= 1 - part.cover
        return 1 - gap


@dataclass
class Canvas:
    """The image so far, and for every pixel the object on top: its number, 0 for the desk."""

    image_HW3: FloatArray
    light: Light
    objects_HW: Uint8Array = field(init=False)
    cues_HW: Uint8Array = field(init=False)
    void_HW: BoolArray = field(init=False)
    labels: list[int] = field(default_factory=lambda: [0])
    areas: list[int] = field(default_factory=lambda: [0])
    cue_areas: list[int] = field(default_factory=lambda: [0])

    def __post_init__(self) -> None:
        self.objects_HW = np.zeros(self.image_HW3.shape[:2], np.uint8)
        self.cues_HW = np.zeros(self.image_HW3.shape[:2], np.uint8)
        self.void_HW = np.zeros(self.image_HW3.shape[:2], np.bool_)

    @property
    def size(self) -> int:
        return len(self.image_HW3)

    def put(self, item: SceneObject) -> bool:
        """Lay `item` on top and return True, unless it would hide too much of another object or of its cue."""
        cover, place = item.cover(), item.where.place
        inside = cover > 0.5
        if not inside.any():
            return False
        count = len(self.labels)
        for layer_HW, areas, share in (
            (self.cues_HW, self.cue_areas, MAX_CUE_HIDDEN),
            (self.objects_HW, self.areas, MAX_OBJECT_HIDDEN),
        ):
            hidden = np.bincount(layer_HW[place][inside], minlength=count)
            left = np.bincount(layer_HW.ravel(), minlength=count) - hidden
            if any(hidden[i] and left[i] < (1 - share) * areas[i] for i in range(1, count)):
                return False
        self.paint(item.where, item.parts, cover, item.thickness)
        cue = inside & (item.cue > 0.5) if item.cue is not None else np.zeros_like(inside)
        self.labels.append(item.label)
        self.areas.append(int(inside.sum()))
        self.cue_areas.append(int(cue.sum()))
        self.objects_HW[place][inside] = count
        self.cues_HW[place][inside] = 0
        self.cues_HW[place][cue] = count
        self.void_HW[place][inside] = False if item.void is None else item.void[inside]
        return True

    def paint(self, where: Patch, parts: list[ObjectPart], cover: FloatArray, thickness: float) -> None:
        """Draw shadow and parts without a label (clutter is background)."""
        # A soft shadow away from the light, and a tight one at the contact.
        margin = int(3 * thickness) + 4
        top, left = max(where.top - margin, 0), max(where.left - margin, 0)
        bottom = min(where.top + cover.shape[0] + margin, self.size)
        right = min(where.left + cover.shape[1] + margin, self.size)
        stamp = Image.fromarray((cover * 255).astype(np.uint8))
        shade = np.ones((bottom - top, right - left), np.float32)
        for strength, shift, blur in ((SHADOW, thickness, 0.6 * thickness + 0.8), (CONTACT, 0.0, 1.5)):
            mask = Image.new("L", (right - left, bottom - top))
            reach = shift / max(self.light.z, 0.3)
            away = (round(-self.light.x * reach), round(-self.light.y * reach))
            mask.paste(stamp, (where.left - left + away[0], where.top - top + away[1]))
            shade *= 1 - strength / 255 * np.asarray(mask.filter(ImageFilter.GaussianBlur(blur)), np.float32)
        self.image_HW3[top:bottom, left:right] *= shade[..., None]
        target = self.image_HW3[where.place]
        for part in parts:
            target += part.cover[..., None] * (part.lit(where, self.light) - target)

    def label_map(self) -> Uint8Array:
        """Return the classes, with a void strip of two pixels wherever two objects meet."""
        label_map = np.asarray(self.labels, np.uint8)[self.objects_HW]
        label_map[self.void_HW] = IGNORE
        for axis in (0, 1):
            numbers, out = np.swapaxes(self.objects_HW, 0, axis), np.swapaxes(label_map, 0, axis)
            edge = numbers[1:] != numbers[:-1]
            out[1:][edge] = IGNORE
            out[:-1][edge] = IGNORE
        return label_map

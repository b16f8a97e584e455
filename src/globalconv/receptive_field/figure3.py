"""Figure 3 as an image.

Receptive fields on their image, as the paper's Figure 3: dimmed outside, with the position marked.

What a pixel's class rests on, measured for several networks and sizes of one image (Figure 3).

Shapes: H x W pixels of the image at one scale, K classes.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageDraw

from globalconv.arrays import BoolArray, Float64Array, Uint8Array
from globalconv.errors import InputError, suggest
from globalconv.infer.predictor import Predictor
from globalconv.infer.views import scaled_size, view_image
from globalconv.receptive_field.advice import object_at
from globalconv.receptive_field.field_settings import FieldSettings
from globalconv.receptive_field.gradient import gradient_map
from globalconv.receptive_field.occlusion import Occluders, discrepancy_map, valid_region
from globalconv.receptive_field.target import Position
from globalconv.runtime.files import write_atomic
from globalconv.runtime.progress import Progress
from globalconv.visual.overlay import INK, PAPER, contours, load_font
from globalconv.visual.panel import MUTED, panel

DIMMED = 0.28
"""How much light is left outside the field."""
MARK = (255, 59, 48)
EDGE = (255, 214, 10)


def lit(image: Uint8Array, region: BoolArray, at: tuple[int, int], width: int) -> Image.Image:
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


def captioned(image: Image.Image, *lines: str) -> Image.Image:
    """Return `image` with lines of text below it."""
    size = max(12, round(image.width * 0.042))
    sheet = Image.new("RGB", (image.width, image.height + round(size * (1.3 * len(lines) + 0.7))), PAPER)
    sheet.paste(image, (0, 0))
    draw = ImageDraw.Draw(sheet)
    for number, line in enumerate(lines):
        draw.text(
            (0, image.height + size * (0.3 + 1.3 * number)), line, MUTED if number else INK, load_font(size), "la"
        )
    return sheet


def _scaled(image: Image.Image, width: int) -> Image.Image:
    height = max(1, round(image.height * width / image.width))
    return image.resize((width, height), Image.Resampling.LANCZOS)


def _marked(image: Image.Image, at: tuple[int, int], shape: Sequence[int]) -> Image.Image:
    """Draw a ringed dot where the pixel `at` of an image of this shape now is."""
    y, x = ((place + 0.5) * new / old for place, new, old in zip(at, image.size[::-1], shape, strict=False))
    draw, radius = ImageDraw.Draw(image), max(3.0, image.width * 0.014)
    for reach, colour in ((radius * 1.45, PAPER), (radius, MARK)):
        draw.ellipse((x - reach, y - reach, x + reach, y + reach), fill=colour)
    return image


@dataclass(frozen=True)
class Field:
    """The field of one network at one scale."""

    name: str
    scale: float
    class_name: str
    """The class whose score was measured."""
    image: Uint8Array
    """The image at this scale (H, W, 3)."""
    at: Position
    """Row and column of the pixel in it."""
    region: BoolArray
    """The field (H, W)."""
    held: float | None
    """Share of the object's pixels that lie in the field; None where no object was given."""

    @property
    def pixels(self) -> int:
        return int(self.region.sum())

    def to_json(self) -> dict[str, Any]:
        height, width = self.region.shape
        return {
            "network": self.name,
            "scale": self.scale,
            "width": width,
            "height": height,
            "class": self.class_name,
            "pixels": self.pixels,
            "share": round(self.pixels / self.region.size, 4),
            "side": round(self.pixels**0.5, 1),
            "object_held": None if self.held is None else round(self.held, 4),
        }


OnBatch = Callable[[str, int, int], None]
"""(what is measured, copies done, all copies) -> None."""


@contextmanager
def batch_progress() -> Iterator[OnBatch]:
    """Yield an `on_batch` for `measure_fields` that shows a progress line for each field that is measured."""
    current = ""
    progress: Progress | None = None
    with ExitStack() as stack:

        def on_batch(title: str, done: int, total: int) -> None:
            nonlocal current, progress
            if progress is None or title != current:
                stack.close()
                current, progress = title, stack.enter_context(Progress(title, total, "copies"))
            progress.update(done)

        yield on_batch


def measure_fields(
    predictors: dict[str, Predictor],
    image: Uint8Array,
    at: Position,
    settings: FieldSettings,
    class_name: str | None = None,
    values: Uint8Array | None = None,
    on_batch: OnBatch | None = None,
) -> list[Field]:
    """Return the field of each named network at each scale, scale by scale.

    `at` is the row and column of a pixel of `image` (H, W, 3); the networks give a score for each pixel, so this is the
    position in the score map as well; at another scale it is the pixel that covers the same place. The score is that of
    `class_name`, by default the class that the network itself sees there. `values` is a label map or mask of the
    image's size, whose region around the pixel is the object.
    """
    height, width = image.shape[:2]
    if not (0 <= at[0] < height and 0 <= at[1] < width):
        raise InputError(f"`at` {at[1]},{at[0]}: the image is {width}x{height}; X and Y count its pixels from 0")
    if values is not None and values.shape[:2] != (height, width):
        size = f"{values.shape[1]}x{values.shape[0]}"
        raise InputError(f"`label_map`: is {size}, the image {width}x{height}; give the label map of this image")
    # Refuse before hours of work, not after a part of them.
    if settings.method == "occlusion":
        for scale in settings.scales:
            _occluders(settings).stride(*scaled_size(height, width, scale))
    if class_name is not None:
        for predictor in predictors.values():
            _class_index(predictor.class_names, class_name)
    shown = None if values is None else object_at(values, *at)
    return [
        _field(name, predictor, image, at, scale, settings, class_name, shown, on_batch)
        for scale in settings.scales
        for name, predictor in predictors.items()
    ]


def _field(
    name: str, predictor: Predictor, image: Uint8Array, at: Position, scale: float, settings: FieldSettings,
    class_name: str | None, shown: BoolArray | None, on_batch: OnBatch | None,
) -> Field:  # fmt: skip
    size = scaled_size(image.shape[0], image.shape[1], scale)
    seen = view_image(image, scale, flipped=False)[0 : size[0], 0 : size[1]]
    row, column = _moved(at, image.shape[:2], size)
    scores_K = predictor.logits(seen)[0, :, row, column]
    channel = int(scores_K.argmax()) if class_name is None else _class_index(predictor.class_names, class_name)
    title = f"{name}, {size[1]}x{size[0]}"
    report = None if on_batch is None else lambda done, total: on_batch(title, done, total)
    strength_HW = _strength(predictor, seen, (row, column), channel, settings, report)
    region = valid_region(strength_HW, settings.least)
    held = None if shown is None else _held(shown, region)
    return Field(name, scale, predictor.class_names[channel], seen, (row, column), region, held)


def _strength(
    predictor: Predictor, image: Uint8Array, at: Position, channel: int, settings: FieldSettings,
    report: Callable[[int, int], None] | None,
) -> Float64Array:  # fmt: skip
    """Return how much each pixel (H, W) matters to one score, of the image as the network is used: padded."""
    padded = torch.from_numpy(predictor.padded(image[None])[0]).to(predictor.device)
    image_3HW = padded.permute(2, 0, 1).float() / 255
    if settings.method == "gradient":
        strength_HW = gradient_map(predictor.network, image_3HW[None], at, channel)
    else:
        strength_HW = discrepancy_map(
            predictor.network, image_3HW, at, channel, _occluders(settings), None, settings.batch_size, report
        )
    return strength_HW[: image.shape[0], : image.shape[1]]


def _occluders(settings: FieldSettings) -> Occluders:
    return Occluders(settings.occluder, settings.occluders, settings.seed)


def _moved(at: Position, before: Sequence[int], after: Sequence[int]) -> Position:
    """Return the pixel of the resized image that covers the middle of a pixel of the image."""
    row, column = (
        min(new - 1, int((2 * x + 1) * new / (2 * old))) for x, old, new in zip(at, before, after, strict=True)
    )
    return row, column


def _held(shown: BoolArray, region: BoolArray) -> float:
    """Return which share of an object, given at the image's own size, lies in a region at another."""
    rows, columns = (
        np.minimum(old - 1, (2 * np.arange(new) + 1) * old // (2 * new))
        for old, new in zip(shown.shape, region.shape, strict=True)
    )
    resized = shown[np.ix_(rows, columns)]
    return float(region[resized].mean()) if resized.any() else 0.0


def _class_index(names: Sequence[str], name: str) -> int:
    if name not in names:
        raise InputError(f"`class` {name}: {suggest(name, names)}")
    return list(names).index(name)


CELL_WIDTH = 420


def figure(fields: Sequence[Field]) -> Image.Image:
    """Return a row for each scale: the photograph, then an image for each network, lit where its field is."""
    names = list(dict.fromkeys(field.name for field in fields))
    scales = list(dict.fromkeys(field.scale for field in fields))
    rows = [[field for field in fields if field.scale == scale] for scale in scales]
    return panel(["photograph", *names], [_row(row) for row in rows], cell_width=CELL_WIDTH)


def _row(fields: Sequence[Field]) -> list[Image.Image]:
    height, width = fields[0].region.shape
    captions = [(f"{width} x {height} pixels", f"scale {fields[0].scale:g}"), *map(_caption, fields)]
    return [captioned(image, *lines) for image, lines in zip(drawn(fields), captions, strict=True)]


def drawn(fields: Sequence[Field]) -> list[Image.Image]:
    """Return the fields of one scale without words: the photograph, then an image for each network."""
    first = fields[0]
    lights = [lit(one.image, one.region, one.at, CELL_WIDTH) for one in fields]
    return [photograph(first.image, first.at, CELL_WIDTH), *lights]


def _caption(field: Field) -> tuple[str, str]:
    share = f"{field.pixels / field.region.size:.1%} of the image"
    held = "" if field.held is None else f", {field.held:.0%} of the object"
    return f"{field.class_name}: {field.pixels:,} pixels", share + held


def check_image(path: Path) -> None:
    """Refuse a name whose suffix is no format that Pillow writes, and a folder that is not there."""
    if path.suffix.lower() not in (".png", ".jpg", ".jpeg"):
        raise InputError(f"`out` {path}: end the name of the image in .png or .jpg")
    if not path.parent.is_dir():
        raise InputError(f"`out` {path}: there is no folder {path.parent}; make it, or name another")


def write_image(path: Path, image: Image.Image) -> None:
    """Write an image as PNG or JPEG, as its suffix says."""
    form = "PNG" if path.suffix.lower() == ".png" else "JPEG"
    write_atomic(path, lambda file: image.save(file, form, quality=92))

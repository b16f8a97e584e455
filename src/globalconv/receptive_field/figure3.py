"""Figure 3: the receptive fields of one pixel, for several networks and sizes of an image, measured and drawn.

Shapes: H x W pixels of the image at one scale, K classes.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageDraw
from scipy import ndimage

from globalconv.arrays import BoolArray, Uint8Array
from globalconv.errors import InputError, suggest
from globalconv.infer.predictor import Predictor
from globalconv.infer.views import scaled_size, view_image
from globalconv.labels import IGNORE
from globalconv.receptive_field.field_settings import FieldSettings
from globalconv.receptive_field.gradient import gradient_map
from globalconv.receptive_field.occlusion import Occluders, discrepancy_map, valid_region
from globalconv.receptive_field.target import Position
from globalconv.runtime.progress import Progress
from globalconv.runtime.text import printable
from globalconv.visual.overlay import INK, PAPER, contours, load_font
from globalconv.visual.panel import MUTED, panel


@dataclass(frozen=True)
class ReceptiveField:
    """The field of one pixel in one network at one scale."""

    name: str
    """What the network is called."""
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
    """Share of the object's pixels that lie in the field; None without an object."""

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


def measure_fields(
    predictors: dict[str, Predictor],
    image: Uint8Array,
    at: Position,
    settings: FieldSettings,
    class_name: str | None = None,
    mask: Uint8Array | None = None,
) -> list[ReceptiveField]:
    """Return the field of each named network at each scale, scale by scale, and show the progress of occlusion.

    `at` is the row and column of a pixel of `image` (H, W, 3), and of the score map, which has a score for each pixel;
    at another scale it is the pixel that covers the same place. The score is that of `class_name`, by default the class
    that the network itself predicts there. `mask` is a label map (H, W) or colours (H, W, 3) of the image's size, whose
    region around the pixel is the object. `InputError` for whatever does not fit, before anything is measured.
    """
    height, width = image.shape[:2]
    if not (0 <= at[0] < height and 0 <= at[1] < width):
        raise InputError(f"`at` {at[1]},{at[0]}: the image is {width}x{height}; X and Y count its pixels from 0")
    if mask is not None and mask.shape[:2] != (height, width):
        size = f"{mask.shape[1]}x{mask.shape[0]}"
        raise InputError(f"`label_map`: is {size}, the image {width}x{height}; give the label map of this image")
    occluders = Occluders(settings.occluder, settings.occluders, settings.seed)
    if settings.method == "occlusion":
        for scale in settings.scales:
            occluders.stride(*scaled_size(height, width, scale))  # refuses too few
    for predictor in predictors.values():
        if class_name is not None and class_name not in predictor.class_names:
            raise InputError(f"`class` {class_name}: {suggest(class_name, predictor.class_names)}")
    object_HW = None if mask is None else object_at(mask, *at)

    fields = []
    for scale, (name, predictor) in product(settings.scales, predictors.items()):
        rows, columns = scaled_size(height, width, scale)
        seen_HW3 = view_image(image, scale, flipped=False)[0:rows, 0:columns]
        row = min(rows - 1, int((2 * at[0] + 1) * rows / (2 * height)))
        column = min(columns - 1, int((2 * at[1] + 1) * columns / (2 * width)))
        scores_K = predictor.logits(seen_HW3)[0, :, row, column]
        names = list(predictor.class_names)
        channel = int(scores_K.argmax()) if class_name is None else names.index(class_name)

        # The network sees the image as it does in use: padded.
        padded_HW3 = torch.from_numpy(predictor.padded(seen_HW3[None])[0]).to(predictor.device)
        image_3HW = padded_HW3.permute(2, 0, 1).float() / 255
        if settings.method == "gradient":
            strength_HW = gradient_map(predictor.network, image_3HW[None], (row, column), channel)
        else:
            with Progress(f"{name}, {columns}x{rows}", settings.occluders, "copies") as progress:
                strength_HW = discrepancy_map(
                    predictor.network, image_3HW, (row, column), channel, occluders, None, settings.batch_size,
                    lambda done, total: progress.update(done, total=total),
                )  # fmt: skip
        region = valid_region(strength_HW[:rows, :columns], settings.least)
        held = None if object_HW is None else _share_of_object(object_HW, region)
        fields.append(ReceptiveField(name, scale, names[channel], seen_HW3, (row, column), region, held))
    return fields


def _share_of_object(object_HW: BoolArray, region: BoolArray) -> float:
    """Return the share of an object, in the image's own size, that lies in a region at another size."""
    rows, columns = (
        np.minimum(old - 1, (2 * np.arange(new) + 1) * old // (2 * new))
        for old, new in zip(object_HW.shape, region.shape, strict=True)
    )
    resized = object_HW[np.ix_(rows, columns)]
    return float(region[resized].mean()) if resized.any() else 0.0


def object_at(mask: Uint8Array, row: int, column: int) -> BoolArray:
    """Return the region (H, W) of one value around a pixel of a label map (H, W) or of a mask in colours (H, W, 3)."""
    same_HW = mask == mask[row, column]
    regions_HW, _ = ndimage.label(same_HW.all(2) if mask.ndim == 3 else same_HW)
    return np.asarray(regions_HW == regions_HW[row, column])


def deepest_pixel(label_map: Uint8Array) -> Position | None:
    """Return the row and column farthest inside the largest object that lies wholly inside the label map (H, W).

    None where every object touches the edge, beyond which it may go on.
    """
    largest, object_HW = 0, None
    for value in np.unique(label_map[label_map != IGNORE]):
        regions_HW, _ = ndimage.label(label_map == value)
        pixels = np.bincount(regions_HW.ravel())
        for edge in (regions_HW[[0, -1]], regions_HW[:, [0, -1]]):
            pixels[edge] = 0
        pixels[0] = 0  # everything of another value
        if pixels.max() > largest:
            largest, object_HW = pixels.max(), regions_HW == pixels.argmax()
    if object_HW is None:
        return None
    depth_HW = ndimage.distance_transform_edt(object_HW)
    row, column = np.unravel_index(depth_HW.argmax(), depth_HW.shape)
    return int(row), int(column)


CELL_WIDTH = 420
DIMMED = 0.28
"""How much light is left outside the field."""
MARK = (255, 59, 48)
EDGE = (255, 214, 10)


def draw_figure(fields: Sequence[ReceptiveField]) -> Image.Image:
    """Return a row for each scale: the photograph, then an image for each network, lit where its field is."""
    names = list(dict.fromkeys(field.name for field in fields))
    rows = []
    for scale in dict.fromkeys(field.scale for field in fields):
        of_scale = [field for field in fields if field.scale == scale]
        height, width = of_scale[0].region.shape
        captions = [(f"{width} x {height} pixels", f"scale {scale:g}")]
        for field in of_scale:
            share = f"{field.pixels / field.region.size:.1%} of the image"
            held = "" if field.held is None else f", {field.held:.0%} of the object"
            captions.append((f"{field.class_name}: {field.pixels:,} pixels", share + held))
        rows.append([_captioned(*pair) for pair in zip(draw_fields(of_scale), captions, strict=True)])
    return panel(["photograph", *names], rows, cell_width=CELL_WIDTH)


def draw_fields(fields: Sequence[ReceptiveField]) -> list[Image.Image]:
    """Return the fields of one scale without words: the photograph, then an image for each network."""
    photograph = draw_field(fields[0].image, None, fields[0].at, CELL_WIDTH)
    return [photograph, *(draw_field(field.image, field.region, field.at, CELL_WIDTH) for field in fields)]


def draw_field(image: Uint8Array, region: BoolArray | None, at: Position, width: int) -> Image.Image:
    """Return `image` (H, W, 3), scaled to `width`, with the pixel `at` marked, dimmed outside `region` (H, W)."""
    if region is not None:
        image = (image * np.where(region, 1.0, DIMMED)[..., None]).astype(np.uint8)
    height = max(1, round(image.shape[0] * width / image.shape[1]))
    canvas = Image.fromarray(image).resize((width, height), Image.Resampling.LANCZOS)
    if region is not None:
        inside = np.asarray(Image.fromarray(region).resize(canvas.size, Image.Resampling.NEAREST))
        pixels = np.array(canvas)
        pixels[contours(inside.astype(np.uint8), 2)] = EDGE
        canvas = Image.fromarray(pixels)
    y, x = ((place + 0.5) * new / old for place, new, old in zip(at, (height, width), image.shape, strict=False))
    draw, radius = ImageDraw.Draw(canvas), max(3.0, width * 0.014)
    for reach, colour in ((radius * 1.45, PAPER), (radius, MARK)):
        draw.ellipse((x - reach, y - reach, x + reach, y + reach), fill=colour)
    return canvas


def _captioned(image: Image.Image, lines: Sequence[str]) -> Image.Image:
    """Return `image` with lines of text below it."""
    size = max(12, round(image.width * 0.042))
    font = load_font(size)
    sheet = Image.new("RGB", (image.width, image.height + round(size * (1.3 * len(lines) + 0.7))), PAPER)
    sheet.paste(image, (0, 0))
    draw = ImageDraw.Draw(sheet)
    for number, line in enumerate(lines):
        draw.text(
            (0, image.height + size * (0.3 + 1.3 * number)), printable(line), MUTED if number else INK, font, "la"
        )
    return sheet

"""What a pixel's class rests on, measured for several networks and sizes of one picture (Figure 3).

Shapes: H x W pixels of the picture at one scale, K classes.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from globalconv.analyze.gradient import gradient_map
from globalconv.analyze.maps import Position
from globalconv.analyze.occlusion import Occluders, discrepancy_map, valid_region
from globalconv.errors import InputError, nearest
from globalconv.fields.objects import object_at
from globalconv.fields.settings import FieldSettings
from globalconv.infer.predictor import Predictor
from globalconv.infer.scales import scaled_size, view

Uint8Array = npt.NDArray[np.uint8]
BoolArray = npt.NDArray[np.bool_]
Float64Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Field:
    """The field of one network at one scale."""

    name: str
    scale: float
    class_name: str
    """The class whose score was measured."""
    image: Uint8Array
    """The picture at this scale (H, W, 3)."""
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
        raise InputError(f"--at {at[1]},{at[0]}: the picture is {width}x{height}; X and Y count its pixels from 0")
    if values is not None and values.shape[:2] != (height, width):
        size = f"{values.shape[1]}x{values.shape[0]}"
        raise InputError(f"--label-map: is {size}, the picture {width}x{height}; give the label map of this picture")
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
    seen = view(image, scale, mirrored=False)[0 : size[0], 0 : size[1]]
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
    """Return how much each pixel (H, W) matters to one score, of the picture as the network is used: padded."""
    padded = torch.from_numpy(predictor.geometry.padded(image[None])[0]).to(predictor.device)
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
    """Return the pixel of the resized picture that covers the middle of a pixel of the picture."""
    row, column = (
        min(new - 1, int((2 * x + 1) * new / (2 * old))) for x, old, new in zip(at, before, after, strict=True)
    )
    return row, column


def _held(shown: BoolArray, region: BoolArray) -> float:
    """Return which share of an object, given at the picture's own size, lies in a region at another."""
    rows, columns = (
        np.minimum(old - 1, (2 * np.arange(new) + 1) * old // (2 * new))
        for old, new in zip(shown.shape, region.shape, strict=True)
    )
    resized = shown[np.ix_(rows, columns)]
    return float(region[resized].mean()) if resized.any() else 0.0


def _class_index(names: Sequence[str], name: str) -> int:
    if name not in names:
        raise InputError(f"--class {name}: {nearest(name, names)}")
    return list(names).index(name)

"""Which kernel do these data ask for? Sizes of their objects against the fields of networks, and what those cost.

Shapes: N images of H x W pixels.

Objects of a label map: regions of one class whose pixels touch along an edge. H x W pixels.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from scipy import ndimage
from torch import Tensor, nn

from globalconv.arrays import BoolArray, Float64Array, Int64Array, Uint8Array
from globalconv.cost.count import network_cost
from globalconv.data.source import Source, spread_evenly
from globalconv.errors import InputError
from globalconv.geometry import STRIDE
from globalconv.labels import IGNORE
from globalconv.model.backbone import STRIDES
from globalconv.receptive_field.gradient import effective_receptive_field
from globalconv.receptive_field.size import field_size
from globalconv.runtime.progress import Progress
from globalconv.runtime.text import align_columns


def object_at(values: Uint8Array, row: int, column: int) -> BoolArray:
    """Return the region (H, W) around a pixel that has one value: of a label map (H, W), or of a mask (H, W, 3)."""
    same_HW = values == values[row, column]
    regions_HW, _ = ndimage.label(same_HW.all(2) if values.ndim == 3 else same_HW)
    found: BoolArray = regions_HW == regions_HW[row, column]
    return found


def deepest_pixel(label_map: Uint8Array) -> tuple[int, int] | None:
    """Return the row and column farthest inside the largest object that lies wholly inside the label map (H, W).

    None where every object touches the edge, beyond which it may go on.
    """
    largest, found_HW = 0, None
    for value in np.unique(label_map[label_map != IGNORE]):
        numbered_HW, _ = ndimage.label(label_map == value)
        pixels = np.bincount(numbered_HW.ravel())
        for edge in (numbered_HW[[0, -1]], numbered_HW[:, [0, -1]]):
            pixels[edge] = 0
        pixels[0] = 0  # what has another value
        if pixels.max() > largest:
            largest, found_HW = pixels.max(), numbered_HW == pixels.argmax()
    if found_HW is None:
        return None
    depth_HW = ndimage.distance_transform_edt(found_HW)
    row, column = np.unravel_index(depth_HW.argmax(), depth_HW.shape)
    return int(row), int(column)


def object_areas(label_map: Uint8Array) -> Int64Array:
    """Return the pixels of every object of a label map (H, W); void is none."""
    from globalconv.evaluation.region_kernels import object_areas as areas_of_pixels  # imports numba

    areas, pixels = np.unique(areas_of_pixels(label_map)[label_map != IGNORE], return_counts=True)
    return np.repeat(areas, pixels // areas).astype(np.int64)


ENOUGH = 0.05
"""A smaller field is advised where a larger one would hold the objects of less than this share of pixels more."""

PERCENTILES = (10, 50, 90)

LEVELS = ("res-2", "res-3", "res-4", "res-5")


@dataclass(frozen=True)
class Objects:
    """The objects of a data set: regions of one class."""

    sides: Float64Array
    """Square root of the area of each, in pixels, ascending."""
    height: int
    """Median height of the images."""
    width: int

    def held_by(self, side: float) -> float:
        """Return the share of pixels whose object's side is at most `side`."""
        areas = self.sides**2
        return float(areas[self.sides <= side].sum() / areas.sum())

    def percentile(self, percent: float) -> float:
        """Return the side of the object that a pixel lies in, for this many percent of pixels at most."""
        running = np.cumsum(self.sides**2)
        return float(self.sides[np.searchsorted(running, percent / 100 * running[-1])])


@dataclass(frozen=True)
class Candidate:
    """A network, its field and its cost for an image of the median size."""

    name: str
    kernel_sizes: tuple[int, ...]
    """k of res-2 .. res-5."""
    side: float
    """Of the effective field: see `FieldSize.side`."""
    held: float
    """Share of the pixels whose object is not larger than the field."""
    weights: int
    multiply_adds: int


def objects_of(source: Source, most: int) -> Objects:
    """Return the objects of up to `most` label maps, evenly spread over `source`."""
    areas, shapes = [], []
    chosen = spread_evenly(len(source), most)
    with Progress("label maps", len(chosen), "maps") as progress:
        for done, index in enumerate(chosen, 1):
            label_map = source.label_map(index)
            areas.append(object_areas(label_map))
            shapes.append(label_map.shape)
            progress.update(done)
    sides = np.sort(np.sqrt(np.concatenate(areas)))
    if not sides.size:
        raise InputError(f"{source.name}: no pixel of {len(chosen)} label maps has a class; nothing can be advised")
    height, width = np.median(shapes, axis=0).round().astype(int).tolist()
    return Objects(sides, height, width)


def candidate(
    name: str, network: nn.Module, kernels: Sequence[int], images: Sequence[Tensor], objects: Objects
) -> Candidate:
    """Measure one network: its mean |gradient| at the middle of `images`, all classes, and its cost."""
    side = field_size(effective_receptive_field(network, images)).side
    cost = network_cost(network, objects.height, objects.width)
    return Candidate(name, tuple(kernels), side, objects.held_by(side), cost.weights, cost.multiply_adds)


def some_images(source: Source, count: int) -> list[Tensor]:
    """Return `count` images of the source, each as images_13HW in [0, 1]."""
    counted_maps = (source.image(index) for index in spread_evenly(len(source), count))
    return [torch.tensor(image).permute(2, 0, 1)[None].float() / 255 for image in counted_maps]


@dataclass(frozen=True)
class Advice:
    """What was found; `text` says it."""

    source: str
    maps: int
    images: int
    objects: Objects
    candidates: tuple[Candidate, ...]
    """By the size of their field."""
    trained: bool

    @property
    def best(self) -> Candidate:
        """The cheapest of those whose field holds nearly as much as the largest."""
        most = max(one.held for one in self.candidates)
        return min((one for one in self.candidates if one.held >= most - ENOUGH), key=lambda one: one.multiply_adds)

    @property
    def maps_of_levels(self) -> list[tuple[int, int]]:
        """Cells of res-2 .. res-5, down and across, for an image of the median size."""
        height, width = (-(-length // STRIDE) * STRIDE for length in (self.objects.height, self.objects.width))
        return [(height // stride, width // stride) for stride in STRIDES]

    def to_json(self) -> dict[str, Any]:
        """Return all numbers as JSON values."""
        objects = self.objects
        return {
            "data": self.source,
            "label_maps": self.maps,
            "images": self.images,
            "objects": len(objects.sides),
            "height": objects.height,
            "width": objects.width,
            "maps": [list(size) for size in self.maps_of_levels],
            "object_side_percentiles": {str(p): round(objects.percentile(p), 1) for p in PERCENTILES},
            "trained": self.trained,
            "networks": [vars(one) for one in self.candidates],
            "advice": self.sentence(),
        }

    def text(self) -> str:
        """Return the table and what follows from it."""
        objects, (rows, columns) = self.objects, self.maps_of_levels[-1]
        low, middle, high = (round(objects.percentile(percent)) for percent in PERCENTILES)
        counted_maps = f"{self.maps:,} label maps of about {objects.width}x{objects.height} pixels"
        half = f"side of the object that a pixel lies in (square root of its area): {middle} for half of the pixels"
        head = [
            f"{self.source}: {len(objects.sides):,} objects in {counted_maps}; res-5 has {columns}x{rows} cells",
            f"{half}, {low} to {high} for the middle 80 %",
        ]
        return "\n".join([*head, "", *self._table(), "", *self._notes(), self.sentence()])

    def _table(self) -> list[str]:
        cells = [
            ("network", "k", "field", "holds the objects of", "multiply-adds", "weights"),
            *(
                (one.name, _k(one), f"{one.side:.0f}", f"{one.held:.0%} of pixels", f"{one.multiply_adds / 1e9:.2f} G",
                 f"{one.weights / 1e6:.2f} M")
                for one in self.candidates
            ),
        ]  # fmt: skip
        return align_columns(cells)

    def _notes(self) -> list[str]:
        notes = [
            f"field: side of the effective receptive field, by gradients at the middle of {self.images} images",
            *(f"{one.name}: larger than the map of {self._padded(one)}: much of that kernel sees padding"
              for one in self.candidates if self._padded(one)),
        ]  # fmt: skip
        if not self.trained:
            notes.append("these networks are untrained, and training changes fields: name run folders to measure yours")
        return notes

    def _padded(self, one: Candidate) -> str:
        """Return the levels whose map is smaller than the kernel."""
        levels = zip(LEVELS, one.kernel_sizes, self.maps_of_levels, strict=True)
        return " and ".join(f"{level} ({size[1]}x{size[0]})" for level, k, size in levels if k > max(size))

    def sentence(self) -> str:
        """Return one sentence of advice that follows from the numbers."""
        best, largest = self.best, max(self.candidates, key=lambda one: one.held)
        if largest.held < ENOUGH:
            most = f"{largest.name}, the largest, those of {largest.held:.0%} of the pixels"
            return f"advice: none of these, whose fields are smaller than the objects ({most}); try a larger k"
        said = f"advice: {best.name}, whose field holds the objects of {best.held:.0%} of the pixels"
        if largest is not best and largest.multiply_adds > best.multiply_adds:
            ratio = largest.multiply_adds / best.multiply_adds
            said += f"; {largest.name} would hold {largest.held:.0%} for {ratio:.2f} times its multiply-adds"
        elif best.held < 1 - ENOUGH:
            said += "; the objects of the rest are larger than every field here: try a larger k, or smaller images"
        return said


def _k(one: Candidate) -> str:
    """Return k once where it is the same at all levels."""
    return " ".join(map(str, one.kernel_sizes if len(set(one.kernel_sizes)) > 1 else one.kernel_sizes[:1]))

"""Which kernel size a data set asks for: sizes of its objects against the fields of networks, and what those cost.

An object is a region of one class in a label map whose pixels touch along an edge. Its side is the square root of its
area in pixels.

Shapes: N images of H x W pixels.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from globalconv.arrays import Float64Array, Int64Array, Uint8Array
from globalconv.cost.count import network_cost
from globalconv.data.source import Source, spread_evenly
from globalconv.errors import InputError
from globalconv.geometry import STRIDE
from globalconv.labels import IGNORE
from globalconv.model.backbone import STRIDES
from globalconv.receptive_field.gradient import effective_receptive_field
from globalconv.receptive_field.size import field_size
from globalconv.runtime.progress import Progress
from globalconv.runtime.text import align_columns, printable

ENOUGH = 0.05
"""A smaller field is advised where a larger one would hold the objects of less than this share of pixels more."""

PERCENTILES = (10, 50, 90)

LEVELS = ("res-2", "res-3", "res-4", "res-5")


@dataclass(frozen=True)
class ObjectSizes:
    """The sizes of the objects of a data set, and the median size of its images."""

    sides: Float64Array
    """Side of each object in pixels, ascending."""
    height: int
    """Median height of the images."""
    width: int

    def held_by(self, side: float) -> float:
        """Return the share of pixels whose object's side is at most `side`."""
        areas = self.sides**2
        return float(areas[self.sides <= side].sum() / areas.sum())

    def percentile(self, percent: float) -> float:
        """Return the side that the objects of `percent` of the pixels do not exceed."""
        running = np.cumsum(self.sides**2)
        return float(self.sides[np.searchsorted(running, percent / 100 * running[-1])])


def measure_objects(source: Source, limit: int) -> ObjectSizes:
    """Return the sizes of the objects of up to `limit` label maps, evenly spread over `source`."""
    areas, shapes = [], []
    indices = spread_evenly(len(source), limit)
    with Progress("label maps", len(indices), "maps") as progress:
        for done, index in enumerate(indices, 1):
            label_map = source.label_map(index)
            areas.append(object_areas(label_map))
            shapes.append(label_map.shape)
            progress.update(done)
    sides = np.sort(np.sqrt(np.concatenate(areas)))
    if not sides.size:
        raise InputError(f"{source.name}: no pixel of {len(indices)} label maps has a class; nothing can be advised")
    height, width = np.median(shapes, axis=0).round().astype(int).tolist()
    return ObjectSizes(sides, height, width)


def object_areas(label_map: Uint8Array) -> Int64Array:
    """Return the pixels of every object of a label map (H, W); void is none."""
    from globalconv.evaluation.region_kernels import object_areas as area_of_each_pixel  # imports numba

    areas, pixels = np.unique(area_of_each_pixel(label_map)[label_map != IGNORE], return_counts=True)
    return np.repeat(areas, pixels // areas).astype(np.int64)


@dataclass(frozen=True)
class MeasuredNetwork:
    """A network, its effective receptive field, and its cost for an image of the median size."""

    name: str
    kernel_sizes: tuple[int, ...]
    """k of res-2 .. res-5."""
    side: float
    """Of the effective field: see `FieldSize.side`."""
    held: float
    """Share of the pixels whose object is not larger than the field."""
    weights: int
    multiply_adds: int


def measure_network(
    name: str, network: nn.Module, kernel_sizes: Sequence[int], images: Sequence[Tensor], objects: ObjectSizes
) -> MeasuredNetwork:
    """Measure a network: its mean |gradient| at the middle of `images` (images_13HW), of all classes, and its cost."""
    side = field_size(effective_receptive_field(network, images)).side
    cost = network_cost(network, objects.height, objects.width)
    held = objects.held_by(side)
    return MeasuredNetwork(name, tuple(kernel_sizes), side, held, cost.weights, cost.multiply_adds)


def sample_images(source: Source, count: int) -> list[Tensor]:
    """Return `count` images evenly spread over `source`, each as images_13HW in [0, 1]."""
    images = (source.image(index) for index in spread_evenly(len(source), count))
    return [torch.tensor(image).permute(2, 0, 1)[None].float() / 255 for image in images]


@dataclass(frozen=True)
class KernelAdvice:
    """Objects and networks measured, and the advice that follows; `text` is for a person."""

    source: str
    maps: int
    images: int
    objects: ObjectSizes
    networks: tuple[MeasuredNetwork, ...]
    """By the size of their field."""
    trained: bool

    @property
    def best(self) -> MeasuredNetwork:
        """The cheapest network whose field holds nearly as much as the largest."""
        largest = max(network.held for network in self.networks)
        enough = [network for network in self.networks if network.held >= largest - ENOUGH]
        return min(enough, key=lambda network: network.multiply_adds)

    def level_sizes(self) -> list[tuple[int, int]]:
        """Return the cells of res-2 .. res-5, down and across, for an image of the median size."""
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
            "maps": [list(size) for size in self.level_sizes()],
            "object_side_percentiles": {str(p): round(objects.percentile(p), 1) for p in PERCENTILES},
            "trained": self.trained,
            "networks": [vars(network) for network in self.networks],
            "advice": self.sentence(),
        }

    def text(self) -> str:
        """Return the table, notes about it, and the advice."""
        objects, level_sizes = self.objects, self.level_sizes()
        low, middle, high = (round(objects.percentile(percent)) for percent in PERCENTILES)
        data = (
            f"{self.source}: {len(objects.sides):,} objects in {self.maps:,} label maps of about"
            f" {objects.width}x{objects.height} pixels; res-5 has {level_sizes[-1][1]}x{level_sizes[-1][0]} cells"
        )
        sides = (
            f"side of the object that a pixel lies in (square root of its area): {middle} for half of the pixels,"
            f" {low} to {high} for the middle 80 %"
        )
        rows = [("network", "k", "field", "holds the objects of", "multiply-adds", "weights")]
        notes = [f"field: side of the effective receptive field, by gradients at the middle of {self.images} images"]
        for network in self.networks:
            sizes = network.kernel_sizes
            k = str(sizes[0]) if len(set(sizes)) == 1 else " ".join(map(str, sizes))
            rows.append((
                network.name, k, f"{network.side:.0f}", f"{network.held:.0%} of pixels",
                f"{network.multiply_adds / 1e9:.2f} G", f"{network.weights / 1e6:.2f} M",
            ))  # fmt: skip
            padded = [
                f"{level} ({across}x{down})"
                for level, size, (down, across) in zip(LEVELS, sizes, level_sizes, strict=True)
                if size > max(down, across)
            ]
            if padded:
                notes.append(
                    f"{network.name}: larger than the map of {' and '.join(padded)}: much of that kernel sees padding"
                )
        if not self.trained:
            notes.append("these networks are untrained, and training changes fields: name run folders to measure yours")
        return "\n".join(
            [printable(data), sides, "", *align_columns(rows), "", *map(printable, [*notes, self.sentence()])]
        )

    def sentence(self) -> str:
        """Return the advice in one sentence."""
        best, largest = self.best, max(self.networks, key=lambda network: network.held)
        if largest.held < ENOUGH:
            most = f"{largest.name}, the largest, those of {largest.held:.0%} of the pixels"
            return f"advice: none of these, whose fields are smaller than the objects ({most}); try a larger k"
        sentence = f"advice: {best.name}, whose field holds the objects of {best.held:.0%} of the pixels"
        if largest is not best and largest.multiply_adds > best.multiply_adds:
            ratio = largest.multiply_adds / best.multiply_adds
            sentence += f"; {largest.name} would hold {largest.held:.0%} for {ratio:.2f} times its multiply-adds"
        elif best.held < 1 - ENOUGH:
            sentence += "; the objects of the rest are larger than every field here: try a larger k, or smaller images"
        return sentence

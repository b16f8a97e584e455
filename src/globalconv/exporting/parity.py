"""The parity report: the same images through a network and through the file that was made of it.

Shapes: N images, K classes, H x W pixels.
"""

import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from globalconv.arrays import Uint8Array
from globalconv.data.source import Source, spread_evenly
from globalconv.errors import InputError
from globalconv.evaluation.bootstrap import Interval, difference_interval
from globalconv.evaluation.confusion import ConfusionMatrix
from globalconv.infer.predictor import Predictor

LEAST_IMAGES = 20

EQUAL_PIXELS, LARGEST_DIFFERENCE = 0.9999, 1e-3
"""What a file of float32 has to reach: the share of pixels of equal class, the largest difference of a probability."""

EQUAL_PIXELS_ROUNDED = 0.95
"""Share of equal pixels below which a file of a lower precision is refused where no labels tell what it costs."""


@dataclass(frozen=True)
class ParityReport:
    """How far a file agrees with its network, over `images` images of odd sizes."""

    data: str
    """Where the images came from."""
    images: int
    precision: str
    equal_pixels: float
    """Share of the pixels with the same class."""
    largest_difference: float | None
    """Of two probabilities; None where the file has none."""
    least_equal: list[str]
    """The images with the fewest equal pixels, fewest first; none where all pixels are equal."""
    miou_network: float | None
    """None where the images have no labels."""
    miou_file: float | None
    interval: Interval | None
    """Of 95 %, of the file's mIoU less the network's; None below eight images."""
    network_ms: float
    """Median for an image, of the network in float32 as it is written."""
    file_ms: float
    runtime: str
    bytes: int = 0
    """Size of the file, with that of its weights."""
    float32_layers: str | None = None
    """Of int8: how many convolutions compute in float32, of how many."""

    def failure(self, max_drop: float) -> str | None:
        """Return why the file is not to be used, None where it agrees; `max_drop` is in points of mIoU."""
        if self.precision == "float32":
            if self.equal_pixels < EQUAL_PIXELS:
                return f"{self.equal_pixels:.4%} of the pixels have the class of the network, at least 99.99 % have to"
            if self.largest_difference is not None and not self.largest_difference <= LARGEST_DIFFERENCE:  # nor is NaN
                return f"probabilities differ by up to {self.largest_difference:.2g}, at most {LARGEST_DIFFERENCE} may"
            return None
        if self.miou_file is None or self.miou_network is None:
            low = self.equal_pixels < EQUAL_PIXELS_ROUNDED
            return f"{self.equal_pixels:.2%} of the pixels have the class of the network" if low else None
        drop = 100 * (self.miou_network - self.miou_file)
        return f"mIoU drops by {drop:.2f} points, by `max_drop` {max_drop:g} it may" if not drop <= max_drop else None

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    def lines(self) -> list[str]:
        """Return the report for a terminal."""
        differences = "" if self.largest_difference is None else f", probabilities to {self.largest_difference:.1g}"
        images = f"{self.images} image{'s' if self.images != 1 else ''} of {self.data}"
        lines = [f"parity on {images}: {self.equal_pixels:.4%} equal pixels{differences}"]
        if self.miou_network is not None and self.miou_file is not None:
            points = 100 * (self.miou_file - self.miou_network)
            ends = (
                ""
                if self.interval is None
                else f", 95 % {100 * self.interval[0]:+.2f} to {100 * self.interval[1]:+.2f}"
            )
            lines.append(f"mIoU {self.miou_network:.4f} -> {self.miou_file:.4f} ({points:+.2f} points{ends})")
        ratio = self.network_ms / self.file_ms
        lines.append(
            f"an image takes {self.file_ms:.0f} ms ({self.runtime}), the network as written {self.network_ms:.0f} ms"
            f" (float32), {ratio:.2g} times as long; {self.bytes / 1e6:.1f} MB"
        )
        if self.float32_layers is not None:
            lines.append(f"{self.float32_layers} convolutions kept in float32")
        return lines


@dataclass(frozen=True)
class ParityImages:
    """Images that a network and its file are compared on: at most `most`, or 20, of a source, evenly spread."""

    source: Source
    labelled: bool
    most: int

    @property
    def indices(self) -> list[int]:
        return spread_evenly(len(self.source), max(self.most, LEAST_IMAGES))

    def __iter__(self) -> Iterator[tuple[str, Uint8Array, Uint8Array | None]]:
        """Yield name, image and label map of each; the last row and column are cut where their number is even."""
        for index in self.indices:
            image = self.source.image(index)
            odd = tuple(slice(0, max(1, size - (size % 2 == 0))) for size in image.shape[:2])
            label_map = self.source.label_map(index)[odd] if self.labelled else None
            yield self.source.sample_name(index), np.ascontiguousarray(image[odd]), label_map


def compare_predictors(
    network: Predictor, file: Predictor, images: ParityImages, probabilities: bool, on_image: Callable[[int], object]
) -> ParityReport:
    """Return how far `file` agrees with `network`; both see each image whole. `on_image` gets the number done."""
    equal: list[tuple[float, str]] = []
    pixels = same = 0
    largest = 0.0 if probabilities else None
    overlaps: list[list[Any]] = [[], []]
    totals = [ConfusionMatrix(network.labels.num_classes) for _ in range(2)]
    seconds: list[list[float]] = [[], []]
    for number, (name, image, label_map) in enumerate(images, 1):
        class_maps = []
        for predictor, taken in zip((network, file), seconds, strict=True):
            start = time.perf_counter()
            class_maps.append(predictor.class_map(image))
            taken.append(time.perf_counter() - start)
        agrees_HW = class_maps[0] == class_maps[1]
        equal.append((float(agrees_HW.mean()), name))
        pixels, same = pixels + agrees_HW.size, same + int(agrees_HW.sum())
        if largest is not None:
            expected, found = (predictor(image, probabilities=True).probabilities for predictor in (network, file))
            assert expected is not None
            assert found is not None
            largest = float(np.maximum(largest, np.abs(expected - found).max()))  # NaN stays
        if label_map is not None:
            for class_map, total, counts in zip(class_maps, totals, overlaps, strict=True):
                matrix = ConfusionMatrix(network.labels.num_classes)
                matrix.update(class_map, label_map)
                total.counts += matrix.counts
                counts.append(matrix.overlap())
        on_image(number)
    if not equal:
        raise InputError(f"{images.source.name}: holds no image to compare the file on")
    scored = totals[0].counts.any()
    interval = None
    if scored:
        (hits_NK, unions_NK), file_counts = (np.array(counts).swapaxes(0, 1) for counts in overlaps)
        interval = difference_interval((hits_NK, unions_NK), (file_counts[0], file_counts[1]))
    return ParityReport(
        data=images.source.name,
        images=len(equal),
        precision=file.precision,
        equal_pixels=same / pixels,
        largest_difference=largest,
        least_equal=[name for share, name in sorted(equal)[:5] if share < 1],
        miou_network=totals[0].miou() if scored else None,
        miou_file=totals[1].miou() if scored else None,
        interval=interval,
        network_ms=1000 * float(np.median(seconds[0])),
        file_ms=1000 * float(np.median(seconds[1])),
        runtime=file.description,
    )

"""The data set in numbers: frequencies and object sizes per class, image sizes, and the settings they suggest."""

import statistics
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from globalconv.data.checks.sample import Facts
from globalconv.data.class_weights import ClassPixels, compute_class_weights
from globalconv.geometry import STRIDE
from globalconv.labels import IGNORE, LabelSpace

PAPER_KERNEL, MAX_CROP = 15, 512
"""The paper's k and the side of its crops: the largest that are suggested."""

IMBALANCE = 10
"""Ratio of the commonest to the rarest class from which class weights are suggested."""


@dataclass(frozen=True)
class ClassFacts:
    """One class in numbers."""

    name: str
    share: float
    """Of the pixels that count."""
    images: int
    objects: int
    typical_size: float
    """Square root of the area of the connected part in which the median one of its pixels lies, in pixels: half of the
    class's pixels belong to parts that are no larger, so that specks, however many, do not decide."""
    weight: float
    """Its weight in the loss with the class weights that are suggested."""


@dataclass(frozen=True)
class Summary:
    """A data set in numbers, and the settings they suggest."""

    images: dict[str, int]
    """Per split."""
    sizes: list[tuple[tuple[int, int], int]]
    """(width, height) and how many images have it, commonest first."""
    void_share: float
    void_images: int
    """Images with void in them."""
    classes: list[ClassFacts]
    crop: tuple[int, int]
    """Suggested height and width of training crops."""
    kernel_size: int
    class_weights: str
    reasons: tuple[str, str, str]
    """Why this crop, this kernel and these weights."""

    def to_json(self) -> dict[str, Any]:
        return {
            "images": self.images,
            "sizes": [{"width": w, "height": h, "images": count} for (w, h), count in self.sizes],
            "void_share": self.void_share,
            "void_images": self.void_images,
            "classes": [vars(facts) for facts in self.classes],
            "suggested": {"crop": self.crop, "kernel_size": self.kernel_size, "class_weights": self.class_weights},
            "reasons": dict(zip(("crop", "kernel_size", "class_weights"), self.reasons, strict=True)),
        }


def summarise(samples: Sequence[Facts], labels: LabelSpace) -> Summary:
    """Return the numbers of all samples that could be read."""
    pixels: Counter[int] = Counter()
    for sample in samples:
        pixels.update(sample.pixels or {})
    valid = sum(count for value, count in pixels.items() if value != IGNORE)

    occurring = [pixels[value] for value in range(labels.num_classes) if pixels[value]]
    ratio = max(occurring, default=1) / min(occurring, default=1)
    class_weights = "sqrt-median" if ratio > IMBALANCE else "none"
    weights = _class_weights(samples, labels.num_classes, class_weights)
    classes = []
    for value, name in enumerate(labels.class_names):
        parts: Counter[int] = Counter()
        for sample in samples:
            parts.update((sample.parts or {}).get(value, {}))
        images = sum(value in (sample.pixels or {}) for sample in samples)
        size = round(_typical_size(parts), 1)
        share = pixels[value] / max(1, valid)
        classes.append(ClassFacts(name, share, images, parts.total(), size, round(weights[value], 2)))

    sizes = Counter(sample.size for sample in samples if sample.size)
    crop, crop_reason = _suggest_crop([size for size, count in sizes.items() for _ in range(count)])
    # The kernel that connects the ends of a crop, and no larger one.
    cells = max(crop) // STRIDE
    kernel_size = max(3, min(PAPER_KERNEL, cells - (cells + 1) % 2))
    kernel_reason = f"a crop is {cells} cells of the coarsest features ({STRIDE} pixels) long; odd, 3 to {PAPER_KERNEL}"
    return Summary(
        images=dict(Counter(sample.split for sample in samples)),
        sizes=sizes.most_common(),
        void_share=pixels[IGNORE] / max(1, valid + pixels[IGNORE]),
        void_images=sum(IGNORE in (sample.pixels or ()) for sample in samples),
        classes=classes,
        crop=crop,
        kernel_size=kernel_size,
        class_weights=class_weights,
        reasons=(crop_reason, kernel_reason, f"the commonest class has {ratio:.3g} times the pixels of the rarest"),
    )


def _typical_size(parts: Mapping[int, int]) -> float:
    """Return the side of the part in which the median pixel lies; `parts` says how many there are of each area."""
    areas = np.array(sorted(parts), np.int64)
    if not areas.size:
        return 0.0
    running = np.cumsum(areas * [parts[area] for area in areas.tolist()])
    return float(np.sqrt(areas[np.searchsorted(running, running[-1] / 2)]))


def _class_weights(samples: Sequence[Facts], num_classes: int, kind: str) -> list[float]:
    """Return the weights that training would compute: from its own split, where there is one."""
    train = [sample.pixels for sample in samples if sample.pixels and sample.split == "train"]
    class_pixels = ClassPixels(num_classes)
    for pixels in train or [sample.pixels or {} for sample in samples]:
        class_pixels.add(np.array([pixels.get(value, 0) for value in range(num_classes)]))
    return [float(weight) for weight in compute_class_weights(class_pixels, kind)]


def _suggest_crop(sizes: Sequence[tuple[int, int]]) -> tuple[tuple[int, int], str]:
    """Return (height, width) and the reason: two thirds of the median image, so that crops vary and fit into images.

    In whole cells of the coarsest features, and at most the paper's side.
    """
    if not sizes:
        return (MAX_CROP // 2, MAX_CROP // 2), "no image could be read"
    sides = (statistics.median(height for _, height in sizes), statistics.median(width for width, _ in sizes))
    height, width = (max(2 * STRIDE, min(MAX_CROP, round(side * 2 / 3 / STRIDE) * STRIDE)) for side in sides)
    reason = f"two thirds of the median image, {sides[1]:.0f}x{sides[0]:.0f}, from {2 * STRIDE} to {MAX_CROP}"
    return (height, width), f"height and width: {reason}"

"""The data set in numbers: frequencies and object sizes per class, image sizes, and what they suggest."""

import statistics
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from globalconv.data.checks.sample import Facts
from globalconv.data.class_weights import ClassPixels, compute_class_weights
from globalconv.geometry import STRIDE
from globalconv.labels import IGNORE, LabelSpace

PAPER_KERNEL, CROP_LIMIT = 15, 512
"""The paper's k and the side it trains at: where suggestions end."""

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
    """Square root of the median area of its connected parts, in pixels."""
    weight: float
    """In the loss, by the class weights that are suggested."""


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

    def options(self) -> list[tuple[str, str]]:
        """Return the suggestions as options of `globalconv train`, each with its reason."""
        options = (
            f"--data.augmentation.crop {self.crop[0]} {self.crop[1]}",
            f"--model.kernel-size {self.kernel_size}",
            f"--optim.class-weights {self.class_weights}",
        )
        return list(zip(options, self.reasons, strict=True))

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
    sizes = Counter(sample.size for sample in samples if sample.size)
    pixels: Counter[int] = Counter()
    for sample in samples:
        pixels.update(sample.pixels or {})
    counted = sum(count for value, count in pixels.items() if value != IGNORE)
    uneven, why_weights = _imbalance([pixels[value] for value in range(labels.num_classes)])
    weighting = "sqrt-median" if uneven else "none"
    weights = _weights(samples, labels.num_classes, weighting)
    classes = [
        _class(value, name, samples, pixels[value] / max(1, counted), weights[value])
        for value, name in enumerate(labels.class_names)
    ]
    crop, why_crop = _crop([size for size, count in sizes.items() for _ in range(count)])
    kernel_size, why_kernel = _kernel_size(crop)
    return Summary(
        images=dict(Counter(sample.split for sample in samples)),
        sizes=sizes.most_common(),
        void_share=pixels[IGNORE] / max(1, counted + pixels[IGNORE]),
        void_images=sum(IGNORE in (sample.pixels or ()) for sample in samples),
        classes=classes,
        crop=crop,
        kernel_size=kernel_size,
        class_weights=weighting,
        reasons=(why_crop, why_kernel, why_weights),
    )


def _class(value: int, name: str, samples: Sequence[Facts], share: float, weight: float) -> ClassFacts:
    areas = [area for sample in samples for area in (sample.objects or {}).get(value, ())]
    images = sum(value in (sample.pixels or {}) for sample in samples)
    typical = float(np.sqrt(statistics.median(areas))) if areas else 0.0
    return ClassFacts(name, share, images, len(areas), round(typical, 1), round(weight, 2))


def _weights(samples: Sequence[Facts], classes: int, weighting: str) -> list[float]:
    """Return the weights that training would compute: from its own split, where there is one."""
    train = [sample.pixels for sample in samples if sample.pixels and sample.split == "train"]
    class_pixels = ClassPixels(classes)
    for pixels in train or [sample.pixels or {} for sample in samples]:
        class_pixels.add(np.array([pixels.get(value, 0) for value in range(classes)]))
    return [float(weight) for weight in compute_class_weights(class_pixels, weighting)]


def _imbalance(pixels: Sequence[int]) -> tuple[bool, str]:
    """Say whether classes are so uneven that weights help, and how uneven."""
    occurring = [count for count in pixels if count]
    ratio = max(occurring, default=1) / min(occurring, default=1)
    return ratio > IMBALANCE, f"the commonest class has {ratio:.3g} times the pixels of the rarest"


def _crop(sizes: Sequence[tuple[int, int]]) -> tuple[tuple[int, int], str]:
    """Return two thirds of the median image, in whole cells and at most the paper's side: crops vary, and fit."""
    if not sizes:
        return (CROP_LIMIT // 2, CROP_LIMIT // 2), "no image could be read"
    sides = (statistics.median(height for _, height in sizes), statistics.median(width for width, _ in sizes))
    height, width = (max(2 * STRIDE, min(CROP_LIMIT, round(side * 2 / 3 / STRIDE) * STRIDE)) for side in sides)
    why = f"two thirds of the median image, {sides[1]:.0f}x{sides[0]:.0f}, from {2 * STRIDE} to {CROP_LIMIT}"
    return (height, width), f"height and width: {why}"


def _kernel_size(crop: tuple[int, int]) -> tuple[int, str]:
    """Return the kernel that reaches over a crop: large enough to connect its ends, and no larger."""
    cells = max(crop) // STRIDE
    size = max(3, min(PAPER_KERNEL, cells - (cells + 1) % 2))
    return size, f"a crop is {cells} cells of the coarsest features ({STRIDE} pixels) long; odd, 3 to {PAPER_KERNEL}"

"""The data set in numbers: frequencies and object sizes per class, picture sizes, and what they suggest."""

import statistics
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from globalconv.data.check.examine import Facts
from globalconv.labels import IGNORE, LabelSpace

COARSEST = 32
"""Stride of the coarsest features: sizes in cells of it are what a kernel there spans."""

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


@dataclass(frozen=True)
class Summary:
    """A data set in numbers, and the settings they suggest."""

    images: dict[str, int]
    """Per split."""
    sizes: list[tuple[tuple[int, int], int]]
    """(width, height) and how many pictures have it, commonest first."""
    void_share: float
    classes: list[ClassFacts]
    crop: tuple[int, int]
    """Suggested height and width of training crops."""
    kernel_size: int
    class_weights: str

    def options(self) -> str:
        """Return the suggestions as options of `globalconv train`."""
        return (
            f"--data.augmentation.crop {self.crop[0]} {self.crop[1]} --model.kernel-size {self.kernel_size}"
            f" --optim.class-weights {self.class_weights}"
        )

    def to_json(self) -> dict[str, Any]:
        return {
            "images": self.images,
            "sizes": [{"width": w, "height": h, "images": count} for (w, h), count in self.sizes],
            "void_share": self.void_share,
            "classes": [vars(facts) for facts in self.classes],
            "suggested": {"crop": self.crop, "kernel_size": self.kernel_size, "class_weights": self.class_weights},
        }


def summarise(samples: Sequence[Facts], labels: LabelSpace) -> Summary:
    """Return the numbers of all samples that could be read."""
    sizes = Counter(sample.size for sample in samples if sample.size)
    pixels: Counter[int] = Counter()
    for sample in samples:
        pixels.update(sample.pixels or {})
    counted = sum(count for value, count in pixels.items() if value != IGNORE)
    classes = [_class(value, name, samples, pixels, counted) for value, name in enumerate(labels.class_names)]
    crop = _crop([size for size, count in sizes.items() for _ in range(count)])
    shares = [facts.share for facts in classes if facts.share > 0]
    uneven = bool(shares) and max(shares) > IMBALANCE * min(shares)
    return Summary(
        images=dict(Counter(sample.split for sample in samples)),
        sizes=sizes.most_common(5),
        void_share=pixels[IGNORE] / max(1, counted + pixels[IGNORE]),
        classes=classes,
        crop=crop,
        kernel_size=_odd(min(PAPER_KERNEL, max(crop) // COARSEST)),
        class_weights="sqrt-median" if uneven else "none",
    )


def _class(value: int, name: str, samples: Sequence[Facts], pixels: Counter[int], counted: int) -> ClassFacts:
    areas = [area for sample in samples for area in (sample.objects or {}).get(value, ())]
    images = sum(value in (sample.pixels or {}) for sample in samples)
    typical = float(np.sqrt(statistics.median(areas))) if areas else 0.0
    return ClassFacts(name, pixels[value] / max(1, counted), images, len(areas), round(typical, 1))


def _crop(sizes: Sequence[tuple[int, int]]) -> tuple[int, int]:
    """Return two thirds of the median picture, in whole cells and at most the paper's side: crops vary, and fit."""
    if not sizes:
        return (CROP_LIMIT // 2, CROP_LIMIT // 2)
    sides = (statistics.median(height for _, height in sizes), statistics.median(width for width, _ in sizes))
    height, width = (max(2 * COARSEST, min(CROP_LIMIT, round(side * 2 / 3 / COARSEST) * COARSEST)) for side in sides)
    return (height, width)


def _odd(number: int) -> int:
    """Return the largest odd number up to `number`, at least 3: a kernel that spans the crop's coarsest cells."""
    return max(3, number - (number + 1) % 2)

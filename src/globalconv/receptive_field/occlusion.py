"""The valid receptive field by occlusion (Zhou et al. 2015), as the paper's Figure 3 shows it.

Shapes: H x W pixels, B copies of the image at once.
"""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import product

import numpy as np
import torch
from torch import Tensor, nn

from globalconv.arrays import BoolArray, Float64Array
from globalconv.errors import InputError
from globalconv.receptive_field.target import Layer, Position, channel_in, evaluating, output_map, position_in

Window = tuple[slice, slice]


@dataclass(frozen=True)
class Occluders:
    """What hides parts of the image."""

    size: int = 11
    """Side of an occluder, in pixels; the paper's is 11."""
    count: int = 5000
    """About how many: the stride of their grid is chosen for it. The paper has about 5,000, at stride 3."""
    seed: int = 0
    """Of the random colours that fill them."""

    def __post_init__(self) -> None:
        if self.size < 1:
            raise InputError(f"occluder={self.size}: an occluder is at least 1 pixel wide")
        if self.count < 1:
            raise InputError(f"occluders={self.count}: give at least 1")

    def stride(self, height: int, width: int) -> int:
        """Return the stride whose grid over an image of this size has nearly `count` occluders."""
        stride = min(range(1, max(height, width) + 1), key=lambda s: abs(-(-height // s) * -(-width // s) - self.count))
        if stride > self.size:
            least = -(-height // self.size) * -(-width // self.size)
            raise InputError(
                f"occluders={self.count}: on {width}x{height} pixels so few leave gaps between occluders of"
                f" {self.size}; give at least {least}, or larger ones"
            )
        return stride

    def windows(self, height: int, width: int) -> list[Window]:
        """Return what each occluder hides: centres on a grid over the whole image, cut off at its edge."""
        stride = self.stride(height, width)
        places = [
            [slice(max(0, start), min(length, start + self.size)) for start in self._starts(length, stride)]
            for length in (height, width)
        ]
        return list(product(*places))

    def _starts(self, length: int, stride: int) -> range:
        first = ((length - 1) % stride + 1) // 2 - self.size // 2  # what the grid leaves over is shared by both edges
        return range(first, length - self.size // 2, stride)


THRESHOLD = 0.1
"""Share of the largest discrepancy from which a pixel belongs to the valid receptive field; the papers give none."""


@dataclass(frozen=True)
class ValidField:
    """What one score depends on, in one image."""

    discrepancy_HW: Float64Array
    """How much the score changes where a pixel is hidden; see `discrepancy_map`."""
    region_HW: BoolArray
    """The valid receptive field: where that is at least a share of its largest value."""


def valid_receptive_field(
    network: nn.Module,
    image_3HW: Tensor,
    at: Position,
    channel: int,
    threshold: float = THRESHOLD,
    occluders: Occluders | None = None,
    layer: Layer = None,
    batch_size: int = 16,
    on_batch: Callable[[int, int], None] | None = None,
) -> ValidField:
    """Return the valid receptive field of the score `channel` of the cell `at` (Zhou et al. 2015; Figure 3).

    See `discrepancy_map` for what is measured and which choices were made, `valid_region` for the threshold.
    """
    discrepancy_HW = discrepancy_map(network, image_3HW, at, channel, occluders, layer, batch_size, on_batch)
    return ValidField(discrepancy_HW, valid_region(discrepancy_HW, threshold))


def discrepancy_map(
    network: nn.Module,
    image_3HW: Tensor,
    at: Position,
    channel: int,
    occluders: Occluders | None = None,
    layer: Layer = None,
    batch_size: int = 16,
    on_batch: Callable[[int, int], None] | None = None,
) -> Float64Array:
    """Return how much the score `channel` of the cell `at` changes where a pixel (H, W) is hidden.

    Each occluder stands for one copy of the image; its discrepancy is the absolute change of the score (a logit, before
    any softmax). A pixel's value is the mean discrepancy of all occluders that hide it, so values reach up to an
    occluder's side less one beyond the theoretical field; farther out there is nothing but rounding. Occluders are
    filled with random colours, uniform between the image's darkest and brightest value of each channel. `image_3HW`
    holds floats as the network takes them, on its device; `on_batch(done, total)` is called after every batch.

    Choices where Zhou et al. and the paper are silent: the colours, the mean, the absolute value of one logit, and
    occluders at the image's edge that are cut off, so that every pixel is hidden by some.
    """
    windows = (occluders := occluders or Occluders()).windows(*image_3HW.shape[-2:])
    total, count = (np.zeros(tuple(image_3HW.shape[-2:])) for _ in range(2))
    generator = torch.Generator().manual_seed(occluders.seed)
    with evaluating(network), torch.inference_mode():
        for start in range(0, len(windows), batch_size):
            some = windows[start : start + batch_size]
            map_NChw = output_map(network, _hidden(image_3HW, some, generator), layer)
            row, column = position_in(map_NChw, at)
            scores = map_NChw[:, channel_in(map_NChw, channel), row, column].double().cpu().numpy()
            for window, score in zip(some, scores[1:], strict=True):
                total[window] += abs(score - scores[0])
                count[window] += 1
            if on_batch is not None:
                on_batch(start + len(some), len(windows))
    return total / count


def valid_region(discrepancy_HW: Float64Array, threshold: float) -> BoolArray:
    """Return the pixels (H, W) whose value is at least the share `threshold` of the largest; none where all are 0."""
    if not 0 < threshold <= 1:
        raise InputError(f"threshold={threshold}: give a share of the largest value, above 0 and at most 1")
    peak = discrepancy_HW.max()
    return np.asarray((discrepancy_HW >= threshold * peak) & (peak > 0))


def _hidden(image_3HW: Tensor, windows: list[Window], generator: torch.Generator) -> Tensor:
    """Return images_B3HW: the image itself, whose score is then rounded as the others', and a copy per window."""
    low_311, high_311 = image_3HW.amin((1, 2))[:, None, None], image_3HW.amax((1, 2))[:, None, None]
    images_B3HW = image_3HW.repeat(1 + len(windows), 1, 1, 1)
    for copy_3HW, window in zip(images_B3HW[1:], windows, strict=True):
        height, width = (place.stop - place.start for place in window)
        noise_3hw = torch.rand(3, height, width, generator=generator).to(image_3HW)
        copy_3HW[:, window[0], window[1]] = low_311 + noise_3hw * (high_311 - low_311)
    return images_B3HW

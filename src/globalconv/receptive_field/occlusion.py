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
from globalconv.cost.count import in_mode
from globalconv.errors import InputError
from globalconv.receptive_field.target import Layer, Position, check_channel, position_in, select_map


@dataclass(frozen=True)
class Occluders:
    """Squares of random colours that hide parts of the image, one in each copy of it."""

    size: int = 11
    """Side of an occluder in pixels; the paper's is 11."""
    count: int = 5000
    """About how many: the stride of their grid is chosen for it. The paper has about 5,000, at stride 3."""
    seed: int = 0
    """Of the random colours."""

    def __post_init__(self) -> None:
        if self.size < 1:
            raise InputError(f"occluder={self.size}: an occluder is at least 1 pixel wide")
        if self.count < 1:
            raise InputError(f"occluders={self.count}: give at least 1")

    def stride(self, height: int, width: int) -> int:
        """Return the stride at which a grid over an image of this size has nearly `count` occluders."""
        stride = min(range(1, max(height, width) + 1), key=lambda s: abs(-(-height // s) * -(-width // s) - self.count))
        if stride > self.size:
            least = -(-height // self.size) * -(-width // self.size)
            raise InputError(
                f"occluders={self.count}: on {width}x{height} pixels so few leave gaps between occluders of"
                f" {self.size}; give at least {least}, or larger ones"
            )
        return stride

    def windows(self, height: int, width: int) -> list[tuple[slice, slice]]:
        """Return the rows and columns that each occluder hides: centres on a grid, cut off at the image's edge."""
        stride = self.stride(height, width)
        axes = []
        for length in (height, width):
            first = ((length - 1) % stride + 1) // 2 - self.size // 2  # the remainder is shared by both edges
            starts = range(first, length - self.size // 2, stride)
            axes.append([slice(max(0, start), min(length, start + self.size)) for start in starts])
        return list(product(*axes))


THRESHOLD = 0.1
"""Share of the largest discrepancy from which a pixel belongs to the valid receptive field; the papers give none."""


@dataclass(frozen=True)
class ValidField:
    """The valid receptive field of one score in one image."""

    discrepancy_HW: Float64Array
    """How much the score changes where a pixel is hidden; see `discrepancy_map`."""
    region_HW: BoolArray
    """The field: where the discrepancy is at least a share of its largest value."""


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

    Each occluder hides a part of one copy of the image; its discrepancy is the absolute change of the score (a logit,
    before any softmax). A pixel's value is the mean discrepancy of all occluders that hide it, so values reach up to
    an occluder's side less one beyond the theoretical field; farther out there are rounding errors only. Occluders are
    filled with random colours, uniform between the image's darkest and brightest value of each channel. `image_3HW`
    holds floats as the network takes them, on its device; `on_batch(done, total)` is called after every batch.

    Choices where Zhou et al. and the paper are silent: the colours, the mean, the absolute value of one logit, and
    occluders that are cut off at the image's edge, so that every pixel is hidden by some.
    """
    occluders = occluders or Occluders()
    windows = occluders.windows(*image_3HW.shape[-2:])
    low_311, high_311 = image_3HW.amin((1, 2))[:, None, None], image_3HW.amax((1, 2))[:, None, None]
    generator = torch.Generator().manual_seed(occluders.seed)
    total, count = (np.zeros(tuple(image_3HW.shape[-2:])) for _ in range(2))
    with in_mode(network, training=False), torch.inference_mode():
        for start in range(0, len(windows), batch_size):
            batch = windows[start : start + batch_size]
            # The first copy stays as it is: its score is rounded as those of the rest of the batch are.
            images_B3HW = image_3HW.repeat(1 + len(batch), 1, 1, 1)
            for copy_3HW, (rows, columns) in zip(images_B3HW[1:], batch, strict=True):
                noise_3hw = torch.rand(3, rows.stop - rows.start, columns.stop - columns.start, generator=generator)
                copy_3HW[:, rows, columns] = low_311 + noise_3hw.to(image_3HW) * (high_311 - low_311)
            map_BChw = select_map(network(images_B3HW), layer)
            check_channel(map_BChw, channel)
            row, column = position_in(map_BChw, at)
            scores_B = map_BChw[:, channel, row, column].double().cpu().numpy()
            for window, score in zip(batch, scores_B[1:], strict=True):
                total[window] += abs(score - scores_B[0])
                count[window] += 1
            if on_batch is not None:
                on_batch(start + len(batch), len(windows))
    return total / count


def valid_region(discrepancy_HW: Float64Array, threshold: float) -> BoolArray:
    """Return the pixels (H, W) whose value is at least the share `threshold` of the largest; none where all are 0."""
    if not 0 < threshold <= 1:
        raise InputError(f"threshold={threshold}: give a share of the largest value, above 0 and at most 1")
    peak = discrepancy_HW.max()
    return np.asarray((discrepancy_HW >= threshold * peak) & (peak > 0))

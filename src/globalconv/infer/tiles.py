"""Images of any size through a network of bounded size: overlapping windows, blended, a band of rows at a time.

Shapes: K classes, H x W pixels of the image, h rows of a band or height of a window, w width of a window, N windows of
one batch.

Every window starts at a multiple of 32 from the image's corner, so that the network's cells lie where they lie on the
whole image. The last one ends where the network's own padding of the whole image would end: it is cut at the image's
edge, and the network pads it as it would have padded there. So a window gives the scores of the whole image wherever
the receptive field lies inside the window or beyond the edge of the image.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from globalconv.arrays import Float32Array, FloatArray, Uint8Array
from globalconv.errors import InputError
from globalconv.geometry import STRIDE
from globalconv.infer.inference_settings import WHOLE_PIXELS, InferenceSettings

CITYSCAPES_COLUMNS = (0, 341, 683, 1024)
"""Left edges of the four crops (paper, Section 4.3: "four 1024x1024 crops", score maps fused; where they lie is not
said: spread evenly, two of them tile the image)."""
CITYSCAPES_SIDE = 1024

FADE = 1 / 4
"""Part of an overlap, in its middle, over which one window fades into the next; nearer to its edge, where its
receptive field hangs over, a window does not count."""


class Pixels(Protocol):
    """An image that is read by windows: a uint8 array (H, W, 3), or whatever looks like one."""

    @property
    def shape(self) -> tuple[int, ...]: ...

    def __getitem__(self, window: tuple[slice, slice], /) -> Uint8Array: ...


Scorer = Callable[[Uint8Array], Tensor]
"""windows_NhwC (uint8) -> scores_NKhw (float32)."""


@dataclass(frozen=True)
class Window:
    """A window along one axis: the pixels `start` .. `stop` that it shows, and those from `first` on that it decides.

    `weights` is the share of each pixel that it decides, from `first` on.
    """

    start: int
    stop: int
    first: int
    weights: Float32Array

    @property
    def pixels(self) -> slice:
        return slice(self.start, self.stop)

    @property
    def decided(self) -> slice:
        """The pixels that it decides, in the image."""
        return slice(self.first, self.first + len(self.weights))

    @property
    def inside(self) -> slice:
        """The same in the window."""
        return slice(self.first - self.start, self.first - self.start + len(self.weights))


@dataclass(frozen=True)
class Grid:
    """The windows of an image: each of `rows` with each of `columns`. Along both axes the weights sum to one."""

    rows: tuple[Window, ...]
    columns: tuple[Window, ...]

    @property
    def is_whole(self) -> bool:
        return len(self.rows) == len(self.columns) == 1


def grid(shape: Sequence[int], settings: InferenceSettings) -> Grid:
    """Return the windows over an image of this shape (H, W, ...): one if it is small enough, or fits a tile."""
    height, width = shape[:2]
    if settings.tile == "cityscapes":
        if (height, width) != (CITYSCAPES_SIDE, 2 * CITYSCAPES_SIDE):
            raise InputError(f"`tile` cityscapes: is for images of 2048x1024, not {width}x{height}; give `tile` 1024")
        return Grid(_evenly((0,), height, CITYSCAPES_SIDE), _evenly(CITYSCAPES_COLUMNS, width, CITYSCAPES_SIDE))
    if settings.tile is None and height * width <= WHOLE_PIXELS:
        return Grid(_blended((0,), height, height), _blended((0,), width, width))
    side, overlap = settings.tile_side, settings.tile_overlap
    rows, columns = (_blended(starts(length, side, overlap), length, side) for length in (height, width))
    return Grid(rows, columns)


def starts(length: int, side: int, overlap: int) -> tuple[int, ...]:
    """Return where windows of `side` start on `length` pixels: as few as overlap by `overlap`, evenly spread."""
    beyond = max(0, -(-length // STRIDE) - side // STRIDE)  # cells from the first start to the last
    steps = -(-beyond // ((side - overlap) // STRIDE))
    return tuple(number * beyond // max(steps, 1) * STRIDE for number in range(steps + 1))


def tiled(score: Scorer, image: Pixels, windows: Grid, batch_size: int = 1) -> Iterator[Tensor]:
    """Yield the scores of `image` as bands scores_KhW from top to bottom, each valid until the next is asked for.

    What is held besides is one band of sums (K, h, W) with h at most the height of a window.
    """
    height, width = image.shape[:2]
    band_KhW: Tensor | None = None
    ends = [*(row.first for row in windows.rows[1:]), height]
    for row, end in zip(windows.rows, ends, strict=True):
        for column, scores_Khw in _scored(score, image, row, windows.columns, batch_size):
            if band_KhW is None:
                rows = max(len(row.weights) for row in windows.rows)
                band_KhW = scores_Khw.new_zeros(len(scores_Khw), rows, width)
            band_KhW[:, : len(row.weights), column.decided] += scores_Khw
        assert band_KhW is not None
        done = end - row.first
        yield band_KhW[:, :done]
        _scroll(band_KhW, done)


def _scored(
    score: Scorer, image: Pixels, row: Window, columns: Sequence[Window], batch_size: int
) -> Iterator[tuple[Window, Tensor]]:
    """Yield each window of a row with the weighted scores_Khw of the pixels that it decides."""
    row_weights_h1 = torch.from_numpy(row.weights)[:, None]
    for batch in _batches(columns, batch_size):
        scores_NKhw = score(np.stack([image[row.pixels, column.pixels] for column in batch]))
        for column, scores_Khw in zip(batch, scores_NKhw, strict=True):
            weights_hw = (row_weights_h1 * torch.from_numpy(column.weights)).to(scores_Khw.device)
            yield column, scores_Khw[:, row.inside, column.inside] * weights_hw


def _batches(columns: Sequence[Window], batch_size: int) -> Iterator[list[Window]]:
    """Yield windows of equal width together: the last one may be narrower."""
    batch: list[Window] = []
    for column in columns:
        if batch and (len(batch) == batch_size or _width(column) != _width(batch[0])):
            yield batch
            batch = []
        batch.append(column)
    yield batch


def _width(window: Window) -> int:
    return window.stop - window.start


def _scroll(band_KhW: Tensor, rows: int) -> None:
    """Move a band up by `rows` and clear what comes below; class by class, to copy little at a time."""
    for band_hW in band_KhW:
        left = len(band_hW) - rows
        band_hW[:left] = band_hW[rows:].clone()
        band_hW[left:] = 0


def _blended(firsts: tuple[int, ...], length: int, side: int) -> tuple[Window, ...]:
    """Return windows that fade into their neighbours in the middle of each overlap.

    The share of a window is the difference of two rises from 0 to 1, at its start and at its end, that are the same
    function in different places: they sum to one by construction.
    """
    fade = FADE * min((a + side - b for a, b in pairwise(firsts)), default=0)
    middles = [-np.inf, *((a + side + b) / 2 for a, b in pairwise(firsts)), np.inf]
    windows = []
    for first, (begin, end) in zip(firsts, pairwise(middles), strict=True):
        stop = min(first + side, length)
        places = np.arange(first, stop) + 0.5
        windows.append(_window(first, stop, _rise(places - begin, fade) - _rise(places - end, fade)))
    return tuple(windows)


def _rise(distance: FloatArray, width: float) -> FloatArray:
    """Return 0 before and 1 after a smooth rise of `width` pixels about distance 0."""
    t = np.clip(distance / max(width, 1e-9) + 0.5, 0, 1)
    rise: FloatArray = t * t * (3 - 2 * t)
    return rise


def _evenly(firsts: tuple[int, ...], length: int, side: int) -> tuple[Window, ...]:
    """Return windows whose plain mean counts where they overlap."""
    places = np.arange(length)
    covers = [(places >= first) & (places < first + side) for first in firsts]
    share = 1 / np.sum(covers, axis=0)
    return tuple(_window(first, first + side, share[first : first + side]) for first in firsts)


def _window(start: int, stop: int, shares: FloatArray) -> Window:
    decided = np.flatnonzero(shares)
    return Window(start, stop, start + int(decided[0]), shares[decided[0] : decided[-1] + 1].astype(np.float32))

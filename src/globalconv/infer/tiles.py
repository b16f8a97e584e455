"""Sliding window: overlapping tiles of an image go through the network and are blended into one score map.

`place_tiles` cuts an image into tiles, `blend_weights` says how much each tile counts where tiles overlap, and
`predict_tiles` computes the scores, a band of rows at a time, so that memory does not grow with the image's height.

Shapes: K classes, H x W pixels of the image, h x w of a tile or h rows of a band, N tiles of one batch.

Every tile starts at a multiple of 32 from the image's corner, so that the network's cells lie where they lie on the
whole image. The last tile ends where the network's own padding of the whole image would end: it is cut at the image's
edge, and the network pads it as it would have padded there. So a tile gives the scores of the whole image wherever the
receptive field lies inside the tile or beyond the edge of the image.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Protocol

import numpy as np
from array_api_compat import array_namespace, device

from globalconv.arrays import Array, Float32Array, FloatArray, Uint8Array
from globalconv.errors import InputError
from globalconv.geometry import STRIDE
from globalconv.infer.inference_settings import InferenceSettings
from globalconv.runtime.threads import group_consecutive

CITYSCAPES_COLUMNS = (0, 341, 683, 1024)
"""Left edges of the four crops of the paper's Section 4.3 ("four 1024x1024 crops", score maps fused). The paper does
not say where they lie; here they are spread evenly, and two of them tile the image."""
CITYSCAPES_SIDE = 1024

FADE = 1 / 4
"""Share of an overlap, in its middle, over which one tile fades into the next. Nearer to its edge, where its receptive
field reaches beyond it, a tile does not count."""


class Pixels(Protocol):
    """An image that is read by windows: a uint8 array (H, W, 3), or an object that looks like one."""

    @property
    def shape(self) -> tuple[int, ...]: ...

    def __getitem__(self, window: tuple[slice, slice], /) -> Uint8Array: ...


Scorer = Callable[[Uint8Array], Array]
"""tiles_NhwC (uint8) -> scores_NKhw (float32)."""


@dataclass(frozen=True)
class TileSpan:
    """A tile along one axis: it shows the pixels `start` .. `stop` and counts for those from `first` on.

    `weights` holds its share of each pixel that it counts for.
    """

    start: int
    stop: int
    first: int
    weights: Float32Array

    @property
    def pixels(self) -> slice:
        """The pixels that the network sees, in the image."""
        return slice(self.start, self.stop)

    @property
    def counted(self) -> slice:
        """The pixels that it counts for, in the image."""
        return slice(self.first, self.first + len(self.weights))

    @property
    def counted_inside(self) -> slice:
        """The pixels that it counts for, in the tile."""
        return slice(self.first - self.start, self.first - self.start + len(self.weights))


@dataclass(frozen=True)
class TileGrid:
    """The tiles of an image: each of `rows` with each of `columns`. Along both axes the weights sum to one."""

    rows: tuple[TileSpan, ...]
    columns: tuple[TileSpan, ...]


def place_tiles(height: int, width: int, settings: InferenceSettings) -> TileGrid:
    """Return the tiles of an image of this size, as few as keep the overlap that `settings` asks for."""
    if settings.tile == "cityscapes":
        if (height, width) != (CITYSCAPES_SIDE, 2 * CITYSCAPES_SIDE):
            raise InputError(f"`tile` cityscapes: is for images of 2048x1024, not {width}x{height}; give `tile` 1024")
        starts: list[tuple[int, ...]] = [(0,), CITYSCAPES_COLUMNS]
        side, weigh = CITYSCAPES_SIDE, average_weights
    else:
        side, weigh = settings.tile_side, blend_weights
        starts = [tile_starts(length, side, settings.tile_overlap) for length in (height, width)]
    axes: list[tuple[TileSpan, ...]] = []
    for axis_starts, length in zip(starts, (height, width), strict=True):
        spans = []
        for start, weights in zip(axis_starts, weigh(axis_starts, length, side), strict=True):
            counted = np.flatnonzero(weights)
            first, stop = int(counted[0]), int(counted[-1]) + 1
            spans.append(TileSpan(start, start + len(weights), start + first, weights[first:stop].astype(np.float32)))
        axes.append(tuple(spans))
    return TileGrid(axes[0], axes[1])


def tile_starts(length: int, side: int, overlap: int) -> tuple[int, ...]:
    """Return where tiles of `side` start on `length` pixels: as few as overlap by `overlap`, evenly spread."""
    beyond = max(0, -(-length // STRIDE) - side // STRIDE)  # cells from the first start to the last
    steps = -(-beyond // ((side - overlap) // STRIDE))
    return tuple(number * beyond // max(steps, 1) * STRIDE for number in range(steps + 1))


def blend_weights(starts: tuple[int, ...], length: int, side: int) -> list[FloatArray]:
    """Return the share that each tile has of each of its pixels, along one axis: the place to change the blending.

    Tiles of `side` begin at `starts`, the last one is cut at `length`. In the middle of each overlap one tile fades
    into the next. The share of a tile is the difference of two smooth steps from 0 to 1, at its beginning and at its
    end. The end of one tile and the beginning of the next are the same step, so the shares of a pixel sum to one.
    """
    fade = FADE * min((start + side - following for start, following in pairwise(starts)), default=0)

    def step(distance: FloatArray) -> FloatArray:
        t = np.clip(distance / max(fade, 1e-9) + 0.5, 0, 1)
        smooth: FloatArray = t * t * (3 - 2 * t)
        return smooth

    middles = [-np.inf, *((start + side + following) / 2 for start, following in pairwise(starts)), np.inf]
    weights: list[FloatArray] = []
    for start, (begin, end) in zip(starts, pairwise(middles), strict=True):
        centres = np.arange(start, min(start + side, length)) + 0.5
        weights.append(step(centres - begin) - step(centres - end))
    return weights


def average_weights(starts: tuple[int, ...], length: int, side: int) -> list[FloatArray]:
    """Return the shares with which overlapping tiles are averaged: each counts alike for every pixel it shows."""
    pixels = np.arange(length)
    shares = 1 / np.sum([(pixels >= start) & (pixels < start + side) for start in starts], axis=0)
    return [shares[start : start + side] for start in starts]


def predict_tiles(score: Scorer, image: Pixels, tiles: TileGrid, batch_size: int = 1) -> Iterator[Array]:
    """Yield the scores of `image` as bands scores_KhW from top to bottom, each valid until the next is asked for.

    Tiles of one row that are equally wide share a batch; the last one may be narrower. Besides these, one band of sums
    (K, h, W) is held, with h at most the height of a tile.
    """
    height, width = image.shape[:2]
    band_KhW: Array = None
    ends = [*(row.first for row in tiles.rows[1:]), height]
    for row, end in zip(tiles.rows, ends, strict=True):
        for batch in group_consecutive(tiles.columns, lambda a, b: a.stop - a.start == b.stop - b.start, batch_size):
            scores_NKhw = score(np.stack([image[row.pixels, column.pixels] for column in batch]))
            xp, place = array_namespace(scores_NKhw), device(scores_NKhw)
            for column, scores_Khw in zip(batch, scores_NKhw, strict=True):
                if band_KhW is None:
                    band_height = max(len(row.weights) for row in tiles.rows)
                    band_KhW = xp.zeros((len(scores_Khw), band_height, width), dtype=scores_Khw.dtype, device=place)
                weights_hw = xp.asarray(row.weights[:, None] * column.weights, device=place)
                weighted_Khw = scores_Khw[:, row.counted_inside, column.counted_inside] * weights_hw
                band_KhW[:, : len(row.weights), column.counted] += weighted_Khw
        done = end - row.first  # the rows below still wait for the next row of tiles
        yield band_KhW[:, :done]
        for band_hW in band_KhW:  # scroll class by class, to copy little at a time
            kept = len(band_hW) - done
            band_hW[:kept] = xp.asarray(band_hW[done:], copy=True)
            band_hW[kept:] = 0

"""Test-time augmentation: an image at several scales and flipped, and the mean of the scores of these views.

Shapes: K classes, H x W pixels of the image, h x w of a view or h rows of one, T pixels that make a resampled one.

Scores are arrays of NumPy or tensors of torch, and stay where they are. Everything is bilinear with half-pixel centres;
shrinking is antialiased, with the same weights as `torch.nn.functional.interpolate(mode="bilinear", antialias=True)`.
Images are resized window by window as they are read and rounded to uint8, as augmentation does in training. Scores are
brought back to the image's size band by band. So neither is ever held as a whole because of a scale.
"""

from collections.abc import Iterator, Sequence

import numpy as np
from array_api_compat import array_namespace, device

from globalconv.arrays import Array, Float32Array, Int64Array, Uint8Array
from globalconv.infer.array_scores import as_float32
from globalconv.infer.tiles import Pixels

COLUMNS = 64
"""So many columns of a result are made by one product of matrices: they come from few columns of what is resized."""


def scaled_size(height: int, width: int, scale: float) -> tuple[int, int]:
    """Return the size of an image at `scale`, at least one pixel."""
    return max(1, round(height * scale)), max(1, round(width * scale))


def view_image(image: Pixels, scale: float, flipped: bool) -> Pixels:
    """Return a view of `image`, at `scale` and perhaps flipped left to right, that is computed as it is read."""
    height, width = image.shape[:2]
    size = scaled_size(height, width, scale)
    view = image if size == (height, width) else ResizedImage(image, size)
    return FlippedImage(view) if flipped else view


class ResizedImage:
    """An image at another size; any window of it equals that of the image resized as a whole."""

    def __init__(self, image: Pixels, size: tuple[int, int]) -> None:
        self.image, self.shape = image, (*size, 3)

    def __getitem__(self, window: tuple[slice, slice], /) -> Uint8Array:
        source_window, weights = [], []
        for axis in (0, 1):
            index_hT, weight_hT = resampling_weights(self.image.shape[axis], self.shape[axis], window[axis])
            first = int(index_hT.min())
            source_window.append(slice(first, int(index_hT.max()) + 1))
            weights.append((index_hT - first, weight_hT))
        pixels_hw3: Array = np.ascontiguousarray(self.image[source_window[0], source_window[1]])
        for axis, (index_hT, weight_hT) in enumerate(weights):
            pixels_hw3 = resample(pixels_hw3, axis, index_hT, weight_hT)
        resized: Uint8Array = np.clip(np.rint(pixels_hw3), 0, 255).astype(np.uint8)
        return resized


class FlippedImage:
    """An image flipped left to right."""

    def __init__(self, image: Pixels) -> None:
        self.image, self.shape = image, image.shape

    def __getitem__(self, window: tuple[slice, slice], /) -> Uint8Array:
        rows, columns = window
        width = self.shape[1]
        return self.image[rows, slice(width - columns.stop, width - columns.start)][:, ::-1]


def resampling_weights(before: int, after: int, window: slice) -> tuple[Int64Array, Float32Array]:
    """Return index_hT and weight_hT: which of `before` pixels make each pixel of a `window` of `after`, how much each.

    The weights are a triangle that reaches one pixel, or when shrinking as far as one pixel of the result. It is cut
    at the edges, and its weights sum to one.
    """
    step = before / after
    reach = max(step, 1.0)
    centre_h1 = (np.arange(window.start, window.stop)[:, None] + 0.5) * step
    index_hT = np.floor(centre_h1 - reach + 0.5).astype(np.int64) + np.arange(2 * int(np.ceil(reach)) + 1)
    weight_hT = np.maximum(1 - np.abs(index_hT + 0.5 - centre_h1) / reach, 0)
    weight_hT[(index_hT < 0) | (index_hT >= before)] = 0
    weight_hT /= weight_hT.sum(1, keepdims=True)
    used_T = weight_hT.any(0)
    return index_hT[:, used_T].clip(0, before - 1), weight_hT[:, used_T].astype(np.float32)


def resample(values: Array, axis: int, index_hT: Int64Array, weight_hT: Float32Array) -> Array:
    """Return `values` with `axis` replaced by h weighted sums of T of its entries, in float32.

    Entries become floats one at a time: at a small scale, a window may be a whole large image.
    """
    xp, place = array_namespace(values), device(values)
    shape = [-1 if number == axis else 1 for number in range(values.ndim)]
    total: Array = None
    for index_h, weight_h in zip(index_hT.T, weight_hT.T, strict=True):
        # take copies, and so does the conversion of pixels: what is multiplied is nobody else's.
        part = as_float32(xp.take(values, xp.asarray(index_h, device=place), axis=axis))
        part *= xp.asarray(weight_h.reshape(shape), device=place)
        if total is None:
            total = part
        else:
            total += part
    return total


def resize_columns(scores_Khw: Array, width: int) -> Array:
    """Return float32 scores at another width, by products of matrices.

    Where columns are adjacent in memory, that is five times as fast as `resample` with torch on a CPU, and as fast as
    `torch.nn.functional.interpolate`.
    """
    xp, place, before = array_namespace(scores_Khw), device(scores_Khw), scores_Khw.shape[2]
    resized_KhW = xp.empty((*scores_Khw.shape[:2], width), dtype=scores_Khw.dtype, device=place)
    for start in range(0, width, COLUMNS):
        columns = slice(start, min(start + COLUMNS, width))
        index_CT, weight_CT = resampling_weights(before, width, columns)
        first, last = int(index_CT.min()), int(index_CT.max())
        share_cC = np.zeros((last + 1 - first, len(index_CT)), np.float32)
        for index_C, weight_C in zip(index_CT.T, weight_CT.T, strict=True):
            share_cC[index_C - first, np.arange(len(index_C))] += weight_C
        resized_KhW[:, :, columns] = scores_Khw[:, :, first : last + 1] @ xp.asarray(share_cC, device=place)
    return resized_KhW


class ViewScores:
    """The scores of one view of the image, brought back to the image's size and handed out row by row.

    `bands` are scores_Khw of the view (together all of it, from top to bottom), each valid until the next. `view_shape`
    and `image_shape` begin with height and width. Only rows that are still needed are held.
    """

    def __init__(
        self, bands: Iterator[Array], view_shape: Sequence[int], image_shape: Sequence[int], flipped: bool
    ) -> None:
        self.bands, self.flipped = bands, flipped
        self.view_height, self.image_height = view_shape[0], image_shape[0]
        self.image_width = image_shape[1]
        self.is_image = not flipped and tuple(view_shape[:2]) == tuple(image_shape[:2])
        self._held_KhW: Array = None
        self._first = 0
        """Row of the view that is the first one held."""

    def take(self, rows: slice) -> Array:
        """Return scores_KhW of some rows of the image; each call goes on where the one before ended."""
        index_hT, weight_hT = resampling_weights(self.view_height, self.image_height, rows)
        first, last = int(index_hT.min()), int(index_hT.max())
        held_KhW = None if self._held_KhW is None else self._held_KhW[:, first - self._first :]
        while held_KhW is None or first + held_KhW.shape[1] <= last:
            band_Khw = next(self.bands)
            xp = array_namespace(band_Khw)
            band_Khw = xp.flip(band_Khw, axis=2) if self.flipped else band_Khw
            if band_Khw.shape[2] != self.image_width:
                band_Khw = resize_columns(band_Khw, self.image_width)
            is_first = held_KhW is None or not held_KhW.shape[1]
            # One band is copied as well: it is valid until the next, and rows are taken fast where they are contiguous.
            held_KhW = xp.concat((band_Khw,) if is_first else (held_KhW, band_Khw), axis=1)
        taken_KhW = resample(held_KhW, 1, index_hT - first, weight_hT)
        self._held_KhW, self._first = (None if rows.stop == self.image_height else held_KhW), first
        return taken_KhW


def average_views(views: Sequence[ViewScores], height: int, step: int) -> Iterator[tuple[slice, Array]]:
    """Yield the mean scores_KhW of all views, at most `step` rows of the image at a time, with the rows' positions."""
    if len(views) == 1 and views[0].is_image:  # bands are cut, not copied
        start = 0
        for band_KhW in views[0].bands:
            for first in range(0, band_KhW.shape[1], step):
                piece_KhW = band_KhW[:, first : first + step]
                yield slice(start, start + piece_KhW.shape[1]), piece_KhW
                start += piece_KhW.shape[1]
        return
    for start in range(0, height, step):
        rows = slice(start, min(start + step, height))
        total_KhW = views[0].take(rows)
        for view in views[1:]:
            total_KhW += view.take(rows)
        yield rows, total_KhW / len(views)

"""Test-time augmentation: an image at several scales and flipped, and the mean of the scores of these views.

Shapes: K classes, H x W pixels of the image, h x w of a view or h rows of one, T pixels that make a resampled one.

Everything is bilinear with half-pixel centres; shrinking is antialiased, with the same weights as
`torch.nn.functional.interpolate(mode="bilinear", antialias=True)`. Images are resized window by window as they are read
and rounded to uint8, as augmentation does in training. Scores are brought back to the image's size band by band. So
neither is ever held as a whole because of a scale.
"""

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from globalconv.arrays import Uint8Array
from globalconv.infer.tiles import Pixels


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
        pixels_hw3 = torch.from_numpy(np.ascontiguousarray(self.image[source_window[0], source_window[1]]))
        for axis, (index_hT, weight_hT) in enumerate(weights):
            pixels_hw3 = resample(pixels_hw3, axis, index_hT, weight_hT)
        resized: Uint8Array = pixels_hw3.round_().clamp_(0, 255).to(torch.uint8).numpy()
        return resized


class FlippedImage:
    """An image flipped left to right."""

    def __init__(self, image: Pixels) -> None:
        self.image, self.shape = image, image.shape

    def __getitem__(self, window: tuple[slice, slice], /) -> Uint8Array:
        rows, columns = window
        width = self.shape[1]
        return self.image[rows, slice(width - columns.stop, width - columns.start)][:, ::-1]


def resampling_weights(before: int, after: int, window: slice) -> tuple[Tensor, Tensor]:
    """Return index_hT and weight_hT: which of `before` pixels make each pixel of a `window` of `after`, how much each.

    The weights are a triangle that reaches one pixel, or when shrinking as far as one pixel of the result. It is cut
    at the edges, and its weights sum to one.
    """
    step = before / after
    reach = max(step, 1.0)
    centre_h1 = (torch.arange(window.start, window.stop, dtype=torch.float64)[:, None] + 0.5) * step
    index_hT = (centre_h1 - reach + 0.5).floor().long() + torch.arange(2 * int(np.ceil(reach)) + 1)
    weight_hT = (1 - (index_hT + 0.5 - centre_h1).abs() / reach).clamp(min=0)
    weight_hT[(index_hT < 0) | (index_hT >= before)] = 0
    weight_hT /= weight_hT.sum(1, keepdim=True)
    used_T = weight_hT.any(0)
    return index_hT[:, used_T].clamp(0, before - 1), weight_hT[:, used_T].float()


def resample(values: Tensor, axis: int, index_hT: Tensor, weight_hT: Tensor) -> Tensor:
    """Return `values` with `axis` replaced by h weighted sums of T of its entries, in float32.

    Entries become floats one at a time: at a small scale, a window may be a whole large image.
    """
    shape = [-1 if number == axis else 1 for number in range(values.ndim)]
    total = torch.zeros(())
    for index_h, weight_h in zip(index_hT.T.to(values.device), weight_hT.T.to(values.device), strict=True):
        part = values.index_select(axis, index_h).float().mul_(weight_h.view(shape))
        total = total.add_(part) if total.ndim else part
    return total


class ViewScores:
    """The scores of one view of the image, brought back to the image's size and handed out row by row.

    `bands` are scores_Khw of the view (together all of it, from top to bottom), each valid until the next. `view_shape`
    and `image_shape` begin with height and width. Only rows that are still needed are held.
    """

    def __init__(
        self, bands: Iterator[Tensor], view_shape: Sequence[int], image_shape: Sequence[int], flipped: bool
    ) -> None:
        self.bands, self.flipped = bands, flipped
        self.view_height, self.image_height = view_shape[0], image_shape[0]
        self.image_width = image_shape[1]
        self.is_image = not flipped and tuple(view_shape[:2]) == tuple(image_shape[:2])
        self._held_KhW = torch.empty(0, 0, 0)
        self._first = 0
        """Row of the view that is the first one held."""

    def take(self, rows: slice) -> Tensor:
        """Return scores_KhW of some rows of the image; each call goes on where the one before ended."""
        index_hT, weight_hT = resampling_weights(self.view_height, self.image_height, rows)
        first, last = int(index_hT.min()), int(index_hT.max())
        self._held_KhW, self._first = self._held_KhW[:, first - self._first :], first
        while self._first + self._held_KhW.shape[1] <= last:
            band_Khw = next(self.bands)
            band_Khw = band_Khw.flip(2) if self.flipped else band_Khw
            if band_Khw.shape[2] != self.image_width:
                size, shrinks = (band_Khw.shape[1], self.image_width), band_Khw.shape[2] > self.image_width
                band_Khw = F.interpolate(band_Khw[None], size, mode="bilinear", align_corners=False, antialias=shrinks)[
                    0
                ]
            held = (self._held_KhW, band_Khw) if self._held_KhW.shape[1] else (band_Khw,)
            self._held_KhW = torch.cat(held, 1)
        taken_KhW = resample(self._held_KhW, 1, index_hT - first, weight_hT)
        if rows.stop == self.image_height:
            self._held_KhW = torch.empty(0, 0, 0)
        return taken_KhW


def average_views(views: Sequence[ViewScores], height: int, step: int) -> Iterator[tuple[slice, Tensor]]:
    """Yield the mean scores_KhW of all views, at most `step` rows of the image at a time, with the rows' positions."""
    if len(views) == 1 and views[0].is_image:  # bands are cut, not copied
        start = 0
        for band_KhW in views[0].bands:
            for piece_KhW in band_KhW.split(step, 1):
                yield slice(start, start + piece_KhW.shape[1]), piece_KhW
                start += piece_KhW.shape[1]
        return
    for start in range(0, height, step):
        rows = slice(start, min(start + step, height))
        total_KhW = views[0].take(rows)
        for view in views[1:]:
            total_KhW += view.take(rows)
        yield rows, total_KhW / len(views)

"""The effective receptive field by gradients (Luo et al. 2016): how much each pixel moves one cell of a map.

Shapes: N images, H x W pixels, C channels and h x w cells of the map. All numbers are raw values in float64.
"""

from collections.abc import Iterable, Sequence

import numpy as np
import torch
from torch import Tensor, nn

from globalconv.arrays import Float64Array
from globalconv.receptive_field.target import (
    Layer,
    Position,
    channel_in,
    evaluating,
    output_map,
    pixel_of,
    position_in,
    size_of,
)


def gradient_map(
    network: nn.Module,
    images_N3HW: Tensor,
    at: Position | None = None,
    channel: int | None = None,
    layer: Layer = None,
) -> Float64Array:
    """Return |gradient| (H, W) of the cell `at` of a map, summed over the three colours, averaged over the images.

    The gradient that enters is 1 at the cell (by default the middle one): in all channels, or in `channel` alone.
    `images_N3HW` are floats as the network takes them, on its device. The network is in eval mode meanwhile.
    """
    with evaluating(network), torch.enable_grad():
        pixels_N3HW = images_N3HW.detach().clone().requires_grad_()
        map_NChw = output_map(network, pixels_N3HW, layer)
        row, column = position_in(map_NChw, at)
        channels = slice(None) if channel is None else channel_in(map_NChw, channel)
        (gradient_N3HW,) = torch.autograd.grad(map_NChw[:, channels, row, column].sum(), pixels_N3HW)
    strength: Float64Array = gradient_N3HW.double().abs().sum(1).mean(0).cpu().numpy()
    return strength


def effective_receptive_field(
    network: nn.Module,
    images: Tensor | Iterable[Tensor],
    positions: Sequence[Position] | None = None,
    channel: int | None = None,
    layer: Layer = None,
) -> Float64Array:
    """Return the mean |gradient| around a cell of a map (Luo et al. 2016), over `images` and `positions`.

    `images` is images_N3HW, or several of them, which may differ in size. `positions` are cells of the map, by default
    the middle one. The result has odd sides and the pixel in the middle of the cell as its own middle; each of its
    values is the mean over those gradients whose image reaches there. `field_size` measures it.
    Deviation: the paper averages over random images and weights; what is averaged over here is what is handed in.
    """
    several = [images] if isinstance(images, Tensor) else images
    return _mean(
        centred
        for images_N3HW in several
        for centred in _fields(network, images_N3HW, positions or (None,), channel, layer)
    )


def _fields(
    network: nn.Module, images_N3HW: Tensor, positions: Sequence[Position | None], channel: int | None, layer: Layer
) -> Iterable[tuple[Float64Array, Position]]:
    """Yield the gradients of every position, and the pixel that each is about."""
    with evaluating(network), torch.inference_mode():
        map_NChw = output_map(network, images_N3HW[:1], layer)
    for at in positions:
        pixel = pixel_of(position_in(map_NChw, at), size_of(images_N3HW), size_of(map_NChw))
        yield gradient_map(network, images_N3HW, at, channel, layer), pixel


def _mean(fields: Iterable[tuple[Float64Array, Position]]) -> Float64Array:
    """Return the mean of fields (H, W) laid upon each other with their pixels in one place."""
    placed = list(fields)
    up, left = (max(pixel[axis] for _, pixel in placed) for axis in (0, 1))
    down, right = (max(field.shape[axis] - 1 - pixel[axis] for field, pixel in placed) for axis in (0, 1))
    reach = max(up, down), max(left, right)
    total, count = (np.zeros((2 * reach[0] + 1, 2 * reach[1] + 1)) for _ in range(2))
    for field, (row, column) in placed:
        top, first = reach[0] - row, reach[1] - column
        window = slice(top, top + field.shape[0]), slice(first, first + field.shape[1])
        total[window] += field
        count[window] += 1
    return total / np.maximum(count, 1)

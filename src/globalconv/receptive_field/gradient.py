"""The effective receptive field by gradients (Luo et al. 2016): how much each pixel moves one cell of a map.

Shapes: N images of H x W pixels, C channels and h x w cells of the map. All values are raw gradients in float64.
"""

from collections.abc import Iterable, Sequence

import numpy as np
import torch
from torch import Tensor, nn

from globalconv.arrays import Float64Array
from globalconv.cost.count import in_mode
from globalconv.receptive_field.target import Layer, Position, check_channel, position_in, select_map


def gradient_map(
    network: nn.Module,
    images_N3HW: Tensor,
    at: Position | None = None,
    channel: int | None = None,
    layer: Layer = None,
) -> Float64Array:
    """Return |gradient| (H, W) of the cell `at` of a map, summed over the three colours, averaged over the images.

    `at` is by default the middle cell. The output gradient is 1 there, in all channels or in `channel` alone, and 0
    elsewhere. `images_N3HW` are floats as the network takes them, on its device. The network runs in eval mode and
    keeps its own mode.
    """
    with in_mode(network, training=False), torch.enable_grad():
        pixels_N3HW = images_N3HW.detach().clone().requires_grad_()
        map_NChw = select_map(network(pixels_N3HW), layer)
        row, column = position_in(map_NChw, at)
        if channel is not None:
            check_channel(map_NChw, channel)
        channels = slice(None) if channel is None else channel
        (gradient_N3HW,) = torch.autograd.grad(map_NChw[:, channels, row, column].sum(), pixels_N3HW)
    strength_HW: Float64Array = gradient_N3HW.double().abs().sum(1).mean(0).cpu().numpy()
    return strength_HW


def effective_receptive_field(
    network: nn.Module,
    images: Tensor | Iterable[Tensor],
    positions: Sequence[Position] | None = None,
    channel: int | None = None,
    layer: Layer = None,
) -> Float64Array:
    """Return the mean |gradient| around a cell of a map (Luo et al. 2016), over `images` and `positions`.

    `images` is images_N3HW, or several of them, which may differ in size. `positions` are cells of the map, by default
    the middle one. The result has odd sides and the pixel in the middle of the cell at its own centre; each value is
    the mean over those gradients whose image reaches there. `field_size` measures it.
    Deviation: the paper averages over random images and weights; here they are the caller's.
    """
    strengths: list[tuple[Float64Array, Position]] = []  # (H, W), and the pixel in the middle of the cell
    for images_N3HW in [images] if isinstance(images, Tensor) else images:
        with in_mode(network, training=False), torch.inference_mode():
            map_NChw = select_map(network(images_N3HW[:1]), layer)
        (height, width), (rows, columns) = images_N3HW.shape[-2:], map_NChw.shape[-2:]
        for at in positions or (None,):
            row, column = position_in(map_NChw, at)
            pixel = (2 * row + 1) * height // (2 * rows), (2 * column + 1) * width // (2 * columns)
            strengths.append((gradient_map(network, images_N3HW, at, channel, layer), pixel))

    # Lay the gradients on top of each other with those pixels in one place, and average.
    above, left = (max(pixel[axis] for _, pixel in strengths) for axis in (0, 1))
    below, right = (max(strength.shape[axis] - 1 - pixel[axis] for strength, pixel in strengths) for axis in (0, 1))
    middle_row, middle_column = max(above, below), max(left, right)
    total, count = (np.zeros((2 * middle_row + 1, 2 * middle_column + 1)) for _ in range(2))
    for strength_HW, (row, column) in strengths:
        top, first = middle_row - row, middle_column - column
        window = slice(top, top + strength_HW.shape[0]), slice(first, first + strength_HW.shape[1])
        total[window] += strength_HW
        count[window] += 1
    return total / np.maximum(count, 1)

"""The map that is measured: one of a network's outputs, and a position in it.

Shapes: N images, H x W pixels, C channels and h x w cells of the map.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from globalconv.errors import InputError, suggest

Position = tuple[int, int]
"""Row and column of a cell of the map, from 0."""

Layer = int | str | None
"""Which map of a network that returns several: the index in a list, the key in a dict; None where there is one."""


def output_map(network: nn.Module, images_N3HW: Tensor, layer: Layer = None) -> Tensor:
    """Return map_NChw: what `network` makes of the images, or the map `layer` of several."""
    return chosen_map(network(images_N3HW), layer)


def chosen_map(output: Any, layer: Layer) -> Tensor:
    """Return the map that `layer` names in what a network returned; `InputError` where there is none."""
    found = output if isinstance(output, Tensor) else _entry(output, layer)
    if not isinstance(found, Tensor) or found.dim() != 4:
        what = f"shape {tuple(found.shape)}" if isinstance(found, Tensor) else type(found).__name__
        raise InputError(f"layer={layer!r}: the network's output there is {what}; a map (N, C, h, w) is needed")
    return found


def _entry(output: Any, layer: Layer) -> Any:
    keys: list[Any] = list(output) if isinstance(output, Mapping) else []
    if isinstance(output, Sequence):
        keys = list(range(-len(output), len(output)))
    if not keys:
        raise InputError(f"the network returns {type(output).__name__}; a map (N, C, h, w), or several, is needed")
    if layer is None and len(output) == 1:
        return next(iter(output.values() if isinstance(output, Mapping) else output))
    if layer not in keys:
        known = suggest(layer, map(str, keys if isinstance(output, Mapping) else range(len(output))))
        raise InputError(f"layer={layer!r}: the network returns {len(output)} maps, name one of them; {known}")
    return output[layer]


def position_in(map_NChw: Tensor, at: Position | None) -> Position:
    """Return `at`, or the middle cell of the map where it is None; `InputError` outside of it."""
    height, width = size_of(map_NChw)
    row, column = (height // 2, width // 2) if at is None else at
    if not (0 <= row < height and 0 <= column < width):
        raise InputError(f"at={at}: the map has {height} rows and {width} columns, numbered from 0")
    return row, column


def channel_in(map_NChw: Tensor, channel: int) -> int:
    """Return `channel` if the map has it, else raise `InputError`."""
    if not 0 <= channel < map_NChw.shape[1]:
        raise InputError(f"channel={channel}: the map has {map_NChw.shape[1]} channels, numbered from 0")
    return channel


def cell_of(pixel: Position, image_size: tuple[int, int], map_size: tuple[int, int]) -> Position:
    """Return the cell of a map of h x w cells that holds `pixel` (row, column) of an image of H x W.

    Cells tile the image: cell i holds the pixels i H / h up to (i + 1) H / h. A score map of the image's size has a
    cell for each pixel.
    """
    (row, column), (height, width), (rows, columns) = pixel, image_size, map_size
    return row * rows // height, column * columns // width


def pixel_of(cell: Position, image_size: tuple[int, int], map_size: tuple[int, int]) -> Position:
    """Return the pixel in the middle of a cell: the inverse of `cell_of`."""
    (row, column), (height, width), (rows, columns) = cell, image_size, map_size
    return (2 * row + 1) * height // (2 * rows), (2 * column + 1) * width // (2 * columns)


def size_of(map_NChw: Tensor) -> tuple[int, int]:
    """Return the rows and columns of a map or of images."""
    height, width = map_NChw.shape[-2:]
    return height, width


def device_of(network: nn.Module) -> torch.device:
    """Return where the network's weights are; the CPU if it has none."""
    return next((tensor.device for tensor in network.parameters()), torch.device("cpu"))


@contextmanager
def evaluating(network: nn.Module) -> Iterator[None]:
    """Put `network` into eval mode for a while, and every part of it back as it was."""
    with in_mode(network, training=False):
        yield


@contextmanager
def in_mode(network: nn.Module, training: bool) -> Iterator[None]:
    """Put `network` into training or eval mode for a while, by its own means, and every part of it back as it was."""
    modes = {module: module.training for module in network.modules()}
    network.train(training)
    try:
        yield
    finally:
        for module, before in modes.items():
            module.training = before

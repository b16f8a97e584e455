"""What is measured: one of a network's output maps, and a cell of it.

Shapes: N images, C channels and h x w cells of the map.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor

from globalconv.errors import InputError, suggest

Position = tuple[int, int]
"""Row and column of a cell of the map, from 0."""

Layer = int | str | None
"""Which map of a network that returns several: the index in a list, the key in a dict; None where there is one."""


def select_map(output: Any, layer: Layer) -> Tensor:
    """Return map_NChw: what a network returned, or the map `layer` of several; `InputError` where there is none."""
    selected = output
    if not isinstance(output, Tensor):
        keys: list[Any] = list(output) if isinstance(output, Mapping) else []
        if isinstance(output, Sequence):
            keys = list(range(len(output)))
        if not keys:
            raise InputError(f"the network returns {type(output).__name__}; a map (N, C, h, w), or several, is needed")
        key = keys[0] if layer is None and len(keys) == 1 else layer
        if key not in keys and not (isinstance(output, Sequence) and key in range(-len(output), 0)):
            raise InputError(
                f"layer={layer!r}: the network returns {len(keys)} maps, name one of them;"
                f" {suggest(layer, map(str, keys))}"
            )
        selected = output[key]
    if not isinstance(selected, Tensor) or selected.dim() != 4:
        kind = f"shape {tuple(selected.shape)}" if isinstance(selected, Tensor) else type(selected).__name__
        raise InputError(f"layer={layer!r}: the network's output there is {kind}; a map (N, C, h, w) is needed")
    return selected


def position_in(map_NChw: Tensor, at: Position | None) -> Position:
    """Return `at`, or the middle cell of the map where it is None; `InputError` outside the map."""
    height, width = map_NChw.shape[-2:]
    row, column = (height // 2, width // 2) if at is None else at
    if not (0 <= row < height and 0 <= column < width):
        raise InputError(f"at={at}: the map has {height} rows and {width} columns, numbered from 0")
    return row, column


def check_channel(map_NChw: Tensor, channel: int) -> None:
    """Raise `InputError` where the map does not have this channel."""
    if not 0 <= channel < map_NChw.shape[1]:
        raise InputError(f"channel={channel}: the map has {map_NChw.shape[1]} channels, numbered from 0")

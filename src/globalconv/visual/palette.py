"""Class indices as colours. A class map is uint8 (H, W) of class indices; 255 is void."""

from functools import lru_cache

import numpy as np
from PIL import Image

from globalconv.arrays import Uint8Array
from globalconv.labels import LabelSpace


@lru_cache
def palette_table(labels: LabelSpace) -> Uint8Array:
    """Return the colour of every index (256, 3), not to be written to; see `LabelSpace.colour_table`."""
    table = np.array(labels.colour_table(), np.uint8)
    table.flags.writeable = False
    return table


def palette_png(class_map: Uint8Array, labels: LabelSpace) -> Image.Image:
    """Return a mode P image whose pixel values are the class indices and whose palette shows them in colour."""
    image = Image.fromarray(np.ascontiguousarray(class_map, np.uint8))
    image.putpalette(palette_table(labels).tobytes())
    return image


def colours(class_map: Uint8Array, labels: LabelSpace) -> Uint8Array:
    """Return the class map in its colours, (H, W, 3)."""
    return np.asarray(palette_png(class_map, labels).convert("RGB"))


def present(class_map: Uint8Array) -> list[int]:
    """Return the indices that occur, ascending."""
    return [int(index) for index in np.flatnonzero(np.bincount(class_map.ravel(), minlength=256))]

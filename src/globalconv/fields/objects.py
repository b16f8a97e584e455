"""Objects of a label map: regions of one class whose pixels touch along an edge. H x W pixels."""

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from globalconv.evaluation.objects import object_areas as areas_of_pixels
from globalconv.labels import IGNORE

Uint8Array = npt.NDArray[np.uint8]
BoolArray = npt.NDArray[np.bool_]
IntArray = npt.NDArray[np.int64]


def object_at(values: Uint8Array, row: int, column: int) -> BoolArray:
    """Return the region (H, W) around a pixel that has one value: of a label map (H, W), or of a mask (H, W, 3)."""
    same_HW = values == values[row, column]
    regions_HW, _ = ndimage.label(same_HW.all(2) if values.ndim == 3 else same_HW)
    found: BoolArray = regions_HW == regions_HW[row, column]
    return found


def deepest_pixel(label_map: Uint8Array) -> tuple[int, int] | None:
    """Return the row and column farthest inside the largest object that lies wholly inside the label map (H, W).

    None where every object touches the edge, beyond which it may go on.
    """
    largest, found_HW = 0, None
    for value in np.unique(label_map[label_map != IGNORE]):
        numbered_HW, _ = ndimage.label(label_map == value)
        pixels = np.bincount(numbered_HW.ravel())
        for edge in (numbered_HW[[0, -1]], numbered_HW[:, [0, -1]]):
            pixels[edge] = 0
        pixels[0] = 0  # what has another value
        if pixels.max() > largest:
            largest, found_HW = pixels.max(), numbered_HW == pixels.argmax()
    if found_HW is None:
        return None
    depth_HW = ndimage.distance_transform_edt(found_HW)
    row, column = np.unravel_index(depth_HW.argmax(), depth_HW.shape)
    return int(row), int(column)


def object_areas(label_map: Uint8Array) -> IntArray:
    """Return the pixels of every object of a label map (H, W); void is none."""
    areas, pixels = np.unique(areas_of_pixels(label_map)[label_map != IGNORE], return_counts=True)
    return np.repeat(areas, pixels // areas).astype(np.int64)

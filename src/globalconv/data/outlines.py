"""Objects as COCO writes them, polygons or run lengths, into pixels: by pycocotools, the format's own tool.

Shapes: H x W pixels of the image.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from globalconv.data.polygons import FARTHEST
from globalconv.errors import InputError


def covered(segmentations: Sequence[Any], size: tuple[int, int], where: str) -> NDArray[np.bool_]:
    """Return the pixels (H, W) that any of the objects covers in an image of (width, height); `where` is for errors."""
    try:
        from pycocotools import mask as coco
    except ImportError:
        raise InputError(f"{where}: COCO needs pycocotools; pip install globalconv[coco]") from None
    width, height = size
    runs = [_encoded(coco, segmentation, size, where) for segmentation in segmentations]
    try:
        decoded: NDArray[np.bool_] = coco.decode(runs[0] if len(runs) == 1 else coco.merge(runs)).astype(bool)
    except Exception as error:  # the C code inside raises almost anything
        raise _not_rasterised(where, error) from None
    if decoded.shape != (height, width):
        raise InputError(f"{where}: a segmentation is of size {decoded.shape[::-1]}, its image of {size}; export again")
    return decoded


def _encoded(coco: Any, segmentation: Any, size: tuple[int, int], where: str) -> Any:
    """Return the run lengths of one object as pycocotools keeps them."""
    if not segmentation:
        raise InputError(f"{where}: an object has a box and no outline; draw its outline, or remove it", "shape")
    width, height = size
    try:
        _check(segmentation, size)
        if isinstance(segmentation, list):
            return coco.merge(coco.frPyObjects(segmentation, height, width))
        if isinstance(segmentation["counts"], list):
            return coco.frPyObjects(segmentation, height, width)
    except Exception as error:
        raise _not_rasterised(where, error) from None
    return segmentation


def _not_rasterised(where: str, error: Exception) -> InputError:
    return InputError(f"{where}: a segmentation cannot be rasterised ({error}); export it again")


def _check(segmentation: Any, size: tuple[int, int]) -> None:
    """Refuse, as `ValueError`, what the C code would take for memory: it trusts every number it is given."""
    if isinstance(segmentation, list):
        for polygon in segmentation:
            if len(polygon) < 6 or len(polygon) % 2:
                raise ValueError(f"a polygon of {len(polygon)} numbers")
            if not all(isinstance(value, int | float) and abs(value) <= FARTHEST for value in polygon):
                raise ValueError("a coordinate is no number, or far outside")
        return
    counts = segmentation["counts"]
    lengths = counts if isinstance(counts, list) else _lengths(counts)
    if min(lengths, default=0) < 0 or sum(lengths) != size[0] * size[1]:
        raise ValueError(f"run lengths of {sum(lengths)} pixels for an image of {size[0]}x{size[1]}")


def _lengths(counts: str | bytes) -> list[int]:
    """Return the run lengths of COCO's compressed form: six bits a character, from the third on as differences."""
    lengths: list[int] = []
    value = shift = 0
    for code in counts.encode("ascii") if isinstance(counts, str) else counts:
        bits = code - 48
        if not 0 <= bits < 64:
            raise ValueError(f"the character {chr(code)!r} in run lengths")
        value |= (bits & 31) << shift
        shift += 5
        if bits & 32:
            continue
        if bits & 16:
            value -= 1 << shift
        lengths.append(value + (lengths[-2] if len(lengths) > 2 else 0))
        value = shift = 0
    if shift:
        raise ValueError("run lengths that end in the middle")
    return lengths

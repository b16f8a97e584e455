"""COCO's segmentations, rasterised by pycocotools, the format's own tool: polygons, or run lengths of either form.

The compressed run lengths of a class map are written here, without it.

The C code of pycocotools trusts every number that it is given, so whatever it would take for memory or time is refused
first, against the size of the real image.

Shapes: H x W pixels of the image.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from globalconv.arrays import BoolArray, Uint8Array
from globalconv.data.shapes import MAX_COORDINATE, require_inside
from globalconv.errors import InputError
from globalconv.runtime.text import one_line

MAX_OUTLINE = 5e6
"""Pixels that the outline of one polygon may run along: pycocotools takes 120 bytes for each."""

CHARACTERS_OF_RUN = 7
"""At most so many characters, of five bits each, make one run length."""


def rasterise(segmentations: Sequence[Any], size: tuple[int, int]) -> BoolArray:
    """Return the pixels (H, W) that any of `segmentations` covers; `size` is the image's own (width, height)."""
    try:
        from pycocotools import mask as coco
    except ImportError:
        raise InputError("outlines of COCO and CVAT are filled by pycocotools; pip install globalconv[coco]") from None
    width, height = size
    encoded = []
    try:
        for segmentation in segmentations:
            if isinstance(segmentation, list) and segmentation:
                for polygon in segmentation:
                    _require_polygon(polygon, size)
                encoded.append(coco.merge(coco.frPyObjects(segmentation, height, width)))
            elif isinstance(segmentation, dict) and "counts" in segmentation:
                runs = {"size": [height, width], "counts": _valid_counts(segmentation, size)}
                encoded.append(coco.frPyObjects(runs, height, width) if isinstance(runs["counts"], list) else runs)
            elif not segmentation:
                raise InputError("an object has a box and no outline; draw its outline, or remove it")
            else:
                what = "a text" if isinstance(segmentation, str) else f"a {type(segmentation).__name__}"
                raise InputError(
                    f"a segmentation is {what}, neither a list of polygons nor run lengths; export it again"
                )
        covered_HW: BoolArray = coco.decode(encoded[0] if len(encoded) == 1 else coco.merge(encoded)).astype(bool)
    except InputError:
        raise
    except Exception as error:  # The C code raises almost anything.
        raise InputError(f"a segmentation cannot be rasterised ({one_line(error)}); export it again") from None
    return covered_HW


def _require_polygon(polygon: Any, size: tuple[int, int]) -> None:
    """Refuse what is no polygon [x, y, x, y, ...] on an image of (width, height)."""
    if not isinstance(polygon, list):
        raise InputError(f"a segmentation is a list of {type(polygon).__name__}, not of polygons; write [[x, y, ...]]")
    kinds = set(map(type, polygon))
    if kinds & {list, dict}:
        raise InputError("a polygon is a list of points; write its numbers one after the other: [[x, y, x, y, ...]]")
    if not kinds <= {int, float} or not all(abs(value) <= MAX_COORDINATE for value in polygon):
        raise InputError("a coordinate of a polygon is no number, or far outside; export it again")
    if len(polygon) < 6 or len(polygon) % 2:
        box = ", as a box has them" if len(polygon) == 4 else ""
        raise InputError(f"a polygon of {len(polygon)} numbers{box}; write 6 or more, two a point")
    points = np.array(polygon, np.float64).reshape(-1, 2)
    require_inside(points, 0, size, "a polygon")
    outline = np.abs(np.diff(points, axis=0, append=points[:1])).max(axis=1).sum()
    if outline > (limit := min(MAX_OUTLINE, 4 * size[0] * size[1] + 64 * sum(size))):
        raise InputError(
            f"a polygon of {len(points)} points has an outline of {outline:.3g} pixels, more than the {limit:.3g} that"
            f" fit its image of {size[0]}x{size[1]}; redraw or remove it"
        )


def _valid_counts(segmentation: dict[str, Any], size: tuple[int, int]) -> list[int] | bytes:
    """Return the run lengths of `segmentation` as pycocotools takes them, if they make up an image of `size`."""
    width, height = size
    counts, own = segmentation["counts"], segmentation.get("size")
    if own is not None and own != [height, width]:
        swapped = ": height and width are exchanged" if own == [width, height] else ""
        raise InputError(
            f"run lengths of size {own} (height, width) on an image of {width}x{height}{swapped}; export it again"
        )
    if isinstance(counts, str):
        counts = counts.encode("ascii")
        lengths = _decode_run_lengths(counts)
        fewest, total = int(lengths.min(initial=0)), int(lengths.sum())
    elif isinstance(counts, list) and all(type(length) is int for length in counts):
        fewest, total = min(counts, default=0), sum(counts)
    else:
        raise InputError("run lengths are neither a text nor a list of whole numbers; export it again")
    if fewest < 0 or total != width * height:
        raise InputError(f"run lengths of {total} pixels for an image of {width}x{height}; export it again")
    return counts  # type: ignore[no-any-return] # of JSON


def _decode_run_lengths(counts: bytes) -> NDArray[np.int64]:
    """Return the run lengths of COCO's compressed form: six bits a character, from the fourth on as differences.

    The lowest five bits of a character are a part of the number, lowest part first; the sixth says that more follow.
    The fifth bit of the last part is the sign.
    """
    codes = np.frombuffer(counts, np.uint8).astype(np.int64) - 48
    if codes.size == 0:
        return codes
    if codes.min() < 0 or codes.max() > 63:
        raise InputError("run lengths hold a character of no meaning; export it again")
    ends = np.flatnonzero(codes < 32)
    if ends.size == 0 or ends[-1] != codes.size - 1:
        raise InputError("run lengths end in the middle; export it again")
    starts = np.concatenate(([0], ends[:-1] + 1))
    places = np.arange(codes.size) - np.repeat(starts, ends - starts + 1)
    if places.max() >= CHARACTERS_OF_RUN:
        raise InputError("a run length is longer than any image; export it again")
    values = np.add.reduceat((codes & 31) << (5 * places), starts)
    values -= np.where(codes[ends] & 16, 1 << (5 * (places[ends] + 1)), 0)
    lengths = values.copy()
    for first in (1, 2):  # each is the difference from the one before the last, but for the first three
        lengths[first::2] = np.cumsum(values[first::2])
    return lengths


def encode_classes(class_map: Uint8Array) -> Iterator[tuple[int, int, str]]:
    """Yield each class of `class_map` (H, W) that occurs, its pixels, and COCO's compressed run lengths of them.

    With {"size": [H, W], "counts": counts} these are a segmentation as pycocotools takes it.
    """
    columns = class_map.T.ravel()  # COCO counts down the columns
    starts = np.concatenate(([0], np.flatnonzero(columns[1:] != columns[:-1]) + 1))
    ends = np.append(starts[1:], columns.size)
    classes = columns[starts]
    for index in np.unique(classes):
        own = classes == index
        edges = np.stack((starts[own], ends[own]), axis=1).ravel()
        lengths = np.diff(edges, prepend=0, append=columns.size)
        if edges[-1] == columns.size:  # no run of other pixels at the end
            lengths = lengths[:-1]
        yield int(index), int(lengths[1::2].sum()), encode_run_lengths(lengths)


def encode_run_lengths(lengths: NDArray[np.int64]) -> str:
    """Return run lengths, of which the first is of pixels outside, in COCO's compressed form."""
    values = lengths.copy()
    values[3:] = lengths[3:] - lengths[1:-2]
    characters = np.zeros((values.size, CHARACTERS_OF_RUN), np.uint8)
    pending = np.ones(values.size, bool)
    for place in range(CHARACTERS_OF_RUN):
        low = values & 31
        values >>= 5
        more = pending & (values != np.where(low & 16, -1, 0))  # the fifth bit of the last part is the sign
        characters[pending, place] = (low + 32 * more + 48)[pending]
        pending = more
    return characters[characters > 0].tobytes().decode("ascii")

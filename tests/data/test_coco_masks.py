"""COCO's segmentations: rasterised as pycocotools does, and refused before their numbers take memory or time."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from globalconv.data.coco_masks import encode_classes, rasterise
from globalconv.errors import InputError

tool = pytest.importorskip("pycocotools.mask", reason="pycocotools is optional")

SIZE = (24, 16)
SQUARE = [4, 3, 12, 3, 12, 10, 4, 10]


@given(st.integers(0, 2**32 - 1), st.integers(1, 40), st.integers(1, 40), st.floats(0, 1))
def test_compressed_and_plain_run_lengths_are_the_mask_they_were_made_of(
    seed: int, width: int, height: int, share: float
) -> None:
    pixels = np.asfortranarray(np.random.default_rng(seed).random((height, width)) < share, np.uint8)
    packed = tool.encode(pixels)["counts"].decode()
    edges = np.flatnonzero(np.diff(pixels.T.ravel())) + 1
    plain = [0] * int(pixels[0, 0]) + np.diff([0, *edges, pixels.size]).tolist()
    for counts in (packed, plain):
        for size in ({"size": [height, width]}, {}):
            assert np.array_equal(rasterise([{"counts": counts, **size}], (width, height)), pixels)


@given(st.integers(0, 2**32 - 1), st.integers(1, 60), st.integers(1, 60), st.integers(1, 40))
def test_run_lengths_of_a_class_map_are_pycocotools_own(seed: int, width: int, height: int, block: int) -> None:
    drawn = np.random.default_rng(seed).integers(0, 4, (height, width), np.uint8)
    class_map = np.kron(drawn, np.ones((block, 1), np.uint8))
    found = {index: (area, counts) for index, area, counts in encode_classes(class_map)}
    assert sorted(found) == np.unique(class_map).tolist()
    for index, (area, counts) in found.items():
        mask = np.asfortranarray(class_map == index, np.uint8)
        assert counts.encode() == tool.encode(mask)["counts"] and area == mask.sum()


def test_polygons_are_pycocotools_own_also_where_they_hang_out() -> None:
    for polygon in (SQUARE, [-5, -5, 40, -5, 40, 9.5], [4.25, 3.5, 12.75, 3, 8, 10]):
        (runs,) = tool.frPyObjects([polygon], SIZE[1], SIZE[0])
        assert np.array_equal(rasterise([[polygon]], SIZE), tool.decode(runs))


@pytest.mark.parametrize(
    ("segmentation", "message"),
    [
        ([], "a box and no outline"),
        (None, "a box and no outline"),
        ({}, "a box and no outline"),
        ([[]], "a polygon of 0 numbers"),
        (SQUARE, r"a segmentation is a list of int, not of polygons; write \[\[x, y, ...\]\]"),
        ([[1, 1, 5, 5]], "a polygon of 4 numbers, as a box has them"),
        ([SQUARE[:7]], "a polygon of 7 numbers"),
        ([[[4, 3], [12, 3], [12, 10]]], "a polygon is a list of points"),
        ({"points": SQUARE}, "a segmentation is a dict, neither a list of polygons nor run lengths"),
        ("zz", "a segmentation is a text"),
        (7, "a segmentation is a int"),
        ([["1", "2", "3", "4", "5", "6"]], "a coordinate of a polygon is no number"),
        ([[True] * 6], "a coordinate of a polygon is no number"),
        ([[float("nan")] * 6], "a coordinate of a polygon is no number"),
        ([[10**400, 1, 2, 3, 4, 5]], "a coordinate of a polygon is no number, or far outside"),
        ([[30, 30, 40, 30, 40, 40]], "a polygon lies outside of its image of 24x16"),
        ([[0.1, 0.1, 0.9, 0.1, 0.9, 0.9]], "from 0 to 1, as if in fractions"),
        ([[0, 0, 1e6, 0, 1e6, 1e6]], "an outline of 3e.06 pixels, more than the 4.1e.03 that fit its image"),
        ([[-3000, 0, 3000, 15] * 5000], "an outline of"),
        ({"size": [24, 16], "counts": [0, 384]}, r"size \[24, 16\] .* on an image of 24x16: height and width are exch"),
        ({"size": [10**6, 10**6], "counts": [10**12]}, r"of size \[1000000, 1000000\]"),
        ({"counts": [10**12]}, "run lengths of 1000000000000 pixels for an image of 24x16"),
        ({"counts": [-10, 394]}, "run lengths of 384 pixels"),
        ({"counts": [True, 383]}, "neither a text nor a list of whole numbers"),
        ({"counts": [0.0, 384.0]}, "neither a text nor a list of whole numbers"),
        ({"counts": [[1]]}, "neither a text nor a list of whole numbers"),
        ({"counts": None}, "neither a text nor a list of whole numbers"),
        ({"counts": ""}, "run lengths of 0 pixels"),
        ({"counts": "é"}, "cannot be rasterised"),
        ({"counts": "z"}, "a character of no meaning"),
        ({"counts": "o" * 10**6}, "end in the middle"),
        ({"counts": "o" * 10**6 + "0"}, "a run length is longer than any image"),
    ],
)
def test_what_is_no_segmentation(segmentation: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        rasterise([segmentation], SIZE)

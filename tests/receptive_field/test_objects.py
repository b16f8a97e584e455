"""Objects of hand-made label maps."""

import numpy as np
import numpy.typing as npt
import pytest

from globalconv.receptive_field.advice import object_areas
from globalconv.receptive_field.figure3 import deepest_pixel, object_at

MAP = np.array(
    [
        [1, 1, 0, 255, 2],
        [1, 0, 0, 255, 2],
        [0, 1, 0, 255, 1],
    ],
    np.uint8,
)


def test_objects_touch_along_an_edge_and_void_is_none() -> None:
    """Two regions of class 1 that meet at a corner only are two; so is the third, behind the void."""
    assert sorted(object_areas(MAP)) == [1, 1, 1, 2, 3, 4]
    assert object_areas(np.full((3, 3), 255, np.uint8)).size == 0


def test_the_object_around_a_pixel() -> None:
    assert np.array_equal(np.argwhere(object_at(MAP, 1, 0)), [[0, 0], [0, 1], [1, 0]])
    colours = np.stack([MAP, MAP * 0, 255 - MAP], 2)
    assert np.array_equal(object_at(colours, 1, 0), object_at(MAP, 1, 0))


def test_the_deepest_pixel_is_in_the_largest_object_that_the_edge_does_not_cut() -> None:
    label_map = np.zeros((20, 30), np.uint8)
    label_map[2:7, 2:7] = 1
    label_map[9:18, 4:13] = 1
    label_map[9:18, 13] = 255
    label_map[0:19, 15:30] = 2  # larger, but cut
    assert deepest_pixel(label_map) == (13, 8)
    label_map[10, 20] = 3  # a hole of another class is an object as well, and smaller
    assert deepest_pixel(label_map) == (13, 8)
    label_map[9:18, 0:4] = 1  # now this one is cut, too
    assert deepest_pixel(label_map) == (4, 4)


@pytest.mark.parametrize("label_map", [np.zeros((4, 5), np.uint8), np.full((4, 5), 255, np.uint8)])
def test_there_may_be_no_such_object(label_map: npt.NDArray[np.uint8]) -> None:
    assert deepest_pixel(label_map) is None

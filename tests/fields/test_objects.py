"""Objects of hand-made label maps."""

import numpy as np

from globalconv.fields.objects import object_areas, object_at

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

"""Shapes: drawn as labelme draws them, and refused where their points are too few, too many, or of no image."""

import math
import re
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from globalconv.data.shapes import Shape, draw_shapes, upright_corners
from globalconv.errors import InputError

SIZE = (40, 30)


def drawn(*shapes: Shape) -> NDArray[np.uint8]:
    return draw_shapes([("car", number, shape) for number, shape in enumerate(shapes, start=1)], SIZE, 0)


def mask(height: int, width: int) -> Any:
    return lambda _: np.ones((height, width), bool)


@pytest.mark.parametrize(
    ("kind", "points", "call"),
    [
        ("polygon", [(3.4, 2.6), (20.5, 4), (9, 25.5)], "polygon"),
        ("polygon", [(-30, -3), (90, 4), (9, 85.5)], "polygon"),
        ("rectangle", [(20.6, 17.4), (4.5, 3.5)], "rectangle"),
        ("circle", [(12.2, 9.7), (17, 12)], "ellipse"),
        ("line", [(3, 3), (30, 20)], "line"),
        ("linestrip", [(3, 3), (30, 20), (5, 25)], "line"),
        ("point", [(12.5, 9.5)], "ellipse"),
    ],
)
def test_shapes_are_those_of_labelmes_own_calls(kind: str, points: list[tuple[float, float]], call: str) -> None:
    image = Image.new("L", SIZE, 0)
    pen = ImageDraw.Draw(image)
    (x, y), *_ = points
    radius = 5.0 if kind == "point" else math.dist(points[0], points[-1])
    box = [(x - radius, y - radius), (x + radius, y + radius)]
    corners = [tuple(map(min, zip(*points, strict=True))), tuple(map(max, zip(*points, strict=True)))]
    if call == "line":
        pen.line(points, fill=1, width=10)
    else:
        where = {"polygon": points, "rectangle": corners, "ellipse": box}[call]
        getattr(pen, call)(where, fill=1, outline=1)
    assert np.array_equal(drawn(Shape(kind, tuple(points))), np.array(image))


def test_masks_lie_at_their_corner_without_its_fraction_and_may_hang_out() -> None:
    expected = np.zeros(SIZE[::-1], np.uint8)
    expected[12:15, 10:14] = 1
    assert np.array_equal(drawn(Shape("mask", ((10.6, 12.7),), mask(3, 4))), expected)
    assert drawn(Shape("mask", ((-2.0, 28.0),), mask(3, 4))).sum() == 2 * 2


def test_several_points_are_discs_and_later_shapes_lie_over_earlier_ones() -> None:
    both = drawn(Shape("points", ((8.0, 8.0), (30.0, 20.0))), Shape("point", ((30.0, 20.0),)))
    assert both[8, 8] == 1 and both[20, 30] == 2


@pytest.mark.parametrize(
    ("kind", "points", "message"),
    [
        ("polygon", 2, "a polygon of class 'car' has 2 points, and needs 3 or more"),
        ("rectangle", 1, "a rectangle of class 'car' has 1 point, and needs 2;"),
        ("rectangle", 4, "a rectangle of class 'car' has 4 points, and needs 2;"),
        ("circle", 3, "a circle .* has 3 points, and needs 2;"),
        ("line", 3, "a line .* has 3 points, and needs 2;"),
        ("linestrip", 1, "a linestrip .* has 1 point, and needs 2 or more"),
        ("point", 2, "a point .* has 2 points, and needs 1;"),
        ("spline", 4, r"a shape of kind 'spline' \(class 'car'\): known are polygon"),
    ],
)
def test_every_kind_has_its_least_and_its_most_points(kind: str, points: int, message: str) -> None:
    with pytest.raises(InputError, match=message):
        drawn(Shape(kind, tuple((float(n), float(n % 2)) for n in range(points))))


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        (Shape("polygon", ((50.0, 2.0), (60.0, 2.0), (60.0, 9.0))), "a polygon .* lies outside of its image of 40x30"),
        (Shape("circle", ((-20.0, 5.0), (-15.0, 5.0))), "a circle .* lies outside"),
        (Shape("mask", ((40.0, 3.5),), mask(3, 4)), None),
        (Shape("mask", ((41.0, 3.5),), mask(3, 4)), "a mask .* lies outside"),
        (Shape("point", ((-4.0, 5.0),)), None),
        (Shape("polygon", ((0.1, 0.2), (0.9, 0.2), (0.9, 0.9))), "from 0 to 1, as if in fractions of the image"),
        (Shape("polygon", ((0.0, 0.0), (1.0, 0.0), (1.0, 1.0))), None),
        (Shape("circle", ((5.0, 5.0), (900000.0, 5.0))), "a radius of 899995 pixels"),
        (Shape("polygon", ((5.0, 5.0), (math.inf, 5.0), (1.0, 1.0))), "no numbers or far outside"),
    ],
)
def test_shapes_of_no_image(shape: Shape, message: str | None) -> None:
    if message is None:
        drawn(shape)
        return
    with pytest.raises(InputError, match=message):
        drawn(shape)


@pytest.mark.parametrize(
    ("points", "corners"),
    [
        ([(4, 3), (12, 3), (12, 10), (4, 10)], ((4, 3), (12, 10))),
        ([(12, 10), (4, 3), (4, 10), (12, 3)], ((4, 3), (12, 10))),
        ([(4.3, 3), (12, 3.2), (12, 10), (4, 10)], ((4, 3), (12, 10))),
        ([(8, 1), (15, 7), (8, 13), (1, 7)], None),
        ([(4, 3), (12, 3), (12, 10), (12, 10)], None),
        ([(4, 3), (12, 10)], None),
    ],
)
def test_corners_of_an_upright_box(points: list[tuple[float, float]], corners: Any) -> None:
    assert upright_corners(points) == corners


def test_messages_have_one_remedy_whatever_the_class() -> None:
    remedies = set()
    for name in ("a; b", "c"):
        with pytest.raises(InputError) as error:
            draw_shapes([(name, 1, Shape("line", ((1.0, 1.0),)))], SIZE, 0)
        remedies.add(re.split("; ", str(error.value))[-1])
    assert remedies == {"correct or remove it"}

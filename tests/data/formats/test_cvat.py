"""CVAT: drawn by z-order, turned shapes, subsets as splits, and a message for every broken shape."""

from pathlib import Path

import numpy as np
import pytest
from helpers.datasets import refused
from helpers.formats import SQUARE, cvat

from globalconv.data.datasets import list_splits, open_source, recognise_layout
from globalconv.errors import InputWarning


def test_cvat_draws_by_z_order_then_by_the_file(tmp_path: Path) -> None:
    points = ";".join(f"{x},{y}" for x, y in SQUARE)
    root = cvat(
        tmp_path,
        f'<polygon label="car" points="{points}" z_order="2"/>'
        '<box label="road" xtl="0" ytl="0" xbr="12" ybr="8" z_order="1"/>'
        '<tag label="car"/>'
        '<mask label="car" rle="1, 2, 1" left="20" top="10" width="2" height="2" z_order="0"/>',
    )
    assert recognise_layout(root) == "cvat" and list_splits(root) == [""]
    with pytest.warns(InputWarning, match="1 tags of whole images cover no pixels"):
        source = open_source(root, "all")
    assert source.labels.class_names == ("background", "road", "car")
    label_map = source.label_map(0)
    assert (label_map[0, 0], label_map[5, 6], label_map[9, 6], label_map[15, 0]) == (1, 2, 2, 0)
    assert label_map[10:12, 20:22].tolist() == [[0, 2], [2, 0]]
    assert not source.label_map(1).any()


@pytest.mark.parametrize(
    ("shapes", "message"),
    [
        ('<cuboid label="car" xtl1="0"/>', r"image 0: a cuboid \(car\) covers no known pixels"),
        ('<polygon label="bus" points="1,1;5,1;5,5"/>', "class 'bus' is not in the class list"),
        ('<polygon label="car" points="1,1;5"/>', "an attribute is missing or no number"),
        (
            '<mask label="car" rle="1,2" left="0" top="0" width="2" height="2"/>',
            "is of 3 pixels, its box of 2x2",
        ),
        ('<polygon label="car" points="1,1;5,5"/>', "a polygon of class 'car' has 2 points, and needs 3"),
        ("<polygon", "cannot be read as XML"),
    ],
)
def test_broken_cvat(shapes: str, message: str, tmp_path: Path) -> None:
    refused(cvat(tmp_path, shapes), message, split="all")


def test_cvat_subsets_are_splits(tmp_path: Path) -> None:
    root = cvat(tmp_path, "")
    text = (root / "annotations.xml").read_text()
    text = text.replace('name="a.jpg"', 'name="a.jpg" subset="Train"').replace(
        'name="b.jpg"', 'name="b.jpg" subset="Validation"'
    )
    (root / "annotations.xml").write_text(text)
    assert list_splits(root) == ["train", "validation"]
    source = open_source(root, "val")
    assert [source.sample_name(index) for index in range(len(source))] == ["validation/b"]


def test_cvat_turns_boxes_and_ellipses(tmp_path: Path) -> None:
    box = '<box label="car" xtl="4" ytl="6" xbr="16" ybr="10" rotation="90"/>'
    label_map = open_source(cvat(tmp_path, box), "all").label_map(0)
    rows, columns = np.nonzero(label_map)
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (2, 14, 8, 12)

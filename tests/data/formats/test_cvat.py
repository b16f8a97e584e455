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
        ('<polygon label="car" points="1,1;5,5"/>', "an object of class 'car': a polygon of 4 numbers"),
        ("<polygon", "cannot be read as XML"),
        ('<polyline label="car" points="3,3"/>', "a linestrip of class 'car' has 1 point, and needs 2 or more"),
        ('<polygon label="" points="1,1;5,1;5,5"/>', "the field 'label' is ''; write a name there"),
        ('<polygon points="1,1;5,1;5,5"/>', "the field 'label' is missing"),
        ('<polygon label="car" points="1,1;5,1;5,5" rotation="30"/>', r"a polygon \(car\) covers no known pixels"),
        (
            '<polygon label="car" points="41,1;45,1;45,5"/>',
            "an object of class 'car': a polygon lies outside of its image",
        ),
        ('<polygon label="car" points="nan,1;5,1;5,5"/>', "a coordinate of a polygon is no number"),
        ('<skeleton label="car"><points label="x" points="1,1"/></skeleton>', "a skeleton .* covers no known pixels"),
        (
            '<mask label="car" rle="10000000000" left="0" top="0" width="100000" height="100000"/>',
            "its box is 100000x100000, on an image of 24x16",
        ),
        (
            '<mask label="car" rle="-5,9" left="0" top="0" width="2" height="2"/>',
            "its rle is of 4 pixels",
        ),
        ('<mask label="car" rle="0,4" left="99" top="0" width="2" height="2"/>', "a mask .* lies outside of its image"),
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
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (2, 13, 8, 11)


def test_areas_are_filled_as_cvats_own_masks_are(tmp_path: Path) -> None:
    """Datumaro, which writes CVAT's masks, has pycocotools fill polygons, boxes (as polygons) and ellipses."""
    coco = pytest.importorskip("pycocotools.mask", reason="pycocotools is optional")
    cases = {
        '<box label="car" xtl="3" ytl="2" xbr="9" ybr="7"/>': [3.0, 2.0, 9.0, 2.0, 9.0, 7.0, 3.0, 7.0],
        '<box label="car" xtl="3.4" ytl="2.6" xbr="9.5" ybr="7.2"/>': [3.4, 2.6, 9.5, 2.6, 9.5, 7.2, 3.4, 7.2],
        '<polygon label="car" points="2.0,1.0;20.5,3.25;11.0,13.75"/>': [2.0, 1.0, 20.5, 3.25, 11.0, 13.75],
    }
    for place, (shape, outline) in enumerate(cases.items()):
        (root := tmp_path / str(place)).mkdir()
        label_map = open_source(cvat(root, shape), "all").label_map(0)
        expected = coco.decode(coco.merge(coco.frPyObjects([outline], *label_map.shape)))
        assert ((label_map > 0) == expected).all() and expected.any()
    assert (open_source(tmp_path / "0", "all").label_map(0) > 0).sum() == 6 * 5  # columns 3 to 8, rows 2 to 6


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("<annotations>", '<!DOCTYPE a [<!ENTITY b "x">]><annotations>', "it declares a document type"),
        ("<annotations>", '<!DOCTYPE a SYSTEM "a.dtd"><annotations>', "it declares a document type"),
        ("annotations>", "annotation>", "is no file of CVAT, but of <annotation>"),
        ("</annotations>", '<track id="0" label="car"/></annotations>', "holds shapes of a film"),
        ("<image", "<frame", "cannot be read as XML|holds no images"),
        ('name="a.jpg"', "", "image 0: the field 'name' is missing"),
        ('name="b.jpg"', 'name="a.jpg"', "the image 'a' is listed 2 times"),
        ("utf-8", "klingon", "cannot be read as XML"),
    ],
)
def test_files_that_are_not_cvats(old: str, new: str, message: str, tmp_path: Path) -> None:
    file = cvat(tmp_path, "") / "annotations.xml"
    file.write_text(file.read_text().replace(old, new))
    refused(tmp_path, message, split="all", layout="cvat")


def test_entities_are_never_expanded(tmp_path: Path) -> None:
    file = cvat(tmp_path, "") / "annotations.xml"
    entities = "".join(f'<!ENTITY e{n + 1} "{f"&e{n};" * 10}">' for n in range(30))
    head = f'<!DOCTYPE a [<!ENTITY e0 "x">{entities}]><annotations>&e30;'
    file.write_text(file.read_text().replace("<annotations>", head))
    refused(tmp_path, "it declares a document type, which CVAT never does", split="all", layout="cvat")


def test_cvat_masks_that_hang_out_and_points(tmp_path: Path) -> None:
    root = cvat(tmp_path, '<mask label="car" rle="0,16" left="22" top="14" width="4" height="4"/>')
    assert open_source(root, "all").label_map(0)[14:, 22:].all()
    drawn = open_source(cvat(tmp_path, '<points label="car" points="3,3;18,9"/>'), "all").label_map(0)
    assert drawn[3, 3] and drawn[9, 18] and not drawn[6, 11]


def test_cvat_images_of_a_task_on_another_machine(tmp_path: Path) -> None:
    file = cvat(tmp_path, "") / "annotations.xml"
    file.write_text(file.read_text().replace('name="a.jpg"', r'name="C:\task 1\a.jpg"'))
    with pytest.warns(InputWarning, match="1 of 2 images are not where the annotations say"):
        source = open_source(tmp_path, "all")
    assert [source.sample_name(index) for index in range(len(source))] == ["task 1/a", "b"]

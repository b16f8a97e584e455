"""labelme: drawn as labelme draws it, and a message for every way in which an annotation can be broken."""

import base64
import io
import json
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers.datasets import SIZE, image, refused
from helpers.formats import SQUARE, TRIANGLE, labelme
from PIL import Image, ImageDraw

from globalconv.data.datasets import list_splits, open_source, recognise_layout
from globalconv.errors import InputWarning
from globalconv.labels import IGNORE


def test_labelme_draws_later_shapes_over_earlier_ones(tmp_path: Path) -> None:
    root = labelme(tmp_path)
    assert recognise_layout(root) == "labelme"
    source = open_source(root, "all")
    assert source.labels.class_names == ("background", "car", "tree")
    expected = Image.new("L", SIZE, 0)
    pen = ImageDraw.Draw(expected)
    for points, value in ((SQUARE, 2), (TRIANGLE, 1)):
        pen.polygon([(x, y) for x, y in points], fill=value, outline=value)
    pen.rectangle([0, 0, 2, 1], fill=IGNORE)
    assert np.array_equal(source.label_map(0), np.array(expected))
    (root / "classes.json").write_text('["tree", "car"]')
    drawn = open_source(root, "all").label_map(0)
    assert (drawn[5, 5], drawn[15, 23]) == (0, IGNORE), "without a class background, undrawn pixels do not count"


def test_labelme_kinds_of_shapes(tmp_path: Path) -> None:
    small = np.zeros((3, 4), np.uint8)
    small[1:, 1:] = 255
    buffer = io.BytesIO()
    Image.fromarray(small).save(buffer, format="PNG")
    mask_text = base64.b64encode(buffer.getvalue()).decode()
    shapes = [
        {"label": "disc", "shape_type": "circle", "points": [[12, 8], [15, 8]]},
        {"label": "dot", "shape_type": "point", "points": [[20, 10]]},
        {"label": "made", "shape_type": "mask", "points": [[1, 2], [4, 4]], "mask": mask_text},
        {"label": "wire", "shape_type": "linestrip", "points": [[0, 15], [23, 15]]},
    ]
    source = open_source(labelme(tmp_path, shapes=shapes), "all")
    label_map = source.label_map(0)
    name = {value: source.labels.class_names[value] for value in np.unique(label_map)}
    assert name[label_map[8, 12]] == "disc" and name[label_map[7, 20]] == "dot" and name[label_map[15, 3]] == "wire"
    assert label_map[3, 2] == label_map[4, 4] == source.labels.class_names.index("made") and label_map[2, 2] == 0


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"imageWidth": 16, "imageHeight": 24}, "annotation is 16x24 but its image .* width and height are swapped"),
        ({"imageWidth": 25}, "annotation is 25x16 but its image .*a.jpg is 24x16"),
        (
            {"imagePath": "gone.jpg", "shapes": [{"label": "x", "points": []}]},
            "a polygon of class 'x' has 0 points, and needs 3",
        ),
        (
            {"shapes": [{"label": "x", "shape_type": "spline", "points": SQUARE}]},
            r"shape of kind 'spline' \(class 'x'\): known are",
        ),
        ({"shapes": [{"label": "x", "points": SQUARE}, {"points": SQUARE}]}, "a.json: the field 'label' is missing"),
        ({"shapes": []}, "nothing is drawn in any annotation"),
        (
            {"shapes": [{"label": "x", "shape_type": "mask", "points": [[1, 1], [2, 2]], "mask": "AAAA"}]},
            "cannot be decoded",
        ),
    ],
)
def test_broken_labelme(changes: dict[str, Any], message: str, tmp_path: Path) -> None:
    refused(labelme(tmp_path, **changes), message, split="all", layout="labelme")


def test_labelme_without_its_image_and_with_an_unlisted_class(tmp_path: Path) -> None:
    root = labelme(tmp_path)
    (root / "classes.json").write_text('["background", "tree"]')
    refused(root, "class 'car' is not in the class list", split="all")
    (root / "a.jpg").unlink()
    refused(root, r"a\.json: its image 'a\.jpg' is not there", split="all")


def test_labelmes_own_example_is_rendered_as_labelme_did(real_data: Path) -> None:
    """voc-sample holds three drawings and the maps that labelme made of them; one pixel depends on Pillow's version."""
    root = real_data / "voc-sample"
    drawn, exported = open_source(root / "labelme", "all"), open_source(root, "all", "voc")
    meaning = np.full(256, IGNORE, np.uint8)
    for value, name in enumerate(drawn.labels.class_names):  # labels.txt writes "potted plant" and "tv/monitor"
        meaning[value] = exported.labels.class_names.index(re.sub("[^a-z]", "", name))
    assert len(drawn) == len(exported) == 3
    for index in range(len(drawn)):
        assert np.count_nonzero(meaning[drawn.label_map(index)] != exported.label_map(index)) <= 1


@pytest.mark.parametrize(
    "points", [[[float("nan"), 1], [3, 3], [5, 1]], [[1e20, 1], [3, 3], [5, 1]], [[1, 2, 3]], None, "a"]
)
def test_labelme_points_that_are_none(points: Any, tmp_path: Path) -> None:
    refused(
        labelme(tmp_path, shapes=[{"label": "x", "points": points}]),
        "no numbers|not as its format|no pair of numbers",
        split="all",
    )


def test_labelme_that_holds_its_image_inside(tmp_path: Path) -> None:
    (labelme(tmp_path, imageData="aGVsbG8=") / "a.jpg").unlink()
    refused(tmp_path, "its image 'a.jpg' is not there .* or decode it from the field imageData", split="all")


def test_labelme_files_beside_the_folders_of_splits(tmp_path: Path) -> None:
    for split in ("train", "val"):
        labelme(tmp_path / "photos" / split)
    assert list_splits(tmp_path) == ["train", "val"]
    assert open_source(tmp_path, "val").sample_name(0) == "photos/val/a"
    labelme(tmp_path / "photos")
    refused(tmp_path, r"2 annotations lie beside the folders of the splits and in none \(a.json, b.json\); move each")


def shape(kind: Any, points: Any, label: Any = "car", **more: Any) -> dict[str, Any]:
    return {"shapes": [{"label": label, "shape_type": kind, "points": points, **more}]}


def mask_shape(points: Any, pixels: Any, version: str = "5.8.1") -> dict[str, Any]:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format="PNG")
    return {"version": version, **shape("mask", points, mask=base64.b64encode(buffer.getvalue()).decode())}


@pytest.mark.parametrize("kind", ["rectangle", "rotation", "quadrilateral", "oriented_rectangle", "polygon", None])
def test_boxes_of_four_corners(kind: str | None, tmp_path: Path) -> None:
    drawn = open_source(labelme(tmp_path, **shape(kind, SQUARE)), "all").label_map(0)
    assert drawn[3:11, 4:13].all() and drawn.sum() == 8 * 9


@pytest.mark.parametrize(
    ("kind", "points", "message"),
    [
        (
            "rectangle",
            [[8, 1], [15, 7], [8, 13], [1, 7]],
            "class 'car' has 4 points that are not the corners of an upr",
        ),
        ("rectangle", SQUARE[:3], "a rectangle of class 'car' has 3 points, and needs 2;"),
        ("rotation", SQUARE[:3], "a rotation of class 'car' has 3 points, and needs 4;"),
        ("cuboid", SQUARE * 2, "a shape of kind 'cuboid'"),
        ("points", SQUARE, "points of class 'car' cover no known pixels"),
        ("polyline", SQUARE, "a shape of kind 'polyline'"),
        ("polygon", [["1", "2"]] * 3, "has a point that is no pair of numbers: .'1', '2'."),
        ("polygon", [[True, 2]] * 3, "has a point that is no pair of numbers"),
        ("mask", [[1, 1]], "a mask of class 'car' has 1 point, and needs 2;"),
    ],
)
def test_labelme_shapes_of_other_points(kind: str, points: Any, message: str, tmp_path: Path) -> None:
    refused(labelme(tmp_path, **shape(kind, points)), message, split="all")


@pytest.mark.parametrize("label", [None, "", " ", ["car"], True])
def test_labels_that_are_none(label: Any, tmp_path: Path) -> None:
    both = {"shapes": [*shape("polygon", SQUARE)["shapes"], *shape("polygon", SQUARE, label)["shapes"]]}
    refused(labelme(tmp_path, **both), "the field 'label' is .*; write a name there", split="all")


@pytest.mark.parametrize("shapes", [None, {}, "a"])
def test_shapes_that_are_no_list(shapes: Any, tmp_path: Path) -> None:
    labelme(tmp_path)
    fields = json.loads((tmp_path / "a.json").read_text())
    (tmp_path / "a.json").write_text(json.dumps({**fields, "shapes": shapes}))
    refused(tmp_path, "a.json: the field 'shapes' is no list", split="all")


def test_masks_as_the_version_of_labelme_that_wrote_them_places_them(tmp_path: Path) -> None:
    pixels = np.full((3, 4), 255, np.uint8)
    for version, left, top in (("5.8.1", 10, 7), ("7.0.4", 10, 7), ("7.1.0", 11, 8), ("", 10, 7)):
        root = labelme(tmp_path, **mask_shape([[10.6, 7.7], [13.6, 9.7]], pixels, version))
        drawn = open_source(root, "all").label_map(0)
        assert drawn[top : top + 3, left : left + 4].all() and drawn.sum() == 12, version
    off = labelme(tmp_path, **mask_shape([[10.9, 7.9], [14.1, 10.1]], pixels))  # fractions that fall apart when cut off
    assert open_source(off, "all").label_map(0)[7:10, 10:14].all()


@pytest.mark.parametrize("pixels", [np.ones((3, 4), np.uint8), np.ones((3, 4), bool), np.ones((3, 4), np.uint16)])
def test_every_value_but_zero_is_of_the_mask(pixels: Any, tmp_path: Path) -> None:
    assert open_source(labelme(tmp_path, **mask_shape([[2, 2], [5, 4]], pixels)), "all").label_map(0).sum() == 12


@pytest.mark.parametrize(
    ("points", "pixels", "message"),
    [
        ([[2, 2], [6, 4]], np.ones((3, 4), np.uint8), "its pixels are 4x3, but its corners enclose 5x3; draw it anew"),
        ([[5, 4], [2, 2]], np.ones((3, 4), np.uint8), "its corners enclose -2x-1"),
        ([[2, 2], [5, 4]], np.ones((3, 4, 3), np.uint8), "its pixels are coloured"),
        ([[0, 0], [20000, 20000]], np.ones((1, 1), np.uint8), "its corners enclose 20001x20001"),
    ],
)
def test_masks_that_do_not_fit_their_corners(points: Any, pixels: Any, message: str, tmp_path: Path) -> None:
    refused(labelme(tmp_path, **mask_shape(points, pixels)), message, split="all")


def test_linestrips_turn_as_the_version_of_labelme_draws_them(tmp_path: Path) -> None:
    strip = shape("linestrip", [[3, 12], [12, 3], [20, 12]])
    for version, joint in (("5.8.1", None), ("7.0.0", "curve")):
        expected = Image.new("L", SIZE, 0)
        ImageDraw.Draw(expected).line([(3, 12), (12, 3), (20, 12)], fill=1, width=10, joint=joint)
        drawn = open_source(labelme(tmp_path, version=version, **strip), "all").label_map(0)
        assert np.array_equal(drawn, np.array(expected)), version


def renamed(root: Path, **image_paths: str) -> Path:
    for name, path in image_paths.items():
        fields = json.loads((root / f"{name}.json").read_text())
        (root / f"{name}.json").write_text(json.dumps({**fields, "imagePath": path}))
    return root


def test_an_image_of_the_annotations_name_is_its_image_whatever_imagepath_says(tmp_path: Path) -> None:
    root = renamed(labelme(tmp_path), a="b.jpg", b="a.jpg")
    with pytest.warns(
        InputWarning, match=r"2 annotations have an imagePath .* a.json is 'b.jpg', but a.jpg has its"
    ) as told:
        source = open_source(root, "all")
    assert len(told) == 1 and [path.image.name for path in source.samples] == ["a.jpg", "b.jpg"]  # type: ignore[attr-defined]


def test_exchanged_images_in_a_folder_of_their_own(tmp_path: Path) -> None:
    root = renamed(labelme(tmp_path), a="../images/b.jpg", b="../images/a.jpg")
    (root / "drawn").mkdir()
    (root / "images").mkdir()
    for path in list(root.glob("*.*")):
        path.rename(root / ("drawn" if path.suffix == ".json" else "images") / path.name)
    with pytest.warns(InputWarning, match=r"a.json is '../images/b.jpg', but ../images/a.jpg has its name"):
        source = open_source(root, "all")
    assert [path.image.name for path in source.samples] == ["a.jpg", "b.jpg"]  # type: ignore[attr-defined]
    renamed(root / "drawn", a="../images/a.jpg", b="../images/b.jpg")
    assert len(open_source(root, "all")) == 2


@pytest.mark.parametrize("path", [None, "", 5, "gone.jpg", r"C:\data\a.jpg", "/Users/other/a.jpg", r"..\x\a.jpg"])
def test_images_beside_their_annotations_need_no_imagepath(path: Any, tmp_path: Path) -> None:
    assert len(open_source(renamed(labelme(tmp_path), a=path), "all")) == 2


def test_which_image_is_meant_is_not_guessed(tmp_path: Path) -> None:
    image(labelme(tmp_path) / "a.png")
    assert len(open_source(tmp_path, "all")) == 2, "imagePath says which"
    refused(renamed(tmp_path, a="gone.jpg"), r"which of a\.jpg and a\.png is its image\?", split="all")


def test_two_annotations_of_one_image(tmp_path: Path) -> None:
    shutil.copy(labelme(tmp_path) / "a.json", tmp_path / "copy of a.json")
    refused(tmp_path, r"copy of a\.json: its image .*a\.jpg is that of .*a\.json too", split="all")


def test_json_files_of_other_tools_are_named(tmp_path: Path) -> None:
    (labelme(tmp_path) / "via.json").write_text('{"a.jpg": {"regions": []}}')
    (tmp_path / "project.json").write_text("[1]")
    with pytest.warns(InputWarning, match="no annotations of labelme are left out: project.json, via.json") as told:
        assert len(open_source(tmp_path, "all")) == 2
    assert isinstance(told[0].message, InputWarning) and told[0].message.severity == "note"

"""What annotation tools draw is what is read, as the tools themselves render it, and what is broken is named."""

import base64
import io
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers.datasets import SIZE, refused
from helpers.formats import SQUARE, TRIANGLE, coco, cvat, labelme
from PIL import Image, ImageDraw

from globalconv.data.datasets import list_splits, open_source, recognise_layout
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
        ({"imagePath": "gone.jpg", "shapes": [{"label": "x", "points": []}]}, "a polygon of 0 points needs 3"),
        ({"shapes": [{"label": "x", "shape_type": "spline", "points": SQUARE}]}, "shape of kind 'spline': known are"),
        ({"shapes": [{"label": "x", "points": SQUARE}, {"points": SQUARE}]}, "a.json: the field 'label' is missing"),
        ({"shapes": []}, "nothing is drawn in any annotation"),
        ({"shapes": [{"label": "x", "shape_type": "mask", "points": [[1, 1]], "mask": "AAAA"}]}, "cannot be decoded"),
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


def test_coco_is_rasterised_as_pycocotools_does(tmp_path: Path) -> None:
    tool = pytest.importorskip("pycocotools.mask", reason="pycocotools is optional")
    root = coco(tmp_path)
    assert recognise_layout(root) == "coco"
    source = open_source(root, "all")
    assert source.labels.class_names == ("background", "car", "tree")
    expected = np.zeros((SIZE[1], SIZE[0]), np.uint8)
    for points, value in ((SQUARE, 2), (TRIANGLE, 1)):
        (runs,) = tool.frPyObjects([[value for point in points for value in point]], SIZE[1], SIZE[0])
        expected[tool.decode(runs) > 0] = value
    assert np.array_equal(source.label_map(0), expected)
    assert not source.label_map(1).any(), "an image without objects is background"


def test_coco_run_lengths_and_crowds(tmp_path: Path) -> None:
    tool = pytest.importorskip("pycocotools.mask", reason="pycocotools is optional")
    pixels = np.zeros((SIZE[1], SIZE[0]), np.uint8, order="F")
    pixels[2:5, 3:9] = 1
    packed = tool.encode(pixels)
    columns = pixels.T.ravel()
    edges = np.flatnonzero(np.diff(columns)) + 1
    counts = np.diff([0, *edges, columns.size]).tolist()
    for runs in ({"size": [16, 24], "counts": packed["counts"].decode()}, {"size": [16, 24], "counts": counts}):
        annotation = {"id": 1, "image_id": 7, "category_id": 5, "iscrowd": 1, "segmentation": runs}
        source = open_source(coco(tmp_path, annotations=[annotation]), "all")
        assert np.array_equal(source.label_map(0), pixels)


def outline(points: list[Any]) -> dict[str, Any]:
    return {"annotations": [{"id": 1, "image_id": 7, "category_id": 5, "segmentation": [points]}]}


def runs(counts: Any) -> dict[str, Any]:
    return {
        "annotations": [
            {"id": 1, "image_id": 7, "category_id": 5, "segmentation": {"size": [16, 24], "counts": counts}}
        ]
    }


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"images": [{"id": 7, "file_name": "c.jpg", "width": 24, "height": 16}]},
            r"image 7: its image 'c\.jpg' is not",
        ),
        ({"images": [{"id": 7, "file_name": "a.jpg", "width": 16, "height": 24}]}, "width and height are swapped"),
        ({"annotations": [{"id": 3, "image_id": 7, "category_id": 99}]}, "annotation 3 has category_id 99"),
        ({"annotations": [{"id": 3, "image_id": 7}]}, "the field 'category_id' is missing"),
        ({"categories": None}, "not as its format says"),
        ({"annotations": [{"id": 3, "image_id": 7, "category_id": 5, "bbox": [0, 0, 3, 3]}]}, "a box and no outline"),
        ({"annotations": [{"id": 3, "image_id": None, "category_id": 5}]}, "not as its format says"),
        (outline([1, 2, None, 4, 5, 6]), "a coordinate is no number"),
        (outline([1, 2, 1e9, 4, 5, 6]), "a coordinate is no number, or far outside"),
        (outline([1, 2, 3, 4]), "a polygon of 4 numbers"),
        (runs("zz"), "run lengths"),
        (runs([10, 100]), "run lengths of 110 pixels for an image of 24x16"),
    ],
)
def test_broken_coco(changes: dict[str, Any], message: str, tmp_path: Path) -> None:
    if "width" in str(changes) or "segmentation" in str(changes):
        pytest.importorskip("pycocotools", reason="pycocotools is optional")
    refused(coco(tmp_path, **changes), message, split="all")


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
        ('<mask label="car" rle="1,2" left="0" top="0" width="2" height="2"/>', "rle of 3 pixels for a mask of 2x2"),
        ('<polygon label="car" points="1,1;5,5"/>', "a polygon of 2 points needs 3"),
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


@pytest.mark.parametrize("make", [labelme, coco], ids=["labelme", "coco"])
def test_a_turned_photograph_is_drawn_upright(make: Callable[..., Path], tmp_path: Path) -> None:
    pytest.importorskip("pycocotools", reason="pycocotools is optional")
    root = make(tmp_path)
    for path in root.rglob("*.jpg"):
        exif = Image.Exif()
        exif[0x0112] = 6
        Image.new("RGB", SIZE[::-1]).save(path, exif=exif)  # stored 16x24, shown 24x16
    source = open_source(root, "all")
    assert source.image(0).shape[:2] == source.label_map(0).shape == SIZE[::-1]


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


def test_cvat_turns_boxes_and_ellipses(tmp_path: Path) -> None:
    box = '<box label="car" xtl="4" ytl="6" xbr="16" ybr="10" rotation="90"/>'
    label_map = open_source(cvat(tmp_path, box), "all").label_map(0)
    rows, columns = np.nonzero(label_map)
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (2, 14, 8, 12)


@pytest.mark.parametrize(
    "points", [[[float("nan"), 1], [3, 3], [5, 1]], [[1e20, 1], [3, 3], [5, 1]], [[1, 2, 3]], None, "a"]
)
def test_labelme_points_that_are_none(points: Any, tmp_path: Path) -> None:
    refused(labelme(tmp_path, shapes=[{"label": "x", "points": points}]), "no numbers|not as its format", split="all")


def test_coco_files_at_the_root_are_splits(tmp_path: Path) -> None:
    pytest.importorskip("pycocotools", reason="pycocotools is optional")
    content = (coco(tmp_path) / "annotations/instances_default.json").read_text()
    (tmp_path / "annotations/instances_default.json").unlink()
    (tmp_path / "annotations_train.json").write_text(content)
    assert list_splits(tmp_path) == [""]
    (tmp_path / "annotations_val.json").write_text(content)
    (tmp_path / "config.json").write_text("{}")
    assert (recognise_layout(tmp_path), list_splits(tmp_path)) == ("coco", ["train", "val"])
    assert open_source(tmp_path, "val").sample_name(0) == "val/a"
    (tmp_path / "train.json").write_text(content)
    assert list_splits(tmp_path) == ["annotations_train", "annotations_val", "train"], "two files of one split"


def test_coco_images_in_the_one_folder_below_images(tmp_path: Path) -> None:
    pytest.importorskip("pycocotools", reason="pycocotools is optional")
    root = coco(tmp_path)
    (root / "images").rename(root / "default")
    (root / "images").mkdir()
    (root / "default").rename(root / "images/default")
    (root / "annotations/instances_default.json").rename(root / "annotations/mine.json")
    assert len(open_source(root, "all")) == 2
    (root / "images/more").mkdir()
    refused(root, "its image 'a.jpg' is not there", split="all")


def test_a_category_that_only_groups_others_is_no_class(tmp_path: Path) -> None:
    pytest.importorskip("pycocotools", reason="pycocotools is optional")
    kinds = [{"id": 0, "name": "plants", "supercategory": "none"}]
    kinds += [{"id": n, "name": name, "supercategory": "plants"} for n, name in ((30, "tree"), (5, "moss"))]
    source = open_source(coco(tmp_path, categories=kinds), "all")
    assert source.labels.class_names == ("background", "moss", "tree")


def test_labelme_that_holds_its_image_inside(tmp_path: Path) -> None:
    (labelme(tmp_path, imageData="aGVsbG8=") / "a.jpg").unlink()
    refused(tmp_path, "its image 'a.jpg' is not there .* or decode it from the field imageData", split="all")


def test_coco_objects_of_no_image(tmp_path: Path) -> None:
    square = [{"id": 1, "image_id": 77, "category_id": 5, "segmentation": [[4, 3, 12, 3, 12, 10]]}]
    refused(coco(tmp_path, annotations=square), r"has objects on images that it does not list \(image_id 77\)", "all")


def test_labelme_files_beside_the_folders_of_splits(tmp_path: Path) -> None:
    for split in ("train", "val"):
        labelme(tmp_path / "photos" / split)
    assert list_splits(tmp_path) == ["train", "val"]
    assert open_source(tmp_path, "val").sample_name(0) == "photos/val/a"
    labelme(tmp_path / "photos")
    refused(tmp_path, r"2 annotations lie beside the folders of the splits and in none \(a.json, b.json\); move each")


def test_names_never_lead_out_and_are_never_twice(tmp_path: Path) -> None:
    twice = [{"id": n, "file_name": "../images/a.jpg", "width": SIZE[0], "height": SIZE[1]} for n in (7, 9)]
    root = coco(tmp_path, images=twice)
    source = open_source(coco(tmp_path, images=twice[:1]), "all")
    assert source.sample_name(0) == "default/images/a"
    coco(tmp_path, images=twice)
    refused(root, "the image 'default/images/a' is listed 2 times", split="all")

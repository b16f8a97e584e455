"""COCO files of one's own categories: rasterised as pycocotools does, split by their names, broken ones refused."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers.datasets import SIZE, refused
from helpers.formats import SQUARE, TRIANGLE, coco

from globalconv.data.datasets import list_splits, open_source, recognise_layout
from globalconv.errors import InputWarning


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
        ({"categories": None}, "categories. is no list of objects"),
        ({"annotations": [{"id": 3, "image_id": 7, "category_id": 5, "bbox": [0, 0, 3, 3]}]}, "a box and no outline"),
        ({"annotations": [{"id": 3, "image_id": None, "category_id": 5}]}, "the image_id of annotation 3 is None"),
        (outline([1, 2, None, 4, 5, 6]), "a coordinate of a polygon is no number"),
        (outline([1, 2, 1e9, 4, 5, 6]), "a coordinate of a polygon is no number, or far outside"),
        (outline([1, 2, 3, 4]), "a polygon of 4 numbers"),
        (runs("zz"), "run lengths"),
        (runs([10, 100]), "run lengths of 110 pixels for an image of 24x16"),
    ],
)
def test_broken_coco(changes: dict[str, Any], message: str, tmp_path: Path) -> None:
    if "width" in str(changes) or "segmentation" in str(changes):
        pytest.importorskip("pycocotools", reason="pycocotools is optional")
    refused(coco(tmp_path, **changes), message, split="all")


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
    with pytest.warns(InputWarning, match=r"2 of 2 images .* \('a.jpg' is images/default/a.jpg\)"):
        assert len(open_source(root, "all")) == 2


def test_a_category_that_only_groups_others_is_no_class(tmp_path: Path) -> None:
    pytest.importorskip("pycocotools", reason="pycocotools is optional")
    kinds = [{"id": 0, "name": "plants", "supercategory": "none"}]
    kinds += [{"id": n, "name": name, "supercategory": "plants"} for n, name in ((30, "tree"), (5, "moss"))]
    with pytest.warns(InputWarning, match="the categories plants have no object and only group others"):
        source = open_source(coco(tmp_path, categories=kinds), "all")
    assert source.labels.class_names == ("background", "moss", "tree")


def test_coco_objects_of_no_image(tmp_path: Path) -> None:
    square = [{"id": 1, "image_id": 77, "category_id": 5, "segmentation": [[4, 3, 12, 3, 12, 10]]}]
    refused(coco(tmp_path, annotations=square), r"has objects on images that it does not list \(image_id 77\)", "all")


@pytest.mark.parametrize("field", ["images", "annotations", "categories"])
@pytest.mark.parametrize("value", [None, 3, "x", {"id": 1}, [None], [[1]]])
def test_fields_of_another_kind_are_refused_by_the_name_of_the_file(field: str, value: object, tmp_path: Path) -> None:
    file = coco(tmp_path) / "annotations/instances_default.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {field: value}))
    refused(tmp_path, rf"instances_default\.json: the field '{field}' is no list of objects")

"""COCO files of one's own categories: rasterised as pycocotools does, split by their names, broken ones refused."""

import json
import shutil
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
    with pytest.warns(InputWarning, match="the categories 'plants' have no object and only group others"):
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


def on(*image_ids: Any, category: Any = 5) -> list[dict[str, Any]]:
    """Return an object on each image."""
    shape = {"category_id": category, "segmentation": [[4, 3, 12, 3, 12, 10]]}
    return [{"id": number, "image_id": image_id, **shape} for number, image_id in enumerate(image_ids)]


def listed(*ids: Any) -> list[dict[str, Any]]:
    pairs = zip(ids, "ab", strict=True)
    return [{"id": key, "file_name": f"{name}.jpg", "width": SIZE[0], "height": SIZE[1]} for key, name in pairs]


def shows_car(root: Path) -> list[bool]:
    source = open_source(root, "all")
    car = source.labels.class_names.index("car")
    return [bool((source.label_map(index) == car).any()) for index in range(len(source))]


@pytest.mark.parametrize("ids", [("u-1", "u-2"), ("2", "1"), (7, "7"), (2**70, 0), (1.0, 2.5)])
def test_coco_ids_are_keys_of_any_kind(ids: tuple[Any, Any], tmp_path: Path) -> None:
    pytest.importorskip("pycocotools", reason="pycocotools is optional")
    assert shows_car(coco(tmp_path, images=listed(*ids), annotations=on(ids[1]))) == [False, True]
    assert shows_car(coco(tmp_path, images=listed(*ids), annotations=on(ids[0]))) == [True, False]


@pytest.mark.parametrize("change", [{"images": listed("7", "9")}, {"categories": [{"id": "5", "name": "car"}]}])
def test_coco_ids_of_the_other_type_are_matched_and_told(change: dict[str, Any], tmp_path: Path) -> None:
    pytest.importorskip("pycocotools", reason="pycocotools is optional")
    root = coco(tmp_path, **{"annotations": on(7), **change})
    with pytest.warns(InputWarning, match="1 of 1 annotations have ids as text where the lists have numbers"):
        assert shows_car(root) == [True, False]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"images": listed(7, 7)}, "the image id 7 is that of 'a.jpg' and of 'b.jpg'"),
        ({"images": listed("x", "x")}, "the image id 'x' is that of 'a.jpg' and of 'b.jpg'"),
        (
            {"categories": [{"id": 5, "name": "car"}, {"id": 5, "name": "bus"}]},
            "the category id 5 is that of 'car' and of 'bus'",
        ),
        ({"images": listed(None, 7)}, "the id of 'a.jpg' is None; an id is a number or a text"),
        ({"images": listed(True, 7)}, "the id of 'a.jpg' is True"),
        ({"annotations": on([7])}, r"the image_id of annotation 0 is \[7\]"),
        ({"annotations": on(7, category=None)}, "the category_id of annotation 0 is None"),
        ({"categories": [{"id": 5, "name": None}]}, "category 5: the field 'name' is None; write a name there"),
        ({"categories": [{"id": 5, "name": " "}]}, "category 5: the field 'name' is ' '"),
        ({"images": [{"id": 7, "file_name": None}]}, "image 7: the field 'file_name' is None"),
        ({"annotations": on(7, 77, 78, 78)}, r"image_id 77, 78\), 3 of 4; export it again"),
    ],
)
def test_coco_ids_and_names_that_are_none_or_of_two(changes: dict[str, Any], message: str, tmp_path: Path) -> None:
    refused(coco(tmp_path, **{"annotations": on(7), **changes}), message, split="all")


def test_coco_categories_in_order(tmp_path: Path) -> None:
    pytest.importorskip("pycocotools", reason="pycocotools is optional")

    def classes(*categories: tuple[Any, str]) -> tuple[str, ...]:
        kinds = [{"id": key, "name": name} for key, name in categories]
        root = coco(tmp_path, categories=kinds, annotations=on(7, category=categories[0][0]))
        return open_source(root, "all").labels.class_names[1:]

    assert classes((10, "ten"), (9, "nine"), (0, "zero")) == ("zero", "nine", "ten")
    assert classes(("10", "ten"), ("9", "nine")) == ("ten", "nine")
    with pytest.warns(InputWarning, match=r"categories of one name are one class: 'car' \(2 ids\)"):
        assert classes((1, "car"), (2, "car"), (3, "bus")) == ("car", "bus")


def test_a_category_that_is_its_own_group_is_a_class(tmp_path: Path) -> None:
    pytest.importorskip("pycocotools", reason="pycocotools is optional")
    kinds = [{"id": n, "name": name, "supercategory": name} for n, name in ((5, "car"), (6, "person"))]
    source = open_source(coco(tmp_path, categories=kinds, annotations=on(7)), "all")
    assert source.labels.class_names == ("background", "car", "person")


def test_coco_objects_to_ignore_are_void(tmp_path: Path) -> None:
    pytest.importorskip("pycocotools", reason="pycocotools is optional")
    ignored, plain = on(7, 9)
    with pytest.warns(InputWarning, match="1 objects with the field `ignore` do not count"):
        source = open_source(coco(tmp_path, annotations=[{**ignored, "ignore": 1}, {**plain, "ignore": 0}]), "all")
    assert set(np.unique(source.label_map(0))) == {0, 255} and set(np.unique(source.label_map(1))) == {0, 1}


def test_coco_claims_of_huge_sizes_are_refused_before_anything_is_drawn(tmp_path: Path) -> None:
    pytest.importorskip("pycocotools", reason="pycocotools is optional")
    huge = {"id": 7, "file_name": "a.jpg", "width": 60000, "height": 60000}
    runs_of_it = {"size": [60000, 60000], "counts": [0, 60000**2]}
    annotation = {"id": 1, "image_id": 7, "category_id": 5, "segmentation": runs_of_it}
    refused(coco(tmp_path, images=[huge], annotations=[annotation] * 50), "60000x60000 but its image", split="all")


def test_a_missing_image_is_not_that_of_another_split(tmp_path: Path) -> None:
    pytest.importorskip("pycocotools", reason="pycocotools is optional")
    content = (coco(tmp_path / "made") / "annotations/instances_default.json").read_text()
    for split, name in (("train", "a"), ("val", "b")):
        (tmp_path / split).mkdir()
        (tmp_path / f"made/images/{name}.jpg").rename(tmp_path / split / f"{name}.jpg")
        (tmp_path / split / "_annotations.coco.json").write_text(content)
    shutil.rmtree(tmp_path / "made")
    refused(tmp_path, "its image 'b.jpg' is not there", split="train")

"""labelme: drawn as labelme draws it, and a message for every way in which an annotation can be broken."""

import base64
import io
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers.datasets import SIZE, refused
from helpers.formats import SQUARE, TRIANGLE, labelme
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

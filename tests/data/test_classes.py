"""Class lists in every form, classes found in masks, and the line for each broken or contradicting list."""

import json
from pathlib import Path

import numpy as np
import pytest
from helpers.datasets import image, mask, put_pair, refused
from helpers.formats import CSV, colour_masks
from PIL import Image

from globalconv.data.datasets import open_source
from globalconv.labels import IGNORE, LabelSpace, voc_palette


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("classes.csv", CSV),
        ("classes.csv", "Name, R, G, B\nroad,128,64,128\ntree,0,128,0\nVoid,0,0,0\n"),
        ("classes.csv", 'name,colour\nroad,#804080\ntree,"0, 128, 0"\nignore,#000000\n'),
        ("classes.csv", CSV.replace(",", ";")),
        ("classes.csv", CSV.replace(",", "\t")),
        ("classes.csv", CSV.replace("road,0", "road,0.0")),
        (
            "classes.json",
            json.dumps(
                [
                    {"name": "tree", "index": 1, "color": "#008000"},
                    {"name": "road", "index": 0, "color": [128, 64, 128]},
                    {"name": "nothing", "index": 255, "color": [0, 0, 0]},
                ]
            ),
        ),
        ("labelmap.txt", "# label:color_rgb:parts:actions\nroad:128,64,128::\ntree:0,128,0::\nvoid:0,0,0::\n"),
    ],
)
def test_colour_masks_by_the_colours_of_a_class_list(file: str, text: str, tmp_path: Path) -> None:
    colour_masks(tmp_path)
    (tmp_path / file).write_text(text)
    source = open_source(tmp_path, "all")
    assert source.labels.class_names == ("road", "tree")
    assert source.labels.palette == ((128, 64, 128), (0, 128, 0))
    assert source.label_map(0).tolist() == [[0, 0, 1, 1, IGNORE, IGNORE]] * 4


@pytest.mark.parametrize(
    ("file", "text", "message"),
    [
        ("classes.csv", "nome\nroad\n", r"classes\.csv: not a class list \('name'\); write a header"),
        ("classes.csv", "name,index\nroad,0\ntree,2\n", "the indices are 0, 2; number the classes"),
        ("classes.csv", "name,index\nroad,0\ntree,\n", "class 'tree' has no index while others have one"),
        ("classes.csv", "name,color\nroad,#804080\ntree,\n", r"classes without a colour \(tree\)"),
        ("classes.csv", "name,color\nroad,#804080\ntree,#804080\n", "'road' and 'tree' have the colour"),
        ("classes.csv", "name,r,g,b\nroad,300,0,0\n", "colour .*: give red, green and blue from 0 to 255"),
        ("classes.csv", "name,index\nroad,0\ntree, oak,1\n", "line 3 has 3 values where the header names 2 columns"),
        ("classes.csv", "", r"classes\.csv: 0 classes"),
        ("classes.csv", "name\n" + "\n".join(map(str, range(3000))), "3000 classes; a label map holds at most 255"),
        (
            "classes.json",
            '[{"name": "void", "index": 0}, {"name": "a", "index": 1}]',
            "the indices are 1; number .* void",
        ),
        ("classes.csv", "name,index\nroad,0\ntree,1.5\n", "the index of 'tree' is '1.5'; give a whole number"),
        ("classes.json", '[{"name": "a", "index": 0.5}]', "the index of 'a' is 0.5; give a whole number"),
        ("classes.json", '[{"name": "a", "index": true}]', "the index of 'a' is True; give a whole number"),
        ("classes.json", '[{"name": "a", "color": [0.5, 0.5, 1]}]', "a part of the colour .* is 0.5; give a whole"),
        ("classes.json", '{"classes": ["a"], "tolerance": 2.5}', "tolerance is 2.5; give a whole number"),
        ("classes.json", '{"classes": ["a"], "tolerance": -1}', '"tolerance" -1: give a difference'),
        ("classes.json", '{"class": ["a"]}', "not a class list"),
        ("classes.json", "{", r"classes\.json: .*not a class list"),
        ("classes.json", "3", r"classes\.json: .*not a class list"),
        ("classes.json", '[{"index": 0}]', r"classes\.json: .*not a class list .'name'"),
        (
            "classes.json",
            '[{"name": "a", "index": 1}]',
            r"classes\.json: .*the indices are 1; number the classes 0, 1, 2",
        ),
        ("classes.json", '["a", "a"]', r"classes\.json: .*occur more than once"),
        ("classes.json", "[]", r"classes\.json: .*0 classes"),
        ("classes.json", '[{"name": "a", "index": 0, "color": [1, 2]}]', r"classes\.json: .*give red, green and blue"),
        ("classes.json", '{"palette": []}', r"classes\.json: .*not a class list .'classes'"),
        ("labelmap.txt", "road\n", r"labelmap\.txt: not a class list"),
    ],
)
def test_broken_class_lists_say_what_to_write(file: str, text: str, message: str, tmp_path: Path) -> None:
    colour_masks(tmp_path)
    (tmp_path / file).write_text(text)
    refused(tmp_path, message)


def test_a_class_list_that_is_no_utf8(tmp_path: Path) -> None:
    (colour_masks(tmp_path) / "classes.csv").write_bytes("name\nstraße\n".encode("latin-1"))
    refused(tmp_path, r"classes\.csv: is not UTF-8 text .*; save it as UTF-8")


def test_two_class_lists(tmp_path: Path) -> None:
    colour_masks(tmp_path)
    (tmp_path / "classes.csv").write_text(CSV)
    (tmp_path / "classes.json").write_text('["road", "tree"]')
    refused(tmp_path, r"holds classes\.json and classes\.csv; keep one")


def test_white_on_black_class_lists_count_by_colour(tmp_path: Path) -> None:
    image(tmp_path / "images/a.jpg", (6, 4))
    (tmp_path / "classes.csv").write_text("name,color\nforeground,#ffffff\nbackground,#000000\n")
    mask(tmp_path / "labels/a.png", np.tile(np.array([0, 0, 0, 255, 255, 255], np.uint8), (4, 1)))
    assert open_source(tmp_path, "all").label_map(0)[0].tolist() == [1, 1, 1, 0, 0, 0]


def test_what_255_means_does_not_depend_on_the_split(tmp_path: Path) -> None:
    for split, columns in (("train", [0, 1, 255]), ("val", [0, 255, 255])):
        image(tmp_path / f"a/{split}.jpg", (6, 4))
        mask(tmp_path / f"b/{split}.png", np.tile(np.repeat(np.array(columns, np.uint8), 2), (4, 1)))
        (tmp_path / f"{split}.txt").write_text(f"a/{split}.jpg b/{split}.png\n")
    assert open_source(tmp_path, "val").label_map(0)[0].tolist() == [0, 0, IGNORE, IGNORE, IGNORE, IGNORE]


def test_void_in_a_list_needs_a_value(tmp_path: Path) -> None:
    colour_masks(tmp_path)
    (tmp_path / "classes.json").write_text('["void", "road", "tree"]')
    refused(tmp_path, "class 'void' has neither index nor colour")


def test_classes_found_in_the_masks_of_all_splits_with_their_palette(tmp_path: Path) -> None:
    put_pair(tmp_path, "images/train/a.jpg", "labels/train/a.png", (0, 1, 255))
    put_pair(tmp_path, "images/val/a.jpg", "labels/val/a.png", (0, 4, 255))
    labels = open_source(tmp_path, "train").labels
    assert labels.class_names == tuple(f"class {index}" for index in range(5))
    assert labels.palette == voc_palette(5)
    mask = Image.open(tmp_path / "labels/train/a.png").convert("P")
    mask.putpalette([value for index in range(256) for value in (index, 100, 7)])
    mask.save(tmp_path / "labels/train/a.png")
    assert open_source(tmp_path, "train").labels.palette[:2] == ((0, 100, 7), (1, 100, 7))
    trained = LabelSpace(("a", "b", "c", "d", "e"))
    assert open_source(tmp_path, "val", labels=trained).labels == trained, "weights lend their names to nameless data"


@pytest.mark.parametrize(
    ("values", "message"), [((0, 128, 255), "values 0, 128, 255"), ((0, 128, 200), "values 0, 128, 200")]
)
def test_masks_that_hold_no_indices_are_not_taken_for_classes(
    values: tuple[int, ...], message: str, tmp_path: Path
) -> None:
    for name in "ab":
        put_pair(tmp_path, f"images/{name}.jpg", f"labels/{name}.png", values)
    refused(tmp_path, rf"labels: .*{message}.*save classes as 0, 1, 2", split="all")


@pytest.mark.parametrize(
    "content",
    ['["sky", "tree"]', '[{"name": "tree", "index": 1}, {"name": "sky", "index": 0}, {"name": "void", "index": 255}]'],
)
def test_forms_of_class_lists(content: str, folder: Path) -> None:
    (folder / "classes.json").write_text(content)
    assert open_source(folder, "train").labels == LabelSpace(("sky", "tree"))


def test_classes_other_than_those_of_the_weights(folder: Path) -> None:
    assert open_source(folder, "all", labels=LabelSpace(("sky", "tree"))).labels.palette[0] == (1, 2, 3)
    refused(folder, "not those of the weights .1: 'tree' where 'car' is expected", labels=LabelSpace(("sky", "car")))
    refused(folder, "2 classes where 3 are expected", labels=LabelSpace(("sky", "tree", "car")))

"""Masks in every form: indices, colours, 0/255, VOC's palette; class lists; splits where there are none on disk."""

import json
from pathlib import Path

import numpy as np
import pytest
from helpers.datasets import image, mask, refused
from helpers.formats import CSV, colour_masks, voc
from PIL import Image

from globalconv.data.datasets import list_splits, open_held_out, open_source, recognise_layout
from globalconv.errors import InputError
from globalconv.labels import IGNORE, VOC


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


def test_colours_that_no_class_has_are_refused_or_taken_within_a_declared_tolerance(tmp_path: Path) -> None:
    colour_masks(tmp_path, extra=(120, 60, 130))
    (tmp_path / "classes.csv").write_text(CSV)
    refused(tmp_path, r"masks/.\.png: 1 pixels \(4\.17%\) have colours of no class, most often \(120, 60, 130\)")
    (tmp_path / "classes.csv").unlink()
    classes = [
        {"name": "road", "color": "#804080"},
        {"name": "tree", "color": "#008000"},
        {"name": "void", "color": "#000000"},
    ]
    (tmp_path / "classes.json").write_text(json.dumps({"classes": classes, "tolerance": 8}))
    assert open_source(tmp_path, "all").label_map(0)[0].tolist() == [0, 0, 1, 1, IGNORE, IGNORE]
    (tmp_path / "classes.json").write_text(json.dumps({"classes": classes, "tolerance": 7}))
    assert open_source(tmp_path, "all").label_map(0)[0].tolist() == [IGNORE, 0, 1, 1, IGNORE, IGNORE]


def test_colour_masks_without_a_class_list_say_what_to_write(tmp_path: Path) -> None:
    refused(colour_masks(tmp_path), r"a colour mask \(mode RGB\); declare the colour of every class in classes\.csv")


def test_a_palette_in_another_order_counts_by_its_colours(tmp_path: Path) -> None:
    colour_masks(tmp_path)
    (tmp_path / "classes.csv").write_text(CSV)
    for path in (tmp_path / "masks").iterdir():
        Image.open(path).quantize(3, dither=Image.Dither.NONE).save(path)
    assert Image.open(tmp_path / "masks/a.png").mode == "P"
    assert open_source(tmp_path, "all").label_map(0)[0].tolist() == [0, 0, 1, 1, IGNORE, IGNORE]


@pytest.mark.parametrize("named", [False, True])
def test_binary_masks_of_0_and_255(named: bool, tmp_path: Path) -> None:
    for name, value in (("a", 0), ("b", 255), ("c", 255)):
        image(tmp_path / f"images/{name}.jpg", (6, 4))
        values = np.zeros((4, 6), np.uint8)
        values[:, 3:] = value
        mask(tmp_path / f"masks/{name}.png", values)
    if named:
        (tmp_path / "classes.json").write_text('["wall", "crack"]')
    source = open_source(tmp_path, "all")
    assert source.labels.class_names == (("wall", "crack") if named else ("background", "foreground"))
    assert source.label_map(1)[0].tolist() == [0, 0, 0, 1, 1, 1]
    mask(tmp_path / "masks/c.png", np.full((4, 6), 7, np.uint8))
    if named:
        refused(tmp_path, r"c\.png: label value 7 out of range", split="all")


@pytest.mark.parametrize(
    ("file", "text", "said"),
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
        ("labelmap.txt", "road\n", r"labelmap\.txt: not a class list"),
    ],
)
def test_broken_class_lists(file: str, text: str, said: str, tmp_path: Path) -> None:
    colour_masks(tmp_path)
    (tmp_path / file).write_text(text)
    refused(tmp_path, said)


def test_a_class_list_that_is_no_utf8(tmp_path: Path) -> None:
    (colour_masks(tmp_path) / "classes.csv").write_bytes("name\nstraße\n".encode("latin-1"))
    refused(tmp_path, r"classes\.csv: is not UTF-8 text .*; save it as UTF-8")


def test_masks_of_which_none_can_be_read(tmp_path: Path) -> None:
    for name in "ab":
        image(tmp_path / f"images/{name}.jpg", (6, 4))
        mask(tmp_path / f"labels/{name}.tif", np.zeros((4, 6), np.float32))
    refused(tmp_path, r"labels/a\.tif: mode F holds no class indices", split="all")


def test_two_class_lists(tmp_path: Path) -> None:
    colour_masks(tmp_path)
    (tmp_path / "classes.csv").write_text(CSV)
    (tmp_path / "classes.json").write_text('["road", "tree"]')
    refused(tmp_path, r"holds classes\.json and classes\.csv; keep one")


def test_a_training_folder_without_val_holds_some_out(tmp_path: Path) -> None:
    for number in range(20):
        image(tmp_path / f"training/images/{number}.jpg", (6, 4))
        mask(tmp_path / f"training/labels/{number}.png", np.zeros((4, 6), np.uint8) + number % 2)
    train, val = open_source(tmp_path, "train"), open_source(tmp_path, "val")
    held = {val.sample_name(index) for index in range(len(val))}
    assert len(train) + len(val) == 20 and 1 <= len(val) <= 6
    assert held.isdisjoint(train.sample_name(index) for index in range(len(train)))
    image(tmp_path / "valid/images/0.jpg", (6, 4))
    mask(tmp_path / "valid/labels/0.png", np.zeros((4, 6), np.uint8))
    assert len(open_source(tmp_path, "train")) == 20 and len(open_source(tmp_path, "val")) == 1


def test_voc(tmp_path: Path) -> None:
    root = voc(tmp_path)
    assert recognise_layout(root) == "voc" and list_splits(root) == ["train", "trainval", "val"]
    source = open_source(root, "train")
    assert (len(source), len(open_source(root, "val")), len(open_source(root, "all"))) == (2, 1, 3)
    assert source.labels == VOC
    assert source.label_map(0)[4, 5] == 15 and source.label_map(0)[3, 0] == IGNORE
    with (root / "ImageSets/Segmentation/train.txt").open("a") as file:
        file.write("2007_9\n")
    refused(root, "SegmentationClass: has no '2007_9', which the split 'train' lists")


def test_what_a_training_held_out_stays_what_is_evaluated(tmp_path: Path) -> None:
    for number in range(4):
        image(tmp_path / f"images/{number}.jpg", (6, 4))
        mask(tmp_path / f"labels/{number}.png", np.zeros((4, 6), np.uint8) + number % 2)
    val = open_source(tmp_path, "val")
    names = [val.sample_name(index) for index in range(len(val))]
    for number in range(4, 40):
        image(tmp_path / f"images/{number}.jpg", (6, 4))
        mask(tmp_path / f"labels/{number}.png", np.zeros((4, 6), np.uint8))
    assert len(open_source(tmp_path, "val")) > len(names)
    source = open_held_out(tmp_path, names, None, val.labels)
    assert source is not None and [source.sample_name(index) for index in range(len(source))] == names
    assert np.array_equal(source.label_map(0), val.label_map(0))
    assert open_held_out(tmp_path, ["gone"], None, val.labels) is None


def test_a_palette_with_a_colour_of_no_class_is_never_half_colours_half_indices(tmp_path: Path) -> None:
    image(tmp_path / "images/a.jpg", (6, 4))
    (tmp_path / "classes.csv").write_text("name,color\na,#ff0000\nb,#0000ff\nc,#00ff00\n")
    for third, expected in (((255, 0, 0), None), ((1, 2, 3), "have colours of no class")):
        stored = Image.fromarray(np.tile(np.array([0, 0, 1, 1, 2, 2], np.uint8), (4, 1)), "P")
        stored.putpalette([0, 0, 255, 255, 0, 0, *third])
        (tmp_path / "labels").mkdir(exist_ok=True)
        stored.save(tmp_path / "labels/a.png")
        if expected is None:
            assert open_source(tmp_path, "all").label_map(0)[0].tolist() == [1, 1, 0, 0, 0, 0]
        else:
            refused(tmp_path, expected, split="all")


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


def test_a_lone_split_of_a_tool_is_no_split_and_capitals_do_not_matter(tmp_path: Path) -> None:
    root = voc(tmp_path)
    for name in ("train", "val", "trainval"):
        (root / f"ImageSets/Segmentation/{name}.txt").unlink()
    (root / "ImageSets/Segmentation/default.txt").write_text("2007_1\n2007_2\n2007_3\n")
    assert len(open_source(root, "train")) + len(open_source(root, "val")) == 3
    (root / "ImageSets/Segmentation/default.txt").rename(root / "ImageSets/Segmentation/Train.txt")
    (root / "ImageSets/Segmentation/Validation.txt").write_text("2007_3\n")
    assert (len(open_source(root, "train")), len(open_source(root, "val"))) == (3, 1)


def test_a_missing_held_out_image_is_no_reason_to_score_learnt_ones(tmp_path: Path) -> None:
    for number in range(6):
        image(tmp_path / f"images/{number}.jpg", (6, 4))
        mask(tmp_path / f"labels/{number}.png", np.zeros((4, 6), np.uint8) + number % 2)
    labels = open_source(tmp_path, "all").labels
    with pytest.raises(InputError, match=r"1 of the 2 images that the training held out are not there any more \(9\)"):
        open_held_out(tmp_path, ["3", "9"], None, labels)

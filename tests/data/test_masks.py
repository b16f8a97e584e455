"""Masks in every form: indices, colours, 0/255, palettes; and the line for each that holds no labels."""

import json
from pathlib import Path

import numpy as np
import pytest
from helpers.datasets import image, mask, refused
from helpers.formats import CSV, colour_masks
from PIL import Image

from globalconv.data.datasets import open_source
from globalconv.data.masks import read_label_map
from globalconv.errors import InputError
from globalconv.labels import CAMVID, IGNORE, LabelSpace, voc_palette

THREE = LabelSpace(("a", "b", "c"))
GRADIENT = np.arange(5 * 7 * 3, dtype=np.uint8).reshape(5, 7, 3)


def save(folder: Path, photo: Image.Image, name: str = "x.png", **options: object) -> Path:
    path = folder / name
    photo.save(path, **options)  # type: ignore[arg-type]  # options of many formats
    return path


def indices(*values: int, dtype: type = np.uint8) -> Image.Image:
    return Image.fromarray(np.asarray([values, values], dtype))


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


def test_masks_of_which_none_can_be_read(tmp_path: Path) -> None:
    for name in "ab":
        image(tmp_path / f"images/{name}.jpg", (6, 4))
        mask(tmp_path / f"labels/{name}.tif", np.zeros((4, 6), np.float32))
    refused(tmp_path, r"labels/a\.tif: mode F holds no class indices", split="all")


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


@pytest.mark.parametrize("mode", ["L", "P", "1", "I;16"])
def test_label_maps_of_every_index_mode(mode: str, tmp_path: Path) -> None:
    values = [0, 1, 1, 0] if mode == "1" else [0, 1, 2, 255]
    photo = indices(*values, dtype=np.uint16) if mode == "I;16" else indices(*values)
    if mode == "P":
        photo.putpalette([channel for colour in voc_palette() for channel in colour])
    if mode == "1":
        photo = Image.fromarray(np.asarray([values, values], bool))
    path = save(tmp_path, photo)
    with Image.open(path) as stored:
        assert stored.mode == mode
    label_map = read_label_map(path, THREE)
    assert label_map.dtype == np.uint8
    assert label_map.tolist() == [values, values]


def test_void_values_become_ignore(tmp_path: Path) -> None:
    path = save(tmp_path, indices(0, 10, 11, 255))
    assert read_label_map(path, CAMVID)[0].tolist() == [0, 10, IGNORE, IGNORE]
    wide = LabelSpace(("a", "b"), void_values=(65535,))
    path = save(tmp_path, indices(0, 1, 65535, dtype=np.uint16))
    assert read_label_map(path, wide)[0].tolist() == [0, 1, IGNORE]


@pytest.mark.parametrize(
    ("values", "labels", "message"),
    [
        ((0, 1, 3), THREE, "value 3 out of range .*undeclared border"),
        ((1, 2, 3), THREE, "shifted by one .*subtract 1"),
        ((0, 120, 240, 255), THREE, "look like indices multiplied by 120"),
        ((0, 30), THREE, "the class list is too short"),
        ((0, 300), THREE, "300 out of range .*instance ids"),
        (range(0, 250, 5), THREE, r"\(49 values\) out of range .*grey levels"),
        ((0, 7, 26, 33), LabelSpace(tuple("abcdefghijklmnopqrs")), "Cityscapes label ids; convert"),
        ((0, 128), LabelSpace(("a", "b")), "two classes look stored as 0 and 128; save 0 and 1, or 0 and 255"),
        ((0, 1, 38, 75), LabelSpace(tuple("abcdefg")), r"class list is too short"),
        ((0, 15, 38, 75), LabelSpace(tuple("abcdefg")), r"VOC's colours turned to grey, as by convert"),
        ((0, 1, 4, 5), THREE, "values 4, 5 out of range .*class list is too short"),
    ],
)
def test_values_out_of_range_name_value_and_cause(
    values: tuple[int, ...], labels: LabelSpace, message: str, tmp_path: Path
) -> None:
    path = save(tmp_path, indices(*values, dtype=np.uint16 if max(values) > 255 else np.uint8))
    with pytest.raises(InputError, match=rf"x\.png: label .*{message}") as refused:
        read_label_map(path, labels)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("photo", "name", "message"),
    [
        (Image.fromarray(GRADIENT), "x.png", "a colour mask .*declare the colour"),
        (Image.new("RGB", (4, 4), (1, 1, 1)), "x.png", "three equal channels"),
        (Image.new("L", (4, 4), 1), "x.jpg", "a JPEG cannot hold labels"),
        (Image.new("LA", (4, 4), (1, 255)), "x.png", "mode LA holds no class indices"),
        (Image.new("F", (4, 4), 1), "x.tif", "mode F holds no class indices"),
    ],
)
def test_images_that_cannot_be_label_maps(photo: Image.Image, name: str, message: str, tmp_path: Path) -> None:
    path = save(tmp_path, photo, name)
    with pytest.raises(InputError, match=rf"{path}: .*{message}"):
        read_label_map(path, THREE)

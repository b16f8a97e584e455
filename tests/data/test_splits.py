"""Splits: by their names on disk, or a fixed hold-out where there is none for validation."""

from pathlib import Path

import numpy as np
import pytest
from helpers.datasets import image, mask
from helpers.formats import voc

from globalconv.data.datasets import open_held_out, open_source
from globalconv.errors import InputError


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

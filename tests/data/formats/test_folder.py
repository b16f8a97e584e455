"""Folders of images and labels: pairs by name, splits inside or outside, and files without a partner."""

import unicodedata
from pathlib import Path

import pytest
from helpers.datasets import put_pair, refused
from helpers.official import names
from PIL import Image

from globalconv.data.datasets import open_source, recognise_layout
from globalconv.errors import InputError


def test_a_plain_folder_has_a_fixed_hold_out(folder: Path) -> None:
    train, val, everything = (names(open_source(folder, split)) for split in ("train", "val", "all"))
    assert sorted(train + val) == everything == [f"{number:02}" for number in range(30)]
    assert 1 <= len(val) <= 8
    put_pair(folder, "images/sub/99.png", "labels/sub/99.png")
    assert set(train) <= set(names(open_source(folder, "train"))), "adding an image moves no other one"
    assert set(val) <= set(names(open_source(folder, "val")))
    refused(folder, "split 'test': .* has the splits train, val, all; name one", split="test")


def test_tiny_plain_folders(tmp_path: Path) -> None:
    put_pair(tmp_path, "images/a.jpg", "labels/a.png")
    refused(tmp_path, "holds a single image, which cannot be divided; add more, or use split 'all'")
    assert names(open_source(tmp_path, "all")) == ["a"]
    put_pair(tmp_path, "images/b.jpg", "labels/b.png")
    assert len(open_source(tmp_path, "train")) == len(open_source(tmp_path, "val")) == 1


@pytest.mark.parametrize("form", ["images/{split}/{name}", "{split}/images/{name}"])
def test_folders_with_splits(form: str, tmp_path: Path) -> None:
    for split, name in (("train", "deep/a"), ("train", "b"), ("holdout", "a")):
        image = form.format(split=split, name=name)
        put_pair(tmp_path, f"{image}.JPG".replace("JPG", "jpeg"), image.replace("images", "labels") + ".png")
    (tmp_path / "images").mkdir(exist_ok=True)
    (tmp_path / "images/.DS_Store").write_bytes(b"junk")
    assert names(open_source(tmp_path, "train")) + names(open_source(tmp_path, "val")) in (
        ["train/b", "train/deep/a"],
        ["train/deep/a", "train/b"],
    )
    assert names(open_source(tmp_path, "holdout")) == ["holdout/a"]
    assert names(open_source(tmp_path, "all")) == ["holdout/a", "train/b", "train/deep/a"]
    assert len(open_source(tmp_path, "val")) == 1, "held out of train, for there is no val"
    refused(tmp_path, "split 'test': .* has the splits holdout, train, val, all; name one of them", split="test")


def test_labels_and_masks_that_both_hold_images(folder: Path) -> None:
    (folder / "masks").mkdir()
    (folder / "masks/00.txt").write_text("0 0.5 0.5 0.1 0.1")
    assert len(open_source(folder, "all")) == 30
    (folder / "masks/00.txt").unlink()
    put_pair(folder, "images/00.jpg", "masks/00.png")
    refused(folder, "labels/ and masks/ both hold images, and only one can be the masks; move the other one away")
    with pytest.raises(InputError, match="both hold images"):
        recognise_layout(folder)


def test_a_folder_around_everything_hides_no_splits(tmp_path: Path) -> None:
    for split, count in (("train", 5), ("val", 2)):
        for number in range(count):
            put_pair(tmp_path, f"data/images/{split}/{number}.png", f"data/labels/{split}/{number}.png")
    assert len(open_source(tmp_path, "train")) == 5 and len(open_source(tmp_path, "val")) == 2


def test_letters_with_accents_are_equal_however_they_are_written(folder: Path) -> None:
    put_pair(
        folder,
        f"images/{unicodedata.normalize('NFC', 'größe')}.jpg",
        f"labels/{unicodedata.normalize('NFD', 'größe')}.png",
    )
    assert len(open_source(folder, "all")) == 31


def test_a_file_that_nearly_fits_is_named(folder: Path) -> None:
    (folder / "labels/00.png").rename(folder / "labels/00_mask.png")
    refused(folder, r"1 image without a partner .*: 00_mask\.png is not equal;")
    (folder / "labels/00_mask.png").rename(folder / "labels/00.npy")
    refused(folder, r": 00\.npy is of a format that is not read; .*: add the missing files")


def test_images_and_labels_without_a_partner(folder: Path) -> None:
    for number in (3, 4, 5, 6):
        (folder / f"labels/{number:02}.png").unlink()
    refused(folder, r"images: 4 images without a partner in .*labels \(03, 04, 05, \.\.\.\); names must be equal")
    for number in (3, 4, 5, 6):
        (folder / f"images/{number:02}.jpg").unlink()
    (folder / "images/07.jpg").unlink()
    refused(folder, r"labels: 1 label without a partner in .*images \(07\)")


def test_two_images_of_one_name(folder: Path) -> None:
    Image.new("RGB", (6, 4)).save(folder / "images/01.png")
    refused(folder, r"images/01\.png: 01\.jpg has the same name")


def test_links_to_folders_are_followed_once(folder: Path) -> None:
    for kind in ("images", "labels"):
        (folder / kind / "loop").symlink_to(folder / kind)
    assert len(open_source(folder, "all")) == 30

"""Data sets: every layout is recognised and read, and every way in which one can be broken has its message."""

import json
import unicodedata
from pathlib import Path

import numpy as np
import pytest
from helpers.datasets import put_pair
from helpers.formats import voc
from PIL import Image

from globalconv.data.datasets import list_splits, open_source, recognise_layout
from globalconv.data.formats import list_file
from globalconv.data.source import Source
from globalconv.errors import InputError
from globalconv.labels import CAMVID, IGNORE, VOC, voc_palette

CLASSES = [{"name": "sky", "index": 0, "color": [1, 2, 3]}, {"name": "tree", "index": 1, "color": [4, 5, 6]}]


def names(source: Source) -> list[str]:
    return [source.sample_name(index) for index in range(len(source))]


def refused(root: Path, message: str, split: str = "train", **options: object) -> None:
    with pytest.raises(InputError, match=message) as error:
        source = open_source(root, split, **options)  # type: ignore[arg-type]
        for index in range(len(source)):
            source.image(index)
            source.label_map(index)
    assert "\n" not in str(error.value)


@pytest.fixture
def camvid(tmp_path: Path) -> Path:
    for split, name in (("train", "a"), ("train", "b"), ("val", "c")):
        put_pair(tmp_path, f"{split}/{name}.png", f"{split}annot/{name}.png", (0, 10, 11))
        with (tmp_path / f"{split}.txt").open("a") as file:
            file.write(f"{split}/{name}.png {split}annot/{name}.png\n")
    return tmp_path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for number in range(30):
        put_pair(tmp_path, f"images/{number:02}.jpg", f"labels/{number:02}.png")
    (tmp_path / "classes.json").write_text(json.dumps(CLASSES))
    return tmp_path


def test_camvid_is_recognised_and_11_is_void(camvid: Path) -> None:
    source = open_source(camvid, "train")
    assert (source.labels, names(source)) == (CAMVID, ["train/a", "train/b"])
    assert source.image(0).shape == (4, 6, 3)
    assert source.label_map(0)[0].tolist() == [0, 10, IGNORE, 0, 10, IGNORE]
    assert names(open_source(camvid, "val", "camvid", CAMVID)) == ["val/c"]


def test_list_files_in_folders_with_comments_tabs_quotes_and_classes(tmp_path: Path) -> None:
    put_pair(tmp_path, "in put/a b.png", "out/a.png")
    put_pair(tmp_path, "c.png", "out/c.png")
    put_pair(tmp_path, "d e.png", "out/d.png")
    (tmp_path / "folds").mkdir()
    (tmp_path / "folds/day.1.train.txt").write_text(
        '\n# comment\n"in put/a b.png" out/a.png\n  c.png   out/c.png\r\nd e.png\tout/d.png\n', encoding="utf-8-sig"
    )
    (tmp_path / "classes.json").write_text(json.dumps(CLASSES))
    (tmp_path / "readme.txt").write_text("this is\na readme\n")
    assert list_file.list_splits(tmp_path) == ["folds/day.1.train"]
    source = open_source(tmp_path, "folds/day.1.train")
    assert names(source) == ["in put/a b", "c", "d e"]
    assert (source.labels.class_names, source.labels.palette) == (("sky", "tree"), ((1, 2, 3), (4, 5, 6)))
    refused(tmp_path, "split 'train': there is no list file .* the splits in .* are: folds/day.1.train$")


def test_names_of_listed_files_never_lead_out_of_a_folder(tmp_path: Path) -> None:
    root = tmp_path / "root"
    put_pair(root, "../elsewhere/a.png", "a.png")
    (root / "train.txt").write_text(f"{tmp_path}/elsewhere/a.png a.png\n")
    assert names(open_source(root, "all")) == ["elsewhere/a"]


def test_lists_without_one_for_validation_have_a_hold_out(tmp_path: Path) -> None:
    for number in range(20):
        put_pair(tmp_path, f"a/{number}.png", f"b/{number}.png")
    (tmp_path / "train.txt").write_text("".join(f"a/{number}.png b/{number}.png\n" for number in range(20)))
    train, val = names(open_source(tmp_path, "train")), names(open_source(tmp_path, "val"))
    assert sorted(train + val) == sorted(names(open_source(tmp_path, "all"))) and 1 <= len(val) <= 6
    (tmp_path / "valid.txt").write_text("a/3.png b/3.png\n")
    assert len(open_source(tmp_path, "train")) == 20 and names(open_source(tmp_path, "val")) == ["a/3"]


def test_what_is_almost_a_list_says_why_it_is_none(tmp_path: Path) -> None:
    put_pair(tmp_path, "a.png", "b.png")
    (tmp_path / "train.txt").write_text("a.png,b.png\n")
    refused(tmp_path, r"train\.txt:1: 1 words where 'image label' is expected")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a.png\n", r"train\.txt:1: 1 words where 'image label' is expected"),
        ("a.png a.png\nmy a.png a.png\n", r"train\.txt:2: 3 words .*tab, or quote"),
        ("a.png a.png\na.png b.png\n", r"train\.txt:2: there is no file .*b\.png; paths are relative to"),
        ("a.png a.png\n\na.png a.png\n", r"train\.txt:3: .*a\.png has the same name .* as line 1"),
        ("'a.png a.png\n", r"train\.txt:1: No closing quotation; close the quotes"),
        ("# nothing\n", r"train\.txt: lists no pairs"),
    ],
)
def test_broken_list_files(text: str, message: str, tmp_path: Path) -> None:
    put_pair(tmp_path, "x.png", "a.png")
    (tmp_path / "train.txt").write_text(text)
    refused(tmp_path, message, layout="list")


def test_a_binary_list_file(tmp_path: Path) -> None:
    (tmp_path / "train.txt").write_bytes(b"\xff\xfe\x00\x9f")
    refused(tmp_path, r"train\.txt: cannot be read as text", layout="list")


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
    refused(folder, r"1 image without a partner .* \(00_mask\.png is not\)")
    (folder / "labels/00_mask.png").rename(folder / "labels/00.npy")
    refused(folder, r"\(00\.npy is not\): add the missing files")


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


def test_unknown_layouts(tmp_path: Path) -> None:
    refused(tmp_path, "no known layout; looked for images/ beside labels/ .*list files .*COCO")
    refused(tmp_path / "gone", "gone: there is no such folder")
    (tmp_path / "file").write_text("x")
    refused(tmp_path / "file", "file: is a file")
    refused(tmp_path, "`layout` 'fodler': did you mean 'folder'", layout="fodler")
    refused(tmp_path, "has no images/ beside labels/", layout="folder")
    (tmp_path / "images").mkdir()
    (tmp_path / "labels").mkdir()
    refused(tmp_path, "images: holds no images")


def test_sizes_that_differ_name_both_files(folder: Path) -> None:
    Image.new("L", (5, 4)).save(folder / "labels/00.png")
    refused(folder, r"labels/00\.png: the label map is 5x4 but its image .*images/00\.jpg is 6x4; make both", "all")
    Image.new("L", (4, 6)).save(folder / "labels/00.png")
    refused(folder, "4x6 .* 6x4; width and height are swapped, as when one of them ignores the EXIF rotation", "all")


def test_a_rotated_photograph_fits_its_upright_label_map(folder: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (6, 4)).save(folder / "images/00.jpg", exif=exif)
    refused(folder, "the label map is 6x4 but its image .* is 4x6; width and height are swapped", "all")
    Image.new("L", (4, 6)).save(folder / "labels/00.png")
    source = open_source(folder, "all")
    assert source.image(0).shape[:2] == source.label_map(0).shape == (6, 4)


def test_scenes_need_no_folder(tmp_path: Path) -> None:
    assert len(open_source(None, "train")) > len(open_source(None, "val", "scenes")) > 0
    with pytest.raises(InputError, match="split 'test': the built-in scenes"):
        open_source(None, "test")
    with pytest.raises(InputError, match="`layout` 'folder': needs the folder"):
        open_source(None, "train", "folder")
    with pytest.raises(InputError, match="generated and lie in no folder"):
        open_source(tmp_path, "train", "scenes")
    with pytest.raises(InputError, match="built-in scenes: its classes are not those of the weights"):
        open_source(None, "train", labels=CAMVID)


@pytest.mark.parametrize(
    ("data", "split", "count"),
    [
        ("CamVid", "train", 367), ("CamVid", "val", 101), ("CamVid", "folds/day-0006R0.val", None),
        ("MSRC21", "train", 316), ("MSRC21", "val", 78), ("MSRC21", "all", 394),
    ],
)  # fmt: skip
def test_real_data(data: str, split: str, count: int | None, real_data: Path) -> None:
    source = open_source(real_data / data, split)
    assert count is None or len(source) == count
    assert len(set(names(source))) == len(source)
    assert source.labels.num_classes == {"CamVid": 11, "MSRC21": 21}[data]
    for index in range(0, len(source), 40):
        image, label_map = source.image(index), source.label_map(index)
        assert image.shape == (*label_map.shape, 3)
        assert set(np.unique(label_map)) <= {*range(source.labels.num_classes), IGNORE}
        assert image.std() > 10


def test_real_palette_masks(real_data: Path, tmp_path: Path) -> None:
    sample = real_data / "voc-sample"
    (tmp_path / "images").symlink_to(sample / "JPEGImages")
    (tmp_path / "labels").symlink_to(sample / "SegmentationClass")
    source = open_source(tmp_path, "all")
    assert len(source) == 3
    assert source.labels.palette == voc_palette(source.labels.num_classes)
    assert source.label_map(0).max() > 0


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

"""VOC's layout: lists, masks in VOC's palette, and listed files that are not there."""

from pathlib import Path

import pytest
from helpers.datasets import put_pair, refused
from helpers.formats import voc
from helpers.official import names

from globalconv.data.datasets import list_splits, open_source, recognise_layout
from globalconv.data.formats.voc import read_names
from globalconv.labels import IGNORE, VOC, voc_palette


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


def test_real_palette_masks(real_data: Path, tmp_path: Path) -> None:
    sample = real_data / "voc-sample"
    (tmp_path / "images").symlink_to(sample / "JPEGImages")
    (tmp_path / "labels").symlink_to(sample / "SegmentationClass")
    source = open_source(tmp_path, "all")
    assert len(source) == 3
    assert source.labels.palette == voc_palette(source.labels.num_classes)
    assert source.label_map(0).max() > 0


def voc_folder(root: Path, *samples: str, lists: dict[str, str]) -> Path:
    """Write pairs of index masks, and split lists."""
    for name in samples:
        put_pair(root, f"JPEGImages/{name}.png", f"SegmentationClass/{name}.png")
    (root / "ImageSets/Segmentation").mkdir(parents=True)
    for split, text in lists.items():
        (root / f"ImageSets/Segmentation/{split}.txt").write_text(text, encoding="utf-8")
    return root


def test_names_that_end_in_a_digit_are_names_where_they_are_on_disk(tmp_path: Path) -> None:
    root = voc_folder(
        tmp_path, "scan", "scan 0", "scan 1", "scan 2",
        lists={"train": "scan 0\nscan 1\n", "val": "scan\nscan 2\n", "scans": "scan 0  1\nscan 1 -1\nscan\t 1\n"},
    )  # fmt: skip
    assert names(open_source(root, "train")) == ["scan 0", "scan 1"]
    assert names(open_source(root, "val")) == ["scan", "scan 2"]
    assert read_names(root, "scans") == ["scan 0", "scan 1", "scan"], "a second column, which all lines have"
    (root / "JPEGImages/scan 1.png").unlink()
    (root / "SegmentationClass/scan 1.png").unlink()
    refused(root, "has no 'scan 1', which the split 'train' lists")


@pytest.mark.parametrize(
    ("line", "name"),
    [
        ("img.v2", "img.v2"),
        ("img.v2.png", "img.v2"),
        ("JPEGImages/img.v2.png", "img.v2"),
        ("VOC2012\\JPEGImages\\img.v2.png", "img.v2"),
        ('"img.v2"', "img.v2"),
        ("a\u0301", "\u00e1"),
        (" \u00e1\t", "\u00e1"),
        ("#7", "#7"),
    ],
)
@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_a_listed_name_is_found_however_it_is_written(line: str, name: str, encoding: str, tmp_path: Path) -> None:
    root = voc_folder(tmp_path, "img.v2", "a\u0301", "#7", lists={})
    file = root / "ImageSets/Segmentation/train.txt"
    file.write_bytes(f"# written by hand\r\n{line}\r\n\r\n".encode(encoding))
    assert read_names(root, "train") == [name]


def test_lists_of_pairs_are_no_lists_of_names(tmp_path: Path) -> None:
    """Such a list names other masks than those in SegmentationClass."""
    line = "/JPEGImages/a.png /SegmentationClassAug/a.png\n"
    root = voc_folder(tmp_path, "a", lists={"train": line, "val": "a\n"})
    refused(root, "has no '/JPEGImages/a.png /SegmentationClassAug/a.png', which the split 'train' lists")

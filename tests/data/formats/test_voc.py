"""VOC's layout: lists, masks in VOC's palette, and listed files that are not there."""

from pathlib import Path

from helpers.datasets import refused
from helpers.formats import voc

from globalconv.data.datasets import list_splits, open_source, recognise_layout
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

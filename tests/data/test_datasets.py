"""Data sets: layouts are recognised, unknown ones refused, sizes checked, real ones read."""

from pathlib import Path

import numpy as np
import pytest
from helpers.datasets import refused
from helpers.official import names
from PIL import Image

from globalconv.data.datasets import open_source
from globalconv.errors import InputError
from globalconv.labels import CAMVID, IGNORE


def test_unknown_layouts(tmp_path: Path) -> None:
    refused(tmp_path, "no known layout; looked for images/ beside labels/ .*list files .*COCO")
    refused(tmp_path / "gone", "gone: there is no such folder")
    (tmp_path / "file").write_text("x")
    refused(tmp_path / "file", "file: is a file")
    refused(tmp_path, "layout='fodler': did you mean 'folder'", layout="fodler")
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
    with pytest.raises(InputError, match="layout='folder': needs the folder"):
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

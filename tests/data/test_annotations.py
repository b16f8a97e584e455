"""Drawn annotations of all formats: sizes, EXIF orientation and names."""

from collections.abc import Callable
from pathlib import Path

import pytest
from helpers.datasets import SIZE, refused
from helpers.formats import coco, labelme
from PIL import Image

from globalconv.data.datasets import open_source


@pytest.mark.parametrize("make", [labelme, coco], ids=["labelme", "coco"])
def test_a_turned_photograph_is_drawn_upright(make: Callable[..., Path], tmp_path: Path) -> None:
    pytest.importorskip("pycocotools", reason="pycocotools is optional")
    root = make(tmp_path)
    for path in root.rglob("*.jpg"):
        exif = Image.Exif()
        exif[0x0112] = 6
        Image.new("RGB", SIZE[::-1]).save(path, exif=exif)  # stored 16x24, shown 24x16
    source = open_source(root, "all")
    assert source.image(0).shape[:2] == source.label_map(0).shape == SIZE[::-1]


def test_names_never_lead_out_and_are_never_twice(tmp_path: Path) -> None:
    twice = [{"id": n, "file_name": "../images/a.jpg", "width": SIZE[0], "height": SIZE[1]} for n in (7, 9)]
    root = coco(tmp_path, images=twice)
    source = open_source(coco(tmp_path, images=twice[:1]), "all")
    assert source.sample_name(0) == "default/images/a"
    coco(tmp_path, images=twice)
    refused(root, "the image 'default/images/a' is listed 2 times", split="all")

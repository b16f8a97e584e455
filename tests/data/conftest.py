"""A plain folder of pairs, and the official data sets in miniature."""

import json
import shutil
from pathlib import Path

import pytest
from helpers.datasets import put_pair
from helpers.official import cityscapes_tree, coco_tree, sbd_tree, voc_tree


@pytest.fixture(scope="session")
def official_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """VOC, SBD, COCO and Cityscapes as unpacked, in one folder, not to be changed."""
    root = tmp_path_factory.mktemp("official")
    for build in (voc_tree, sbd_tree, coco_tree, cityscapes_tree):
        build(root)
    return root


@pytest.fixture
def root(official_root: Path, tmp_path: Path) -> Path:
    """A copy that a test may break."""
    return Path(shutil.copytree(official_root, tmp_path / "data"))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Thirty pairs in images/ and labels/ with a class list and no splits."""
    for number in range(30):
        put_pair(tmp_path, f"images/{number:02}.jpg", f"labels/{number:02}.png")
    classes = [{"name": "sky", "index": 0, "color": [1, 2, 3]}, {"name": "tree", "index": 1, "color": [4, 5, 6]}]
    (tmp_path / "classes.json").write_text(json.dumps(classes))
    return tmp_path

"""The official data sets in miniature, for whoever reads them."""

import shutil
from pathlib import Path

import pytest
from helpers.official import cityscapes_tree, coco_tree, sbd_tree, voc_tree


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("official")
    for build in (voc_tree, sbd_tree, coco_tree, cityscapes_tree):
        build(root)
    return root


@pytest.fixture
def root(made: Path, tmp_path: Path) -> Path:
    """A copy that a test may break."""
    return Path(shutil.copytree(made, tmp_path / "data"))

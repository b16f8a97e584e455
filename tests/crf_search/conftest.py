"""Two small data sets on which a CRF helps, and does harm; a predictor whose class is the brightest channel."""

from pathlib import Path

import numpy as np
import pytest
from helpers.infer import LABELS, Brightest
from PIL import Image

from globalconv.data.datasets import open_source
from globalconv.data.source import Source
from globalconv.infer.predictor import Predictor


def write(root: Path, count: int, dots: bool) -> Source:
    """Write images of three coloured areas under noise (a CRF helps), or of faint dots (it does harm)."""
    rng = np.random.default_rng(0)
    for folder in ("images", "labels"):
        (root / folder / "val").mkdir(parents=True)
    for index in range(count):
        labels = np.zeros((24, 30), np.uint8)
        labels[:, 10:] = 1
        labels[12:, 15:] = 2
        if dots:
            labels[:] = 0
            labels[index % 4 :: 4, ::4] = 1
        image = np.full((*labels.shape, 3), 100) + (1 if dots else 40) * np.eye(3, dtype=int)[labels]
        image += 0 if dots else rng.normal(0, 30, image.shape).astype(int)
        Image.fromarray(image.clip(0, 255).astype(np.uint8)).save(root / f"images/val/{index:02d}.png")
        Image.fromarray(labels).save(root / f"labels/val/{index:02d}.png")
    return open_source(root, "all", labels=LABELS)


@pytest.fixture(scope="session")
def helps(tmp_path_factory: pytest.TempPathFactory) -> Source:
    return write(tmp_path_factory.mktemp("helps"), 20, dots=False)


@pytest.fixture(scope="session")
def harms(tmp_path_factory: pytest.TempPathFactory) -> Source:
    return write(tmp_path_factory.mktemp("harms"), 20, dots=True)


@pytest.fixture
def brightest() -> Predictor:
    return Predictor(Brightest(), LABELS, "cpu", "float32")

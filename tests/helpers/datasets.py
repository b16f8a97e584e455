"""Small data sets written to disk, and what refusing one looks like."""

import hashlib
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from globalconv.data.datasets import open_source
from globalconv.errors import InputError

SIZE = (24, 16)


def image(path: Path, size: tuple[int, int] = SIZE) -> Path:
    """Write a plain image of (width, height), of a colour of its own."""
    path.parent.mkdir(parents=True, exist_ok=True)
    red, green, blue = hashlib.sha256(os.fsencode(path)).digest()[:3]
    Image.new("RGB", size, (red, green, blue)).save(path)
    return path


def mask(path: Path, values: np.ndarray[Any, Any]) -> Path:
    """Write an array as a PNG."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(values).save(path)
    return path


def put_pair(
    root: Path, image: str, label: str, values: tuple[int, ...] = (0, 1, 255), size: tuple[int, int] = (6, 4)
) -> None:
    """Write an image and a label map whose columns take the values in turn."""
    for name in (image, label):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, (9, 9, 9)).save(root / image)
    columns = np.resize(np.asarray(values, np.uint8), size[0])
    Image.fromarray(np.tile(columns, (size[1], 1))).save(root / label)


def refused(root: Path, message: str, split: str = "train", **options: Any) -> None:
    """Assert that opening a split, or reading a sample of it, is refused with one line that matches `message`."""
    with pytest.raises(InputError, match=message) as error:
        source = open_source(root, split, **options)
        for index in range(len(source)):
            source.image(index)
            source.label_map(index)
    assert "\n" not in str(error.value)

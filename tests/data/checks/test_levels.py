"""Blank, black, white and pale images, and how many of them are more than a few photographs."""

from pathlib import Path

import numpy as np
import pytest
from helpers.breaking import clean, noise
from helpers.datasets import mask
from numpy.typing import NDArray

from globalconv.data.checks.sample import Finding
from globalconv.jobs.check_data import check_data

LEVELS: dict[str, NDArray[np.uint8]] = {
    "blank": np.full((36, 40, 3), (90, 0, 7), np.uint8),
    "dark": noise(1) // 20,
    "bright": 255 - noise(1) // 20,
    "contrast": 100 + noise(1) // 20,
}


def found(root: Path) -> list[Finding]:
    return list(check_data(root, workers=1).findings)


@pytest.mark.parametrize("kind", LEVELS)
def test_one_image_and_all_of_them(kind: str, tmp_path: Path) -> None:
    root = clean(tmp_path / "data")
    mask(root / "train/images/0.png", LEVELS[kind])
    (finding,) = found(root)
    assert (finding.kind, finding.samples) == (kind, ("train/0",))
    assert finding.severity == ("warning" if kind == "blank" else "note")
    assert finding.message.startswith("1 image ")
    for number, path in enumerate(sorted(root.glob("*/images/*.png"))):
        pixels = LEVELS[kind].copy()
        if kind != "blank":
            pixels[number, :20] = pixels[-1, -1]  # no two alike
        mask(path, pixels)
    (finding,) = [finding for finding in found(root) if finding.kind not in ("duplicate", "near-identical")]
    assert (finding.kind, finding.severity, finding.count) == (kind, "warning", 8)
    assert finding.message.startswith("8 of 8 images are ")


def test_a_night_with_lights_and_a_drawing_on_paper_are_images(tmp_path: Path) -> None:
    root = clean(tmp_path / "data")
    night, paper = np.full((36, 40, 3), 3, np.uint8), np.full((36, 40, 3), 255, np.uint8)
    night[:4, :8], paper[:4, :8] = 200, 40
    mask(root / "train/images/0.png", night)
    mask(root / "train/images/1.png", paper)
    assert found(root) == []


def test_colours_of_one_grey_are_not_blank(tmp_path: Path) -> None:
    root = clean(tmp_path / "data")
    image = np.full((36, 40, 3), (76, 76, 76), np.uint8)
    image[:, ::2] = (254, 0, 0)  # of the same grey
    mask(root / "train/images/0.png", image)
    assert [finding.kind for finding in found(root)] == ["contrast"]

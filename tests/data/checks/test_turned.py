"""Images that EXIF turns: how many, and where nobody can tell which way up the masks are."""

from pathlib import Path

import numpy as np
import pytest
from helpers.datasets import mask
from helpers.formats import labelme
from numpy.typing import NDArray
from PIL import ExifTags, Image

from globalconv.data.checks.sample import TURNS, Finding
from globalconv.jobs.check_data import check_data


def exif(orientation: int) -> Image.Exif:
    block = Image.Exif()
    block[ExifTags.Base.Orientation] = orientation
    return block


def scene(number: int, size: tuple[int, int]) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Return an image with one bright box, and its mask."""
    height, width = size
    rng = np.random.default_rng(number)
    image = rng.integers(0, 90, (8, 8, 3), np.uint8).repeat(height // 8, axis=0).repeat(width // 8, axis=1)
    label = np.zeros(size, np.uint8)
    top, left = rng.integers(2, 12, 2)
    label[top : top + 20, left : left + 9] = 1
    image[label == 1] += 160
    return image, label


def write(root: Path, orientation: int, *, unturned: bool = False, size: tuple[int, int] = (48, 64)) -> Path:
    """Write eight images with an EXIF orientation, and masks of the upright images or of the stored ones."""
    for number in range(8):
        stored, stored_label = scene(number, size)
        path = root / f"images/{number}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(stored).save(path, exif=exif(orientation), quality=95)
        upright = TURNS.get(orientation, np.asarray)(stored_label)
        mask(root / f"labels/{number}.png", np.ascontiguousarray(stored_label if unturned else upright))
    return root


def found(root: Path) -> dict[str, Finding]:
    return {finding.kind: finding for finding in check_data(root, workers=1).findings}


@pytest.mark.parametrize("orientation", TURNS)
def test_the_edges_say_which_image_the_masks_are_of(orientation: int, tmp_path: Path) -> None:
    sideways = orientation > 4
    size = (64, 64) if sideways else (48, 64)
    right = found(write(tmp_path / "right", orientation, size=size))
    assert set(right) == {"turned", "exif"}
    assert "the edges of 8 of 8 masks fit the turned image, as" in right["turned"].message
    assert right["turned"].severity == "warning" and right["exif"].severity == "note"
    assert right["exif"].count == 8 and f"(orientation {orientation}: 8)" in right["exif"].message
    wrong = found(write(tmp_path / "wrong", orientation, unturned=True, size=size))
    assert "the edges of 8 of 8 masks fit the image before that" in wrong["turned"].message


def test_sizes_tell_where_an_image_is_turned_sideways(tmp_path: Path) -> None:
    assert set(found(write(tmp_path / "right", 6))) == {"exif"}
    assert "size" in found(write(tmp_path / "wrong", 6, unturned=True))


def test_upright_images_and_nonsense_in_exif_get_no_word(tmp_path: Path) -> None:
    for orientation in (1, 9, 0):
        assert found(write(tmp_path / str(orientation), orientation)) == {}


def test_a_mask_may_have_an_orientation_of_its_own(tmp_path: Path) -> None:
    root = write(tmp_path, 3)
    for number in range(8):
        path = root / f"labels/{number}.png"
        Image.fromarray(scene(number, (48, 64))[1]).save(path, exif=exif(3))
    findings = found(root)
    assert set(findings) == {"exif", "turned-masks"} and findings["turned-masks"].count == 8


def test_shapes_are_drawn_on_turned_images_too(tmp_path: Path) -> None:
    root = labelme(tmp_path)
    for path in root.glob("*.jpg"):
        with Image.open(path) as image:
            image.save(path, exif=exif(3))
    findings = found(root)
    assert findings["turned"].count == 2 and "whether the annotations are of" in findings["turned"].message


def test_a_size_that_the_annotation_does_not_name_tells_nothing(tmp_path: Path) -> None:
    root = labelme(tmp_path, imageWidth=None, imageHeight=None)
    for path in root.glob("*.jpg"):
        with Image.open(path) as image:
            image.save(path, exif=exif(6))
    assert found(root)["turned"].count >= 1

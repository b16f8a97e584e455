"""Images as results: only our own are replaced, and what cannot be written is refused before the work."""

from pathlib import Path

import pytest
from PIL import Image

from globalconv.errors import InputError
from globalconv.visual.image_file import check_image_file, write_image_file


@pytest.mark.parametrize("name", ["a.png", "new/a.jpg", "a.JPEG"])
def test_our_own_image_is_replaced(name: str, tmp_path: Path) -> None:
    for side in (8, 9):
        check_image_file("out", tmp_path / name, ".png", ".jpg", ".jpeg")
        write_image_file(tmp_path / name, Image.new("RGB", (side, side)))
    with Image.open(tmp_path / name) as image:
        assert image.size == (9, 9)


def test_nothing_else_is(tmp_path: Path) -> None:
    Image.new("RGB", (8, 8)).save(tmp_path / "photo.png")
    (tmp_path / "weights.png").write_bytes(b"no image")
    (tmp_path / "folder.png").mkdir()
    for path, words in (
        ("photo.png", "was not written by globalconv"),
        ("weights.png", "was not written by globalconv"),
        ("folder.png", "is a folder"),
        ("weights.safetensors", r"call it weights\.png"),
        ("photo.png/a.png", r"photo\.png is a file"),
    ):
        with pytest.raises(InputError, match=f"^`out` .*{words}"):
            check_image_file("out", tmp_path / path, ".png")
    with pytest.raises(InputError, match="is a folder"):
        check_image_file("out", Path(), ".png")
    check_image_file("out", tmp_path / "new" / "a.png", ".png")
    assert not (tmp_path / "new").exists()

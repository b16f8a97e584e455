"""Images in memory are read as those in files are, with the same words for what is wrong, and no file is touched."""

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from globalconv.data.image_bytes import ImageBytes
from globalconv.data.image_format import ImageFormat
from globalconv.data.images import ImageTooLargeError, image_header, image_size, read_image
from globalconv.errors import InputError

DEEP = ImageFormat(white_level=65535)


def save(folder: Path, kind: str) -> Path:
    """Write an image of one kind; each is read by another part of the readers."""
    pixels = np.random.default_rng(0).integers(0, 256, (24, 32, 3), np.uint8)
    image, path = Image.fromarray(pixels), folder / f"{kind}.bin"
    if kind == "turned":
        exif = Image.Exif()
        exif[0x0112] = 6
        image.save(path, "JPEG", exif=exif)
    elif kind == "wide PPM":
        values = np.arange(24 * 32 * 3, dtype=">u2") * 20
        path.write_bytes(b"P6 32 24 65535\n" + values.tobytes())
    elif kind == "deep PNG":
        Image.fromarray(np.arange(24 * 32, dtype=np.uint16).reshape(24, 32) * 60).save(path, "PNG")
    elif kind == "planes":
        rasterio = pytest.importorskip("rasterio", reason="rasterio is optional")
        with rasterio.open(
            path,
            "w",
            driver="GTiff",
            width=32,
            height=24,
            count=3,
            dtype="uint16",
            photometric="RGB",
            interleave="band",
        ) as file:
            file.write((pixels.transpose(2, 0, 1).astype(np.uint16) + 1) * 200)
    else:
        image.save(path, kind)
    return path


@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
@pytest.mark.parametrize("kind", ["PNG", "JPEG", "GIF", "WEBP", "TIFF", "turned", "wide PPM", "deep PNG", "planes"])
def test_bytes_are_read_as_the_file_is(tmp_path: Path, kind: str) -> None:
    path = save(tmp_path, kind)
    content = ImageBytes(path.read_bytes())
    expected = read_image(path, DEEP)
    header, size = image_header(path), image_size(path)
    path.unlink()
    assert np.array_equal(read_image(content, DEEP), expected)
    assert image_header(content) == header and image_size(content) == size


@pytest.mark.parametrize(
    ("content", "words"),
    [(b"", "upload.png: the file is empty"), (b"text", "upload.png: the file is no image that Pillow can read")],
)
def test_what_is_wrong_names_the_image(content: bytes, words: str) -> None:
    with pytest.raises(InputError, match=words):
        read_image(ImageBytes(content, "upload.png"))


def test_drawings_that_other_programs_would_run_are_no_images(tmp_path: Path) -> None:
    file = io.BytesIO()
    Image.new("RGB", (4, 4)).save(file, "EPS")
    with pytest.raises(InputError, match="no image"):
        read_image(ImageBytes(file.getvalue()))


def test_more_pixels_than_pillow_allows_are_counted() -> None:
    file = io.BytesIO()
    Image.new("1", (20_000, 20_000)).save(file, "PNG")
    with pytest.raises(ImageTooLargeError) as refusal:
        read_image(ImageBytes(file.getvalue()))
    assert refusal.value.pixels == 400_000_000

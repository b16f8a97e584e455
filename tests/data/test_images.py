"""Reading images: every mode, every orientation, and the line that each broken or wrong file gets."""

import contextlib
import struct
import warnings
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import ExifTags, Image

from globalconv.data.image_format import ImageFormat
from globalconv.data.images import (
    frames_and_orientation,
    image_header,
    image_size,
    open_image,
    pixel_limit,
    read_image,
    to_rgb,
    turn_upright,
)
from globalconv.data.masks import read_mask
from globalconv.errors import InputError

GRADIENT = np.arange(5 * 7 * 3, dtype=np.uint8).reshape(5, 7, 3)


def save(folder: Path, photo: Image.Image, name: str = "x.png", **options: object) -> Path:
    path = folder / name
    photo.save(path, **options)  # type: ignore[arg-type]  # options of many formats
    return path


@pytest.mark.parametrize(
    "mode", ["1", "L", "LA", "P", "PA", "RGB", "RGBA", "CMYK", "YCbCr", "HSV", "LAB", "I", "I;16", "F"]
)
def test_every_mode_becomes_rgb(mode: str, tmp_path: Path) -> None:
    grey = Image.new("L", (6, 4), 255)
    photo = Image.new("F", (6, 4), 1.0) if mode == "F" else None
    if mode in ("I", "I;16"):
        photo = Image.new(mode, (6, 4), 65535)
    if mode == "LAB":
        photo = Image.merge("LAB", [grey, Image.new("L", (6, 4), 128), Image.new("L", (6, 4), 128)])
    photo = photo or grey.convert("RGB").convert(mode)
    suffix = {"CMYK": "tif", "YCbCr": "tif", "LAB": "tif", "F": "tif", "I": "tif"}.get(mode, "png")
    unstored = mode in ("HSV", "PA")  # No file format stores these: through the converter itself.
    rule = ImageFormat(1.0 if mode == "F" else 65535.0)
    image = to_rgb(photo, "x", rule) if unstored else read_image(save(tmp_path, photo, f"x.{suffix}"), rule)
    assert image.shape == (4, 6, 3)
    assert image.dtype == np.uint8
    assert image.min() >= 253, "white stays white"
    assert image.flags.writeable


def test_sixteen_bits_are_scaled_not_clipped(tmp_path: Path) -> None:
    values = np.asarray([[0, 257, 32768, 65535]], np.uint16)
    path = save(tmp_path, Image.fromarray(values))
    assert read_image(path, ImageFormat(65535))[0, :, 0].tolist() == [0, 1, 128, 255]


def test_transparent_pixels_lie_on_white(tmp_path: Path) -> None:
    rgba = np.zeros((1, 3, 4), np.uint8)
    rgba[0, :, 3] = [0, 255, 128]
    assert read_image(save(tmp_path, Image.fromarray(rgba)))[0, :, 0].tolist() == [255, 0, 127]


@pytest.mark.parametrize("suffix", ["jpg", "png", "tif", "webp"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied(orientation: int, suffix: str, tmp_path: Path) -> None:
    quadrants = np.zeros((16, 32), np.uint8)
    quadrants[:8, :16], quadrants[:8, 16:], quadrants[8:, :16], quadrants[8:, 16:] = 20, 90, 160, 230
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = save(tmp_path, Image.fromarray(quadrants).convert("RGB"), f"x.{suffix}", exif=exif)
    turned = {
        1: quadrants, 2: quadrants[:, ::-1], 3: quadrants[::-1, ::-1], 4: quadrants[::-1],
        5: quadrants.T, 6: quadrants[::-1].T, 7: quadrants[::-1, ::-1].T, 8: quadrants.T[::-1],
    }[orientation]  # fmt: skip
    image = read_image(path)
    assert image_size(path) == (turned.shape[1], turned.shape[0])
    assert image.shape[:2] == turned.shape
    assert np.abs(image[..., 0].astype(int)[::4, ::4] - turned[::4, ::4]).max() < 25


def test_damaged_exif_does_not_cost_the_image(tmp_path: Path) -> None:
    path = save(tmp_path, Image.fromarray(GRADIENT), "x.jpg", exif=b"Exif\x00\x00II*\x00\xff\xff\xff\xff junk")
    assert read_image(path).shape == (5, 7, 3)


def _bomb(side: int) -> bytes:
    """Return a small PNG that claims `side` x `side` pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0" * 99)) + chunk(b"IEND", b"")
    )


def _jpeg() -> bytes:
    from io import BytesIO

    buffer = BytesIO()
    noise = np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8)
    Image.fromarray(noise).save(buffer, "JPEG")
    return buffer.getvalue()


@pytest.mark.parametrize("read", [read_image, read_mask, image_size], ids=lambda function: function.__name__)
@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "the file is empty"),
        (b"a text that someone renamed\n", "no image that Pillow can read"),
        (_bomb(30_000), "megapixels"),
        (_bomb(30_000)[:20], "damaged|no image"),
        (None, "is not a file"),
    ],
)
def test_hostile_files(read: object, content: bytes | None, message: str, tmp_path: Path) -> None:
    path = tmp_path / "x.png"
    path.mkdir() if content is None else path.write_bytes(content)
    with pytest.raises(InputError, match=f"{path}: .*({message})"):
        read(path)  # type: ignore[operator]


def test_a_truncated_jpeg_is_refused_not_filled_with_grey(tmp_path: Path) -> None:
    path = tmp_path / "x.jpg"
    path.write_bytes(_jpeg()[:-900])
    with pytest.raises(InputError, match=r"x\.jpg: cannot be decoded .*damaged"):
        read_image(path)


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"x\.jpg: there is no such file"):
        read_image(tmp_path / "x.jpg")


@given(position=st.integers(0, 10_000), replacement=st.binary(min_size=1, max_size=40))
def test_damage_anywhere_is_an_input_error_or_an_image(
    position: int, replacement: bytes, tmp_path_factory: pytest.TempPathFactory
) -> None:
    content = bytearray(_jpeg())
    position %= len(content)
    content[position : position + len(replacement)] = replacement
    path = tmp_path_factory.mktemp("damage") / "x.jpg"
    path.write_bytes(content)
    try:
        image = read_image(path)
    except InputError as error:
        message = str(error)
    else:
        message = f"{path} was read" if image.shape[2] == 3 else ""
    assert str(path) in message


def test_limits_of_two_threads_end_with_the_limit_of_before() -> None:
    before = Image.MAX_IMAGE_PIXELS
    first, second = pixel_limit(10**9), pixel_limit(None)
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)
    second.__exit__(None, None, None)
    assert before == Image.MAX_IMAGE_PIXELS


def test_only_pillow_is_silenced_while_an_image_is_decoded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Filters are those of all threads: while one reads ahead, what the network's has to say must be heard."""
    path = save(tmp_path, Image.fromarray(GRADIENT), "x.jpg", exif=b"Exif\x00\x00II*\x00\xff\xff\xff\xff junk")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", GRADIENT.shape[0] * GRADIENT.shape[1] - 1)  # Pillow warns of it
    with warnings.catch_warnings(record=True) as heard:
        warnings.simplefilter("always")
        with open_image(path) as photo:
            turn_upright(photo)
            warnings.warn("in tiles", stacklevel=1)
    assert [str(warning.message) for warning in heard] == ["in tiles"]


def test_a_path_that_cannot_be_looked_at_is_refused() -> None:
    with pytest.raises(InputError, match="cannot be reached"):
        read_image(Path("n" * 300 + ".png"))


def test_an_orientation_after_the_pixels_of_a_png_counts(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    block = exif.tobytes().removeprefix(b"Exif\0\0")
    path = tmp_path / "a.png"
    Image.new("RGB", (40, 20), "red").save(path)
    png = path.read_bytes()
    end = png.rindex(b"IEND") - 4
    chunk = struct.pack(">I", len(block)) + b"eXIf" + block + struct.pack(">I", zlib.crc32(b"eXIf" + block))
    path.write_bytes(png[:end] + chunk + png[end:])
    assert image_size(path) == (20, 40) and read_image(path).shape == (40, 20, 3)
    assert frames_and_orientation(path) == (1, 6)
    path.write_bytes(png[:end] + chunk[:-1] + b"x" + png[end:])
    assert image_size(path) == (40, 20), "a damaged block is none"


def test_a_tiff_holds_all_rows_that_it_claims(tmp_path: Path) -> None:
    """A few bytes that claim many rows would be an image of zeros, and gigabytes of them."""
    path = save(tmp_path, Image.fromarray(np.full((16, 24), 7, np.uint8)), "x.tif")
    data = bytearray(path.read_bytes())
    start = int.from_bytes(data[4:8], "little")
    height = next(place for place in range(start + 2, len(data), 12) if data[place : place + 2] == b"\1\1")
    data[height + 2 : height + 12] = struct.pack("<HII", 4, 1, 200_000)
    path.write_bytes(data)
    for read in (read_image, read_mask):
        with pytest.raises(
            InputError, match=r"x\.tif: a TIFF of 24x200000 that lacks 12499 of its strips or tiles; the"
        ):
            read(path)


@pytest.mark.parametrize("tag", [258, 259, 262, 273, 278, 339])
@pytest.mark.parametrize("kind", [2, 5, 7, 11, 12])
def test_tags_of_another_kind_are_one_line_or_harmless(tag: int, kind: int, tmp_path: Path) -> None:
    """Letters, fractions, bytes and floats where a TIFF has whole numbers."""
    grey = Image.fromarray(np.full((16, 24), 7, np.uint16))
    data = bytearray(save(tmp_path, grey, "x.tif", tiffinfo={339: 1}).read_bytes())
    start = int.from_bytes(data[4:8], "little")
    entry = next(
        place for place in range(start + 2, len(data), 12) if data[place : place + 2] == tag.to_bytes(2, "little")
    )
    data[entry + 2 : entry + 4] = kind.to_bytes(2, "little")
    path = tmp_path / "x.tif"
    path.write_bytes(data)
    for read in (read_image, read_mask, image_size, image_header):
        with contextlib.suppress(InputError):
            read(path)


def test_the_last_exif_block_of_a_png_counts(tmp_path: Path) -> None:
    """One stands before the pixels, where Pillow writes it, and another one after them, where others do."""
    exif = Image.Exif()
    exif[0x0112] = 6
    path = save(tmp_path, Image.new("RGB", (6, 4)), exif=exif)
    content = b"eXIf" + exif.tobytes()[6:].replace(b"\0\6", b"\0\1").replace(b"\6\0", b"\1\0")
    chunk = struct.pack(">I", len(content) - 4) + content + struct.pack(">I", zlib.crc32(content))
    data = path.read_bytes()
    path.write_bytes(data[:-12] + chunk + data[-12:])
    assert image_size(path) == (6, 4) and read_image(path).shape == (4, 6, 3)

"""TIFF and 16-bit files that Pillow would misread or refuse: their bits, bands and order against rasterio's reading."""

import re
import struct
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from globalconv.data.image_format import Bands, ImageFormat
from globalconv.data.image_rule import decide_format
from globalconv.data.images import frames_and_orientation, image_size, read_image, read_stored
from globalconv.errors import InputError

rasterio = pytest.importorskip("rasterio")
pytestmark = pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")

BANDS = np.random.default_rng(0).integers(0, 65536, (5, 20, 30), np.uint16)


def write(path: Path, bands: np.ndarray, names: Sequence[str] = (), **profile: Any) -> Path:
    count, height, width = bands.shape
    options = {"driver": "GTiff", "dtype": bands.dtype, "count": count, "height": height, "width": width, **profile}
    with rasterio.open(path, "w", **options) as file:
        file.write(bands)
    if names:
        with rasterio.open(path, "r+") as file:
            file.descriptions = names
    return path


def stored(path: Path) -> np.ndarray:
    """Return the values of an image as they are read, with alpha, bands first."""
    values = read_stored(path)
    if isinstance(values, Image.Image):
        return np.asarray(values.convert("RGB")).transpose(2, 0, 1)
    bands = values.colours_HWC if values.alpha_HW is None else np.dstack([values.colours_HWC, values.alpha_HW])
    return bands.transpose(2, 0, 1)


EIGHT = (BANDS >> 8).astype(np.uint8)
FLOATS = BANDS.astype(np.float32) / 65535


@pytest.mark.parametrize(
    ("bands", "profile"),
    [
        (BANDS[:3], {"photometric": "RGB"}),
        (BANDS[:3], {"photometric": "RGB", "ENDIANNESS": "BIG"}),
        (BANDS[:3], {"photometric": "RGB", "compress": "LZW", "predictor": 2}),
        (BANDS[:3], {"photometric": "RGB", "compress": "deflate", "ENDIANNESS": "BIG"}),
        (BANDS[:3], {"photometric": "RGB", "interleave": "band"}),
        (BANDS[:3], {"photometric": "RGB", "BIGTIFF": "YES"}),
        (BANDS[:3] >> 6, {"photometric": "RGB", "nbits": 10}),
        (BANDS[:4], {"photometric": "RGB", "alpha": "YES"}),
        (BANDS[:1] >> 4, {"nbits": 12}),
        (BANDS[:1].astype(np.uint32) * 40_000, {}),
        (BANDS[:1].astype(np.int16), {}),
        (EIGHT[:1].astype(np.int8), {}),
        (FLOATS[:3], {}),
        (FLOATS[:1].astype(np.float64), {}),
        (EIGHT[:3], {"photometric": "MINISBLACK"}),
        (EIGHT[:3], {"photometric": "RGB", "compress": "LERC"}),
        (EIGHT[:3], {"photometric": "RGB", "compress": "ZSTD"}),
        (BANDS[:3], {"driver": "PNG"}),
        (BANDS[:2], {"driver": "PNG"}),
        (BANDS[:4], {"driver": "PNG"}),
    ],
)
def test_no_bit_is_lost(bands: np.ndarray, profile: dict[str, Any], tmp_path: Path) -> None:
    path = write(tmp_path / "a.tif", bands, **profile)
    assert image_size(path) == (30, 20)
    assert frames_and_orientation(path) == (1, 1)
    read = stored(path)
    assert (read[: len(bands)] == bands).all() and len(read) in (len(bands), 3)


@pytest.mark.parametrize("kind", ["bands", "16 bits", "PNG"])
@pytest.mark.parametrize("orientation", range(2, 9))
def test_deep_images_are_turned_upright_too(kind: str, orientation: int, tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    if kind == "PNG":
        exif = Image.Exif()
        exif[274] = orientation
        write(tmp_path / "plain.png", BANDS[:3], driver="PNG")
        content, block = (tmp_path / "plain.png").read_bytes(), exif.tobytes().removeprefix(b"Exif\0\0")
        chunk = b"eXIf" + block
        header = content[:33]
        path.write_bytes(header + len(block).to_bytes(4) + chunk + zlib.crc32(chunk).to_bytes(4) + content[33:])
    else:
        write(path, BANDS if kind == "bands" else BANDS[:3], photometric="MINISBLACK" if kind == "bands" else "RGB")
        _add_orientation(path, orientation)
    upright = {
        2: BANDS[:, :, ::-1], 3: BANDS[:, ::-1, ::-1], 4: BANDS[:, ::-1], 5: BANDS.swapaxes(1, 2),
        6: BANDS.swapaxes(1, 2)[:, :, ::-1], 7: BANDS.swapaxes(1, 2)[:, ::-1, ::-1], 8: BANDS.swapaxes(1, 2)[:, ::-1],
    }[orientation]  # fmt: skip
    assert image_size(path) == (upright.shape[2], upright.shape[1])
    assert (stored(path) == upright[:3]).all()


def _add_orientation(path: Path, orientation: int) -> None:
    """Add the tag to a TIFF, in a directory behind its end."""
    content = bytearray(path.read_bytes())
    (start,) = struct.unpack_from("<I", content, 4)
    (count,) = struct.unpack_from("<H", content, start)
    entries = [bytes(content[start + 2 + 12 * i : start + 14 + 12 * i]) for i in range(count)]
    extra = struct.pack("<HHIHH", 274, 3, 1, orientation, 0)
    entries = sorted([*entries, extra], key=lambda entry: int.from_bytes(entry[:2], "little"))
    place = len(content)
    content += struct.pack("<H", len(entries)) + b"".join(entries) + bytes(4)
    struct.pack_into("<I", content, 4, place)
    path.write_bytes(content)


def test_bands_that_say_their_colours_are_taken_by_name_and_all_others_told(tmp_path: Path) -> None:
    named = write(tmp_path / "named.tif", BANDS[:4], ("Blue", "green", "RED", "nir"))
    plain = write(tmp_path / "plain.tif", BANDS[:4], ("B2", "B3", "B4", "B8"))
    assert (stored(named) == BANDS[[2, 1, 0]]).all()
    assert (stored(plain) == BANDS[:3]).all()
    for path, words in (
        (named, r"4 bands \(Blue, green, RED, nir\): bands 3, 2, 1 are red, green and blue, as their names say"),
        (plain, r"4 bands \(B2, B3, B4, B8\): bands 1, 2, 3 are red, green and blue, the others are left out"),
    ):
        _, told = decide_format([("a", path)])
        assert [warning.kind for warning in told] == ["bands", "depth"]
        assert re.search(words, str(told[0]))


def test_white_may_be_zero_in_sixteen_bits(tmp_path: Path) -> None:
    path = write(tmp_path / "a.tif", BANDS[:1], photometric="MINISWHITE")
    expected = 255 - np.rint(BANDS[0] * np.float32(255 / 65535)).astype(np.uint8)
    assert (read_image(path, ImageFormat(65535))[..., 0] == expected).all()


def test_a_wide_ppm_keeps_its_bits(tmp_path: Path) -> None:
    path = tmp_path / "a.ppm"
    path.write_bytes(b"P6 30 20 65535\n" + BANDS[:3].transpose(1, 2, 0).astype(">u2").tobytes())
    assert (stored(path) == BANDS[:3]).all()
    path.write_bytes(path.read_bytes()[:-2])
    with pytest.raises(InputError, match="it ends early"):
        read_image(path)


@pytest.mark.parametrize(
    ("bands", "profile", "message"),
    [
        (BANDS[:2], {}, "a TIFF with 2 bands of 16 bits; .*: save one of them, or three"),
        (BANDS[:1].astype(np.complex64), {}, r"1 band of 64 bits \(complex\)"),
        (EIGHT[:3] >> 4, {"nbits": 4, "photometric": "RGB"}, "3 bands of 4 bits .* cannot be read"),
    ],
)
def test_what_no_one_can_show_is_refused_with_bits_and_bands(
    bands: np.ndarray, profile: dict[str, Any], message: str, tmp_path: Path
) -> None:
    path = write(tmp_path / "a.tif", bands, **profile)
    with pytest.raises(InputError, match=f"{path}: .*{message}"):
        read_image(path)


def test_without_rasterio_the_line_says_bits_bands_and_remedy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    many, lerc = write(tmp_path / "a.tif", BANDS), write(tmp_path / "b.tif", EIGHT[:3], compress="LERC")
    colours = write(tmp_path / "c.tif", BANDS[:3], photometric="RGB")
    monkeypatch.setattr("globalconv.data.tiff_files.find_spec", lambda name: None)
    for path, words in ((many, "5 bands of 16 bits"), (lerc, "3 bands of 8 bits, compressed by LERC")):
        with pytest.raises(InputError, match=rf"{words} is more than Pillow reads; .*pip install globalconv\[tiff\]"):
            read_image(path)
        assert image_size(path) == (30, 20)
    assert (stored(colours) == BANDS[:3]).all(), "16-bit RGB takes no rasterio"


def test_a_preview_is_not_taken_for_the_image(tmp_path: Path) -> None:
    Image.new("RGB", (30, 20)).save(tmp_path / "a.tif", tiffinfo={254: 1})
    with pytest.raises(InputError, match="its first page is a small copy of the image"):
        read_image(tmp_path / "a.tif")


def test_damage_is_one_line_and_nothing_else(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    path = write(tmp_path / "a.tif", BANDS, compress="deflate")
    content = bytearray(path.read_bytes())
    content[len(content) // 2 :] = bytes(len(content) - len(content) // 2)
    path.write_bytes(content)
    with pytest.raises(InputError, match=f"{path}: cannot be decoded .*; the file is damaged") as error:
        read_image(path, ImageFormat(65535))
    assert "\n" not in str(error.value)
    assert capfd.readouterr() == ("", "")


def test_a_limit_on_pixels_holds_for_what_pillow_does_not_open(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path / "a.tif", BANDS)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 250)
    for read in (read_image, image_size):
        with pytest.raises(InputError, match=r"above the limit .*`max_pixels` 600"):
            read(path)


def test_multiplied_colours_lie_on_white_as_they_are() -> None:
    half = Bands(np.full((1, 1, 3), 100, np.uint8), np.full((1, 1), 128, np.uint8), premultiplied=True)
    assert half.to_rgb(ImageFormat(), "x").ravel().tolist() == [227, 227, 227]

"""One mask file: values as they are stored, and the line for each that a decoder would change."""

import struct
import warnings
import zlib
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from globalconv.data.mask_files import load_mask
from globalconv.data.masks import count_stored_values, read_label_map
from globalconv.errors import InputError
from globalconv.labels import LabelSpace

FOUR = np.tile(np.arange(4, dtype=np.uint8), (5, 2))
"""A label map (5, 8) of four classes."""
LABELS = LabelSpace(("a", "b", "c", "d"))


def few_bits(path: Path, values_HW: NDArray[np.uint8], bits: int) -> Path:
    """Write a grey PNG of few bits, which Pillow cannot."""

    def chunk(name: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))

    height, width = values_HW.shape
    rows = np.packbits(np.unpackbits(values_HW[..., None], axis=2)[..., 8 - bits :].reshape(height, -1), axis=1)
    content = zlib.compress(b"".join(b"\0" + row.tobytes() for row in rows))
    header = struct.pack(">IIBBBBB", width, height, bits, 0, 0, 0, 0)
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", content) + chunk(b"IEND", b""))
    return path


def tiff(path: Path, values_HW: NDArray[np.uint8], bits: int = 8, **tags: int) -> Path:
    """Write a grey TIFF of few bits, or with other tags than Pillow's own."""
    height, width = values_HW.shape
    rows = np.packbits(np.unpackbits(values_HW[..., None], axis=2)[..., 8 - bits :].reshape(height, -1), axis=1)
    named = {"compression": 259, "photometric": 262, "colours": 320}
    fields = {256: width, 257: height, 258: bits, 259: 1, 262: 1, 273: 8, 277: 1, 278: height, 279: rows.size}
    fields |= {named[name]: value for name, value in tags.items()}
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in sorted(fields.items()))
    offset = 8 + rows.size
    path.write_bytes(
        b"II*\0" + struct.pack("<I", offset) + rows.tobytes() + struct.pack("<H", len(fields)) + entries + bytes(4)
    )
    return path


def refused(path: Path, message: str, lossy: bool = False) -> None:
    with pytest.raises(InputError, match=message) as error:
        load_mask(path, lossy)
    assert str(error.value).startswith(f"{path}: ") and "\n" not in str(error.value)


@pytest.mark.parametrize("bits", [2, 4])
@pytest.mark.parametrize("write", [few_bits, tiff])
def test_grey_of_few_bits_keeps_the_values_that_are_stored(write: object, bits: int, tmp_path: Path) -> None:
    assert callable(write)
    path = write(tmp_path / "x.png", FOUR, bits)
    with Image.open(path) as image:
        assert np.asarray(image).max() > 3, "Pillow scales"
    assert read_label_map(path, LABELS).tolist() == FOUR.tolist()
    assert count_stored_values(path) == {0: 10, 1: 10, 2: 10, 3: 10}


def test_one_bit_is_two_classes(tmp_path: Path) -> None:
    values = (FOUR % 2).astype(np.uint8)
    for path in (few_bits(tmp_path / "a.png", values, 1), tiff(tmp_path / "b.tif", values, 1)):
        assert read_label_map(path, LABELS).tolist() == values.tolist()


@pytest.mark.parametrize("maximum", [3, 100, 255, 1000, 65535])
def test_a_pgm_with_a_maximum_of_its_own(maximum: int, tmp_path: Path) -> None:
    stored = FOUR.astype(">u2") if maximum > 255 else FOUR
    path = tmp_path / "x.pgm"
    path.write_bytes(b"P5 8 5 %d\n" % maximum + stored.tobytes())
    assert read_label_map(path, LABELS).tolist() == FOUR.tolist()
    path.write_bytes(b"P2 8 5 %d\n" % maximum + b" ".join(b"%d" % value for value in FOUR.ravel()))
    assert read_label_map(path, LABELS).tolist() == FOUR.tolist()


def test_a_tiff_in_which_0_is_white_counts_as_it_is_shown_where_that_is_clear(tmp_path: Path) -> None:
    values = (FOUR % 2).astype(np.uint8)
    for path in (tiff(tmp_path / "a.tif", 1 - values, 1, photometric=0), tmp_path / "b.tif"):
        if path.name == "b.tif":
            Image.fromarray(values.astype(bool)).save(path, compression="group4")
        assert read_label_map(path, LABELS).tolist() == values.tolist()
    with pytest.raises(InputError, match="0 is white, so whether 252 or 3 is meant cannot be told; save class indices"):
        read_label_map(tiff(tmp_path / "c.tif", FOUR, photometric=0), LABELS)
    with pytest.raises(InputError, match="so whether 12 or 3 is meant"):
        read_label_map(tiff(tmp_path / "d.tif", FOUR, 4, photometric=0), LABELS)


COLOURS = Image.fromarray(np.stack([FOUR * 60, 250 - FOUR * 60, FOUR * 9], axis=2))


@pytest.mark.parametrize(
    ("name", "mode", "options", "message"),
    [
        ("x.png", "L", {"format": "JPEG"}, "a JPEG cannot hold labels"),
        ("x.tif", "L", {"compression": "jpeg"}, "JPEG inside a TIFF cannot hold labels"),
        ("x.tif", "RGB", {"compression": "jpeg"}, "JPEG inside a TIFF cannot hold labels"),
        ("x.tif", "L", {"format": "JPEG2000"}, "JPEG 2000 cannot hold labels"),
        ("x.tif", "L", {"format": "JPEG2000", "irreversible": True}, "JPEG 2000 cannot hold labels"),
        ("x.png", "L", {"format": "AVIF"}, "AVIF cannot hold labels"),
        ("x.webp", "RGB", {}, "lossy WebP cannot hold labels"),
        ("x.webp", "RGBA", {"exif": b"Exif\0\0MM\0*\0\0\0\x08\0\0\0\0\0\0"}, "lossy WebP cannot hold labels"),
        ("x.webp", "RGB", {"save_all": True, "append_images": [COLOURS]}, "lossy WebP cannot hold labels"),
        ("x.png", "RGB", {"format": "DDS", "pixel_format": "DXT1"}, r"a texture \(DDS\) cannot hold labels"),
    ],
)
def test_lossy_compressions_are_known_by_what_the_file_says(
    name: str, mode: str, options: dict[str, object], message: str, tmp_path: Path
) -> None:
    path = tmp_path / name
    COLOURS.convert(mode).save(path, **options)  # type: ignore[arg-type]  # options of many formats
    refused(path, f"{message}, its compression smears the class indices; save label maps as PNG")
    if mode == "L":
        refused(path, message, lossy=True)
    else:
        assert load_mask(path, lossy=True).kind == "colours"


@pytest.mark.parametrize("options", [{}, {"save_all": True, "append_images": [COLOURS]}, {"exif": b"Exif\0\0"}])
def test_lossless_webp_is_read(options: dict[str, object], tmp_path: Path) -> None:
    COLOURS.save(tmp_path / "x.webp", lossless=True, exact=True, **options)  # type: ignore[arg-type]
    assert np.array_equal(load_mask(tmp_path / "x.webp").values, np.asarray(COLOURS))


@pytest.mark.parametrize("compression", [34887, 6, 34712, 34676, 52546])
def test_tiffs_that_pillow_cannot_read_but_that_say_that_they_are_lossy(compression: int, tmp_path: Path) -> None:
    words = (
        "compressed with LERC, which may change values" if compression == 34887 else "cannot hold|cannot be|no image"
    )
    refused(tiff(tmp_path / "x.tif", FOUR, compression=compression), words)


def test_tiffs_that_gdal_writes(tmp_path: Path) -> None:
    rasterio = pytest.importorskip("rasterio", reason="rasterio is optional")
    path = tmp_path / "x.tif"
    wanted: list[tuple[dict[str, object], str]] = [
        ({"nbits": 2}, ""), ({"nbits": 4}, ""), ({"compress": "zstd"}, ""), ({"BIGTIFF": "YES"}, ""),
        ({"compress": "lerc", "max_z_error": 1}, "compressed with LERC"), ({"compress": "lerc"}, "with LERC"),
        ({"compress": "lerc", "BIGTIFF": "YES"}, "compressed with LERC"), ({"compress": "jpeg"}, "JPEG inside a TIFF"),
    ]  # fmt: skip
    for options, message in wanted:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that it has no geographic reference
            with rasterio.open(path, "w", "GTiff", 8, 5, 1, dtype="uint8", **options) as file:
                file.write(FOUR, 1)
        if message:
            refused(path, message)
        else:
            assert load_mask(path).values.tolist() == FOUR.tolist()


def test_a_grey_tiff_with_colours_is_a_palette(tmp_path: Path) -> None:
    colours = [(value % 4 * 60, 7, 255 - value) for value in range(256)]
    numbers = tuple(257 * colour[channel] for channel in range(3) for colour in colours)
    Image.fromarray(FOUR).save(tmp_path / "x.tif", tiffinfo={320: numbers})
    mask = load_mask(tmp_path / "x.tif")
    assert (mask.kind, mask.values.tolist()) == ("palette", FOUR.tolist())
    assert mask.shown == dict(enumerate(colours[:4]))
    assert load_mask(tiff(tmp_path / "x.tif", FOUR, colours=7)).kind == "greys"


def test_colours_of_16_bits_a_channel_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.ppm"
    path.write_bytes(b"P6 1 1 255\n\x01\x02\x03")
    assert load_mask(path).values.tolist() == [[[1, 2, 3]]]
    header = struct.pack(">IIBBBBB", 1, 1, 16, 2, 0, 0, 0)
    chunks = [(b"IHDR", header), (b"IDAT", zlib.compress(b"\0\0\x01\0\x02\0\x03")), (b"IEND", b"")]
    path = tmp_path / "x.png"
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n"
        + b"".join(struct.pack(">I", len(c)) + n + c + struct.pack(">I", zlib.crc32(n + c)) for n, c in chunks)
    )
    refused(path, "16 bits a channel")


def test_a_void_that_was_cut_to_the_few_bits_of_a_short_palette(tmp_path: Path) -> None:
    image = Image.fromarray(np.where(FOUR == 3, 255, FOUR).astype(np.uint8), "P")
    image.putpalette([0, 0, 0, 128, 0, 0, 0, 128, 0, 9, 9, 9, 8, 8, 8])
    image.save(tmp_path / "x.png")
    refused(tmp_path / "x.png", "index 15 is beyond the 5 colours of its palette, as where 255 was cut")


def test_transparent_pixels_may_not_have_colours(tmp_path: Path) -> None:
    values = np.dstack([np.asarray(COLOURS), np.full(FOUR.shape, 255, np.uint8)])
    path = tmp_path / "x.png"

    def save(hidden: tuple[int, int, int] | None) -> Path:
        changed = values.copy()
        if hidden is not None:
            changed[0] = (*hidden, 0)
        Image.fromarray(changed).save(path)
        return path

    assert load_mask(save(None)).values.tolist() == np.asarray(COLOURS).tolist()
    assert load_mask(save((0, 0, 0))).values[0].any() == 0
    refused(save((60, 190, 9)), "some pixels are transparent and still have a colour")
    values[1, 0, :3] = 0
    refused(save((0, 0, 0)), "some pixels are transparent and still have a colour")

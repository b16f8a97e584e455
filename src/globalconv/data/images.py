"""Image files in, on disk or in memory (`image_bytes`), uint8 RGB arrays (H, W, 3) out.

`read_image` takes every mode that Pillow reads: grey, palette, CMYK and the like become RGB; the EXIF orientation is
applied. Images of more than 8 bits, and alpha, are read by the rule of their data set (`image_format`); of 16-bit
colours all bits are kept. TIFF files that Pillow cannot read are read with rasterio where it is installed
(`tiff_files`). Whatever is wrong with a file, a hostile one included, is an `InputError` that names the file. Masks are
read by `globalconv.data.masks`.
"""

import sys
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import SimpleNamespace

import numpy as np
from PIL import ExifTags, Image, ImageFile, ImageOps, UnidentifiedImageError

from globalconv.arrays import Uint8Array
from globalconv.data.image_bytes import RASTER_FORMATS, ImageBytes, StoredImage, stored_bytes
from globalconv.data.image_format import UNKNOWN_FORMAT, Bands, ImageFormat, check_alpha, classify_alpha
from globalconv.data.tiff_files import (
    COMPRESSIONS,
    MIN_IS_WHITE,
    TiffTags,
    needs_rasterio,
    open_with_rasterio,
    read_bands,
    read_tags,
    turn_bands,
)
from globalconv.errors import GlobalconvError, InputError
from globalconv.runtime.threads import Override

SIDEWAYS = (5, 6, 7, 8)
"""EXIF orientations that swap width and height."""

LONGEST_EXIF = 1 << 17
"""Bytes at the end of a PNG among which an EXIF block is looked for; a block is of 64 KiB at most."""

LOW_BYTES = {"L": "B", "B": "L", "N": "B" if sys.byteorder == "little" else "L"}
"""Byte orders of 16 bits in Pillow's raw modes, and those by which its decoder returns the lower byte in place of the
upper one."""

_own_limit: SimpleNamespace = SimpleNamespace(pixels=None)
_SET_OWN_LIMIT, _SET_PILLOWS_LIMIT = Override(_own_limit, "pixels"), Override(Image, "MAX_IMAGE_PIXELS")


def read_image(path: StoredImage, image_format: ImageFormat = UNKNOWN_FORMAT) -> Uint8Array:
    """Return the image in `path` as uint8 RGB (H, W, 3), upright as its EXIF orientation says.

    What the rule `image_format` does not know, and the image needs, is refused: a white level, what its alpha is.
    """
    stored = read_stored(path)
    if isinstance(stored, Bands):
        check_alpha(classify_alpha(stored), image_format, str(path))
        return stored.to_rgb(image_format, str(path))
    with decoding(path):
        return to_rgb(stored, str(path), image_format)


def read_stored(path: StoredImage) -> Image.Image | Bands:
    """Return the image in `path`, upright: as Pillow's where it has 8 bits, else the values that it holds."""
    opened = False
    try:
        with open_image(path) as image:
            opened, tags = True, tags_of(image)
            if tags is None or not tags.is_beyond_pillow:
                if tags is not None:
                    tags.check_bands(path)
                if (order := _byte_order(image)) is not None:
                    return _read_sixteen_bits(path, image, order)
                if (maximum := _wide_maximum(image)) is not None:
                    return _read_wide_ppm(path, image, maximum)
                image.load()
                turn_upright(image)
                return _grey_bands(image) if image.mode[0] in "IF" else image
    except InputError as error:
        # A TIFF that Pillow knows nothing of, or whose compression it lacks, is no damaged one.
        pages = read_tags(path) if error.kind != "bands" else []
        if not pages or (opened and pages[0].compression not in COMPRESSIONS):
            raise
        tags = pages[0]
    assert tags is not None
    _check_pixels(path, tags.width * tags.height)
    if (refusal := needs_rasterio(path, tags)) is not None:
        raise refusal
    with open_with_rasterio(path) as source:
        bands = read_bands(source, tags, (slice(0, source.height), slice(0, source.width)))
    return turn_bands(bands, tags.orientation)


@dataclass(frozen=True)
class ImageHeader:
    """What the header of an image says, before its pixels are decoded."""

    width: int
    height: int
    """As they are stored."""
    is_deep: bool
    """It holds more than 8 bits."""
    has_alpha: bool
    tags: TiffTags | None
    """Of a TIFF."""


def image_header(path: StoredImage) -> ImageHeader | None:
    """Return what the header of an image says; None where that cannot be read."""
    try:
        with open_image(path) as image:
            tags = tags_of(image)
            deep = tags is not None and tags.is_deep
            if tags is None:
                deep = image.mode[0] in "IF" or (_byte_order(image) or _wide_maximum(image)) is not None
            return ImageHeader(*image.size, deep, image.has_transparency_data, tags)
    except InputError:
        if not (pages := read_tags(path)):
            return None
    tags = pages[0]
    return ImageHeader(tags.width, tags.height, tags.is_deep, tags.alpha_band is not None, tags)


def tags_of(image: Image.Image) -> TiffTags | None:
    """Return the tags of an image that Pillow has opened, if it is a TIFF."""
    return TiffTags.of(image.tag_v2) if image.format == "TIFF" else None  # type: ignore[attr-defined]


def _byte_order(image: Image.Image) -> str | None:
    """Return the byte order of 16-bit colours, of which Pillow's modes would keep the upper byte: L, B or N.

    None for everything else, and for CMYK, whose 16 bits are always used in full.
    """
    if image.format not in ("PNG", "TIFF") or image.mode not in ("RGB", "RGBA"):
        return None
    raw_mode = _raw_mode(image)
    return raw_mode[-1] if ";16" in raw_mode else None


def _wide_maximum(image: Image.Image) -> int | None:
    """Return the largest value that a colour PPM declares, where that takes 16 bits, of which Pillow would keep 8."""
    if image.format != "PPM" or image.mode != "RGB" or not isinstance(image, ImageFile.ImageFile):
        return None
    tile = image.tile[0]
    maximum = tile.args[1] if tile.codec_name == "ppm" and isinstance(tile.args, tuple) else 0
    return maximum if maximum > 255 else None


def _read_wide_ppm(path: StoredImage, image: Image.Image, maximum: int) -> Bands:
    """Return the 16-bit colours of a PPM, of `maximum` at most, in 0 .. 65535 as Pillow reads a grey one."""
    assert isinstance(image, ImageFile.ImageFile)
    with path.open("rb") as file:
        file.seek(image.tile[0].offset)
        content = file.read(2 * image.width * image.height * 3)
    if len(content) < 2 * image.width * image.height * 3:
        raise InputError(f"{path}: cannot be decoded (it ends early); the file is damaged, replace or remove it")
    scaled = np.minimum(np.rint(np.frombuffer(content, ">u2") * (65535 / maximum)), 65535).astype(np.uint16)
    return Bands(scaled.reshape(image.height, image.width, 3))


def _raw_mode(image: Image.Image) -> str:
    """Return how Pillow is going to unpack the pixels of an image that is not loaded yet; "" if it does not say."""
    tiles = image.tile if isinstance(image, ImageFile.ImageFile) else []
    arguments = tiles[0].args if tiles else ""
    return str(arguments[0] if isinstance(arguments, tuple) else arguments)


def _read_sixteen_bits(path: StoredImage, image: Image.Image, order: str) -> Bands:
    """Return 16-bit colours with all their bits: Pillow decodes the upper bytes, and once more the lower ones."""
    grey_alpha = _raw_mode(image).startswith("LA")
    if grey_alpha:  # Pillow unpacks it into RGBA: as if it were of 8 bits, these are the two bytes of grey and of alpha
        _set_raw_mode(image, "RGBA")
    image.load()
    turn_upright(image)
    upper = np.asarray(image).astype(np.uint16)
    if grey_alpha:
        values_HWC = upper[..., 0::2] << 8 | upper[..., 1::2]
    else:
        with open_image(path) as again:
            _set_raw_mode(again, _raw_mode(again)[:-1] + LOW_BYTES[order])
            again.load()
            turn_upright(again)
            values_HWC = upper << 8 | np.asarray(again)
    if values_HWC.shape[2] in (2, 4):
        return Bands(values_HWC[..., :-1], values_HWC[..., -1])
    return Bands(values_HWC)


def _set_raw_mode(image: Image.Image, raw_mode: str) -> None:
    """Let Pillow unpack the pixels of an image that is not loaded yet in another way."""
    assert isinstance(image, ImageFile.ImageFile)
    for place, tile in enumerate(image.tile):
        arguments = (raw_mode, *tile.args[1:]) if isinstance(tile.args, tuple) else raw_mode
        image.tile[place] = tile._replace(args=arguments)


def _grey_bands(image: Image.Image) -> Bands:
    """Return grey values of more than 8 bits."""
    values = np.asarray(image)
    values_HW = values.astype(values.dtype.newbyteorder("="))
    tags, hole = tags_of(image), image.info.get("transparency")
    alpha_HW = np.where(values_HW == hole, np.uint8(0), np.uint8(255)) if isinstance(hole, int) else None
    return Bands(values_HW[..., None], alpha_HW, tags is not None and tags.photometric == MIN_IS_WHITE)


@contextmanager
def open_image(path: StoredImage) -> Iterator[Image.Image]:
    """Open `path` with Pillow; whatever fails in it, or in a decoder inside the block, is an `InputError`."""
    try:
        problem = "" if path.is_file() else "is not a file" if path.exists() else "there is no such file"
    except OSError as error:  # a folder that may not be entered, a name that is too long
        problem = f"cannot be reached ({error.strerror})"
    if problem:
        raise InputError(f"{path}: {problem}; give the path of an image")
    with decoding(path), _open_with_pillow(path) as image:
        if _own_limit.pixels is not None:
            _check_pixels(path, image.width * image.height)
        if (tags := tags_of(image)) is not None:
            tags.check_strips(path)
        yield image


def _open_with_pillow(path: StoredImage) -> Image.Image:
    if isinstance(path, ImageBytes):
        Image.init()  # formats are known by name once all are loaded
        return Image.open(path.open(), formats=[name for name in RASTER_FORMATS if name in Image.OPEN])
    return Image.open(path)


@contextmanager
def decoding(path: StoredImage) -> Iterator[None]:
    """Turn whatever Pillow raises in the block into an `InputError` that names `path`."""
    try:
        with warnings.catch_warnings():
            # Pillow warns of images above 89 megapixels (it refuses those above 178) and of damaged EXIF blocks;
            # neither matters here. Filters are shared by all threads, so those of other modules are left alone.
            warnings.filterwarnings("ignore", module=r"PIL\b")
            yield
    except GlobalconvError:
        raise
    except UnidentifiedImageError:
        empty = stored_bytes(path) == 0
        problem = "is empty" if empty else "is no image that Pillow can read, whatever its name says"
        raise InputError(f"{path}: the file {problem}; replace or remove it") from None
    except Image.DecompressionBombError as error:
        claimed = next((int(word[1:]) for word in str(error).split() if word[1:].isdigit()), 0)
        raise _too_large(path, claimed, int(2 * (Image.MAX_IMAGE_PIXELS or 0))) from None
    except PermissionError:
        raise InputError(f"{path}: this user may not read the file; correct its permissions") from None
    except Exception as error:  # Damaged files make Pillow's decoders raise almost anything.
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise InputError(f"{path}: cannot be decoded ({reason}); the file is damaged, replace or remove it") from error


def _check_pixels(path: StoredImage, pixels: int) -> None:
    """Refuse an image of more pixels than are allowed."""
    limit = _own_limit.pixels or int(2 * (Image.MAX_IMAGE_PIXELS or 0))
    if limit and pixels > limit:
        raise _too_large(path, pixels, limit)


class ImageTooLargeError(InputError):
    """An image claims more `pixels` than are allowed."""

    def __init__(self, message: str, pixels: int) -> None:
        super().__init__(message)
        self.pixels = pixels


def _too_large(path: StoredImage, pixels: int, limit: int) -> ImageTooLargeError:
    return ImageTooLargeError(
        f"{path}: {pixels / 1e6:.4g} megapixels, above the limit of {limit / 1e6:.4g}, which looks like an attack"
        f" on memory; cut the image into parts, or let predict and evaluate take it with `max_pixels` {pixels}",
        pixels,
    )


def turn_upright(image: Image.Image) -> None:
    """Turn a loaded image in place as its EXIF orientation says; a damaged EXIF block leaves it as it is."""
    try:
        ImageOps.exif_transpose(image, in_place=True)
    except MemoryError:
        raise
    except Exception:  # A damaged block makes Pillow raise almost anything, and the pixels may still be fine.
        return


def to_rgb(image: Image.Image, where: str, image_format: ImageFormat = UNKNOWN_FORMAT) -> Uint8Array:
    """Return a Pillow image of any mode as uint8 RGB (H, W, 3); `where` names it in errors."""
    if image.mode[0] in "IF":
        return _grey_bands(image).to_rgb(image_format, where)
    if image.has_transparency_data and image_format.alpha != "ignored":
        bands = alpha_bands(image)
        kind = classify_alpha(bands)
        check_alpha(kind, image_format, where)
        if kind != "opaque":
            rgba = image.convert("RGBA")
            image = Image.alpha_composite(Image.new("RGBA", rgba.size, "white"), rgba)
    return np.array(image.convert("RGB"))


def alpha_bands(image: Image.Image) -> Bands:
    """Return colours and alpha of an image that Pillow holds with 8 bits and transparency."""
    rgba_HW4 = np.asarray(image.convert("RGBA"))
    return Bands(rgba_HW4[..., :3], rgba_HW4[..., 3])


def image_size(path: StoredImage) -> tuple[int, int]:
    """Return (width, height) of the image in `path` as `read_image` returns it, without decoding its pixels."""
    try:
        with open_image(path) as image:
            width, height = image.size
            if image.format == "TIFF":  # Pillow applies a TIFF's orientation to the size itself.
                return width, height
            orientation = read_orientation(image, path)
    except InputError:
        if not (pages := read_tags(path)):
            raise
        width, height, orientation = pages[0].width, pages[0].height, pages[0].orientation
        _check_pixels(path, width * height)
    return (height, width) if orientation in SIDEWAYS else (width, height)


def read_orientation(image: Image.Image, path: StoredImage) -> int:
    """Return the EXIF orientation, 1 .. 8, by which `turn_upright` turns an image; its pixels are not decoded yet."""
    try:
        # The method of the base class: PNG's own one decodes all pixels to look for an EXIF block after them.
        exif = Image.Image.getexif(image)
        if image.format == "PNG" and (later := _exif_after_pixels(path)):  # it counts where there are two
            exif = Image.Exif()
            exif.load(later)
        orientation = exif.get(ExifTags.Base.Orientation, 1)
    except Exception:  # a damaged EXIF block, which `turn_upright` ignores too
        return 1
    return orientation if orientation in range(2, 9) else 1


def _exif_after_pixels(path: StoredImage) -> bytes:
    """Return the EXIF block that follows the pixels of a PNG, where exiftool puts it; empty if there is none."""
    with path.open("rb") as file:
        file.seek(max(0, stored_bytes(path) - LONGEST_EXIF))
        end = file.read()
    start = end.rfind(b"eXIf")
    if start < 4:
        return b""
    length, content = int.from_bytes(end[start - 4 : start]), end[start + 4 :]
    # The same four letters may occur among the pixels: the checksum tells.
    intact = zlib.crc32(b"eXIf" + content[:length]) == int.from_bytes(content[length : length + 4])
    return b"Exif\0\0" + content[:length] if intact else b""


def frames_and_orientation(path: StoredImage) -> tuple[int, int]:
    """Return how many frames or pages a file holds, and its EXIF orientation, without decoding its pixels.

    A photograph with an embedded preview (MPO) counts as one frame.
    """
    try:
        with open_image(path) as image:
            orientation = read_orientation(image, path)
            return 1 if image.format == "MPO" else getattr(image, "n_frames", 1), orientation
    except InputError:
        if not (pages := read_tags(path)):
            raise
        return len(pages), pages[0].orientation


@contextmanager
def pixel_limit(pixels: int | None) -> Iterator[None]:
    """Refuse images of more than `pixels` in the block, in all threads; None keeps Pillow's limit (178 megapixels)."""
    if pixels is None:
        yield
        return
    # Pillow refuses at twice its limit. That is never lowered: it holds for text that Pillow draws as well.
    with _SET_OWN_LIMIT.to(pixels), _SET_PILLOWS_LIMIT.to(max(pixels / 2, Image.MAX_IMAGE_PIXELS or 0)):
        yield

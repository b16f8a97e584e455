"""Image files in, uint8 RGB arrays (H, W, 3) out.

`read_image` takes every mode that Pillow reads: grey, palette, CMYK and the like become RGB; transparent pixels are
composited over white; 16-bit grey is scaled to 8 bits (of 16-bit RGB, Pillow keeps the high byte); the EXIF
orientation is applied. Whatever is wrong with a file, a hostile one included, is an `InputError` that names the file.
Masks are read by `globalconv.data.masks`.
"""

import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import numpy as np
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError

from globalconv.arrays import Uint8Array
from globalconv.errors import GlobalconvError, InputError
from globalconv.runtime.threads import Override

IMAGE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp", ".ppm", ".pgm", ".gif"})
"""Suffixes of the files that count as images when a folder is listed."""

SIDEWAYS = (5, 6, 7, 8)
"""EXIF orientations that swap width and height."""

LONGEST_EXIF = 1 << 17
"""Bytes at the end of a PNG among which an EXIF block is looked for; a block is of 64 KiB at most."""

_own_limit: SimpleNamespace = SimpleNamespace(pixels=None)
_SET_OWN_LIMIT, _SET_PILLOWS_LIMIT = Override(_own_limit, "pixels"), Override(Image, "MAX_IMAGE_PIXELS")


def read_image(path: Path) -> Uint8Array:
    """Return the image in `path` as uint8 RGB (H, W, 3), upright as its EXIF orientation says."""
    with open_image(path) as image:
        image.load()
        turn_upright(image)
        return to_rgb(image, str(path))


@contextmanager
def open_image(path: Path) -> Iterator[Image.Image]:
    """Open `path` with Pillow; whatever fails in it, or in a decoder inside the block, is an `InputError`."""
    try:
        problem = "" if path.is_file() else "is not a file" if path.exists() else "there is no such file"
    except OSError as error:  # a folder that may not be entered, a name that is too long
        problem = f"cannot be reached ({error.strerror})"
    if problem:
        raise InputError(f"{path}: {problem}; give the path of an image")
    try:
        with warnings.catch_warnings():
            # Pillow warns of images above 89 megapixels (it refuses those above 178) and of damaged EXIF blocks;
            # neither matters here. Filters are shared by all threads, so those of other modules are left alone.
            warnings.filterwarnings("ignore", module=r"PIL\b")
            with Image.open(path) as image:
                if _own_limit.pixels is not None and image.width * image.height > _own_limit.pixels:
                    raise _too_large(path, image.width * image.height, _own_limit.pixels)
                yield image
    except GlobalconvError:
        raise
    except UnidentifiedImageError:
        empty = path.stat().st_size == 0
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


def _too_large(path: Path, pixels: int, limit: int) -> InputError:
    return InputError(
        f"{path}: {pixels / 1e6:.4g} megapixels, above the limit of {limit / 1e6:.4g}, which looks like an attack"
        f" on memory; cut the image into parts, or let predict and evaluate take it with `max_pixels` {pixels}"
    )


def turn_upright(image: Image.Image) -> None:
    """Turn a loaded image in place as its EXIF orientation says; a damaged EXIF block leaves it as it is."""
    try:
        ImageOps.exif_transpose(image, in_place=True)
    except MemoryError:
        raise
    except Exception:  # A damaged block makes Pillow raise almost anything, and the pixels may still be fine.
        return


def to_rgb(image: Image.Image, where: str) -> Uint8Array:
    """Return a Pillow image of any mode as uint8 RGB (H, W, 3); `where` names it in errors."""
    if image.mode.startswith("I") or image.mode == "F":  # 16-bit grey, or floats in [0, 1] or [0, 255]
        stored = np.asarray(image)
        grey_HW = stored.astype(np.float64)
        low, high = float(grey_HW.min()), float(grey_HW.max())
        limit = 65535.0 if stored.dtype.kind in "iu" else (1.0 if high <= 1 else 255.0)
        if not (low >= 0 and high <= limit):
            raise InputError(
                f"{where}: grey values from {low:g} to {high:g} have no known scale; save the image with 8 or 16 bits"
            )
        return np.repeat(np.rint(grey_HW * (255 / limit)).astype(np.uint8)[..., None], 3, axis=2)
    if image.has_transparency_data:
        rgba = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", rgba.size, "white"), rgba)
    return np.array(image.convert("RGB"))


def image_size(path: Path) -> tuple[int, int]:
    """Return (width, height) of the image in `path` as `read_image` returns it, without decoding its pixels."""
    with open_image(path) as image:
        width, height = image.size
        if image.format == "TIFF":  # Pillow applies a TIFF's orientation to the size itself.
            return width, height
        return (height, width) if read_orientation(image, path) in SIDEWAYS else (width, height)


def read_orientation(image: Image.Image, path: Path) -> int:
    """Return the EXIF orientation, 1 .. 8, by which `turn_upright` turns an image; its pixels are not decoded yet."""
    try:
        # The method of the base class: PNG's own one decodes all pixels to look for an EXIF block after them.
        exif = Image.Image.getexif(image)
        if image.format == "PNG" and ExifTags.Base.Orientation not in exif:
            exif.load(_exif_after_pixels(path))
        orientation = exif.get(ExifTags.Base.Orientation, 1)
    except Exception:  # a damaged EXIF block, which `turn_upright` ignores too
        return 1
    return orientation if orientation in range(2, 9) else 1


def _exif_after_pixels(path: Path) -> bytes:
    """Return the EXIF block that follows the pixels of a PNG, where exiftool puts it; empty if there is none."""
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - LONGEST_EXIF))
        end = file.read()
    start = end.rfind(b"eXIf")
    if start < 4:
        return b""
    length, content = int.from_bytes(end[start - 4 : start]), end[start + 4 :]
    # The same four letters may occur among the pixels: the checksum tells.
    intact = zlib.crc32(b"eXIf" + content[:length]) == int.from_bytes(content[length : length + 4])
    return b"Exif\0\0" + content[:length] if intact else b""


def frames_and_orientation(path: Path) -> tuple[int, int]:
    """Return how many frames or pages a file holds, and its EXIF orientation, without decoding its pixels.

    A photograph with an embedded preview (MPO) counts as one frame.
    """
    with open_image(path) as image:
        orientation = read_orientation(image, path)
        return 1 if image.format == "MPO" else getattr(image, "n_frames", 1), orientation


@contextmanager
def pixel_limit(pixels: int | None) -> Iterator[None]:
    """Refuse images of more than `pixels` in the block, in all threads; None keeps Pillow's limit (178 megapixels)."""
    if pixels is None:
        yield
        return
    # Pillow refuses at twice its limit. That is never lowered: it holds for text that Pillow draws as well.
    with _SET_OWN_LIMIT.to(pixels), _SET_PILLOWS_LIMIT.to(max(pixels / 2, Image.MAX_IMAGE_PIXELS or 0)):
        yield

"""Image files in, arrays out.

`read_image` takes every mode that Pillow reads: grey, palette, CMYK and the like become RGB; what is transparent is
laid on white; 16-bit grey is scaled to 8 bits (Pillow itself keeps the high byte of 16-bit RGB); EXIF orientation is
applied. Whatever is wrong with a file, hostile ones included, is an `InputError` that names it. Masks are read by
`globalconv.data.masks`.
"""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from globalconv.arrays import Uint8Array
from globalconv.errors import GlobalconvError, InputError
from globalconv.runtime.threads import Override

IMAGE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp", ".ppm", ".pgm", ".gif"})
"""What counts as an image when a folder is listed."""

ORIENTATION_TAG = 0x0112
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_SIDEWAYS = (5, 6, 7, 8)

_OURS: SimpleNamespace = SimpleNamespace(limit=None)
_LIMIT, _PILLOWS = Override(_OURS, "limit"), Override(Image, "MAX_IMAGE_PIXELS")


def read_image(path: Path) -> Uint8Array:
    """Return the image in `path` as uint8 RGB (H, W, 3), upright as its EXIF orientation says."""
    with open_image(path) as image:
        image.load()
        return to_rgb(upright(image), str(path))


def image_size(path: Path) -> tuple[int, int]:
    """Return (width, height) of the image in `path` as `read_image` would give it, without decoding its pixels."""
    with open_image(path) as image:
        width, height = image.size
        turned = image.format != "TIFF" and _orientation(image) in _SIDEWAYS  # Pillow turns TIFF itself.
        return (height, width) if turned else (width, height)


def count_frames(path: Path) -> int:
    """Return how many frames or pages a file holds; a photograph with its own preview counts as one."""
    with open_image(path) as image:
        return 1 if image.format == "MPO" else getattr(image, "n_frames", 1)


def to_rgb(image: Image.Image, where: str) -> Uint8Array:
    """Return a Pillow image of any mode as uint8 RGB (H, W, 3); `where` names it in errors."""
    if image.mode.startswith("I") or image.mode == "F":
        grey_HW = _grey_of_deep(np.asarray(image), where)
        return np.repeat(grey_HW[..., None], 3, axis=2)
    if image.has_transparency_data:
        rgba = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", rgba.size, "white"), rgba)
    return np.array(image.convert("RGB"))


@contextmanager
def pixel_limit(pixels: int | None) -> Iterator[None]:
    """Refuse images of more than `pixels` inside, in all threads; None leaves Pillow's own limit (178 megapixels)."""
    if pixels is None:
        yield
        return
    # Pillow refuses at twice its limit. That is never lowered: it holds for text that Pillow draws as well.
    with _LIMIT.to(pixels), _PILLOWS.to(max(pixels / 2, Image.MAX_IMAGE_PIXELS or 0)):
        yield


@contextmanager
def open_image(path: Path) -> Iterator[Image.Image]:
    """Open `path` with Pillow; every way in which it or a decoder inside the block can fail is an `InputError`."""
    _check_is_file(path)
    try:
        with warnings.catch_warnings():
            # Of images from 89 megapixels (refused are those from 179) and of damaged EXIF blocks: neither matters.
            # Filters are shared by all threads: what others have to say while this one decodes must be heard.
            warnings.filterwarnings("ignore", module=r"PIL\b")
            with Image.open(path) as image:
                if _OURS.limit is not None and image.width * image.height > _OURS.limit:
                    raise _too_large(path, image.width * image.height, _OURS.limit)
                yield image
    except GlobalconvError:
        raise
    except UnidentifiedImageError:
        what = "is empty" if path.stat().st_size == 0 else "is no image that Pillow can read, whatever its name says"
        raise InputError(f"{path}: the file {what}; replace or remove it") from None
    except Image.DecompressionBombError as error:
        claimed = next((int(word[1:]) for word in str(error).split() if word[1:].isdigit()), 0)
        raise _too_large(path, claimed, int(2 * (Image.MAX_IMAGE_PIXELS or 0))) from None
    except PermissionError:
        raise InputError(f"{path}: this user may not read the file; correct its permissions") from None
    except Exception as error:  # Damaged files make Pillow's decoders raise almost anything.
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise InputError(f"{path}: cannot be decoded ({reason}); the file is damaged, replace or remove it") from error


def _too_large(path: Path, claimed: int, limit: int) -> InputError:
    return InputError(
        f"{path}: {claimed / 1e6:.4g} megapixels, above the limit of {limit / 1e6:.4g}, which looks like an attack"
        f" on memory; cut the image into parts, or let predict and evaluate take it with `max_pixels` {claimed}"
    )


def _check_is_file(path: Path) -> None:
    try:
        if path.is_file():
            return
        why = "is not a file" if path.exists() else "there is no such file"
    except OSError as error:  # a folder that may not be entered, a name that is too long
        why = f"cannot be reached ({error.strerror})"
    raise InputError(f"{path}: {why}; give the path of an image")


def _orientation(image: Image.Image) -> int:
    """Return the EXIF orientation, 1 if there is none or the EXIF block is damaged (the pixels may still be fine)."""
    try:
        # The base class's method: PNG's own one would decode all pixels to look for a late EXIF block.
        return int(Image.Image.getexif(image).get(ORIENTATION_TAG, 1))
    except Exception:
        return 1


def upright(image: Image.Image) -> Image.Image:
    """Return an image turned as its EXIF orientation says."""
    turn = _TURNS.get(_orientation(image))
    return image if turn is None else image.transpose(turn)


def _grey_of_deep(values: NDArray[np.generic], where: str) -> Uint8Array:
    """Scale 16-bit grey, or floats in [0, 1] or [0, 255], to 8 bits."""
    numbers = values.astype(np.float64)
    low, high = float(numbers.min()), float(numbers.max())
    limit = 65535.0 if values.dtype.kind in "iu" else (1.0 if high <= 1 else 255.0)
    if not (low >= 0 and high <= limit):
        raise InputError(
            f"{where}: grey values from {low:g} to {high:g} have no known scale; save the image with 8 or 16 bits"
        )
    return np.rint(numbers * (255 / limit)).astype(np.uint8)

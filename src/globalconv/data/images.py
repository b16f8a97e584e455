"""Picture files in, arrays out: photographs as RGB, label files as class indices.

`read_image` takes every mode that Pillow reads: grey, palette, CMYK and the like become RGB; what is transparent is
laid on white; 16-bit grey is scaled to 8 bits (Pillow itself keeps the high byte of 16-bit RGB); EXIF orientation is
applied. `read_label_map` takes indices as they are stored (palette or grey PNG, 1 to 16 bits) and refuses everything
that cannot be indices. Whatever is wrong with a file, hostile ones included, is an `InputError` that names it.
"""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from globalconv.errors import GlobalconvError, InputError
from globalconv.labels import IGNORE, LabelSpace

IMAGE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp", ".ppm", ".pgm", ".gif"})
"""What counts as a picture when a folder is listed."""

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

CITYSCAPES_CLASSES, CITYSCAPES_LAST_ID = 19, 33

Uint8Array = NDArray[np.uint8]


def read_image(path: Path) -> Uint8Array:
    """Return the picture in `path` as uint8 RGB (H, W, 3), upright as its EXIF orientation says."""
    with _opened(path) as picture:
        picture.load()
        return to_rgb(_upright(picture), str(path))


def read_label_map(path: Path, labels: LabelSpace) -> Uint8Array:
    """Return the label file `path` as uint8 (H, W): classes 0 .. K-1 of `labels`, and `IGNORE`."""
    return translate(read_indices(path), labels, path)


def read_indices(path: Path) -> NDArray[np.generic]:
    """Return the values of the label file `path` as they are stored, an integer array (H, W)."""
    with _opened(path) as picture:
        picture.load()
        if picture.format in ("JPEG", "MPO"):
            raise InputError(
                f"{path}: a JPEG cannot hold labels, its compression smears the class indices;"
                " save label maps as PNG from the original masks"
            )
        if picture.mode not in ("P", "L", "1") and not picture.mode.startswith("I"):
            raise InputError(
                f"{path}: {_not_indices(picture)}; save class indices, one a pixel, as a grey or palette PNG"
            )
        values = np.asarray(_upright(picture))
        return values.astype(np.uint8) if values.dtype == bool else values


def image_size(path: Path) -> tuple[int, int]:
    """Return (width, height) of the picture in `path` as `read_image` would give it, without decoding its pixels."""
    with _opened(path) as picture:
        width, height = picture.size
        turned = picture.format != "TIFF" and _orientation(picture) in _SIDEWAYS  # Pillow turns TIFF itself.
        return (height, width) if turned else (width, height)


def palette_of(path: Path) -> list[tuple[int, int, int]]:
    """Return the colours of a palette picture, or nothing if it has no palette."""
    with _opened(path) as picture:
        flat = (picture.getpalette("RGB") or []) if picture.mode == "P" else []
        return list(zip(flat[0::3], flat[1::3], flat[2::3], strict=True))


def to_rgb(picture: Image.Image, where: str) -> Uint8Array:
    """Return a Pillow picture of any mode as uint8 RGB (H, W, 3); `where` names it in errors."""
    if picture.mode.startswith("I") or picture.mode == "F":
        grey_HW = _grey_of_deep(np.asarray(picture), where)
        return np.repeat(grey_HW[..., None], 3, axis=2)
    if picture.has_transparency_data:
        rgba = picture.convert("RGBA")
        picture = Image.alpha_composite(Image.new("RGBA", rgba.size, "white"), rgba)
    return np.array(picture.convert("RGB"))


def translate(values: NDArray[np.generic], labels: LabelSpace, path: Path) -> Uint8Array:
    """Return stored `values` (H, W) as a label map of `labels`; `InputError` names `path` for any other value."""
    present = values_of(values)
    known = {*range(labels.num_classes), *labels.void_values, IGNORE}
    if wrong := [value for value in present if value not in known]:
        raise InputError(_out_of_range(path, wrong, present, labels))
    void = [value for value in labels.void_values if value in present]
    label_map = values.astype(np.uint8)
    if void:
        label_map[np.isin(values, void)] = IGNORE
    return label_map


def values_of(values: NDArray[np.generic]) -> list[int]:
    """Return the values that occur, ascending."""
    if values.dtype == np.uint8:  # Sorting, which `np.unique` does, costs ten times as much.
        present: NDArray[np.integer] = np.flatnonzero(np.bincount(values.ravel().view(np.uint8), minlength=256))
    else:
        present = np.unique(values).astype(np.int64)
    return [int(value) for value in present]


@contextmanager
def _opened(path: Path) -> Iterator[Image.Image]:
    """Open `path` with Pillow; every way in which it or a decoder inside the block can fail is an `InputError`."""
    if not path.is_file():
        why = "is not a file" if path.exists() else "there is no such file"
        raise InputError(f"{path}: {why}; give the path of a picture")
    try:
        with warnings.catch_warnings():
            # Of pictures from 89 megapixels (refused are those from 179) and of damaged EXIF blocks: neither matters.
            warnings.simplefilter("ignore")
            with Image.open(path) as picture:
                yield picture
    except GlobalconvError:
        raise
    except UnidentifiedImageError:
        what = "is empty" if path.stat().st_size == 0 else "is no picture that Pillow can read, whatever its name says"
        raise InputError(f"{path}: the file {what}; replace or remove it") from None
    except Image.DecompressionBombError:
        raise InputError(
            f"{path}: more than {2 * (Image.MAX_IMAGE_PIXELS or 0) // 10**6} megapixels, which looks like an attack"
            " on memory; cut the picture into parts or shrink it"
        ) from None
    except Exception as error:  # Damaged files make Pillow's decoders raise almost anything.
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise InputError(f"{path}: cannot be decoded ({reason}); the file is damaged, replace or remove it") from error


def _orientation(picture: Image.Image) -> int:
    """Return the EXIF orientation, 1 if there is none or the EXIF block is damaged (the pixels may still be fine)."""
    try:
        # The base class's method: PNG's own one would decode all pixels to look for a late EXIF block.
        return int(Image.Image.getexif(picture).get(ORIENTATION_TAG, 1))
    except Exception:
        return 1


def _upright(picture: Image.Image) -> Image.Image:
    turn = _TURNS.get(_orientation(picture))
    return picture if turn is None else picture.transpose(turn)


def _grey_of_deep(values: NDArray[np.generic], where: str) -> Uint8Array:
    """Scale 16-bit grey, or floats in [0, 1] or [0, 255], to 8 bits."""
    numbers = values.astype(np.float64)
    low, high = float(numbers.min()), float(numbers.max())
    limit = 65535.0 if values.dtype.kind in "iu" else (1.0 if high <= 1 else 255.0)
    if not (low >= 0 and high <= limit):
        raise InputError(
            f"{where}: grey values from {low:g} to {high:g} have no known scale; save the picture with 8 or 16 bits"
        )
    return np.rint(numbers * (255 / limit)).astype(np.uint8)


def _not_indices(picture: Image.Image) -> str:
    """Say why a picture's mode cannot be class indices."""
    bands = picture.getbands()
    if bands[:3] == ("R", "G", "B"):
        red, green, blue = picture.split()[:3]
        if red.tobytes() == green.tobytes() == blue.tobytes():
            return f"mode {picture.mode} with three equal channels, so class indices saved as a colour picture"
        return f"a colour mask (mode {picture.mode}), whose colours would have to be mapped to classes first"
    return f"mode {picture.mode} holds no class indices"


def _out_of_range(path: Path, wrong: list[int], present: list[int], labels: LabelSpace) -> str:
    """Name the file, the values, the likely cause and the remedy."""
    shown = ", ".join(map(str, wrong[:8])) + (f", ... ({len(wrong)} values)" if len(wrong) > 8 else "")
    known = f"the {labels.num_classes} classes are 0 to {labels.num_classes - 1}"
    void = f", void is {', '.join(map(str, sorted({*labels.void_values, IGNORE})))}"
    return f"{path}: label value{'s' if len(wrong) > 1 else ''} {shown} out of range ({known}{void}); " + _cause(
        wrong, present, labels.num_classes
    )


def _cause(wrong: list[int], present: list[int], classes: int) -> str:
    if max(wrong) > IGNORE:
        return "16-bit values like these are instance ids or scaled indices; save plain class indices"
    if min(wrong) < 0:
        return "negative values cannot be stored in a label map; save void as 255"
    if len(wrong) > max(20, classes):
        return "so many values look like grey levels of a colour mask or a smoothly resized mask; save class indices"
    if classes == CITYSCAPES_CLASSES and max(wrong) <= CITYSCAPES_LAST_ID:
        return "these look like Cityscapes label ids; convert the masks to train ids"
    if wrong == [classes] and 0 not in present:
        return "the ids look shifted by one (they start at 1); subtract 1 from every mask"
    if wrong == [classes]:
        return "an undeclared border or unlabelled value, or one more class; save void as 255, or name the class"
    return "the class list is too short, or the mask belongs to another one; name all classes or correct the mask"

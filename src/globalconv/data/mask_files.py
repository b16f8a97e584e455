"""One mask file in, a `StoredMask` out: its values or colours exactly as they are stored, and how they are shown.

What a decoder would change on the way is undone or refused: lossy compression, known by what the file says of itself
and not by its suffix; grey of 1, 2 or 4 bits, which Pillow scales to 0..255; pixels that alpha hides. The masks of a
data set, its predictions and `globalconv data check` all come through here.

Shapes: H x W pixels.
"""

import contextlib
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from PIL.ImageFile import ImageFile
from PIL.TiffImagePlugin import ImageFileDirectory_v2

from globalconv.arrays import AnyArray, Uint8Array
from globalconv.data.images import image_size, open_image, turn_upright
from globalconv.data.mat_files import read_field
from globalconv.errors import InputError
from globalconv.labels import Colour
from globalconv.runtime.text import one_line

MAT_SUFFIX = ".mat"

WHITE = 255

FEW = 16
"""Palettes of up to so many colours are stored with less than 8 bits a pixel."""

INDEX_PNG = "save class indices, one a pixel, as a grey or palette PNG"

LOSSY_FORMATS: Mapping[str, str] = {
    "JPEG": "a JPEG", "MPO": "a JPEG", "JPEG2000": "JPEG 2000", "AVIF": "AVIF", "HEIF": "HEIF", "JXL": "JPEG XL",
    "BLP": "a texture (BLP)", "DDS": "a texture (DDS)", "FTEX": "a texture (FTEX)", "PCD": "a Photo CD",
}  # fmt: skip
"""Formats, by Pillow's names, of which no header tells for sure that every pixel is what was saved."""

TIFF_HEADERS = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
COMPRESSION, PHOTOMETRIC, COLOUR_MAP = 259, 262, 320
"""Tags of a TIFF."""
TIFF_LERC, TIFF_WEBP = 34887, 50001
LOSSY_TIFF: Mapping[int, str] = {
    6: "JPEG", 7: "JPEG", 33003: "JPEG 2000", 33005: "JPEG 2000", 34676: "SGI's logarithm", 34677: "SGI's logarithm",
    34712: "JPEG 2000", TIFF_LERC: "LERC", 34892: "JPEG", TIFF_WEBP: "lossy WebP", 50002: "JPEG XL", 52546: "JPEG XL",
}  # fmt: skip
"""Compressions in a TIFF that may change values; WebP does unless it is a lossless one."""


@dataclass(frozen=True)
class StoredMask:
    """A mask as it is stored."""

    path: Path
    kind: Literal["colours", "palette", "greys", "numbers"]
    """Colours of pixels; indices of a palette; grey values of up to 8 bits; other numbers, which are never shown."""
    values: AnyArray
    """Integers (H, W); colours: uint8 (H, W, 3)."""
    palette: Mapping[int, Colour] = field(default_factory=dict)
    """The colour in which each value is shown, of palettes and greys, whether it occurs or not."""
    mode: str = ""
    """Pillow's name for how pixels are stored."""
    levels: int = WHITE
    """The grey value that is white: 1, 3 or 15 in a mask of few bits."""
    white_is_zero: bool = False
    """Stored as a TIFF in which 0 is white: `values` are those that a viewer shows, 0 for black."""
    hidden: frozenset[int] = frozenset()
    """Indices of a palette that are transparent."""

    @cached_property
    def present(self) -> list[int]:
        """The values that occur, in ascending order."""
        return unique_values(self.values)

    @cached_property
    def shown(self) -> dict[int, Colour]:
        """The values that occur and are shown in a colour, each with it."""
        return {value: self.palette[value] for value in self.present if value in self.palette}

    def own_colour(self, value: int) -> Colour | None:
        """Return the colour of a value, unless a smaller one has it too: palettes are filled up with any colour."""
        colour = self.palette.get(value)
        shared = any(self.palette[other] == colour for other in range(value) if other in self.palette)
        return None if shared else colour


def load_mask(path: Path, lossy: bool = False) -> StoredMask:
    """Return the mask `path`; `InputError` if it holds no labels, or has a compression that changes values.

    With `lossy`, colours that are only near those that were saved are accepted.
    """
    if path.suffix.lower() == MAT_SUFFIX:
        return StoredMask(path, "numbers", read_mat(path))
    try:
        return _load_image(path, lossy)
    except InputError:
        if not path.is_file() or _read_tiff_tags(path).get(COMPRESSION) != TIFF_LERC:
            raise
    raise InputError(
        f"{path}: a TIFF compressed with LERC, which may change values and which Pillow cannot read; save the original"
        " masks with deflate, or as PNG",
        "mask-mode",
    )


def _load_image(path: Path, lossy: bool) -> StoredMask:
    with open_image(path) as image:
        raw, tags = _raw_mode(image), _read_tiff_tags(path) if image.format == "TIFF" else {}
        coloured = image.getbands()[:3] == ("R", "G", "B")
        smearing = _find_lossy_compression(image, path, int(tags.get(COMPRESSION, 1)))
        if smearing and not (lossy and coloured):
            raise InputError(
                f"{path}: {smearing} cannot hold labels, its compression smears the class indices; save label maps as"
                " PNG from the original masks",
                "mask-mode",
            )
        if coloured and ";16" in str(raw):
            raise InputError(
                f"{path}: a colour mask of 16 bits a channel, of which the lower 8 would be lost; save it with 8 bits",
                "mask-mode",
            )
        image.load()
        turn_upright(image)
        if coloured:
            return StoredMask(path, "colours", _opaque_colours(image, path), mode=image.mode)
        if image.mode == "P":
            return _store_palette_mask(image, path)
        values = np.asarray(image)
        if image.mode.startswith("I"):
            if isinstance(raw, int):  # Pillow scales a PGM with a maximum of its own to 16 bits
                values = np.rint(values * (raw / 65535)).astype(np.int32)
            return StoredMask(path, "numbers", values, mode=image.mode)
        if image.mode not in ("L", "1"):
            raise InputError(f"{path}: mode {image.mode} holds no class indices; {INDEX_PNG}", "mask-mode")
        levels = raw if isinstance(raw, int) else next((2**n - 1 for n in (2, 4) if raw.startswith(f"L;{n}")), WHITE)
        if image.mode == "1":
            values, levels = values.astype(np.uint8), 1
        elif levels < WHITE:  # Pillow scales few bits to 8
            values = np.rint(values * (levels / WHITE)).astype(np.uint8)
        if levels == WHITE and (palette := _read_colour_map(tags)):  # a viewer shows grey values in these colours
            return StoredMask(path, "palette", values, palette, image.mode)
        white_is_zero = tags.get(PHOTOMETRIC) == 0
        return StoredMask(path, "greys", values, _show_greys(levels), image.mode, levels, white_is_zero)


def _read_colour_map(tags: Mapping[int, Any]) -> dict[int, Colour]:
    """Return the colours that a TIFF gives its 256 values: all reds, greens and blues, of 16 bits. {}: none, or others.

    GDAL leaves pixels grey to which colours are added after they were written.
    """
    numbers = tags.get(COLOUR_MAP)
    if not isinstance(numbers, tuple) or len(numbers) != 3 * 256:
        return {}
    return dict(enumerate(zip(*(row.tolist() for row in np.array(numbers).reshape(3, 256) >> 8), strict=True)))


@lru_cache(maxsize=8)
def _show_greys(levels: int) -> Mapping[int, Colour]:
    """Return the colours of grey values of which the last one is white."""
    colours = {value: round(value * WHITE / levels) for value in range(levels + 1)}
    return {value: (grey, grey, grey) for value, grey in colours.items()}


def _store_palette_mask(image: Image.Image, path: Path) -> StoredMask:
    values, palette, transparency = np.asarray(image), _palette(image), image.info.get("transparency")
    alpha = transparency if isinstance(transparency, bytes) else b""
    hidden = {index for index, opacity in enumerate(alpha) if not opacity}
    hidden |= {transparency} if isinstance(transparency, int) else set()
    if len(palette) <= FEW and (beyond := [v for v in unique_values(values) if len(palette) <= v < WHITE]):
        raise InputError(
            f"{path}: index {beyond[0]} is beyond the {len(palette)} colours of its palette, as where 255 was cut to"
            " the few bits that these need; save the mask again with a palette of 256 colours",
            "palette",
        )
    return StoredMask(path, "palette", values, palette, image.mode, hidden=frozenset(hidden))


def read_mat(path: Path) -> Uint8Array:
    """Return the class indices (H, W), uint8, of SBD's MATLAB file: the structure `GTcls`, field `Segmentation`."""
    if not path.is_file():
        raise InputError(f"{path}: there is no such file; copy it from the official archive")
    try:
        values = read_field(path.read_bytes(), "GTcls", "Segmentation")
    except (OSError, ValueError, MemoryError) as error:
        raise InputError(
            f"{path}: holds no GTcls.Segmentation, or is damaged ({one_line(error)}); copy it from the official archive"
            " again"
        ) from None
    if values.ndim != 2 or values.dtype != np.uint8:
        raise InputError(f"{path}: GTcls.Segmentation is {values.dtype} {values.shape}; copy it again from SBD")
    return np.ascontiguousarray(values)


def mask_size(path: Path) -> tuple[int, int]:
    """Return (width, height) of the mask `path`; of an image, from its header."""
    if path.suffix.lower() == MAT_SUFFIX:
        height, width = read_mat(path).shape
        return width, height
    return image_size(path)


def is_plain_grey(path: Path) -> bool:
    """Return whether a file is a grey PNG of 8 bits or more, by its first bytes alone."""
    with contextlib.suppress(OSError):
        if not path.is_file():  # a pipe would be waited for
            return False
        with path.open("rb") as file:
            header = file.read(26)
        return header[:8] == b"\x89PNG\r\n\x1a\n" and header[24:] in (b"\x08\0", b"\x10\0")
    return False


def read_palette(path: Path) -> list[Colour]:
    """Return the colours of a palette image; an image without a palette has none."""
    with open_image(path) as image:
        return [*_palette(image).values()] if image.mode == "P" else []


def unique_values(values: AnyArray) -> list[int]:
    """Return the values that occur, in ascending order."""
    if values.dtype == np.uint8:  # `np.unique` sorts, which takes ten times as long.
        present: NDArray[np.integer] = np.flatnonzero(np.bincount(values.ravel().view(np.uint8), minlength=256))
    else:
        present = np.unique(values).astype(np.int64)
    return [int(value) for value in present]


def _find_lossy_compression(image: Image.Image, path: Path, compression: int) -> str:
    """Return what an image that was just opened is compressed with, where that may change values; else ""."""
    if lossy := LOSSY_FORMATS.get(image.format or ""):
        return lossy
    if image.format == "WEBP":
        return "" if _is_lossless_webp(path.read_bytes()) else "lossy WebP"
    if compression == TIFF_WEBP and b"VP8 " not in path.read_bytes():  # its tiles are WebP files of their own
        return ""
    return f"{LOSSY_TIFF[compression]} inside a TIFF" if compression in LOSSY_TIFF else ""


def _is_lossless_webp(content: bytes) -> bool:
    """Return whether every frame of a WebP file is coded without loss (chunk VP8L, not VP8)."""

    def chunks(start: int, end: int) -> Iterator[bytes]:
        while start + 8 <= end:
            name, length = content[start : start + 4], struct.unpack_from("<I", content, start + 4)[0]
            if name == b"ANMF":  # 16 bytes about the frame, and then its chunks
                yield from chunks(start + 24, min(end, start + 8 + length))
            else:
                yield name
            start += 8 + length + length % 2

    return b"VP8 " not in chunks(12, len(content))


def _read_tiff_tags(path: Path) -> Mapping[int, Any]:
    """Return the tags of the first page of a TIFF, which Pillow need not be able to read; of other files, none."""
    try:
        with path.open("rb") as file:
            header = file.read(16)
            if header[:4] not in TIFF_HEADERS:
                return {}
            directory = ImageFileDirectory_v2(header if b"+" in header[:4] else header[:8])
            file.seek(directory.next)
            directory.load(file)
            return dict(directory)
    except Exception:  # whatever is wrong with the file, who opens it reports it
        return {}


def _raw_mode(image: Image.Image) -> str | int:
    """Return how an image that was just opened stores its pixels, as Pillow calls it; of PGM and PPM, the maximum."""
    for tile in image.tile[:1] if isinstance(image, ImageFile) else ():
        arguments = tile.args if isinstance(tile.args, tuple) else (tile.args,)
        return int(arguments[1]) if tile.codec_name.startswith("ppm") else str(arguments[0])
    return ""


def _palette(image: Image.Image) -> dict[int, Colour]:
    channels = image.getpalette("RGB") or []
    return dict(enumerate(zip(channels[0::3], channels[1::3], channels[2::3], strict=True)))


def _opaque_colours(image: Image.Image, path: Path) -> Uint8Array:
    """Return the colours (H, W, 3) of an image; `InputError` where alpha hides some pixels that have colours."""
    colours_HW3 = np.asarray(image.convert("RGB"))
    if "A" in image.getbands():
        hidden_HW = np.asarray(image.getchannel("A")) == 0
        black_HW = ~colours_HW3.any(axis=2)
        if hidden_HW.any() and not hidden_HW.all():
            check_hidden(path, bool((hidden_HW & ~black_HW).any()), bool((black_HW & ~hidden_HW).any()))
    return colours_HW3


def check_hidden(path: Path, coloured: bool, black_elsewhere: bool) -> None:
    """Refuse a mask of colours that are transparent in places, unless they are black there and nowhere else.

    That is what tools write where nothing is drawn. Other transparent pixels may be erased ones.
    """
    if coloured or black_elsewhere:
        raise InputError(
            f"{path}: some pixels are transparent and still have a colour, so what they are cannot be told; save masks"
            " without transparency, each pixel in the colour of its class",
            "alpha",
        )

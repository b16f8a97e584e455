"""TIFF files: their tags, which of their bands are the image, and reading what Pillow cannot, with rasterio.

Pillow's own reader is in `globalconv.data.images`. rasterio (the extra `tiff`) is imported where it is used.
"""

import logging
import re
import warnings
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

import numpy as np
from PIL.TiffImagePlugin import ImageFileDirectory_v2

from globalconv.data.image_bytes import ImageBytes, StoredImage
from globalconv.data.image_format import Bands
from globalconv.errors import InputError
from globalconv.runtime.text import one_line

WIDTH, HEIGHT, BITS, COMPRESSION, PHOTOMETRIC, ORIENTATION, SAMPLES, PLANAR = 256, 257, 258, 259, 262, 274, 277, 284
EXTRA_SAMPLES, SAMPLE_FORMAT, SUBSAMPLING, GDAL_METADATA = 338, 339, 530, 42112
STRIP_OFFSETS, STRIP_ROWS, TILE_WIDTH, TILE_ROWS, TILE_OFFSETS = 273, 278, 322, 323, 324
"""Numbers of TIFF tags."""
MIN_IS_WHITE, MIN_IS_BLACK, RGB, YCBCR = 0, 1, 2, 6
PREMULTIPLIED, UNASSOCIATED = 1, 2
"""What an extra sample may be; 0 and others are no alpha."""
SUBFILE, REDUCED = 254, 1
"""The tag, and its bit that says that a page is a small copy of another one."""
WEBP = 50001
COMPRESSIONS = {34887: "LERC", 34925: "LZMA", 50000: "ZSTD", WEBP: "WebP", 50002: "JPEG XL"}
"""Compressions that a Pillow may lack."""
MAGIC = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
COLOURS = ("red", "green", "blue")

# Pillow logs an error where a TIFF has more bands than it reads; who listens to its log hears it all the same.
logging.getLogger("PIL.TiffImagePlugin").addHandler(logging.NullHandler())


@dataclass(frozen=True)
class TiffTags:
    """What the tags of a TIFF's first page say about its pixels."""

    width: int
    height: int
    """Before it is turned as `orientation` says."""
    bits: tuple[int, ...]
    samples: int
    kinds: tuple[int, ...]
    """TIFF's SampleFormat: 1 unsigned, 2 signed, 3 floats, 5 and 6 complex."""
    photometric: int
    extra: tuple[int, ...]
    orientation: int
    planar: bool
    """Each band is stored by itself."""
    compression: int
    subsampling: tuple[int, ...]
    """Pixels per colour, across and down, where colours are stored apart from brightness (YCbCr)."""
    is_copy: bool
    """The page is a small copy of another one, as in raw files of cameras (DNG, NEF)."""
    names: tuple[str, ...]
    """Of the bands, as GDAL's metadata have them; "" where a band has none."""
    missing: int
    """How many of the strips or tiles that make up the image have no place in the file."""

    @classmethod
    def of(cls, tags: Mapping[int, Any]) -> "TiffTags":
        """Return the tags in a directory of Pillow's; `ValueError` for one that is no number."""

        def numbers(tag: int, default: tuple[int, ...]) -> tuple[int, ...]:
            found = tags.get(tag, default)
            if not isinstance(found, tuple) or not all(isinstance(number, int) for number in found):
                raise ValueError(f"the tag {tag} of a TIFF is {one_line(found)}")
            return found or default

        samples = int(tags.get(SAMPLES, 1))
        names = [""] * samples
        # GDAL writes an item an attribute: <Item name="DESCRIPTION" sample="0" role="description">blue</Item>
        for kind, number, name in re.findall(
            r'<Item name="(DESCRIPTION|COLORINTERP)" sample="(\d{1,5})"[^>]*>([^<]*)<', str(tags.get(GDAL_METADATA, ""))
        ):
            if int(number) < samples and (kind == "DESCRIPTION" or not names[int(number)]):
                names[int(number)] = name.strip()
        return cls(
            int(tags[WIDTH]),
            int(tags[HEIGHT]),
            numbers(BITS, (1,)),
            samples,
            numbers(SAMPLE_FORMAT, (1,)),
            int(tags.get(PHOTOMETRIC, MIN_IS_BLACK)),
            numbers(EXTRA_SAMPLES, ()),
            int(tags.get(ORIENTATION, 1)),
            tags.get(PLANAR, 1) == 2,
            int(tags.get(COMPRESSION, 1)),
            numbers(SUBSAMPLING, (2, 2)),
            bool(int(tags.get(SUBFILE, 0)) & REDUCED),
            tuple(names),
            _count_missing_parts(tags, samples),
        )

    def check_strips(self, path: StoredImage) -> None:
        """Refuse a file that holds less than it claims: readers leave the rest black, gigabytes of it."""
        if self.missing:
            raise InputError(
                f"{path}: a TIFF of {self.width}x{self.height} that lacks {self.missing} of its strips or tiles; the"
                " file is damaged, replace or remove it",
                "bands",
            )

    @property
    def named_order(self) -> tuple[int, ...]:
        """Which bands, counted from 1, the file itself calls red, green and blue; empty if it does not."""
        words = [re.sub(r"[^a-z]", "", name.lower()) for name in self.names]
        if all(words.count(colour) == 1 for colour in COLOURS):
            return tuple(words.index(colour) + 1 for colour in COLOURS)
        return ()

    @property
    def alpha_band(self) -> int | None:
        """The number of the band that is declared to be alpha, counted from 1."""
        if self.photometric == RGB and self.samples == 4 and self.extra in ((), (999,)):  # as Pillow takes it
            return 4
        for place, kind in enumerate(self.extra):
            if kind in (PREMULTIPLIED, UNASSOCIATED) and (band := self.samples - len(self.extra) + place + 1) > 1:
                return band
        return None

    @property
    def image_bands(self) -> tuple[int, ...]:
        """The numbers of the bands that are the image: one for grey, else red, green and blue."""
        if self.samples - (self.alpha_band is not None) < 3:
            return (1,)
        return self.named_order or (1, 2, 3)

    @property
    def others(self) -> int:
        """How many bands are neither the image nor declared to be alpha."""
        if self.photometric not in (MIN_IS_WHITE, MIN_IS_BLACK, RGB):
            return 0
        return self.samples - len(self.image_bands) - (self.alpha_band is not None)

    @property
    def has_odd_bands(self) -> bool:
        """Whether there are bands beyond three, or the three are in another order."""
        return self.samples > 2 and (self.others > 0 or self.image_bands not in ((1,), (1, 2, 3)))

    @property
    def has_plain_samples(self) -> bool:
        """Whether all bands are grey, red, green, blue or more, in numbers of whole bytes, without a palette."""
        return (
            self.photometric in (MIN_IS_WHITE, MIN_IS_BLACK, RGB)
            and len(set(self.bits)) == 1
            and self.bits[0] in (8, 10, 12, 14, 16, 32, 64)
            and set(self.kinds) <= {1, 2, 3, 4}
        )

    @property
    def is_deep(self) -> bool:
        """Whether a band holds anything but unsigned numbers of up to 8 bits."""
        return self.bits[0] > 8 or self.kinds[0] not in (1, 4)

    @property
    def is_beyond_pillow(self) -> bool:
        """Whether Pillow may open it and misread it: planes of 16 bits, 8 bits with sign, 32 without, and so on."""
        if self.photometric not in (MIN_IS_WHITE, MIN_IS_BLACK, RGB):
            return False
        misread = ((8, 2), (32, 1), (32, 4))
        odd_colours = self.is_deep and self.samples > 1 and (self.planar or PREMULTIPLIED in self.extra)
        return (
            (self.bits[0], self.kinds[0]) in misread
            or odd_colours
            or self.compression == WEBP
            or self.image_bands not in ((1,), (1, 2, 3))
        )

    def describe(self) -> str:
        """Return bits and bands in words: "4 bands of 16 bits"."""
        kind = {2: " with sign", 3: " (floats)", 5: " (complex)", 6: " (complex)"}.get(self.kinds[0], "")
        bits = f"{self.bits[0]} bits{kind}"
        compression = COMPRESSIONS.get(self.compression)
        how = f", compressed by {compression}" if compression else ""
        return f"{self.samples} band{'s' if self.samples > 1 else ''} of {bits}{how}"

    def check_bands(self, path: StoredImage) -> None:
        """Refuse a page that is not the image, and two bands that are not grey and alpha: nobody says which colours."""
        if self.is_copy:
            raise InputError(
                f"{path}: its first page is a small copy of the image, as in raw files of cameras; develop it, or save"
                " the image as the first page",
                "bands",
            )
        if self.samples == 2 and self.others:
            raise InputError(
                f"{path}: a TIFF with {self.describe()}; an image has one band, or three for red, green and blue: save"
                " one of them, or three",
                "bands",
            )


def _count_missing_parts(tags: Mapping[int, Any], samples: int) -> int:
    """Return how many strips or tiles an image of the size in `tags` has and the file does not."""
    columns, rows = 1, -(-int(tags[HEIGHT]) // (int(tags.get(STRIP_ROWS, tags[HEIGHT])) or 1))
    held = tags.get(STRIP_OFFSETS, ())
    if TILE_OFFSETS in tags:
        columns, rows = (
            -(-int(tags[size]) // int(tags[tile])) for size, tile in ((WIDTH, TILE_WIDTH), (HEIGHT, TILE_ROWS))
        )
        held = tags[TILE_OFFSETS]
    parts = columns * rows * (samples if tags.get(PLANAR, 1) == 2 else 1)
    count = len(held) if isinstance(held, tuple) else 1
    return max(0, parts - count) if count else 0  # old JPEG files have neither


def read_tags(path: StoredImage) -> list[TiffTags]:
    """Return the tags of every page of a TIFF, whatever its pixels are; none if it is no TIFF, or damaged."""
    pages: list[TiffTags] = []
    try:
        if not path.is_file():  # a pipe would be waited for
            return pages
        with path.open("rb") as file, warnings.catch_warnings():
            warnings.filterwarnings("ignore", module=r"PIL\b")  # of damaged tags
            header = file.read(8)
            if header[:4] not in MAGIC:
                return []
            directory = ImageFileDirectory_v2(header + file.read(8) if b"+" in header[:4] else header)
            seen: set[int] = set()
            while directory.next and directory.next not in seen:
                seen.add(directory.next)
                file.seek(directory.next)
                directory.load(file)
                pages.append(TiffTags.of(directory))
    except Exception:  # damaged tags make Pillow raise almost anything
        return pages
    return pages


def needs_rasterio(path: StoredImage, tags: TiffTags) -> InputError | None:
    """Return why an intact TIFF that Pillow cannot read cannot be read here, or None where rasterio will."""
    tags.check_strips(path)
    tags.check_bands(path)
    if not tags.has_plain_samples:
        return InputError(
            f"{path}: a TIFF with {tags.describe()} and colours of kind {tags.photometric} cannot be read; save it as"
            " grey or RGB of 8 or 16 bits",
            "bands",
        )
    if find_spec("rasterio") is None:
        return InputError(
            f"{path}: a TIFF with {tags.describe()} is more than Pillow reads; install rasterio (pip install"
            " globalconv[tiff]), or save it as grey or RGB of 8 or 16 bits",
            "bands",
        )
    return None


@contextmanager
def open_with_rasterio(path: StoredImage) -> Iterator[Any]:
    """Open a TIFF with rasterio; what fails in it, or inside the block, is an `InputError`."""
    import rasterio
    from rasterio.errors import NotGeoreferencedWarning

    with ExitStack() as stack:
        stack.enter_context(warnings.catch_warnings(action="ignore", category=NotGeoreferencedWarning))
        stack.enter_context(reading(path))
        if isinstance(path, ImageBytes):
            file = stack.enter_context(rasterio.MemoryFile(path.content))
            yield stack.enter_context(file.open(driver="GTiff"))
        else:
            # Absolute, and of one kind: a name such as s3:a.tif or a.vrt is not another file to GDAL.
            yield stack.enter_context(rasterio.open(path.absolute(), driver="GTiff"))


@contextmanager
def reading(path: StoredImage) -> Iterator[None]:
    """Turn errors of rasterio inside the block into an `InputError`: `path` cannot be read."""
    from rasterio.errors import RasterioError

    try:
        yield
    except RasterioError as error:
        raise InputError(
            f"{path}: cannot be decoded ({one_line(error, None)}); the file is damaged, replace or remove it"
        ) from error


def read_bands(source: Any, tags: TiffTags, window: tuple[slice, slice]) -> Bands:
    """Return a window (rows, columns) of a TIFF that rasterio has opened, as it lies in the file."""
    alpha = tags.alpha_band
    wanted = [*tags.image_bands, *([alpha] if alpha else [])]
    values_CHW = source.read(wanted, window=tuple((part.start, part.stop) for part in window))
    colours_HWC = values_CHW[: len(tags.image_bands)].transpose(1, 2, 0)
    return Bands(
        colours_HWC,
        values_CHW[-1] if alpha else None,
        white_is_zero=tags.photometric == MIN_IS_WHITE,
        premultiplied=PREMULTIPLIED in tags.extra,
    )


def turn_bands(bands: Bands, orientation: int) -> Bands:
    """Return an image turned upright as TIFF's and EXIF's `orientation` says."""

    def turn(values: Any) -> Any:
        values = values.swapaxes(0, 1) if orientation in (5, 6, 7, 8) else values
        values = values[::-1] if orientation in (3, 4, 7, 8) else values
        return values[:, ::-1] if orientation in (2, 3, 6, 7) else values

    alpha_HW = None if bands.alpha_HW is None else np.ascontiguousarray(turn(bands.alpha_HW))
    return Bands(np.ascontiguousarray(turn(bands.colours_HWC)), alpha_HW, bands.white_is_zero, bands.premultiplied)

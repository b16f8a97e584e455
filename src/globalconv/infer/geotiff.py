"""TIFF files too large for memory: read by windows, class map written by windows, where they lie on Earth kept.

rasterio (the extra `tiff`) is imported where it is used.
"""

import errno
import os
import shutil
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from globalconv.arrays import Uint8Array
from globalconv.data.images import image_size, open_image, pixel_limit, read_image
from globalconv.errors import InputError
from globalconv.infer.inference_settings import WHOLE_PIXELS
from globalconv.infer.prediction import MARK
from globalconv.infer.predictor import Predictor
from globalconv.runtime.text import one_line

BITS, PHOTOMETRIC, ORIENTATION, EXTRA_SAMPLES, SAMPLE_FORMAT, SUBSAMPLING = 258, 262, 274, 338, 339, 530
"""Numbers of TIFF tags."""
PHOTOMETRICS = {"L": (1,), "RGB": (2, 6), "RGBA": (2,)}
"""Modes whose samples are read by windows, and how these must be meant: 0 for black, as RGB or YCbCr."""
YCBCR = 6
BLOCK = 256
"""Side in pixels of the blocks that a class map is stored in."""

COARSE = (
    "{path}: stores one colour for several pixels (YCbCr), which windows would not interpolate, so it is decoded as a"
    " whole: {megabytes} MB; stored as RGB with deflate, it is read by windows"
)


def is_large_tiff(path: Path) -> bool:
    """Return whether `path` is to be read by windows: a TIFF too large for one pass, and of a kind that can be.

    That is upright 8-bit grey, RGB or RGBA, which may have further bands. Others are decoded whole, as are all where
    rasterio is missing.
    """
    if path.suffix.lower() not in (".tif", ".tiff") or find_spec("rasterio") is None:
        return False
    width, height = image_size(path)
    if width * height <= WHOLE_PIXELS:
        return False
    with open_image(path) as image:
        tags = getattr(image, "tag_v2", {})
        eight = set(tags.get(BITS, (1,))) == {8} and set(tags.get(SAMPLE_FORMAT, (1,))) == {1}
        upright = tags.get(ORIENTATION, 1) == 1
        known = tags.get(PHOTOMETRIC) in PHOTOMETRICS.get(image.mode, ())
        multiplied = 1 in tags.get(EXTRA_SAMPLES, ())  # colours that have been multiplied by alpha
        return eight and upright and known and not multiplied


def segment_tiff(predictor: Predictor, path: Path, target: Path) -> None:
    """Write the class map of the TIFF file `path` as the TIFF file `target`, both by windows.

    `target` is a tiled, compressed TIFF of class indices with a palette; coordinate system and transform are those of
    `path`. It appears when it is complete. Memory grows with the width of the image, not with its area, unless its
    colours are coarser than its pixels (see `has_coarse_colours`): then it is decoded as a whole, which a warning says.
    """
    if predictor.refine is not None:
        raise InputError(f"{path}: a CRF needs the whole image, which is read by windows; leave out `crf`, or cut it")
    import rasterio
    import rasterio.errors

    with pixel_limit(predictor.settings.max_pixels), open_image(path) as image:
        bands = len(image.getbands())
        whole = read_image(path) if has_coarse_colours(image) else None
    if whole is not None:
        warnings.warn(COARSE.format(path=path, megabytes=whole.nbytes // 10**6), stacklevel=2)
    with tempfile.TemporaryDirectory(prefix=f".{target.name}.", dir=target.parent) as folder:
        partial = Path(folder) / "partial.tif"
        with (
            warnings.catch_warnings(action="ignore", category=rasterio.errors.NotGeoreferencedWarning),
            _reading(path),
            rasterio.open(path.absolute()) as source,  # absolute: a name such as s3:a.tif is no address
            rasterio.Env(GDAL_CACHEMAX=_cache_megabytes(source, predictor)),
            _writing(target),
            rasterio.open(partial, "w", **_profile(source)) as made,
        ):
            made.write_colormap(1, dict(enumerate(predictor.labels.colour_table())))
            made.update_tags(TIFFTAG_SOFTWARE=MARK)
            pixels = TiffPixels(path, source, bands) if whole is None else whole
            predictor.segment(pixels, TiffClasses(made))
        with partial.open("rb") as file:
            os.fsync(file.fileno())
        partial.replace(target)


def has_coarse_colours(image: Image.Image) -> bool:
    """Return whether a TIFF stores one colour for several pixels, as JPEG in YCbCr mostly does.

    Pillow interpolates between such colours and GDAL repeats them, so an image would depend on how it is read.
    """
    tags = getattr(image, "tag_v2", {})
    return tags.get(PHOTOMETRIC) == YCBCR and tuple(tags.get(SUBSAMPLING, (2, 2))) != (1, 1)


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    """Let what rasterio raises inside say that `path` cannot be read."""
    from rasterio.errors import RasterioError

    try:
        yield
    except RasterioError as error:
        raise InputError(f"{path}: cannot be read by windows ({one_line(error)}); look at the file") from error


@contextmanager
def _writing(target: Path) -> Iterator[None]:
    """Let what rasterio raises inside say that `target` cannot be written, or that the disk is full."""
    from rasterio.errors import RasterioError

    try:
        yield
    except RasterioError as error:
        if shutil.disk_usage(target.parent).free < 2**20:  # GDAL tells it to standard error only
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(target)) from error
        raise InputError(f"{target}: cannot be written ({one_line(error)}); look at the disk") from error


class TiffPixels:
    """A TIFF that looks like a uint8 array (H, W, 3): grey becomes RGB, what is transparent is laid on white.

    `bands` is how many of its bands are the image: 1, 3, or 4 with alpha; what comes after them (infrared) is not.
    """

    def __init__(self, path: Path, source: Any, bands: int) -> None:
        self.path, self.source, self.shape = path, source, (source.height, source.width, 3)
        self.bands = list(range(1, bands + 1))

    def __getitem__(self, window: tuple[slice, slice], /) -> Uint8Array:
        with _reading(self.path):
            pixels_CHW = self.source.read(self.bands, window=tuple((part.start, part.stop) for part in window))
        if len(pixels_CHW) == 4:
            alpha_HW = pixels_CHW[3].astype(np.float32) / 255
            pixels_CHW = np.rint(pixels_CHW[:3] * alpha_HW + 255 * (1 - alpha_HW)).astype(np.uint8)
        pixels_3HW = np.broadcast_to(pixels_CHW, (3, *pixels_CHW.shape[1:]))
        return np.ascontiguousarray(pixels_3HW.transpose(1, 2, 0))


class TiffClasses:
    """A TIFF being written that takes windows of a class map (H, W)."""

    def __init__(self, made: Any) -> None:
        self.made = made

    def __setitem__(self, window: tuple[slice, slice], classes: Uint8Array, /) -> None:
        rows, columns = window
        self.made.write(classes, 1, window=((rows.start, rows.stop), (columns.start, columns.stop)))


def _profile(source: Any) -> dict[str, Any]:
    """Return what the class map's file is to be like."""
    return {
        "driver": "GTiff", "dtype": "uint8", "count": 1, "width": source.width, "height": source.height,
        "tiled": True, "blockxsize": BLOCK, "blockysize": BLOCK, "compress": "deflate", "bigtiff": "if_safer",
        "crs": source.crs, "transform": source.transform,
    }  # fmt: skip


def _cache_megabytes(source: Any, predictor: Predictor) -> int:
    """Return a cache in which a row of tiles fits, so that every block is decoded, and encoded, once.

    GDAL's own default is a twentieth of the machine's memory.
    """
    rows = min(predictor.settings.tile_side, int(source.height)) + 2 * int(source.block_shapes[0][0])
    return 16 + int(source.width) * (int(source.count) * rows + 2 * BLOCK) // 2**20

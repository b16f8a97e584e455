"""TIFF files too large for memory: read by windows, class map written by windows, georeference kept.

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

TIFF_SUFFIXES = (".tif", ".tiff")
BITS, PHOTOMETRIC, ORIENTATION, EXTRA_SAMPLES, SAMPLE_FORMAT, SUBSAMPLING = 258, 262, 274, 338, 339, 530
"""Numbers of TIFF tags."""
PHOTOMETRICS = {"L": (1,), "RGB": (2, 6), "RGBA": (2,)}
"""Pillow's modes that are read by windows, and what their samples must mean: 0 is black, RGB or YCbCr."""
YCBCR = 6
BLOCK = 256
"""Side in pixels of the blocks that a class map is stored in."""

COARSE_COLOURS = (
    "{path}: stores one colour for several pixels (YCbCr), which windows would not interpolate, so it is decoded as a"
    " whole: {megabytes} MB; stored as RGB with deflate, it is read by windows"
)


def is_large_tiff(path: Path) -> bool:
    """Return whether a TIFF is to be read by windows: too large for one pass of the network, and of a suitable kind.

    Suitable are upright 8-bit grey, RGB or RGBA, which may have further bands. Other files are decoded whole, as are
    all where rasterio is missing.
    """
    if find_spec("rasterio") is None:
        return False
    width, height = image_size(path)
    if width * height <= WHOLE_PIXELS:
        return False
    with open_image(path) as image:
        tags = getattr(image, "tag_v2", {})
        eight_bits = set(tags.get(BITS, (1,))) == {8} and set(tags.get(SAMPLE_FORMAT, (1,))) == {1}
        upright = tags.get(ORIENTATION, 1) == 1
        suitable = tags.get(PHOTOMETRIC) in PHOTOMETRICS.get(image.mode, ())
        premultiplied = 1 in tags.get(EXTRA_SAMPLES, ())  # colours that have been multiplied by alpha
        return eight_bits and upright and suitable and not premultiplied


def segment_tiff(predictor: Predictor, path: Path, target: Path) -> None:
    """Write the class map of the TIFF file `path` as the TIFF file `target`, both by windows.

    `target` is a tiled, compressed TIFF of class indices with a palette, and the coordinate system and transform of
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
        warnings.warn(COARSE_COLOURS.format(path=path, megabytes=whole.nbytes // 10**6), stacklevel=2)
    with tempfile.TemporaryDirectory(prefix=f".{target.name}.", dir=target.parent) as folder:
        partial = Path(folder) / "partial.tif"
        with (
            warnings.catch_warnings(action="ignore", category=rasterio.errors.NotGeoreferencedWarning),
            _reading(path),
            rasterio.open(path.absolute()) as source,  # absolute: a name such as s3:a.tif is not a file to rasterio
        ):
            profile = {
                "driver": "GTiff", "dtype": "uint8", "count": 1, "width": source.width, "height": source.height,
                "tiled": True, "blockxsize": BLOCK, "blockysize": BLOCK, "compress": "deflate", "bigtiff": "if_safer",
                "crs": source.crs, "transform": source.transform,
            }  # fmt: skip
            # A row of tiles fits into the cache, so that every block is decoded, and encoded, once. GDAL's own default
            # is a twentieth of the machine's memory.
            rows = min(predictor.settings.tile_side, int(source.height)) + 2 * int(source.block_shapes[0][0])
            cache_megabytes = 16 + int(source.width) * (int(source.count) * rows + 2 * BLOCK) // 2**20
            with (
                rasterio.Env(GDAL_CACHEMAX=cache_megabytes),
                _writing(target),
                rasterio.open(partial, "w", **profile) as result,
            ):
                result.write_colormap(1, dict(enumerate(predictor.labels.colour_table())))
                result.update_tags(TIFFTAG_SOFTWARE=MARK)
                pixels = TiffPixels(path, source, bands) if whole is None else whole
                predictor.segment(pixels, TiffClassMap(result))
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
    """Turn errors of rasterio inside the block into an `InputError`: `path` cannot be read."""
    from rasterio.errors import RasterioError

    try:
        yield
    except RasterioError as error:
        raise InputError(f"{path}: cannot be read by windows ({one_line(error, None)}); look at the file") from error


@contextmanager
def _writing(target: Path) -> Iterator[None]:
    """Turn errors of rasterio inside the block into an `InputError`, or an `OSError` if the disk is full."""
    from rasterio.errors import RasterioError

    try:
        yield
    except RasterioError as error:
        if shutil.disk_usage(target.parent).free < 2**20:  # GDAL reports a full disk on standard error only
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(target)) from error
        raise InputError(f"{target}: cannot be written ({one_line(error, None)}); look at the disk") from error


class TiffPixels:
    """A TIFF that looks like a uint8 array (H, W, 3): grey becomes RGB, transparent pixels are laid on white.

    `bands` is how many of its bands are the image: 1, 3, or 4 with alpha. Further bands (infrared) are not read.
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


class TiffClassMap:
    """A TIFF being written, `file` of rasterio, that takes windows of a class map (H, W)."""

    def __init__(self, file: Any) -> None:
        self.file = file

    def __setitem__(self, window: tuple[slice, slice], classes: Uint8Array, /) -> None:
        rows, columns = window
        self.file.write(classes, 1, window=((rows.start, rows.stop), (columns.start, columns.stop)))

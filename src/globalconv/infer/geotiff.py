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

from globalconv.arrays import Uint8Array
from globalconv.data.image_format import UNKNOWN_FORMAT, ImageFormat
from globalconv.data.images import image_header, image_size, pixel_limit, read_image
from globalconv.data.tiff_files import (
    PREMULTIPLIED,
    YCBCR,
    TiffTags,
    needs_rasterio,
    open_with_rasterio,
    read_bands,
    reading,
)
from globalconv.errors import InputError
from globalconv.infer.inference_settings import WHOLE_PIXELS
from globalconv.infer.prediction import MARK
from globalconv.infer.predictor import Predictor
from globalconv.runtime.text import one_line

TIFF_SUFFIXES = (".tif", ".tiff")
BLOCK = 256
"""Side in pixels of the blocks that a class map is stored in."""

COARSE_COLOURS = (
    "{path}: stores one colour for several pixels (YCbCr), which windows would not interpolate, so it is decoded as a"
    " whole: {megabytes} MB; stored as RGB with deflate, it is read by windows"
)


def is_large_tiff(path: Path) -> bool:
    """Return whether a TIFF is to be read by windows: too large for one pass of the network, and of a suitable kind.

    Suitable are upright grey, RGB or RGBA of 8 bits and more, which may have further bands. Other files are decoded
    whole, as are all where rasterio is missing.
    """
    if find_spec("rasterio") is None:
        return False
    width, height = image_size(path)
    if width * height <= WHOLE_PIXELS:
        return False
    header = image_header(path)
    if header is None or (tags := header.tags) is None or tags.orientation != 1 or PREMULTIPLIED in tags.extra:
        return False
    if tags.photometric == YCBCR:
        return set(tags.bits) == {8} and tags.samples == 3
    return needs_rasterio(path, tags) is None


def segment_tiff(predictor: Predictor, path: Path, target: Path, image_format: ImageFormat = UNKNOWN_FORMAT) -> None:
    """Write the class map of the TIFF file `path` as the TIFF file `target`, both by windows.

    `target` is a tiled, compressed TIFF of class indices with a palette, and the coordinate system and transform of
    `path`. It appears when it is complete. Memory grows with the width of the image, not with its area, unless its
    colours are coarser than its pixels (see `has_coarse_colours`): then it is decoded as a whole, which a warning says.
    """
    if predictor.refine is not None:
        raise InputError(f"{path}: a CRF needs the whole image, which is read by windows; leave out `crf`, or cut it")
    import rasterio
    import rasterio.errors

    with pixel_limit(predictor.settings.max_pixels):
        image_size(path)  # refuses what is larger
        header = image_header(path)
        if header is None or (tags := header.tags) is None:
            raise InputError(f"{path}: cannot be read as TIFF; look at the file")
        whole = read_image(path, image_format) if has_coarse_colours(tags) else None
    if whole is not None:
        warnings.warn(COARSE_COLOURS.format(path=path, megabytes=whole.nbytes // 10**6), stacklevel=2)
    with tempfile.TemporaryDirectory(prefix=f".{target.name}.", dir=target.parent) as folder:
        partial = Path(folder) / "partial.tif"
        with open_with_rasterio(path) as source:
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
                pixels = TiffPixels(path, source, tags, image_format) if whole is None else whole
                predictor.segment(pixels, TiffClassMap(result))
        with partial.open("rb") as file:
            os.fsync(file.fileno())
        partial.replace(target)


def has_coarse_colours(tags: TiffTags) -> bool:
    """Return whether a TIFF stores one colour for several pixels, as JPEG in YCbCr mostly does.

    Pillow interpolates between such colours and GDAL repeats them, so an image would depend on how it is read.
    """
    return tags.photometric == YCBCR and tags.subsampling != (1, 1)


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
    """A TIFF that looks like a uint8 array (H, W, 3), by the same rule as an image that is read whole."""

    def __init__(self, path: Path, source: Any, tags: TiffTags, image_format: ImageFormat) -> None:
        self.path, self.source, self.shape = path, source, (source.height, source.width, 3)
        self.tags, self.image_format = tags, image_format

    def __getitem__(self, window: tuple[slice, slice], /) -> Uint8Array:
        with reading(self.path):
            bands = read_bands(self.source, self.tags, window)
        return bands.to_rgb(self.image_format, str(self.path))


class TiffClassMap:
    """A TIFF being written, `file` of rasterio, that takes windows of a class map (H, W)."""

    def __init__(self, file: Any) -> None:
        self.file = file

    def __setitem__(self, window: tuple[slice, slice], classes: Uint8Array, /) -> None:
        rows, columns = window
        self.file.write(classes, 1, window=((rows.start, rows.stop), (columns.start, columns.stop)))

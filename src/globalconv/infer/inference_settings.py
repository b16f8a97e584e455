"""How a prediction is made beyond one pass of the network: scales, mirror images, tiles. Imports no torch."""

from dataclasses import asdict, dataclass, fields
from numbers import Integral, Real
from pathlib import Path
from typing import Any, Literal

from globalconv.errors import InputError
from globalconv.geometry import STRIDE

WHOLE_PIXELS = 25_000_000
"""Largest image that the network sees at once unless `tile` says otherwise: a pass takes 250 to 420 bytes a
pixel in float32 (`benchmarks/tiles.py`), so up to 11 GB; photographs of a 24-megapixel camera are still whole. It does
not depend on the machine, because a prediction should not."""

AUTO_TILE = 1024
"""Side of the tiles of larger images."""

MAX_SCALE = 10.0

CRF = "deeplabv2-voc"
"""Setting that a CRF has where none is named."""


@dataclass(frozen=True)
class InferenceSettings:
    """How images become class maps. The defaults are one pass of the network over the whole image."""

    tile: int | Literal["cityscapes"] | None = None
    """Side in pixels of the tiles that the network sees, a multiple of 32; "cityscapes": four crops of 1024x1024 of a
    2048x1024 image. By default whole images, and tiles of 1024 for those above 25 megapixels."""
    overlap: int | None = None
    """Least overlap of neighbouring tiles in pixels, a multiple of 32; by default about a quarter of the tile."""
    scales: tuple[float, ...] = (1.0,)
    """Sizes at which the network sees the image, as multiples of its own; the scores are averaged."""
    flip: bool = False
    """Average with the scores of the mirrored image."""
    fuse: Literal["probabilities", "logits"] = "probabilities"
    """What is averaged over tiles, scales and mirror images."""
    crf: str | None = None
    """Refine the result with a fully connected CRF: of a published setting, deeplabv2-voc (where none is named),
    deeplab-largefov or example, or the crf.json that `globalconv crf-search` wrote."""
    batch_size: int = 1
    """Tiles, or images of equal size, per pass of the network."""
    max_pixels: int | None = None
    """Refuse to open larger images, because a small file may claim any size; by default above 178 megapixels."""

    def __post_init__(self) -> None:
        for name in ("tile", "overlap", "batch_size", "max_pixels", "crf"):
            object.__setattr__(self, name, _plain(getattr(self, name)))
        self._check_tiles()
        _check_scales(self.scales)
        object.__setattr__(self, "scales", tuple(map(float, self.scales)))  # so that a list, or 1, is no other setting
        _check_words(self.flip, self.fuse, self.crf)
        _check_count("`batch_size`", self.batch_size)
        if self.max_pixels is not None:
            _check_count("`max_pixels`", self.max_pixels)

    def _check_tiles(self) -> None:
        if isinstance(self.tile, int):
            _check_tile("`tile`", self.tile, STRIDE)
        elif self.tile is not None and str(self.tile) != "cityscapes":  # an array has no truth to compare it by
            raise InputError(f"`tile` {self.tile}: give a multiple of {STRIDE}, or cityscapes")
        if self.tile == "cityscapes" and (self.overlap is not None or not _is_one(self.scales)):
            raise InputError("`tile` cityscapes: its four crops are fixed; leave out `scales` and `overlap`")
        if self.overlap is not None:
            _check_tile("`overlap`", self.overlap, 0)
            if self.overlap >= (side := self.tile_side):
                raise InputError(f"`overlap` {self.overlap}: must be below the tile ({side}); try {_quarter(side)}")

    @property
    def tile_side(self) -> int:
        """Side of a tile, where there are any."""
        return self.tile if isinstance(self.tile, int) else AUTO_TILE

    @property
    def tile_overlap(self) -> int:
        """Least overlap of two neighbouring tiles."""
        return _quarter(self.tile_side) if self.overlap is None else self.overlap

    def changes(self) -> dict[str, Any]:
        """Return what a result depends on and differs from the defaults, as JSON values: {} for the plain network."""
        free = ("batch_size", "max_pixels")
        given = {f.name: value for f in fields(self) if (value := getattr(self, f.name)) != f.default}
        return {name: value for name, value in asdict(self).items() if name in given and name not in free}


def _quarter(side: int) -> int:
    """Return the overlap of tiles where none is given."""
    return side // 4 // STRIDE * STRIDE


def _check_tile(option: str, value: Any, least: int) -> None:
    if not _is_whole(value) or value % STRIDE or value < least:
        raise InputError(f"{option} {value}: must be a multiple of {STRIDE}, at least {least}")


def _plain(value: Any) -> Any:
    """Return a whole number of numpy's as one of Python's, and a path as its text: what JSON can hold."""
    if type(value) is not bool and isinstance(value, Integral):
        return int(value)
    return str(value) if isinstance(value, Path) else value


def _is_one(scales: Any) -> bool:
    return isinstance(scales, list | tuple) and tuple(scales) == (1.0,)


def _check_words(flip: Any, fuse: Any, crf: Any) -> None:
    if not isinstance(flip, bool):
        raise InputError(f"`flip` {flip!r}: give True or False")
    if not isinstance(fuse, str) or fuse not in ("probabilities", "logits"):
        raise InputError(f"`fuse` {fuse}: give probabilities or logits")
    if not (crf is None or isinstance(crf, str)):
        raise InputError(
            f"`crf` {crf!r}: give the name of a published setting, or the path of a crf.json; a DenseCRF is handed to"
            " Predictor as refine"
        )


def _check_count(option: str, value: Any) -> None:
    if not _is_whole(value) or value < 1:
        raise InputError(f"{option} {value}: must be a whole number, at least 1")


def _check_scales(scales: Any) -> None:
    if not isinstance(scales, list | tuple):
        raise InputError(f"`scales` {scales!r}: give a tuple of numbers; 1 is the image's own size")
    if not scales:
        raise InputError("`scales`: none given; 1 is the image's own size")
    for scale in scales:
        number = isinstance(scale, Real) and not isinstance(scale, bool)
        if not (number and 0 < float(scale) <= MAX_SCALE):  # nor is NaN
            raise InputError(f"`scales` {scale}: must be above 0 and at most {MAX_SCALE:g}; 1 is the image's own size")


def _is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def check_settings(settings: object) -> None:
    """Refuse what is no `InferenceSettings`."""
    if not isinstance(settings, InferenceSettings):
        raise InputError(f"settings={settings!r}: give an InferenceSettings (globalconv.infer.inference_settings)")


PLAIN = InferenceSettings()
"""One pass of the network over the whole image."""

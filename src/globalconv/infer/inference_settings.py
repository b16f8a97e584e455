"""Settings of inference: tiles, test-time augmentation (scales and flips), CRF. Imports no torch.

Each field of `InferenceSettings` is an option of `predict`, `evaluate`, `submit` and `crf-search`, and its docstring
the text of `--help`. What differs from its default is recorded with a score (`changes`).
"""

from dataclasses import asdict, dataclass, fields
from numbers import Integral, Real
from pathlib import Path
from typing import Any, Literal, cast

from globalconv.data.image_format import check_white_level
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
"""The published setting of a CRF where none is named."""


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
    """Average with the scores of the image flipped left to right."""
    fuse: Literal["probabilities", "logits"] = "probabilities"
    """What is averaged over tiles, scales and flips."""
    crf: str | None = None
    """Refine the result with a fully connected CRF: of a published setting, deeplabv2-voc (where none is named),
    deeplab-largefov or example, or the crf.json that `globalconv crf-search` wrote."""
    batch_size: int = 1
    """Tiles, or images of equal size, per pass of the network."""
    max_pixels: int | None = None
    """Refuse to open larger images, because a small file may claim any size; by default above 178 megapixels."""
    white_level: float | None = None
    """The value that is white in images of more than 8 bits; by default as in training, else decided."""

    def __post_init__(self) -> None:
        for name in ("tile", "overlap", "batch_size", "max_pixels", "crf"):  # as JSON can hold them
            value: Any = getattr(self, name)
            if not isinstance(value, bool) and isinstance(value, Integral):  # such as one of numpy's
                object.__setattr__(self, name, int(value))
            elif isinstance(value, Path):
                object.__setattr__(self, name, str(value))

        if isinstance(self.tile, int):
            _check_multiple("tile", self.tile, least=STRIDE)
        elif self.tile is not None and str(self.tile) != "cityscapes":  # an array has no truth to compare it by
            raise InputError(f"`tile` {self.tile}: give a multiple of {STRIDE}, or cityscapes")
        scales: Any = self.scales
        is_sequence = isinstance(scales, list | tuple)
        if self.tile == "cityscapes" and (self.overlap is not None or not (is_sequence and tuple(scales) == (1.0,))):
            raise InputError("`tile` cityscapes: its four crops are fixed; leave out `scales` and `overlap`")
        if self.overlap is not None:
            _check_multiple("overlap", self.overlap, least=0)
            if self.overlap >= (side := self.tile_side):
                raise InputError(f"`overlap` {self.overlap}: must be below the tile ({side}); try {_quarter(side)}")

        if not is_sequence:
            raise InputError(f"`scales` {scales!r}: give a tuple of numbers; 1 is the image's own size")
        if not scales:
            raise InputError("`scales`: none given; 1 is the image's own size")
        for scale in scales:
            is_number = isinstance(scale, Real) and not isinstance(scale, bool)
            if not (is_number and 0 < float(scale) <= MAX_SCALE):  # nor is NaN
                raise InputError(
                    f"`scales` {scale}: must be above 0 and at most {MAX_SCALE:g}; 1 is the image's own size"
                )
        object.__setattr__(self, "scales", tuple(map(float, scales)))  # so that a list, or 1, is no other setting

        check_white_level("white_level", self.white_level)
        flip, fuse, crf = cast("tuple[Any, ...]", (self.flip, self.fuse, self.crf))
        if not isinstance(flip, bool):
            raise InputError(f"`flip` {flip!r}: give True or False")
        if not isinstance(fuse, str) or fuse not in ("probabilities", "logits"):
            raise InputError(f"`fuse` {fuse}: give probabilities or logits")
        if not (crf is None or isinstance(crf, str)):
            raise InputError(
                f"`crf` {crf!r}: give the name of a published setting, or the path of a crf.json; a DenseCRF is handed"
                " to Predictor as refine"
            )
        for name in ("batch_size", "max_pixels"):
            value = getattr(self, name)
            if (value is not None or name == "batch_size") and (type(value) is not int or value < 1):
                raise InputError(f"`{name}` {value}: must be a whole number, at least 1")

    @property
    def tile_side(self) -> int:
        """Side of a tile, where there are any."""
        return self.tile if isinstance(self.tile, int) else AUTO_TILE

    @property
    def tile_overlap(self) -> int:
        """Least overlap of two neighbouring tiles."""
        return _quarter(self.tile_side) if self.overlap is None else self.overlap

    def changes(self) -> dict[str, Any]:
        """Return the settings that change results and differ from the defaults, as JSON values: {} for none."""
        neutral = ("batch_size", "max_pixels")
        changed = {field.name for field in fields(self) if getattr(self, field.name) != field.default}
        return {name: value for name, value in asdict(self).items() if name in changed and name not in neutral}


def _quarter(side: int) -> int:
    """Return the overlap of tiles of this side where none is given."""
    return side // 4 // STRIDE * STRIDE


def _check_multiple(name: str, value: Any, least: int) -> None:
    if type(value) is not int or value % STRIDE or value < least:
        raise InputError(f"`{name}` {value}: must be a multiple of {STRIDE}, at least {least}")


def check_settings(settings: object) -> None:
    """Raise `InputError` for anything but `InferenceSettings`."""
    if not isinstance(settings, InferenceSettings):
        raise InputError(f"settings={settings!r}: give an InferenceSettings (globalconv.infer.inference_settings)")


PLAIN = InferenceSettings()
"""One pass of the network over the whole image."""

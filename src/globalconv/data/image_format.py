"""`ImageFormat`: the one rule by which the stored values of a data set's images become 8-bit RGB; and its arithmetic.

Two things are not in an image file: which value is white where it has more than 8 bits (12 bits in 16, reflectance in
floats), and whether its last band is transparency (it may hold infrared, or nothing). Both are decided once for a data
set (`globalconv.data.image_rule`), stored with the run, and never guessed file by file.

Shapes: H x W pixels, C colours (1: grey, 3: RGB).
"""

from dataclasses import dataclass
from math import isfinite
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from globalconv.arrays import Uint8Array
from globalconv.errors import InputError

WHITE_LEVELS = (255, 1023, 4095, 16383, 65535)
"""What white may be in integers of more than 8 bits: the largest values of 8, 10, 12, 14 and 16 bits."""
FLOAT_WHITE_LEVELS = (1, 2, 4, 8, 16, 32, 64, *WHITE_LEVELS)

LEVEL = "`white_level` (`data.white_level` in a training)"
SAY_LEVEL = f"say with {LEVEL} which value is white"
"""The remedy wherever the white level is unknown or wrong."""

Alpha = Literal["transparency", "ignored"]


@dataclass(frozen=True)
class ImageFormat:
    """How stored values become 8-bit RGB. None: nothing is known of it, because no image so far had that.

    Images of 8 bits have 255 for white whatever `white_level` says.
    """

    white_level: float | None = None
    """The value that becomes 255 in images of more than 8 bits; larger and negative values are refused."""
    alpha: Alpha | None = None
    """What an alpha band is: transparency, laid on white; or ignored, because it is none."""
    is_declared: bool = False
    """The white level is the user's, not one that the images showed: larger values are white, too (bright clouds)."""

    def or_else(self, other: "ImageFormat") -> "ImageFormat":
        """Return this rule, with what `other` knows where this one knows nothing."""
        source = other if self.white_level is None else self
        return ImageFormat(source.white_level, self.alpha or other.alpha, source.is_declared)

    def to_json(self) -> dict[str, Any]:
        return {"white_level": self.white_level, "alpha": self.alpha, "is_declared": self.is_declared}

    @classmethod
    def from_json(cls, value: object) -> "ImageFormat":
        """Return the rule that `to_json` wrote, one that knows nothing for None; `InputError` for anything else."""
        fields: dict[str, Any] = value if isinstance(value, dict) else {}
        alpha: Any = fields.get("alpha")
        if (value is not None and not isinstance(value, dict)) or alpha not in (None, "transparency", "ignored"):
            raise InputError(f"images={value!r}: expected white_level and alpha (transparency, ignored or null)")
        check_white_level("white_level", fields.get("white_level"))
        return cls(fields.get("white_level"), alpha, fields.get("is_declared") is True)


UNKNOWN_FORMAT = ImageFormat()


def declare_format(white_level: float | None) -> ImageFormat:
    """Return the rule in which the user says which value is white; None: it is left to the images."""
    return ImageFormat(white_level, is_declared=white_level is not None)


StoredArray = NDArray[Any]


def check_white_level(name: str, level: Any) -> None:
    """Refuse a white level that is none: anything but None and a positive finite number; `name` is of the setting."""
    if level is not None and not (
        isinstance(level, int | float) and not isinstance(level, bool) and isfinite(level) and level > 0
    ):
        raise InputError(f"`{name}` {level}: is the value of white, a positive number such as 4095")


def fitting_level(highest: float, are_floats: bool) -> float | None:
    """Return the smallest usual white level that `highest` does not exceed; None above 65535."""
    levels = FLOAT_WHITE_LEVELS if are_floats else WHITE_LEVELS
    return next((level for level in levels if highest <= level), None)


@dataclass(frozen=True)
class Bands:
    """The stored values of an image, or of a window of one, upright."""

    colours_HWC: StoredArray
    alpha_HW: StoredArray | None = None
    white_is_zero: bool = False
    """TIFF's MinIsWhite: 0 is white, and the white level black."""
    premultiplied: bool = False
    """The colours have been multiplied by alpha."""

    @property
    def is_deep(self) -> bool:
        """Whether it holds more than 8 bits, so that its white has to be known."""
        return self.colours_HWC.dtype != np.uint8

    def to_rgb(self, image_format: ImageFormat, where: str) -> Uint8Array:
        """Return it as uint8 RGB (H, W, 3); values that the rule does not cover are an `InputError` naming `where`."""
        rgb_HWC = self._scale(image_format, where) if self.is_deep else self.colours_HWC
        rgb_HWC = 255 - rgb_HWC if self.white_is_zero else rgb_HWC
        if self.alpha_HW is not None and image_format.alpha != "ignored":
            opacity_HW1 = (self.alpha_HW / full_alpha(self.alpha_HW)).astype(np.float32)[..., None]
            seen_HWC = rgb_HWC if self.premultiplied else rgb_HWC * opacity_HW1
            rgb_HWC = np.rint(np.clip(seen_HWC + 255 * (1 - opacity_HW1), 0, 255)).astype(np.uint8)
        return np.array(np.broadcast_to(rgb_HWC, (*rgb_HWC.shape[:2], 3)), np.uint8)

    def _scale(self, image_format: ImageFormat, where: str) -> Uint8Array:
        values, level = self.colours_HWC, image_format.white_level
        lowest, highest = values.min(), values.max()
        if not (np.isfinite(lowest) and np.isfinite(highest)):
            raise InputError(
                f"{where}: holds values that are no finite numbers (NaN), as pixels without data often are; store these"
                " as 0",
                "depth",
            )
        if lowest < 0:
            raise InputError(
                f"{where}: holds negative values, down to {lowest:g}, as pixels without data often are; store these as"
                " 0, and colours from 0 on",
                "depth",
            )
        if level is None or (highest > level and not image_format.is_declared):
            fitting = fitting_level(float(highest), values.dtype.kind == "f")
            known = f"above the white level {level:g}" if level is not None else "and which of them is white is unknown"
            hint = "" if fitting is None else f", such as {fitting:g}"
            raise InputError(f"{where}: holds values up to {highest:g}, {known}; {SAY_LEVEL}{hint}", "depth")
        scale: Any = (np.float32 if values.dtype in (np.uint16, np.int16, np.float32) else np.float64)(255 / level)
        rgb_HWC: Uint8Array = np.rint(np.minimum(values * scale, 255)).astype(np.uint8)
        return rgb_HWC


def full_alpha(alpha_HW: StoredArray) -> float:
    """Return the value of an opaque pixel."""
    return 1.0 if alpha_HW.dtype.kind == "f" else float(2 ** (8 * alpha_HW.dtype.itemsize) - 1)


AlphaKind = Literal["opaque", "transparent", "hiding", "band"]


def classify_alpha(bands: Bands) -> AlphaKind:
    """Return what the alpha of an image looks like.

    "opaque": all of it is; "transparent": mostly 0 or full, or an empty tile; "hiding": one value everywhere, with an
    image below it that nobody could see; "band": mostly other values, like an infrared band's.
    """
    alpha_HW, colours_HWC = bands.alpha_HW, bands.colours_HWC
    if alpha_HW is None:
        return "opaque"
    full, lowest, highest = full_alpha(alpha_HW), alpha_HW.min(), alpha_HW.max()
    if lowest == full:
        return "opaque"
    if lowest == highest:
        varies = bool((colours_HWC.min(axis=(0, 1)) != colours_HWC.max(axis=(0, 1))).any())
        return "hiding" if varies else "transparent"
    between = np.count_nonzero((alpha_HW != 0) & (alpha_HW != full))
    return "band" if between > alpha_HW.size / 2 else "transparent"


def check_alpha(kind: AlphaKind, image_format: ImageFormat, where: str) -> None:
    """Refuse an image whose alpha is no transparency, where the data set's rule does not leave it out."""
    if image_format.alpha == "ignored" or kind in ("opaque", "transparent"):
        return
    if kind == "hiding":
        problem = "has one value of alpha everywhere, which would hide the image below it"
    elif image_format.alpha is None:
        problem = "has a last band that is taken for alpha and holds values like an infrared band's"
    else:
        return
    raise InputError(f"{where}: {problem}; save it without that band", "alpha")

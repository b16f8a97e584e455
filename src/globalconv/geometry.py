"""Sizes of images: the network's coarsest stride, and the padding that training applied. Imports no torch, no numpy."""

from dataclasses import dataclass
from typing import Any

from globalconv.errors import InputError
from globalconv.labels import Colour
from globalconv.runtime.text import one_line

STRIDE = 32
"""Pixels per cell of the coarsest level (res-5). The network pads its input to a multiple of it; tiles start at one."""

MAX_PADDED, MAX_PADDED_PIXELS = 16_384, 25_000_000
"""Largest side, and largest area, that a file of weights may ask to pad to: every image takes that much memory."""


@dataclass(frozen=True)
class Geometry:
    """The size that training gave to its images, so that whole images get it at inference too.

    Images smaller than `pad_to` (height, width) are padded with `fill` at the right and the bottom; with None, images
    keep their size.
    """

    pad_to: tuple[int, int] | None = None
    fill: Colour = (0, 0, 0)

    def to_json(self) -> dict[str, Any]:
        return {"pad_to": None if self.pad_to is None else list(self.pad_to), "fill": list(self.fill)}

    @classmethod
    def from_json(cls, value: object) -> "Geometry":
        """Return the geometry that `to_json` wrote, `AS_THEY_ARE` for None; `InputError` for anything else."""
        if value is None:
            return AS_THEY_ARE
        fields: dict[str, Any] = value if isinstance(value, dict) else {}
        pad_to: Any = fields.get("pad_to")
        fill: Any = fields.get("fill")

        def are_whole(numbers: Any, count: int, least: int, most: int) -> bool:
            return (
                isinstance(numbers, list)
                and len(numbers) == count
                and all(type(number) is int and least <= number <= most for number in numbers)
            )

        is_size = are_whole(pad_to, 2, 1, MAX_PADDED) and pad_to[0] * pad_to[1] <= MAX_PADDED_PIXELS
        if not ((pad_to is None or is_size) and are_whole(fill, 3, 0, 255)):
            raise InputError(
                f"geometry={one_line(repr(value))}: expected pad_to (null, or height and width up to {MAX_PADDED}, of"
                f" {MAX_PADDED_PIXELS // 10**6} megapixels at most) and fill (red, green, blue)"
            )
        return cls(None if pad_to is None else (pad_to[0], pad_to[1]), (fill[0], fill[1], fill[2]))


AS_THEY_ARE = Geometry()
"""Images keep their size."""

"""The ids of COCO files: numbers or texts, each of one image or category; 1 and "1" are two of them."""

import math
from collections.abc import Collection

from globalconv.errors import InputError

Key = int | float | str
"""An id of an image or category."""

MAX_DIGITS = 20
"""Longer texts are no numbers."""


def make_key(value: object, what: str) -> Key:
    """Return an id; only numbers and texts are ids."""
    valid = isinstance(value, int | str) or (isinstance(value, float) and math.isfinite(value))
    if not valid or isinstance(value, bool) or value == "":
        raise InputError(f"{what} is {value!r}; an id is a number or a text: export it again")
    return value  # type: ignore[return-value] # as checked


def match_key(value: object, keys: Collection[Key], what: str) -> tuple[Key, bool]:
    """Return the one of `keys` that an id means, itself if none, and whether only that of the other type is there."""
    key = make_key(value, what)
    if key in keys:
        return key, False
    other: Key | None = None
    if isinstance(key, str):
        other = int(key) if key.isascii() and key.isdigit() and len(key) < MAX_DIGITS and str(int(key)) == key else None
    elif key == int(key):
        other = str(int(key))
    return (key, False) if other is None or other not in keys else (other, True)

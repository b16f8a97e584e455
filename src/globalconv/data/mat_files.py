"""MATLAB's files of version 5, as far as label maps need them: one field of a structure, an array of numbers.

SciPy's reader takes every number of a file on trust: one damaged byte can end the process. This one checks them all.

A file is a header of 128 bytes and elements of (kind, size, content); an array is an element of elements: flags, sizes,
name, then values, or the fields of a structure, which are arrays. Elements may be compressed.
"""

import math
import struct
import zlib
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

HEADER, ARRAY, COMPRESSED, STRUCTURE, COMPLEX = 128, 14, 15, 2, 0x800
"""Bytes of the header, kinds of elements, a class of arrays and a bit of its flags."""

STORED = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8", 12: "i8", 13: "u8"}
"""How an element of each kind stores numbers."""

CLASSES = {6: "f8", 7: "f4", 8: "i1", 9: "u1", 10: "i2", 11: "u2", 12: "i4", 13: "u4", 14: "i8", 15: "u8"}
"""What numbers an array of each class holds."""

LARGEST = 1 << 30
"""Bytes to which a file may decompress."""


def read_field(data: bytes, structure: str, field: str) -> NDArray[Any]:
    """Return the array `structure.field` of numbers in a file's `data`; `ValueError` if it is not there or damaged."""
    order = {b"IM": "<", b"MI": ">"}.get(data[HEADER - 2 : HEADER])
    if order is None:
        raise ValueError("no MATLAB file of version 5")
    for kind, content in _elements(data[HEADER:], order):
        if kind == COMPRESSED:
            unpacker = zlib.decompressobj()
            try:
                unpacked = unpacker.decompress(content, LARGEST)
            except zlib.error as error:
                raise ValueError(str(error)) from None
            if not unpacker.eof:
                raise ValueError("compressed content that ends too early, or is too large")
            kind, content = next(_elements(unpacked, order), (0, b""))
        if kind == ARRAY:
            flags, name, values = _open_array(content, order)
            if name == structure and flags & 255 == STRUCTURE:
                return _read_numbers(_find_field(values, field, order), order)
    raise ValueError(f"no structure {structure}")


def _elements(data: bytes, order: str) -> Iterator[tuple[int, bytes]]:
    """Yield the kind and the content of one element after the other."""
    place = 0
    while place < len(data):
        kind, size, start = *_unpack(f"{order}II", data[place : place + 8]), place + 8
        if kind >> 16:  # up to four bytes beside the kind
            kind, size, start = kind & 0xFFFF, kind >> 16, place + 4
            if size > 4:
                raise ValueError(f"a small element of {size} bytes")
        if start + size > len(data):
            raise ValueError("an element that ends too early")
        yield kind, data[start : start + size]
        place = start + size if kind == COMPRESSED else start + size + (-(start + size)) % 8


def _unpack(form: str, data: bytes) -> tuple[int, ...]:
    if len(data) != struct.calcsize(form):
        raise ValueError(f"{len(data)} bytes where {struct.calcsize(form)} are needed")
    return struct.unpack(form, data)


def _open_array(content: bytes, order: str) -> tuple[int, str, list[tuple[int, bytes]]]:
    """Return the flags and the name of an array, and its further elements: the sizes first."""
    elements = list(_elements(content, order))
    if len(elements) < 3:
        raise ValueError("an array without values")
    (_, flags), sizes, (_, name), *values = elements
    return _unpack(f"{order}I", flags[:4])[0], name.decode("latin-1"), [sizes, *values]


def _find_field(values: list[tuple[int, bytes]], field: str, order: str) -> bytes:
    """Return the content of the array `field` of a structure, whose elements are `values`."""
    (_, sizes), (_, length), (_, names), *arrays = values if len(values) > 2 else [*values, (0, b""), (0, b"")]
    (width,) = _unpack(f"{order}I", length[:4])
    if not 0 < width <= 1 << 10 or sizes != struct.pack(f"{order}II", 1, 1):
        raise ValueError("no single structure")
    known = [names[place : place + width].split(b"\0")[0] for place in range(0, len(names), width)]
    if field.encode() not in known[: len(arrays)] or arrays[place := known.index(field.encode())][0] != ARRAY:
        raise ValueError(f"no field {field}")
    return arrays[place][1]


def _read_numbers(content: bytes, order: str) -> NDArray[Any]:
    """Return an array of numbers."""
    flags, _, values = _open_array(content, order)
    if flags & 255 not in CLASSES or flags & COMPLEX or len(values) != 2 or values[1][0] not in STORED:
        raise ValueError(f"no array of numbers (class {flags & 255})")
    (_, sizes), (kind, stored) = values
    shape = _unpack(f"{order}{len(sizes) // 4}I", sizes)
    numbers = np.dtype(f"{order}{STORED[kind]}")
    if not shape or math.prod(shape) * numbers.itemsize != len(stored):
        raise ValueError(f"{len(stored)} bytes for an array of {'x'.join(map(str, shape))}")
    found = np.frombuffer(stored, numbers).reshape(shape, order="F")
    return found.astype(CLASSES[flags & 255])

"""Run lengths of a mask as Label Studio's brush stores them, written with NumPy.

The format is that of thi.ng/umbrella's `rle-pack`, bit by bit, over the bytes of an RGBA image: how many there are (32
bits), bits of a value less 1 (5), four sizes of run lengths less 1 (4 each); then for each run a bit that says that one
value repeats, the number of its size (2), its length less 1 in so many bits, and the value.

Shapes: H x W pixels of the mask.
"""

import numpy as np

from globalconv.arrays import BoolArray

SIZES = (3, 4, 8, 16)
"""Bits of a run length, of which each run takes the fewest that hold it."""

LONGEST = 1 << SIZES[-1]
"""Bytes of a run at most; longer ones are several."""

HEAD = (32, 5, 4, 4, 4, 4)
"""Bits of the numbers before the runs."""


def encode_brush(mask_HW: BoolArray) -> list[int]:
    """Return the bytes that stand for a mask: each of its pixels is four bytes of 255, the others are four of 0."""
    flat = mask_HW.ravel()
    starts = np.concatenate(([0], np.flatnonzero(flat[1:] != flat[:-1]) + 1))
    lengths = 4 * np.diff(starts, append=flat.size)
    pieces = -(-lengths // LONGEST)
    run = np.repeat(np.arange(starts.size), pieces)
    is_last = np.append(run[1:] != run[:-1], True)
    counts = np.where(is_last, lengths[run] - (pieces[run] - 1) * LONGEST, LONGEST) - 1
    values = np.where(flat[starts], 255, 0)[run]

    sizes = np.searchsorted([1 << bits for bits in SIZES], counts, side="right")
    bits_of_length = np.array(SIZES)[sizes]
    codes = (1 << 2 | sizes) << bits_of_length  # one value repeats
    codes = (codes | counts) << 8 | values
    widths = 3 + bits_of_length + 8

    head = (4 * flat.size, 7, *(bits - 1 for bits in SIZES))
    codes = np.concatenate((np.array(head, np.int64), codes))
    widths = np.concatenate((np.array(HEAD), widths))
    places = np.arange(32)
    bits = codes[:, None] >> np.maximum(widths[:, None] - 1 - places, 0) & 1
    packed: list[int] = np.packbits(bits[places < widths[:, None]].astype(np.uint8)).tolist()
    return packed

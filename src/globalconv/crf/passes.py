"""The passes over a lattice's values: machine code, the inner loop of everything.

M vertices, N pixels, K classes. Values are kept vertex by vertex (M, K) and beliefs pixel by pixel (N, K), so that the
innermost loop runs over the classes of one row. Every thread writes rows of its own, in a fixed order, so the result
does not depend on how many there are. K is padded to a multiple of 8.
"""

import numpy as np
import numpy.typing as npt

from globalconv.crf.compiled import compiled_fast
from globalconv.crf.vectors import WIDTH, add, add_scaled, load, prefetch, store, zero

Ints = npt.NDArray[np.int64]
Indices = npt.NDArray[np.int32]
Floats = npt.NDArray[np.float32]

_AHEAD = 16
"""How many rows ahead memory is asked for."""
_ALIGN = 64
"""Bytes of a cache line, where rows begin: a row then lies in as few lines as it can."""
_THREE = 3 * WIDTH
"""Columns that are summed at a time where there are as many: 21 classes are one go."""


def padded(columns: int) -> int:
    """Return how many columns rows have that hold this many."""
    return -(-columns // WIDTH) * WIDTH


def empty_rows(count: int, columns: int) -> Floats:
    """Return uninitialised rows (count, columns), a multiple of `WIDTH`, which begin at a cache line."""
    raw = np.empty(4 * count * columns + _ALIGN, np.uint8)
    first = -raw.ctypes.data % _ALIGN
    return raw[first : first + 4 * count * columns].view(np.float32).reshape(count, columns)


@compiled_fast
def splat(
    values_MK: Floats, rows_NK: Floats, offsets_Nr: Indices, weights_Nr: Floats, scale_N: Floats, first: int, last: int
) -> None:
    """values[v] += weight * scale * rows[pixel] for the vertices of remainders first .. last-1 of every pixel.

    Vertices of different remainders are different, so that threads share the remainders and never meet.
    """
    columns = values_MK.shape[1]
    for n in range(rows_NK.shape[0]):
        k = 0
        while k < columns:
            three = k + _THREE <= columns
            a, b, c = add_scaled(zero(), scale_N[n], load(rows_NK, n, k)), zero(), zero()
            if three:
                b = add_scaled(b, scale_N[n], load(rows_NK, n, k + WIDTH))
                c = add_scaled(c, scale_N[n], load(rows_NK, n, k + 2 * WIDTH))
            for r in range(first, last):
                vertex, weight = offsets_Nr[n, r], weights_Nr[n, r]
                store(values_MK, vertex, k, add_scaled(load(values_MK, vertex, k), weight, a))
                if three:
                    store(values_MK, vertex, k + WIDTH, add_scaled(load(values_MK, vertex, k + WIDTH), weight, b))
                    two = k + 2 * WIDTH
                    store(values_MK, vertex, two, add_scaled(load(values_MK, vertex, two), weight, c))
            k += _THREE if three else WIDTH


@compiled_fast
def blur(values_MK: Floats, order: Indices, begin: int, end: int) -> None:
    """values[v] += (values before v + values after v) / 2 along the chains order[begin:end] of one axis, in place."""
    columns, half = values_MK.shape[1], np.float32(0.5)
    before = np.zeros((1, columns), np.float32)
    for place in range(begin, end):
        if place + _AHEAD < end:
            ahead = order[place + _AHEAD]
            prefetch(values_MK, ahead ^ (ahead >> 31))  # ~ahead at the end of a chain
        vertex = order[place]
        if vertex >= 0:
            after = order[place + 1]
            after ^= after >> 31
            for k in range(0, columns, WIDTH):
                own = load(values_MK, vertex, k)
                around = add(load(before, 0, k), load(values_MK, after, k))
                store(values_MK, vertex, k, add_scaled(own, half, around))
                store(before, 0, k, own)
        else:
            for k in range(0, columns, WIDTH):
                store(values_MK, ~vertex, k, add_scaled(load(values_MK, ~vertex, k), half, load(before, 0, k)))
                store(before, 0, k, zero())


@compiled_fast
def gather(
    rows_NK: Floats, values_MK: Floats, offsets_Nr: Indices, weights_Nr: Floats, scale_N: Floats,
    begin: int, end: int, to: int,
) -> None:  # fmt: skip
    """rows[to], rows[to+1] ... += scale * sum of weight * values over the vertices of pixels begin .. end-1."""
    columns, remainders, shift = values_MK.shape[1], offsets_Nr.shape[1], to - begin
    for n in range(begin, end):
        k = 0
        while k < columns:
            three = k + _THREE <= columns
            a, b, c = load(rows_NK, n + shift, k), zero(), zero()
            if three:
                b, c = load(rows_NK, n + shift, k + WIDTH), load(rows_NK, n + shift, k + 2 * WIDTH)
            for r in range(remainders):
                weight, vertex = scale_N[n] * weights_Nr[n, r], offsets_Nr[n, r]
                a = add_scaled(a, weight, load(values_MK, vertex, k))
                if three:
                    b = add_scaled(b, weight, load(values_MK, vertex, k + WIDTH))
                    c = add_scaled(c, weight, load(values_MK, vertex, k + 2 * WIDTH))
            store(rows_NK, n + shift, k, a)
            if three:
                store(rows_NK, n + shift, k + WIDTH, b)
                store(rows_NK, n + shift, k + 2 * WIDTH, c)
            k += _THREE if three else WIDTH


@compiled_fast
def softmax(rows_NK: Floats, begin: int, end: int) -> None:
    """Turn each row into exp(row) / sum of exp(row), in place.

    exp is 2^n times a polynomial of degree 7 (Cephes' expf, off by 2 units in the last place at most). Differences to
    the largest below -60 count as -60: below 1e-26, and no number is so small that arithmetic slows down.
    """
    one = np.float32(1)
    for n in range(begin, end):
        largest = rows_NK[n, 0]
        for k in range(rows_NK.shape[1]):
            largest = max(largest, rows_NK[n, k])
        total = np.float32(0)
        for k in range(rows_NK.shape[1]):
            x = max(rows_NK[n, k] - largest, np.float32(-60))
            power = np.floor(x * np.float32(1.44269504) + np.float32(0.5))
            rest = x - power * np.float32(0.693359375) + power * np.float32(2.12194440e-4)
            value = np.float32(1.9875691500e-4)
            value = value * rest + np.float32(1.3981999507e-3)
            value = value * rest + np.float32(8.3334519073e-3)
            value = value * rest + np.float32(4.1665795894e-2)
            value = value * rest + np.float32(1.6666665459e-1)
            value = value * rest + np.float32(5.0000001201e-1)
            value = value * rest * rest + rest + one
            exponent = (np.int32(power) + np.int32(127)) << np.int32(23)
            value *= np.int32(exponent).view(np.float32)
            rows_NK[n, k] = value
            total += value
        scale = one / total
        for k in range(rows_NK.shape[1]):
            rows_NK[n, k] *= scale

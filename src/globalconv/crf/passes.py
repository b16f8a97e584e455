"""The passes over a lattice's values: machine code, the inner loop of everything.

M vertices, N pixels, K classes. Values are kept vertex by vertex (M, K) and beliefs pixel by pixel (N, K), so that the
innermost loop runs over the classes of one row and every thread writes rows of its own.
"""

import numpy as np
import numpy.typing as npt

from globalconv.crf.compiled import compiled_fast, prefetch

Ints = npt.NDArray[np.int64]
Indices = npt.NDArray[np.int32]
Floats = npt.NDArray[np.float32]

_AHEAD = 16
"""How many rows ahead memory is asked for."""


@compiled_fast
def splat(
    values_MK: Floats, starts: Ints, pixels: Indices, pixel_weights: Floats, rows_NK: Floats, begin: int, end: int
) -> None:
    """values[v] = sum over the pixels that touch vertex v of weight * rows[pixel], for v in begin .. end-1."""
    last = starts[end]
    for vertex in range(begin, end):
        for k in range(values_MK.shape[1]):
            values_MK[vertex, k] = 0
        for entry in range(starts[vertex], starts[vertex + 1]):
            if entry + _AHEAD < last:
                prefetch(rows_NK, pixels[entry + _AHEAD])
            weight, pixel = pixel_weights[entry], pixels[entry]
            for k in range(values_MK.shape[1]):
                values_MK[vertex, k] += weight * rows_NK[pixel, k]


@compiled_fast
def blur(values_MK: Floats, order: Indices, begin: int, end: int) -> None:
    """values[v] += (values before v + values after v) / 2 along the chains order[begin:end] of one axis, in place."""
    before = np.zeros(values_MK.shape[1], np.float32)
    half = np.float32(0.5)
    for place in range(begin, end):
        if place + _AHEAD < end:
            ahead = order[place + _AHEAD]
            prefetch(values_MK, ahead ^ (ahead >> 31))  # ~ahead at the end of a chain
        vertex = order[place]
        if vertex >= 0:
            after = order[place + 1]
            after ^= after >> 31
            for k in range(values_MK.shape[1]):
                own = values_MK[vertex, k]
                values_MK[vertex, k] = own + half * (before[k] + values_MK[after, k])
                before[k] = own
        else:
            vertex = ~vertex
            for k in range(values_MK.shape[1]):
                values_MK[vertex, k] += half * before[k]
                before[k] = 0


@compiled_fast
def gather(
    rows_NK: Floats, values_MK: Floats, offsets_Nr: Indices, weights_Nr: Floats, scale_N: Floats,
    begin: int, end: int, to: int,
) -> None:  # fmt: skip
    """rows[to], rows[to+1] ... += scale * sum of weight * values over the vertices of pixels begin .. end-1.

    The number of vertices of a pixel is a multiple of 3 (the last may weigh nothing): three are added at a time.
    """
    shift = to - begin
    for n in range(begin, end):
        scale = scale_N[n]
        for j in range(0, offsets_Nr.shape[1], 3):
            a, b, c = offsets_Nr[n, j], offsets_Nr[n, j + 1], offsets_Nr[n, j + 2]
            weight_a, weight_b = scale * weights_Nr[n, j], scale * weights_Nr[n, j + 1]
            weight_c = scale * weights_Nr[n, j + 2]
            for k in range(values_MK.shape[1]):
                added = weight_a * values_MK[a, k] + weight_b * values_MK[b, k] + weight_c * values_MK[c, k]
                rows_NK[n + shift, k] += added


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

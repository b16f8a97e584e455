"""The compiled loops over a lattice's values, in which a CRF spends its time.

M vertices, N pixels, K classes. Values are kept vertex by vertex (M, K) and beliefs pixel by pixel (N, K), so that the
innermost loop runs over the classes of one row. Every thread writes rows of its own, in a fixed order, so that the
result does not depend on the number of threads. K is padded to a multiple of 8.

The loops work on vectors of eight floats. The compiler cannot know that two rows do not overlap, and so checks it
before every row, or gives up; with the vector operations below it need not. They run on any processor: LLVM splits a
vector into what the hardware has.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from numba.core import cgutils, types
from numba.core.datamodel import models
from numba.extending import intrinsic, register_model

from globalconv.arrays import Float32Array, Int32Array
from globalconv.runtime.jit import compiled_fast

WIDTH = 8
"""Rows are padded to a multiple of this many columns."""

_ir = cgutils.ir  # numba's own, so that llvmlite is no dependency of ours
_VECTOR = _ir.VectorType(_ir.FloatType(), WIDTH)
_CONTRACT = ("contract",)
"""A product and a sum may become one rounded operation."""
_LINE = 64
"""Bytes of a cache line."""


class _Eight(types.Type):
    """numba's type of eight floats."""


_eight = _Eight(name="eight floats")


@register_model(_Eight)
class _EightModel(models.PrimitiveModel):  # type: ignore[misc]
    """Held in a vector register."""

    def __init__(self, manager: Any, kind: Any) -> None:
        super().__init__(manager, kind, _VECTOR)


def _operation(function: Callable[..., Any]) -> Callable[..., Any]:
    """Make a function that returns a signature and emits machine code an operation of compiled functions.

    Its first argument is numba's own; the others are those of the operation.
    """
    operation: Callable[..., Any] = intrinsic(function)
    return operation


def _address(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
    """Return the address of rows[row, column], the first three arguments."""
    array = context.make_array(signature.args[0])(context, builder, arguments[0])
    pairs = zip(arguments[1:3], signature.args[1:3], strict=True)
    indices = [context.cast(builder, value, kind, types.intp) for value, kind in pairs]
    return cgutils.get_item_pointer(context, builder, signature.args[0], array, indices, wraparound=False)


@_operation
def load(typing_context: Any, rows: Any, row: Any, column: Any) -> Any:
    """Return rows[row, column : column + 8]."""

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        address = _address(context, builder, signature, arguments)
        return builder.load(builder.bitcast(address, _VECTOR.as_pointer()), align=4)

    return _eight(rows, row, column), emit


@_operation
def store(typing_context: Any, rows: Any, row: Any, column: Any, values: Any) -> Any:
    """Set rows[row, column : column + 8] = values."""

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        address = _address(context, builder, signature, arguments)
        builder.store(arguments[3], builder.bitcast(address, _VECTOR.as_pointer()), align=4)
        return context.get_dummy_value()

    return types.void(rows, row, column, values), emit


@_operation
def add_scaled(typing_context: Any, total: Any, factor: Any, values: Any) -> Any:
    """Return total + factor * values."""

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        total, factor, values = arguments
        number = _ir.IntType(32)
        first = builder.insert_element(_ir.Constant(_VECTOR, _ir.Undefined), factor, number(0))
        everywhere = _ir.Constant(_ir.VectorType(number, WIDTH), [0] * WIDTH)
        factors = builder.shuffle_vector(first, first, everywhere)
        return builder.fadd(total, builder.fmul(factors, values, flags=_CONTRACT), flags=_CONTRACT)

    return _eight(total, types.float32, values), emit


@_operation
def add(typing_context: Any, first: Any, second: Any) -> Any:
    """Return first + second."""

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.fadd(*arguments)

    return _eight(first, second), emit


@_operation
def zero(typing_context: Any) -> Any:
    """Return eight zeros."""

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return _ir.Constant(_VECTOR, [0.0] * WIDTH)

    return _eight(), emit


@_operation
def prefetch(typing_context: Any, rows: Any, row: Any, column: Any) -> Any:
    """Fetch two cache lines from rows[row, column] on before they are needed. Reads nothing, so any place will do."""

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        byte, number = _ir.IntType(8).as_pointer(), _ir.IntType(32)
        kind = _ir.FunctionType(_ir.VoidType(), [byte, number, number, number])
        fetch = cgutils.get_or_insert_function(builder.module, kind, "llvm.prefetch.p0")
        start = builder.bitcast(_address(context, builder, signature, arguments), byte)
        for offset in (0, _LINE):
            address = builder.gep(start, [_ir.IntType(64)(offset)])
            builder.call(fetch, [address, number(0), number(3), number(1)])  # for reading, keep it, data
        return context.get_dummy_value()

    return types.void(rows, row, column), emit


_AHEAD = 16
"""Rows ahead that memory is fetched."""
_THREE = 3 * WIDTH
"""Columns that are summed at a time where there are as many: 21 classes are one go."""


def padded(columns: int) -> int:
    """Return the columns of a padded row that holds this many."""
    return -(-columns // WIDTH) * WIDTH


@compiled_fast
def _plain(vertex: np.int32) -> np.int32:
    """Return the vertex of an entry, which is ~vertex where it is marked."""
    return vertex ^ (vertex >> np.int32(31))


@compiled_fast
def splat(
    values_MK: Float32Array,
    rows_NK: Float32Array,
    places_Nr: Int32Array,
    weights_Nr: Float32Array,
    scale_N: Float32Array,
    begin: int,
    end: int,
) -> None:
    """values[place] = sum of weight * scale * rows[pixel] over pixels begin .. end-1.

    Nothing has to be cleared: the first pixel that touches a place, which is marked as ~place, does not add.
    """
    columns = values_MK.shape[1]
    for k in range(0, columns, _THREE):
        two, three = k + WIDTH < columns, k + 2 * WIDTH < columns
        for n in range(begin, end):
            a, b, c = add_scaled(zero(), scale_N[n], load(rows_NK, n, k)), zero(), zero()
            if two:
                b = add_scaled(b, scale_N[n], load(rows_NK, n, k + WIDTH))
            if three:
                c = add_scaled(c, scale_N[n], load(rows_NK, n, k + 2 * WIDTH))
            for r in range(places_Nr.shape[1]):
                weight, place, new = weights_Nr[n, r], _plain(places_Nr[n, r]), places_Nr[n, r] < 0
                _add(values_MK, place, k, weight, a, new)
                if two:
                    _add(values_MK, place, k + WIDTH, weight, b, new)
                if three:
                    _add(values_MK, place, k + 2 * WIDTH, weight, c, new)


@compiled_fast
def merge(values_MK: Float32Array, vertices: Int32Array, first: int) -> None:
    """values[vertex] += values[stand-in] for the stand-ins of these vertices, which lie from row `first` on."""
    for number in range(vertices.shape[0]):
        for k in range(0, values_MK.shape[1], WIDTH):
            total = add(load(values_MK, vertices[number], k), load(values_MK, first + number, k))
            store(values_MK, vertices[number], k, total)


@compiled_fast
def _add(values_MK: Float32Array, vertex: np.int32, k: int, weight: np.float32, row: Any, new: bool) -> None:
    """Add weight * row to the values of a vertex, or write it there if the vertex is new."""
    before = zero() if new else load(values_MK, vertex, k)
    store(values_MK, vertex, k, add_scaled(before, weight, row))


@compiled_fast
def blur(values_MK: Float32Array, order: Int32Array, begin: int, end: int) -> None:
    """values[v] += (values before v + values after v) / 2 along the chains order[begin:end] of one axis, in place.

    Chains are short, and a branch at their ends would be mispredicted each time: so the value beyond an end is
    multiplied by 0 instead. The next vertex in `order` is read once, as a neighbour now and as the vertex itself later.
    """
    columns = values_MK.shape[1]
    for k in range(0, columns, _THREE):
        b, c = min(k + WIDTH, columns - WIDTH), min(k + 2 * WIDTH, columns - WIDTH)
        _blur_columns(values_MK, order, begin, end, k, b, c)


@compiled_fast
def _blur_columns(values_MK: Float32Array, order: Int32Array, begin: int, end: int, k: int, b: int, c: int) -> None:
    """Blur 8 columns each from k, b and c on; where b or c repeats the one before it, its columns are only read."""
    if begin == end:
        return
    two, three = b > k, c > b
    half, nothing = np.float32(0.5), np.float32(0)
    vertex = _plain(order[begin])
    own_k, own_b, own_c = load(values_MK, vertex, k), load(values_MK, vertex, b), load(values_MK, vertex, c)
    before_k, before_b, before_c = zero(), zero(), zero()
    for place in range(begin, end):
        prefetch(values_MK, _plain(order[min(place + _AHEAD, end - 1)]), k)
        vertex, after = _plain(order[place]), _plain(order[min(place + 1, end - 1)])
        share = half if order[place] >= 0 else nothing
        next_k = load(values_MK, after, k)
        store(values_MK, vertex, k, add_scaled(add(own_k, before_k), share, next_k))
        before_k, own_k = add_scaled(zero(), share, own_k), next_k
        if two:
            next_b = load(values_MK, after, b)
            store(values_MK, vertex, b, add_scaled(add(own_b, before_b), share, next_b))
            before_b, own_b = add_scaled(zero(), share, own_b), next_b
        if three:
            next_c = load(values_MK, after, c)
            store(values_MK, vertex, c, add_scaled(add(own_c, before_c), share, next_c))
            before_c, own_c = add_scaled(zero(), share, own_c), next_c


@compiled_fast
def gather(
    rows_NK: Float32Array,
    more_NK: Float32Array,
    values_MK: Float32Array,
    offsets_Nr: Int32Array,
    weights_Nr: Float32Array,
    scale_N: Float32Array,
    begin: int,
    end: int,
) -> None:
    """rows = more + scale * sum of weight * values over the vertices of pixels begin .. end-1, whose rows these are."""
    columns, remainders = values_MK.shape[1], offsets_Nr.shape[1]
    for k in range(0, columns, _THREE):
        two, three = k + WIDTH < columns, k + 2 * WIDTH < columns
        for n in range(begin, end):
            row = n - begin
            a, b, c = load(more_NK, row, k), zero(), zero()
            if two:
                b = load(more_NK, row, k + WIDTH)
            if three:
                c = load(more_NK, row, k + 2 * WIDTH)
            for r in range(remainders):
                weight, vertex = scale_N[n] * weights_Nr[n, r], offsets_Nr[n, r]
                a = add_scaled(a, weight, load(values_MK, vertex, k))
                if two:
                    b = add_scaled(b, weight, load(values_MK, vertex, k + WIDTH))
                if three:
                    c = add_scaled(c, weight, load(values_MK, vertex, k + 2 * WIDTH))
            store(rows_NK, row, k, a)
            if two:
                store(rows_NK, row, k + WIDTH, b)
            if three:
                store(rows_NK, row, k + 2 * WIDTH, c)


_TOGETHER = 32
"""Rows whose exponentials are computed in one loop, which is longer than a row."""


@compiled_fast
def softmax(rows_NK: Float32Array, begin: int, end: int) -> None:
    """Turn each row into exp(row) / sum of exp(row), in place.

    Differences to the largest below -60 count as -60: below 1e-26, and none is so small that arithmetic slows down.
    """
    columns = rows_NK.shape[1]
    for first in range(begin, end, _TOGETHER):
        last = min(end, first + _TOGETHER)
        for n in range(first, last):
            largest = rows_NK[n, 0]
            for k in range(columns):
                largest = max(largest, rows_NK[n, k])
            for k in range(columns):
                rows_NK[n, k] = max(rows_NK[n, k] - largest, np.float32(-60))
        flat = rows_NK[first:last].reshape((last - first) * columns)
        for i in range(flat.shape[0]):
            flat[i] = _exp(flat[i])
        for n in range(first, last):
            total = np.float32(0)
            for k in range(columns):
                total += rows_NK[n, k]
            scale = np.float32(1) / total
            for k in range(columns):
                rows_NK[n, k] *= scale


@compiled_fast
def _exp(x: np.float32) -> np.float32:
    """Return 2^n times a polynomial of degree 7 (Cephes' expf, off by 2 units in the last place at most)."""
    power = np.floor(x * np.float32(1.44269504) + np.float32(0.5))
    rest = x - power * np.float32(0.693359375) + power * np.float32(2.12194440e-4)
    value = np.float32(1.9875691500e-4)
    value = value * rest + np.float32(1.3981999507e-3)
    value = value * rest + np.float32(8.3334519073e-3)
    value = value * rest + np.float32(4.1665795894e-2)
    value = value * rest + np.float32(1.6666665459e-1)
    value = value * rest + np.float32(5.0000001201e-1)
    value = value * rest * rest + rest + np.float32(1)
    exponent = (np.int32(power) + np.int32(127)) << np.int32(23)
    return value * np.int32(exponent).view(np.float32)  # type: ignore[no-any-return]

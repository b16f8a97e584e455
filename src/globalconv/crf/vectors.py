"""Eight floats at a time, for machine code whose innermost loop runs over the columns of a row.

The compiler cannot know that two rows do not overlap, and so checks it before every row, or gives up; these operations
say what is meant. They run on any processor: LLVM cuts a vector into what the hardware has.
"""

from collections.abc import Callable
from typing import Any

from numba.core import cgutils, types
from numba.core.datamodel import models
from numba.extending import intrinsic, register_model

WIDTH = 8
"""Rows are padded to a multiple of this many columns."""

_ir = cgutils.ir  # numba's own, so that llvmlite is no dependency of ours
_CONTRACT = ("contract",)
"""A product and a sum may become one rounded operation."""
_LINE = 64
"""Bytes of a cache line."""


class _Eight(types.Type):
    """The type of eight floats."""


_eight = _Eight(name="eight floats")


@register_model(_Eight)
class _EightModel(models.PrimitiveModel):  # type: ignore[misc]
    """Held in a vector register."""

    def __init__(self, manager: Any, kind: Any) -> None:
        super().__init__(manager, kind, _ir.VectorType(_ir.FloatType(), WIDTH))


def _place(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
    """Return the address of rows[row, column], the first three arguments."""
    array = context.make_array(signature.args[0])(context, builder, arguments[0])
    pairs = zip(arguments[1:3], signature.args[1:3], strict=True)
    indices = [context.cast(builder, value, kind, types.intp) for value, kind in pairs]
    return cgutils.get_item_pointer(context, builder, signature.args[0], array, indices, wraparound=False)


def _vector_place(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
    place = _place(context, builder, signature, arguments)
    return builder.bitcast(place, _ir.VectorType(_ir.FloatType(), WIDTH).as_pointer())


def _load(typing_context: Any, rows: Any, row: Any, column: Any) -> Any:
    """rows[row, column : column + 8]."""

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.load(_vector_place(context, builder, signature, arguments), align=4)

    return _eight(rows, row, column), emit


def _store(typing_context: Any, rows: Any, row: Any, column: Any, values: Any) -> Any:
    """rows[row, column : column + 8] = values."""

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        builder.store(arguments[3], _vector_place(context, builder, signature, arguments), align=4)
        return context.get_dummy_value()

    return types.void(rows, row, column, values), emit


def _add_scaled(typing_context: Any, total: Any, factor: Any, values: Any) -> Any:
    """total + factor * values."""

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        scaled = builder.fmul(_spread(builder, arguments[1]), arguments[2], flags=_CONTRACT)
        return builder.fadd(arguments[0], scaled, flags=_CONTRACT)

    return _eight(total, types.float32, values), emit


def _add(typing_context: Any, one: Any, other: Any) -> Any:
    """one + other."""

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.fadd(arguments[0], arguments[1])

    return _eight(one, other), emit


def _zero(typing_context: Any) -> Any:
    """Eight zeros."""

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return _ir.Constant(_ir.VectorType(_ir.FloatType(), WIDTH), [0.0] * WIDTH)

    return _eight(), emit


def _spread(builder: Any, factor: Any) -> Any:
    """Return a vector of one number."""
    kind = _ir.VectorType(factor.type, WIDTH)
    one = builder.insert_element(_ir.Constant(kind, _ir.Undefined), factor, _ir.IntType(32)(0))
    return builder.shuffle_vector(one, one, _ir.Constant(_ir.VectorType(_ir.IntType(32), WIDTH), [0] * WIDTH))


def _prefetch(typing_context: Any, rows: Any, row: Any, column: Any) -> Any:
    """Ask for two cache lines from rows[row, column] on before they are needed. Reads nothing, so any place will do."""

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        first = _place(context, builder, signature, arguments)
        byte, number = _ir.IntType(8).as_pointer(), _ir.IntType(32)
        kind = _ir.FunctionType(_ir.VoidType(), [byte, number, number, number])
        ask = cgutils.get_or_insert_function(builder.module, kind, "llvm.prefetch.p0")
        start = builder.bitcast(first, byte)
        for offset in (0, _LINE):
            place = builder.gep(start, [_ir.IntType(64)(offset)])
            builder.call(ask, [place, number(0), number(3), number(1)])  # for reading, keep it, data
        return context.get_dummy_value()

    return types.void(rows, row, column), emit


load: Callable[..., Any] = intrinsic(_load)
store: Callable[..., None] = intrinsic(_store)
add_scaled: Callable[..., Any] = intrinsic(_add_scaled)
add: Callable[..., Any] = intrinsic(_add)
zero: Callable[[], Any] = intrinsic(_zero)
prefetch: Callable[..., None] = intrinsic(_prefetch)

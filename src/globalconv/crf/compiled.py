"""The one place that knows numba: functions compiled on first use, kept on disk where a folder can be written.

Nothing here uses numba's own threads, whose default layer kills a process that enters it twice: the machine code runs
without the interpreter's lock, and `crew` hands ranges of work to plain threads. That is safe beside other threads,
after a fork and beside torch's OpenMP.
"""

from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

import numba
from numba.core import cgutils, types
from numba.extending import intrinsic

P = ParamSpec("P")
R = TypeVar("R")

ir = cgutils.ir  # numba's own, so that llvmlite is no dependency of ours

_LINE = 64
"""Bytes of a cache line."""


def compiled(function: Callable[P, R]) -> Callable[P, R]:
    """Return `function` as machine code; floating-point operations stay in the order that is written."""
    return _compiled(function, fastmath=False)


def compiled_fast(function: Callable[P, R]) -> Callable[P, R]:
    """Return `function` as machine code; sums may be reordered and fused, which moves the last bits."""
    return _compiled(function, fastmath=True)


def _compiled(function: Callable[P, R], fastmath: bool) -> Callable[P, R]:
    options = {"nogil": True, "fastmath": fastmath, "error_model": "numpy"}
    try:
        machine_code: Callable[P, R] = numba.njit(cache=True, **options)(function)
    except RuntimeError:  # no folder takes a cache: every process compiles anew, which costs seconds but works
        machine_code = numba.njit(**options)(function)
    return machine_code


def _prefetch(typing_context: Any, rows: Any, row: Any) -> Any:
    """Ask for the first two cache lines of rows[row] before they are needed. Reads nothing, so any place will do."""

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        array = context.make_array(signature.args[0])(context, builder, arguments[0])
        row_number = context.cast(builder, arguments[1], signature.args[1], types.intp)
        indices = [row_number, context.get_constant(types.intp, 0)]
        first = cgutils.get_item_pointer(context, builder, signature.args[0], array, indices, wraparound=False)
        byte, number = ir.IntType(8).as_pointer(), ir.IntType(32)
        kind = ir.FunctionType(ir.VoidType(), [byte, number, number, number])
        ask = cgutils.get_or_insert_function(builder.module, kind, "llvm.prefetch.p0")
        start = builder.bitcast(first, byte)
        for offset in (0, _LINE):
            place = builder.gep(start, [ir.IntType(64)(offset)])
            builder.call(ask, [place, number(0), number(3), number(1)])  # for reading, keep it, data
        return context.get_dummy_value()

    return types.void(rows, types.int32), emit


prefetch: Callable[[Any, Any], None] = intrinsic(_prefetch)

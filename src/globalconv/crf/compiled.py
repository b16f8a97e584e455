"""Functions compiled on first use, kept on disk where a folder can be written. Only this file and `vectors` know numba.

Nothing here uses numba's own threads, whose default layer kills a process that enters it twice: the machine code runs
without the interpreter's lock, and `crew` hands ranges of work to plain threads. That is safe beside other threads,
after a fork and beside torch's OpenMP.
"""

from collections.abc import Callable
from typing import ParamSpec, TypeVar

import numba

P = ParamSpec("P")
R = TypeVar("R")


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

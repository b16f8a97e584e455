"""Functions compiled on first use, kept on disk where a folder takes them. Only this file and `crf.vectors` know numba.

Nothing here uses numba's own threads, whose default layer kills a process that enters it twice: the machine code runs
without the interpreter's lock, and `crf.crew` hands ranges of work to plain threads. That is safe beside other
threads, after a fork and beside torch's OpenMP. Importing numba costs half a second: import what is compiled where it
runs.
"""

from collections.abc import Callable
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

import numba
from numba.core.caching import FunctionCache

P = ParamSpec("P")
R = TypeVar("R")

_SHARED = [file for name in ("runtime/jit.py", "crf/kernels.py") for file in Path(__file__).parent.parent.glob(name)]
_DIGEST = sha256(b"".join(file.read_bytes() for file in _SHARED)).hexdigest()
"""Of what goes into every function's machine code, beside its own file, which numba looks at."""


def compiled(function: Callable[P, R]) -> Callable[P, R]:
    """Return `function` as machine code; floating-point operations stay in the order that is written."""
    return _compiled(function, fastmath=False)


def compiled_fast(function: Callable[P, R]) -> Callable[P, R]:
    """Return `function` as machine code; sums may be reordered and fused, which moves the last bits."""
    return _compiled(function, fastmath=True)


def _compiled(function: Callable[P, R], fastmath: bool) -> Callable[P, R]:
    machine_code: Callable[P, R] = numba.njit(nogil=True, fastmath=fastmath, error_model="numpy")(function)
    with suppress(RuntimeError):  # no folder takes a cache: every process compiles anew, which costs seconds but works
        machine_code._cache = _Cache(function)  # type: ignore[attr-defined]
    return machine_code


class _Cache(FunctionCache):  # type: ignore[misc]
    """numba's cache of machine code, which does without where the disk is full or a file is damaged.

    Code of an older version of this package is not taken for the present one's, either.
    """

    def load_overload(self, *given: Any) -> Any:
        """Return machine code, or None where there is none that can be read."""
        try:
            return super().load_overload(*given)
        except Exception:  # whatever unpickling half a file raises
            with suppress(OSError):
                self.flush()
            return None

    def save_overload(self, *given: Any) -> None:
        """Keep machine code where there is room."""
        with suppress(OSError):
            super().save_overload(*given)

    def _index_key(self, *given: Any) -> Any:
        return super()._index_key(*given), _DIGEST

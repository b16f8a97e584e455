"""Functions compiled by numba on first use and cached on disk. Only this module and `crf.kernels` import numba.

Nothing here uses numba's own threads, whose default layer kills a process that enters it twice: the machine code runs
without the interpreter's lock, and `crf.thread_pool` gives ranges of work to plain threads. That is safe beside other
threads, after a fork and beside torch's OpenMP. Importing numba costs half a second, so import compiled functions
where they are called.
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
"""Digest of the files that every function's machine code depends on beside its own, which numba checks itself."""


def compiled(function: Callable[P, R]) -> Callable[P, R]:
    """Return `function` as machine code; floating-point operations keep the order of the source."""
    return _compiled(function, fastmath=False)


def compiled_fast(function: Callable[P, R]) -> Callable[P, R]:
    """Return `function` as machine code; sums may be reordered and fused, which changes the last bits."""
    return _compiled(function, fastmath=True)


def _compiled(function: Callable[P, R], fastmath: bool) -> Callable[P, R]:
    machine_code: Callable[P, R] = numba.njit(nogil=True, fastmath=fastmath, error_model="numpy")(function)
    with suppress(RuntimeError):  # no folder is writable: every process compiles anew, which costs seconds but works
        machine_code._cache = _Cache(function)  # type: ignore[attr-defined]
    return machine_code


class _Cache(FunctionCache):  # type: ignore[misc]
    """numba's cache of machine code, which survives a full disk and damaged files.

    Its keys include `_DIGEST`, so that code of another version of this package is not used.
    """

    def load_overload(self, *arguments: Any) -> Any:
        """Return cached machine code, or None where there is none that can be read."""
        try:
            return super().load_overload(*arguments)
        except Exception:  # whatever unpickling half a file raises
            with suppress(OSError):
                self.flush()
            return None

    def save_overload(self, *arguments: Any) -> None:
        """Store machine code if there is room."""
        with suppress(OSError):
            super().save_overload(*arguments)

    def _index_key(self, *arguments: Any) -> Any:
        return super()._index_key(*arguments), _DIGEST

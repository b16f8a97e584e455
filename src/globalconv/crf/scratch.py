"""Memory for the time of one call, kept for the next one.

A call fills and leaves about 100 bytes per pixel and class. Handed back to the system, it would be cleared and mapped
page by page at the next call: a tenth of the time of a photograph.
"""

import os
import threading
from types import TracebackType
from typing import Any, Self

import numpy as np
import numpy.typing as npt

KEPT_BYTES = 256 << 20
"""Bound of the memory that is kept while nobody uses it: that of calls for photographs, not for maps."""
_ALIGN = 64
"""Bytes of a cache line, where arrays begin: a row then lies in as few lines as it can."""


def lock_over_forks() -> threading.Lock:
    """Return a lock that no fork leaves held: in a process forked while a thread holds it, nobody would release it."""
    lock = threading.Lock()
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(before=lock.acquire, after_in_parent=lock.release, after_in_child=lock.release)
    return lock


_free: list[npt.NDArray[np.uint8]] = []
_lock = lock_over_forks()


class Scratch:
    """Uninitialised arrays that are valid until the end of its `with`."""

    def __init__(self) -> None:
        self._lent: list[npt.NDArray[np.uint8]] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with _lock:
            _free.extend(self._lent)
            while sum(block.nbytes for block in _free) > KEPT_BYTES:
                _free.pop(0)
        self._lent.clear()

    def empty(self, shape: tuple[int, ...], dtype: npt.DTypeLike) -> npt.NDArray[Any]:
        """Return an array that begins at a cache line."""
        kind = np.dtype(dtype)
        size = kind.itemsize * int(np.prod(shape, dtype=np.int64))
        block = _take(size + _ALIGN)
        self._lent.append(block)
        first = -block.ctypes.data % _ALIGN
        return block[first : first + size].view(kind).reshape(shape)


def _take(size: int) -> npt.NDArray[np.uint8]:
    """Return the smallest free block that is large enough and not four times too large, or a new one.

    New ones are a quarter larger, so that the lattice of the next picture fits, too; pages that nobody touches cost
    nothing.
    """
    with _lock:
        fitting = [i for i, block in enumerate(_free) if size <= block.nbytes <= 4 * size]
        if fitting:
            return _free.pop(min(fitting, key=lambda i: _free[i].nbytes))
    return np.empty(size + size // 4, np.uint8)

"""A few plain threads that share loops, and memory. What comes out does not depend on how many there are.

Memory for the time of one call, kept for the next one.

A call fills and leaves about 100 bytes per pixel and class. Handed back to the system, it would be cleared and mapped
page by page at the next call: a tenth of the time of a photograph.
"""

import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from globalconv.runtime.processes import usable_cores

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

    New ones are a quarter larger, so that the lattice of the next image fits, too; pages that nobody touches cost
    nothing.
    """
    with _lock:
        fitting = [i for i, block in enumerate(_free) if size <= block.nbytes <= 4 * size]
        if fitting:
            return _free.pop(min(fitting, key=lambda i: _free[i].nbytes))
    return np.empty(size + size // 4, np.uint8)


CHUNK = 4096
"""Pixels that `chunks` hands out at a time: what is known of them stays in the cache between the steps of the work."""


def usable_threads() -> int:
    """Return how many threads to use: OMP_NUM_THREADS where it is set, as torch does, else the usable cores."""
    wanted = os.environ.get("OMP_NUM_THREADS", "").split(",")[0]
    if wanted.isdigit() and int(wanted) > 0:
        return int(wanted)
    return usable_cores()


class Crew:
    """The calling thread and its helpers, for the time of one `with`."""

    def __init__(self, threads: int | None = None) -> None:
        self.threads = threads or usable_threads()
        self._helpers = ThreadPoolExecutor(self.threads - 1) if self.threads > 1 else None
        self.scratch = Scratch()
        """Memory that lasts as long as the crew."""

    def __enter__(self) -> Self:
        self.scratch.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._helpers:
            self._helpers.shutdown()
        self.scratch.__exit__(kind, error, trace)

    def every(self, work: Callable[[int], object]) -> None:
        """Call `work(part)` for every part 0 .. threads-1 at the same time; return when all are done."""
        later = [self._helpers.submit(work, part) for part in range(1, self.threads)] if self._helpers else []
        try:
            work(0)
        finally:
            for future in later:
                future.result()

    def tasks(self, count: int, work: Callable[[int], object]) -> None:
        """Call `work(task)` for every task 0 .. count-1, dealt out in turn."""

        def deal(part: int) -> None:
            for task in range(part, count, self.threads):
                work(task)

        self.every(deal)

    def ranges(self, count: int, work: Callable[[int, int], object]) -> None:
        """Call `work(begin, end)` for equal shares of 0 .. count-1."""
        self.every(lambda part: work(*share(count, part, self.threads)))

    def chunks(self, count: int, work: Callable[[int, int], object]) -> None:
        """Call `work(begin, end)` for 0 .. count-1 in pieces of at most `CHUNK`."""

        def cut(begin: int, end: int) -> None:
            for first in range(begin, end, CHUNK):
                work(first, min(end, first + CHUNK))

        self.ranges(count, cut)


def share(count: int, part: int, parts: int) -> tuple[int, int]:
    """Return begin and end of one of `parts` equal shares of 0 .. count-1."""
    return count * part // parts, count * (part + 1) // parts

"""Plain threads that share loops over pixels, and memory that is reused from call to call.

The results do not depend on the number of threads. A call uses about 100 bytes per pixel and class; given back to the
system, this memory would be cleared and mapped page by page at the next call, a tenth of the time of a photograph.
"""

import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType
from typing import Any, Self, TypeVar

import numpy as np
import numpy.typing as npt

from globalconv.runtime.processes import usable_cores

R = TypeVar("R")

KEPT_BYTES = 256 << 20
"""Bound of the memory that is kept while nobody uses it: that of calls for photographs, not for maps."""
CHUNK = 4096
"""Pixels that `run_chunks` hands out at a time: their values stay in the cache between the steps of the work."""
_CACHE_LINE = 64
"""Bytes; arrays begin at a cache line, so that a row lies in as few lines as it can."""


def lock_over_forks() -> threading.Lock:
    """Return a lock that a fork never leaves held: nobody would release it in the child."""
    lock = threading.Lock()
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(before=lock.acquire, after_in_parent=lock.release, after_in_child=lock.release)
    return lock


_free_blocks: list[npt.NDArray[np.uint8]] = []
_lock = lock_over_forks()


class Buffers:
    """Uninitialised arrays that are valid until the end of its `with`."""

    def __init__(self) -> None:
        self._blocks: list[npt.NDArray[np.uint8]] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with _lock:
            _free_blocks.extend(self._blocks)
            while sum(block.nbytes for block in _free_blocks) > KEPT_BYTES:
                _free_blocks.pop(0)
        self._blocks.clear()

    def empty(self, shape: tuple[int, ...], dtype: npt.DTypeLike) -> npt.NDArray[Any]:
        """Return an array that begins at a cache line.

        It lies in the smallest free block that is large enough and not four times too large, or in a new one. New
        blocks are a quarter larger, so that the lattice of the next image fits, too; pages that nobody touches cost
        nothing.
        """
        dtype = np.dtype(dtype)
        nbytes = dtype.itemsize * int(np.prod(shape, dtype=np.int64))
        needed = nbytes + _CACHE_LINE
        with _lock:
            fitting = [i for i, block in enumerate(_free_blocks) if needed <= block.nbytes <= 4 * needed]
            smallest = min(fitting, key=lambda i: _free_blocks[i].nbytes, default=None)
            block = None if smallest is None else _free_blocks.pop(smallest)
        if block is None:
            block = np.empty(needed + needed // 4, np.uint8)
        self._blocks.append(block)
        first = -block.ctypes.data % _CACHE_LINE
        return block[first : first + nbytes].view(dtype).reshape(shape)


def usable_threads() -> int:
    """Return how many threads to use: OMP_NUM_THREADS where it is set, as torch does, else the usable cores."""
    setting = os.environ.get("OMP_NUM_THREADS", "").split(",")[0]
    if setting.isdigit() and int(setting) > 0:
        return int(setting)
    return usable_cores()


class ThreadPool:
    """The calling thread and others, for the time of one `with`; `buffers` last as long."""

    def __init__(self, threads: int | None = None) -> None:
        self.threads = threads or usable_threads()
        self._others = ThreadPoolExecutor(self.threads - 1) if self.threads > 1 else None
        self.buffers = Buffers()

    def __enter__(self) -> Self:
        self.buffers.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._others:
            self._others.shutdown()
        self.buffers.__exit__(kind, error, trace)

    def run_on_each_thread(self, work: Callable[[int], object]) -> None:
        """Call `work(thread)` for every thread 0 .. threads-1 at the same time; return when all are done."""
        futures = [self._others.submit(work, thread) for thread in range(1, self.threads)] if self._others else []
        try:
            work(0)
        finally:
            for future in futures:
                future.result()

    def run_tasks(self, count: int, work: Callable[[int], R]) -> list[R]:
        """Return `work(task)` for every task 0 .. count-1, dealt out to the threads in turn."""
        results: list[Any] = [None] * count

        def run(thread: int) -> None:
            for task in range(thread, count, self.threads):
                results[task] = work(task)

        self.run_on_each_thread(run)
        return results

    def run_ranges(self, count: int, work: Callable[[int, int], object]) -> None:
        """Call `work(begin, end)` for equal ranges of 0 .. count-1, one per thread."""
        self.run_on_each_thread(
            lambda thread: work(count * thread // self.threads, count * (thread + 1) // self.threads)
        )

    def run_chunks(self, count: int, work: Callable[[int, int], object]) -> None:
        """Call `work(begin, end)` for 0 .. count-1 in pieces of at most `CHUNK`."""

        def run(begin: int, end: int) -> None:
            for first in range(begin, end, CHUNK):
                work(first, min(end, first + CHUNK))

        self.run_ranges(count, run)

"""A few plain threads that share loops, and memory. What comes out does not depend on how many there are."""

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType
from typing import Self

from globalconv.crf.scratch import Scratch
from globalconv.processes import usable_cores

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

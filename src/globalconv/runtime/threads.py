"""Work that overlaps: reading ahead in a thread, what threads share while it lasts, and what the time goes into."""

import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from itertools import islice
from typing import Any, TypeVar

J = TypeVar("J")
R = TypeVar("R")


class Shares:
    """The seconds that each part of some work takes. Parts that overlap may add up to more than the whole."""

    def __init__(self, *parts: str) -> None:
        self._began = time.perf_counter()
        self._seconds = dict.fromkeys(parts, 0.0)

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        """Count the time inside as that of `name`."""
        began = time.perf_counter()
        try:
            yield
        finally:
            self._seconds[name] = self._seconds.get(name, 0.0) + time.perf_counter() - began

    def line(self, done: int, unit: str) -> str:
        """Return the rate of `done` units, and how much of the time each part was at work."""
        from globalconv.runtime.progress import duration  # draws, which those who only read images need not wait for

        whole = max(time.perf_counter() - self._began, 1e-9)
        parts = ", ".join(f"{name} {seconds / whole:.0%}" for name, seconds in self._seconds.items())
        return f"{done} {unit} in {duration(whole)}, {done / whole:.2f} {unit}/s; of the time: {parts} (they overlap)"


class Override:
    """Something that the whole process shares, set while anybody is inside; who leaves last puts it back.

    Of several that are inside at once, in whatever threads, the last one that came decides.
    """

    def __init__(self, owner: Any, name: str) -> None:
        self.owner, self.name = owner, name
        self._lock = threading.Lock()
        self._before: Any = None
        self._inside: dict[object, Any] = {}

    @contextmanager
    def to(self, value: Any) -> Iterator[None]:
        """Set it to `value` inside."""
        me = object()
        with self._lock:
            if not self._inside:
                self._before = getattr(self.owner, self.name)
            self._inside[me] = value
            setattr(self.owner, self.name, value)
        try:
            yield
        finally:
            with self._lock:
                del self._inside[me]
                setattr(self.owner, self.name, [self._before, *self._inside.values()][-1])


def alike(items: Iterable[J], same: Callable[[J, J], bool], most: int) -> Iterator[list[J]]:
    """Yield consecutive items that are the `same` together, up to `most` of them."""
    batch: list[J] = []
    for item in items:
        if batch and (len(batch) == most or not same(item, batch[0])):
            yield batch
            batch = []
        batch.append(item)
    if batch:
        yield batch


def ahead(work: Callable[[J], R], jobs: Iterable[J], depth: int) -> Iterator[Future[R]]:
    """Yield what `work` makes of each job, in order, while a thread works on up to `depth` jobs that come after it.

    Whoever stops early waits for the job at hand at most.
    """
    remaining, waiting = iter(jobs), deque[Future[R]]()
    with ThreadPoolExecutor(1) as thread:
        try:
            waiting.extend(thread.submit(work, job) for job in islice(remaining, depth + 1))
            while waiting:
                first = waiting.popleft()
                yield first
                waiting.extend(thread.submit(work, job) for job in islice(remaining, 1))
        finally:
            for future in waiting:
                future.cancel()

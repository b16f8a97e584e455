"""Work that overlaps: prefetching in a thread, overrides that threads share, and the time that each stage takes."""

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


class StageTimes:
    """The seconds spent in each stage of a pipeline. Stages that overlap may add up to more than the whole."""

    def __init__(self, *stages: str) -> None:
        self._began = time.perf_counter()
        self._seconds = dict.fromkeys(stages, 0.0)

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Add the time inside the block to the stage `name`."""
        began = time.perf_counter()
        try:
            yield
        finally:
            self._seconds[name] = self._seconds.get(name, 0.0) + time.perf_counter() - began

    def summary(self, done: int, unit: str) -> str:
        """Return one line: the rate of `done` units so far, and the share of the time that each stage was busy."""
        from globalconv.runtime.progress import duration  # imports rich, which reading images does not need

        whole = max(time.perf_counter() - self._began, 1e-9)
        busy = ", ".join(f"{name} {seconds / whole:.0%}" for name, seconds in self._seconds.items())
        return f"{done} {unit} in {duration(whole)}, {done / whole:.2f} {unit}/s; of the time: {busy} (they overlap)"


class Override:
    """An attribute of a module or object that several threads may override at once.

    Inside `to(value)` the attribute is `value`; with several overrides at a time the newest wins. The original value
    comes back when the last one ends, in whatever order they end.
    """

    def __init__(self, owner: Any, name: str) -> None:
        self.owner, self.name = owner, name
        self._lock = threading.Lock()
        self._original: Any = None
        self._active: dict[object, Any] = {}

    @contextmanager
    def to(self, value: Any) -> Iterator[None]:
        """Override the attribute by `value` inside the block."""
        key = object()
        with self._lock:
            if not self._active:
                self._original = getattr(self.owner, self.name)
            self._active[key] = value
            setattr(self.owner, self.name, value)
        try:
            yield
        finally:
            with self._lock:
                del self._active[key]
                setattr(self.owner, self.name, [self._original, *self._active.values()][-1])


def group_consecutive(items: Iterable[J], same: Callable[[J, J], bool], limit: int) -> Iterator[list[J]]:
    """Yield `items` in their order as lists of neighbours that are the `same`, at most `limit` in each.

    A full list is yielded before the next item is asked for.
    """
    group: list[J] = []
    for item in items:
        if group and not same(item, group[0]):
            yield group
            group = []
        group.append(item)
        if len(group) == limit:
            yield group
            group = []
    if group:
        yield group


def prefetch(work: Callable[[J], R], jobs: Iterable[J], depth: int) -> Iterator[Future[R]]:
    """Yield the results of `work(job)` in order, as futures, while a thread works on the next `depth` jobs.

    Closing the iterator early waits for the current job only.
    """
    remaining, pending = iter(jobs), deque[Future[R]]()
    with ThreadPoolExecutor(1) as thread:
        try:
            pending.extend(thread.submit(work, job) for job in islice(remaining, depth + 1))
            while pending:
                yield pending.popleft()
                pending.extend(thread.submit(work, job) for job in islice(remaining, 1))
        finally:
            for future in pending:
                future.cancel()

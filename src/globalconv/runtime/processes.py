"""Work spread over processes, each a fresh one: forking a program that has started threads can hang."""

import os
import signal
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from multiprocessing import active_children, get_context, parent_process
from threading import Thread
from typing import Any, TypeVar

from globalconv.errors import InputError

CHUNK = 8
"""Jobs that a process is given at a time."""

J = TypeVar("J")
R = TypeVar("R")


@dataclass(frozen=True)
class Share:
    """Which part of something is this process's own, where several processes divide it."""

    index: int
    count: int


WHOLE = Share(0, 1)


def is_first_process() -> bool:
    """Return whether this is the process that speaks and writes, where several train together.

    Whoever starts them (Lightning, torchrun) says in the environment which one is which.
    """
    if "RANK" in os.environ:
        return os.environ["RANK"] == "0"
    return os.environ.get("LOCAL_RANK", "0") == "0" and os.environ.get("NODE_RANK", "0") == "0"


def usable_cores() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def ignore_signals(*_: object) -> None:
    """Leave Ctrl-C and SIGTERM to the parent: workers end with it."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)


def spread(
    work: Callable[[J], R],
    jobs: Sequence[J],
    count: int,
    name: Callable[[J], str],
    begin: Callable[..., object] | None = None,
    given: tuple[Any, ...] = (),
) -> Iterator[R]:
    """Yield `work(job)` of all `jobs` in order, done by `count` processes that each called `begin(*given)` first.

    Whoever closes the iterator, or is stopped, need not wait for the jobs at hand. `InputError`, with what `name` says
    of a job, where a process dies.
    """
    done, strangers = 0, {*active_children()}
    pool = ProcessPoolExecutor(count, get_context("spawn"), _begin, (begin, given))
    parts = deque(pool.submit(_all, work, jobs[start : start + CHUNK]) for start in range(0, len(jobs), CHUNK))
    try:
        while parts:  # what has been handed on is not kept
            for result in parts.popleft().result():
                done += 1
                yield result
    except BrokenProcessPool:
        raise InputError(
            f"{name(jobs[done])}: a process died near this sample, most likely for lack of memory; look at its size, or"
            " give `workers` 1"
        ) from None
    finally:
        # Cancelling instead would leave the jobs at hand running, and a part that is cancelled when its process dies
        # makes the pool's own thread print a traceback.
        for process in {*active_children()} - strangers:
            process.kill()
        pool.shutdown(wait=False)


def _begin(begin: Callable[..., object] | None, given: tuple[Any, ...]) -> None:
    ignore_signals()
    Thread(target=_end_with_parent, daemon=True).start()
    if begin is not None:
        begin(*given)


def _end_with_parent() -> None:
    """Leave no worker behind that waits for ever, and heeds no signal, when its parent is killed."""
    parent = parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)


def _all(work: Callable[[J], R], jobs: Sequence[J]) -> list[R]:
    return [work(job) for job in jobs]

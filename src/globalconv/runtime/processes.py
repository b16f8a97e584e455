"""Worker processes, always started fresh: forking a program that has started threads can hang."""

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
"""Jobs that a worker process receives at a time."""

J = TypeVar("J")
R = TypeVar("R")


@dataclass(frozen=True)
class Shard:
    """The part number `index` of something that `count` processes divide among themselves."""

    index: int
    count: int


WHOLE = Shard(0, 1)


def is_first_process() -> bool:
    """Return whether this is the process that prints and writes, where several train together.

    Their launcher (Lightning, torchrun) sets the variables that tell them apart.
    """
    if "RANK" in os.environ:
        return os.environ["RANK"] == "0"
    return os.environ.get("LOCAL_RANK", "0") == "0" and os.environ.get("NODE_RANK", "0") == "0"


def usable_cores() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def ignore_signals(*_: object) -> None:
    """Ignore Ctrl-C and SIGTERM in a worker: its parent handles them and ends it."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)


def map_in_processes(
    work: Callable[[J], R],
    jobs: Sequence[J],
    count: int,
    name: Callable[[J], str],
    initializer: Callable[..., object] | None = None,
    arguments: tuple[Any, ...] = (),
) -> Iterator[R]:
    """Yield `work(job)` of all `jobs` in order, computed by `count` processes.

    Each process first calls `initializer(*arguments)`. Closing the iterator does not wait for unfinished jobs.
    Raises `InputError` where a process dies, with `name(job)` for the first job without a result.
    """
    done, others = 0, {*active_children()}
    pool = ProcessPoolExecutor(count, get_context("spawn"), _start_worker, (initializer, arguments))
    # `list(map(...))` runs in the worker: a `map` pickles as its function and its items.
    chunks = deque(pool.submit(list, map(work, jobs[at : at + CHUNK])) for at in range(0, len(jobs), CHUNK))
    try:
        while chunks:  # `popleft`, so that results handed on are not kept
            for result in chunks.popleft().result():
                done += 1
                yield result
    except BrokenProcessPool:
        raise InputError(
            f"{name(jobs[done])}: a process died near this sample, most likely for lack of memory; look at its size, or"
            " give `workers` 1"
        ) from None
    finally:
        # Killed, not cancelled: running jobs would go on, and a chunk that is cancelled when its process dies makes
        # the pool's own thread print a traceback.
        for process in {*active_children()} - others:
            process.kill()
        pool.shutdown(wait=False)


def _start_worker(initializer: Callable[..., object] | None, arguments: tuple[Any, ...]) -> None:
    """Prepare a worker process, which ends when its parent is killed, instead of waiting for jobs for ever."""
    parent = parent_process()
    assert parent is not None

    def exit_with_parent() -> None:
        parent.join()
        os._exit(1)

    ignore_signals()
    Thread(target=exit_with_parent, daemon=True).start()
    if initializer is not None:
        initializer(*arguments)

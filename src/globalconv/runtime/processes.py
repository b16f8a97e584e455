"""Worker processes, always started fresh: forking a program that has started threads can hang."""

import atexit
import contextlib
import os
import signal
import traceback
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from multiprocessing import get_context, parent_process, resource_tracker
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from threading import Thread
from typing import Any, Generic, TypeVar

from globalconv.errors import InputError
from globalconv.runtime.signals import SIGNALS

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
    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN)


@contextlib.contextmanager
def hold_signals() -> Iterator[None]:
    """Let Ctrl-C and SIGTERM wait until the end of the block, and in a process that is started in it for ever."""
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        yield
        return
    resource_tracker.ensure_running()  # which the first process starts, and which would let them in
    before = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def map_in_processes(
    work: Callable[[J], R],
    jobs: Sequence[J],
    count: int,
    name: Callable[[J], str],
    initializer: Callable[..., object] | None = None,
    arguments: tuple[Any, ...] = (),
) -> Iterator[R]:
    """Yield `work(job)` of all `jobs` in order, computed by at most `count` processes.

    Each process first calls `initializer(*arguments)`. Closing the iterator does not wait for unfinished jobs.
    Raises what a job raises, and `InputError` where a process dies, with `name(job)` for the first job of those that
    it had taken.

    When the iterator ends, in whatever way, the processes have ended, too. No thread takes part, as does that of
    `concurrent.futures`, which is still at work when a pool of killed processes is left: the end of the program may
    meet it while it closes what both of them use.
    """
    workers = _Workers[J, R]([jobs[at : at + CHUNK] for at in range(0, len(jobs), CHUNK)], name)
    # Before multiprocessing waits for its children, where this iterator is left and not closed.
    atexit.register(workers.stop)
    try:
        workers.start(count, work, initializer, arguments)
        for chunk in range(len(workers.chunks)):
            while chunk not in workers.done:
                workers.collect(None)
            for result in workers.done.pop(chunk):
                yield result
                workers.collect(0)  # whoever takes the results may be slow, too
    finally:
        workers.stop()
        atexit.unregister(workers.stop)


class _Workers(Generic[J, R]):
    """Processes that work on chunks of jobs, and the results that are there."""

    def __init__(self, chunks: Sequence[Sequence[J]], name: Callable[[J], str]) -> None:
        self.chunks, self.name = chunks, name
        self.done: dict[int, list[R]] = {}
        """Results by the number of their chunk, until they are taken out."""
        self._waiting = deque(range(len(chunks)))
        self._at_work: dict[Connection, int] = {}
        """The chunk that the process at the other end works on."""
        self._processes: list[BaseProcess] = []
        self._connections: list[Connection] = []

    def start(
        self,
        count: int,
        work: Callable[[J], R],
        initializer: Callable[..., object] | None,
        arguments: tuple[Any, ...],
    ) -> None:
        """Start at most `count` processes, each with a chunk to work on."""
        context = get_context("spawn")
        for _ in range(min(count, len(self.chunks))):
            connection, theirs = context.Pipe()
            process = context.Process(target=_serve, args=(theirs, work, initializer, arguments))
            self._processes.append(process)
            self._connections.append(connection)
            try:
                with hold_signals():
                    process.start()
            except ConnectionError:
                raise self._death(0) from None
            theirs.close()
            self._hand_out(connection)

    def collect(self, timeout: float | None) -> None:
        """Take the results that are there, and give those who sent them more; wait for one if `timeout` is None."""
        ready = wait([*self._at_work], timeout)
        for connection in [one for one in self._at_work if one in ready]:
            chunk = self._at_work.pop(connection)
            try:
                results, error = connection.recv()
            except (EOFError, ConnectionError):
                raise self._death(chunk) from None
            if error is not None:
                raise error
            self.done[chunk] = results
            self._hand_out(connection)

    def stop(self) -> None:
        """Kill the processes: whatever they still do is for nobody."""
        started = [process for process in self._processes if process.pid is not None]
        for process in started:
            process.kill()
        for process in started:
            process.join()
            process.close()
        for connection in self._connections:
            connection.close()
        self._processes.clear()

    def _hand_out(self, connection: Connection) -> None:
        """Give a process that has nothing to do the next chunk, if there is one."""
        if self._waiting:
            self._at_work[connection] = chunk = self._waiting.popleft()
            try:
                connection.send(self.chunks[chunk])
            except ConnectionError:
                raise self._death(chunk) from None

    def _death(self, chunk: int) -> InputError:
        return InputError(
            f"{self.name(self.chunks[chunk][0])}: a process died near this sample, most likely for lack of memory; look"
            " at its size, or give `workers` 1"
        )


def _serve(
    connection: Connection,
    work: Callable[[J], R],
    initializer: Callable[..., object] | None,
    arguments: tuple[Any, ...],
) -> None:
    """Answer each list of jobs from `connection` with (results, None) or (None, what was raised), in a process.

    The process ends when its parent is killed, instead of waiting for jobs for ever.
    """
    parent = parent_process()
    assert parent is not None

    def exit_with_parent() -> None:
        parent.join()
        os._exit(1)

    ignore_signals()
    Thread(target=exit_with_parent, daemon=True).start()
    with contextlib.suppress(EOFError, ConnectionError):  # the parent has ended, or has no more jobs
        while True:
            jobs = connection.recv()
            try:
                if initializer is not None:
                    initializer(*arguments)
                    initializer = None
                results = [work(job) for job in jobs]
            except Exception as error:
                error.add_note(f"in a worker process:\n{traceback.format_exc()}")
                connection.send((None, error))
            else:
                connection.send((results, None))

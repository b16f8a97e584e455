"""Progress of long work: a live bar in a terminal, plain lines elsewhere; both with rate and time left."""

import sys
import time
from collections.abc import Mapping
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bar

from globalconv.errors import discard_output
from globalconv.runtime.text import printable

PLAIN_SECONDS = 10.0
"""Shortest time between two plain lines."""


def duration(seconds: float) -> str:
    """Return `seconds` as 42s, 3m05s or 2h07m."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole}s"
    if whole < 3600:
        return f"{whole // 60}m{whole % 60:02d}s"
    return f"{whole // 3600}h{whole % 3600 // 60:02d}m"


class _Console(Console):
    """Standard error that goes silent when its reader has gone, where rich would end the process."""

    def on_broken_pipe(self) -> None:
        self.quiet = True
        discard_output(sys.stderr)


class Progress:
    """The display of work of `total` units, `start` of which are done already; a context manager around the work.

    It writes to standard error, so that results on standard output stay clean.
    """

    def __init__(self, title: str, total: int, unit: str, start: int = 0, console: Console | None = None) -> None:
        self.title, self.total, self.unit, self.start = printable(title), total, unit, start
        self._console = console or _Console(stderr=True, highlight=False, markup=False, emoji=False)
        self._bar: Bar | None = None
        self._ended = False
        self._began = self._written = time.monotonic()

    def __enter__(self) -> "Progress":
        self._began = self._written = time.monotonic()
        if self._console.is_terminal:
            self._bar = Bar(
                TextColumn("{task.description}", markup=False),
                BarColumn(bar_width=20),
                MofNCompleteColumn(),
                TimeRemainingColumn(compact=True),
                TextColumn("{task.fields[facts]}", markup=False),
                console=self._console,
            )
            self._bar.start()
            self._bar.add_task(self.title, total=self.total, completed=self.start, facts="")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()

    def update(self, done: int, facts: Mapping[str, str] | None = None, total: int | None = None) -> None:
        """Show that `done` units are done, with `facts` (name -> value); `total` replaces the number given at first."""
        self.total = self.total if total is None else total
        now = time.monotonic()
        rate = (done - self.start) / max(now - self._began, 1e-9)
        words = [f"{rate:.2f} {self.unit}/s", *(f"{name} {value}" for name, value in (facts or {}).items())]
        if self._bar is not None:
            self._bar.update(self._bar.task_ids[0], total=self.total, completed=done, facts=printable("  ".join(words)))
        elif now - self._written >= PLAIN_SECONDS or (done == self.total and not self._ended):
            self._written, self._ended = now, done == self.total
            left = duration((self.total - done) / rate) if rate > 0 else "?"
            self.print("  ".join([f"{self.title} {done}/{self.total}", f"{left} left", *words]))

    def print(self, line: str) -> None:
        """Print a line above the bar."""
        try:
            self._console.print(printable(line), soft_wrap=True, markup=False, emoji=False)
        except OSError:  # a full disk, say: the work goes on
            self._console.quiet = True
            discard_output(sys.stderr)

"""Ctrl-C and SIGTERM: stop at once where nothing is at stake, after the current step where something is."""

import contextlib
import os
import signal
from collections.abc import Iterator
from types import FrameType

from globalconv.errors import StoppedError

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class StopRequest:
    """Remembers that a signal asked the process to stop.

    Until `patient()` is entered a signal raises `StoppedError` where it strikes (start-up, reading). Inside it, a
    signal only sets `signal_number`, and the loop calls `check()` where its state is safe.
    """

    def __init__(self) -> None:
        self.signal_number: int | None = None
        self._patient = False

    @contextlib.contextmanager
    def listening(self) -> Iterator["StopRequest"]:
        """Take over both signals for a while; only the main thread may."""
        before = {number: signal.signal(number, self._receive) for number in SIGNALS}
        try:
            yield self
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    @contextlib.contextmanager
    def patient(self) -> Iterator[None]:
        """Let signals wait for `check()`."""
        self._patient = True
        try:
            self.check()
            yield
        finally:
            self._patient = False

    def check(self) -> None:
        """Raise `StoppedError` if a signal came."""
        if self.signal_number is not None:
            raise StoppedError(f"stopped by {signal.Signals(self.signal_number).name}", self.signal_number)

    def _receive(self, number: int, frame: FrameType | None) -> None:
        self.signal_number = number
        if not self._patient:
            self.check()
        with contextlib.suppress(OSError):  # Ctrl-C ends a `| tee` as well, and the state is still to be saved
            os.write(2, b"\nstopping after this step\n")  # print is not safe in a signal handler

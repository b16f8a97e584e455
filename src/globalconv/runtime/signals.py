"""Ctrl-C and SIGTERM: stop at once where nothing is at stake, after the current step where something is."""

import contextlib
import os
import signal
import threading
from _thread import interrupt_main
from collections.abc import Iterator
from importlib.machinery import ExtensionFileLoader
from types import FrameType

from globalconv.errors import StoppedError

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class StopRequest:
    """Remembers that a signal asked the process to stop.

    Until `patient()` is entered a signal raises `StoppedError` where it strikes (start-up, reading), or soon after the
    compiled module that was being loaded then: C++ that runs Python, as that of `import torch` does, may swallow the
    exception or abort the process. Inside `patient()`, a signal only sets `signal_number`, and the loop calls `check()`
    where its state is safe.
    """

    def __init__(self) -> None:
        self.signal_number: int | None = None
        self._patient = False
        self._listening = False

    @contextlib.contextmanager
    def listening(self) -> Iterator["StopRequest"]:
        """Take over both signals for a while; only the main thread may."""
        before = {number: signal.signal(number, self._receive) for number in SIGNALS}
        self._listening = True
        try:
            yield self
        finally:
            self._listening = False
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
        if not self._patient and _in_an_extension(frame):
            self._strike_again_later(number)
            return
        if not self._patient:
            self.check()
        with contextlib.suppress(OSError):  # Ctrl-C ends a `| tee` as well, and the state is still to be saved
            os.write(2, b"\nstopping after this step\n")  # print is not safe in a signal handler

    def _strike_again_later(self, number: int) -> None:
        def strike() -> None:
            if self._listening:
                interrupt_main(signal.Signals(number))

        timer = threading.Timer(0.02, strike)
        timer.daemon = True
        timer.start()


def _in_an_extension(frame: FrameType | None) -> bool:
    """Whether a compiled module is being loaded: no exception should leave what Python its C++ runs."""
    while frame is not None:
        if isinstance(frame.f_locals.get("self"), ExtensionFileLoader):
            return True
        frame = frame.f_back
    return False

"""Ctrl-C and SIGTERM: stop at once where nothing can be lost, after the current step where something can."""

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

    While `listening()`, a signal raises `StoppedError` where it arrives. Inside `deferred()` it only sets
    `signal_number`, and the work calls `check()` where its state is safe.
    """

    def __init__(self) -> None:
        self.signal_number: int | None = None
        self._deferred = False
        self._listening = False

    @contextlib.contextmanager
    def listening(self) -> Iterator["StopRequest"]:
        """Handle both signals inside the block; only the main thread may."""
        before = {number: signal.signal(number, self._receive) for number in SIGNALS}
        self._listening = True
        try:
            yield self
        finally:
            self._listening = False
            for number, handler in before.items():
                signal.signal(number, handler)

    @contextlib.contextmanager
    def deferred(self) -> Iterator[None]:
        """Let signals inside the block wait for `check()`."""
        self._deferred = True
        try:
            self.check()
            yield
        finally:
            self._deferred = False

    def check(self) -> None:
        """Raise `StoppedError` if a signal has arrived."""
        if self.signal_number is not None:
            raise StoppedError(f"stopped by {signal.Signals(self.signal_number).name}", self.signal_number)

    def _receive(self, number: int, frame: FrameType | None) -> None:
        """Handle a signal."""
        self.signal_number = number
        if self._deferred:
            with contextlib.suppress(OSError):  # Ctrl-C ends a `| tee` as well, and the state is still to be saved
                os.write(2, b"\nstopping after this step\n")  # print is not safe in a signal handler
        elif _loads_extension(frame):
            # C++ that runs Python while it is loaded, as that of torch does, may swallow an exception or abort the
            # process: raise the signal again a little later, until the module is loaded.
            timer = threading.Timer(0.02, lambda: interrupt_main(signal.Signals(number)) if self._listening else None)
            timer.daemon = True
            timer.start()
        else:
            self.check()


def _loads_extension(frame: FrameType | None) -> bool:
    """Return whether a compiled module is being loaded in `frame` or one of its callers."""
    while frame is not None:
        if isinstance(frame.f_locals.get("self"), ExtensionFileLoader):
            return True
        frame = frame.f_back
    return False

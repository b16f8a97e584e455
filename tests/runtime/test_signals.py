"""A signal stops at once where nothing is at stake, waits where something is, and is nobody's `Exception`."""

import os
import signal
import time
from importlib.machinery import ExtensionFileLoader
from types import ModuleType

import pytest

from globalconv.errors import StoppedError
from globalconv.runtime.signals import StopRequest


def test_stops_at_once_and_except_exception_does_not_catch_it() -> None:
    with StopRequest().listening(), pytest.raises(StoppedError, match="SIGTERM") as end:
        try:
            os.kill(os.getpid(), signal.SIGTERM)
        except Exception:
            pytest.fail("taken for a failure")
    assert end.value.exit_code == 143


def test_waits_while_deferred(capfd: pytest.CaptureFixture[str]) -> None:
    with StopRequest().listening() as stop:
        with stop.deferred():
            os.kill(os.getpid(), signal.SIGINT)
            done = True
        assert done
        with pytest.raises(StoppedError) as end:
            stop.check()
    assert end.value.exit_code == 130
    assert "stopping after this step" in capfd.readouterr().err


def test_a_signal_before_the_block_is_not_forgotten() -> None:
    """Somebody's bare `except:` around a slow import may have swallowed the first raise."""
    with StopRequest().listening() as stop:
        with pytest.raises(StoppedError):
            os.kill(os.getpid(), signal.SIGTERM)
        with pytest.raises(StoppedError), stop.deferred():
            pytest.fail("began to train")


def test_hands_the_signals_back() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with StopRequest().listening():
        assert signal.getsignal(signal.SIGTERM) != before
    assert signal.getsignal(signal.SIGTERM) == before


def test_a_signal_while_a_compiled_module_is_loaded_waits_for_its_end() -> None:
    """An exception in Python that the C++ of such a module runs, as that of torch does, would abort the process."""

    class Loader(ExtensionFileLoader):
        def exec_module(self, module: ModuleType) -> None:
            signal.raise_signal(signal.SIGTERM)
            loaded.append(module)

    loaded: list[ModuleType] = []
    with pytest.raises(StoppedError) as stopped, StopRequest().listening():
        Loader("compiled", "compiled.so").exec_module(ModuleType("compiled"))
        assert loaded
        for _ in range(6000):  # broken off
            time.sleep(0.01)
    assert stopped.value.exit_code == 143

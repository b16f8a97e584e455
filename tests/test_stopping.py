"""A signal stops at once where nothing is at stake, waits where something is, and is nobody's `Exception`."""

import os
import signal

import pytest

from globalconv.errors import StoppedError
from globalconv.stopping import StopRequest


def test_stops_at_once_and_no_handler_of_failures_swallows_it() -> None:
    with StopRequest().listening(), pytest.raises(StoppedError, match="SIGTERM") as end:
        try:
            os.kill(os.getpid(), signal.SIGTERM)
        except Exception:
            pytest.fail("taken for a failure")
    assert end.value.exit_code == 143


def test_waits_while_patient(capfd: pytest.CaptureFixture[str]) -> None:
    with StopRequest().listening() as stop:
        with stop.patient():
            os.kill(os.getpid(), signal.SIGINT)
            done = True
        assert done
        with pytest.raises(StoppedError) as end:
            stop.check()
    assert end.value.exit_code == 130
    assert "stopping after this step" in capfd.readouterr().err


def test_a_signal_that_came_before_patience_is_not_forgotten() -> None:
    """Somebody's bare `except:` around a slow import may have swallowed the first raise."""
    with StopRequest().listening() as stop:
        with pytest.raises(StoppedError):
            os.kill(os.getpid(), signal.SIGTERM)
        with pytest.raises(StoppedError), stop.patient():
            pytest.fail("began to train")


def test_hands_the_signals_back() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with StopRequest().listening():
        assert signal.getsignal(signal.SIGTERM) != before
    assert signal.getsignal(signal.SIGTERM) == before

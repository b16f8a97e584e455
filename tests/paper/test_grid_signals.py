"""Real processes on one grid: killed, stopped, and two at a time; nothing that is done is done again."""

import signal
import time
from collections.abc import Callable
from multiprocessing.context import ForkServerProcess
from pathlib import Path

import pytest
from helpers.grid_process import start
from helpers.training import write_blobs

from globalconv.paper.results import read_results

pytestmark = pytest.mark.slow


def wait_for(condition: Callable[[], bool], process: ForkServerProcess) -> None:
    while not condition():
        assert process.is_alive()
        time.sleep(0.01)


def test_a_killed_and_stopped_grid_is_resumed_and_processes_share_it(tmp_path: Path) -> None:
    write_blobs(tmp_path / "blobs")
    runs, results = tmp_path / "runs/paper", tmp_path / "results/paper"

    killed = start(tmp_path, "killed")
    wait_for(lambda: any(runs.rglob("step-*.ckpt")), killed)
    killed.kill()
    killed.join()
    begun = {path.name for path in runs.iterdir()}
    assert killed.exitcode == -signal.SIGKILL
    assert len(begun) == 1 and not read_results(results)

    stopped = start(tmp_path, "stopped", "--log-every", "7")  # changes nothing, so it may go on with it
    wait_for(lambda: len(read_results(results)) == 1 and any(runs.rglob("step-*.ckpt")), stopped)
    stopped.terminate()
    stopped.join()
    messages = (tmp_path / "stopped").read_text()
    assert stopped.exitcode == 128 + signal.SIGTERM, messages
    assert "the same command goes on" in messages
    assert read_results(results).keys() == begun
    starts = next(runs.joinpath(*begun).rglob("metrics.jsonl")).read_text().count('"event": "start"')
    assert starts == 2  # of which the second went on from a checkpoint of the first

    kept = {file: file.stat().st_mtime_ns for file in results.iterdir()}
    processes = [start(tmp_path, name) for name in ("one", "two")]
    for process in processes:
        process.join()
    messages = "".join((tmp_path / name).read_text() for name in ("one", "two"))
    assert [process.exitcode for process in processes] == [0, 0], messages
    assert len(read_results(results)) == 3
    assert messages.count(" of 3 done  now ") == 2  # each by one process
    assert all(file.stat().st_mtime_ns == time for file, time in kept.items())

"""Worker processes: results in order, and nothing of them is left when the iterator ends, however it ends."""

import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from helpers.jobs import die, large, refuse, refuse_to_start, square

from globalconv.errors import InputError
from globalconv.runtime.processes import CHUNK, map_in_processes


@pytest.fixture
def nothing_left() -> Iterator[None]:
    """Check that no process, thread or open file remains of what the test did: the end of the program meets none."""
    descriptors = Path("/proc/self/fd")
    threads, files = threading.enumerate(), len(list(descriptors.glob("*")))
    yield
    assert threading.enumerate() == threads and not multiprocessing.active_children()
    assert len(list(descriptors.glob("*"))) <= files + 2  # a first process starts the tracker of resources


@pytest.mark.usefixtures("nothing_left")
def test_results_come_in_order_and_the_processes_end_with_the_last() -> None:
    jobs = range(5 * CHUNK + 3)
    assert list(map_in_processes(square, jobs, 3, str)) == [job * job for job in jobs]


def test_no_job_needs_no_process() -> None:
    assert list(map_in_processes(square, [], 3, str)) == []


@pytest.mark.usefixtures("nothing_left")
def test_closing_ends_processes_in_the_middle_of_their_results() -> None:
    results = map_in_processes(large, range(8 * CHUNK), 2, str)
    next(results)
    results.close()  # type: ignore[attr-defined]


@pytest.mark.usefixtures("nothing_left")
def test_what_a_job_raises_is_raised_as_it_is() -> None:
    with pytest.raises(InputError, match="named; remedy") as raised:
        list(map_in_processes(refuse, range(4 * CHUNK), 2, str))
    assert (raised.value.kind, raised.value.samples) == ("a kind", ("a", "b"))
    assert any("in refuse" in note for note in raised.value.__notes__)


@pytest.mark.usefixtures("nothing_left")
@pytest.mark.parametrize(("work", "initializer", "message"), [
    (die, None, f"job {CHUNK}: a process died near this sample"),
    (square, refuse_to_start, "no start"),
])  # fmt: skip
def test_a_process_that_dies_or_does_not_start_is_told(
    work: Callable[[int], int], initializer: Callable[..., Any] | None, message: str
) -> None:
    with pytest.raises(InputError, match=message):
        list(map_in_processes(work, range(4 * CHUNK), 2, "job {}".format, initializer))


LEFT_OPEN = """
from helpers.jobs import square
from globalconv.runtime.processes import map_in_processes

if __name__ == "__main__":
    results = map_in_processes(square, range(1000), 2, str)
    next(results)
    {end}
"""


@pytest.mark.parametrize(("end", "code"), [("pass", 0), ("raise SystemExit(5)", 5), ("raise ValueError", 1)])
def test_a_program_ends_that_leaves_its_iterator_open(end: str, code: int, tmp_path: Path) -> None:
    script = tmp_path / "program.py"
    script.write_text(LEFT_OPEN.format(end=end))
    paths = os.pathsep.join(sys.path)
    process = subprocess.run(
        [sys.executable, script], check=False, capture_output=True, text=True, timeout=120,
        env={**os.environ, "PYTHONPATH": paths},
    )  # fmt: skip
    assert process.returncode == code
    assert process.stderr.count("Traceback") == (code == 1)


PARENT = """
import os, time
from globalconv.runtime.processes import map_in_processes

def wait(job):
    print(os.getpid(), flush=True)
    time.sleep(300)

if __name__ == "__main__":
    for _ in map_in_processes(wait, list(range(16)), 2, str):
        pass
"""


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="looks up processes in /proc")
def test_workers_end_with_a_parent_that_was_killed(tmp_path: Path) -> None:
    script = tmp_path / "parent.py"
    script.write_text(PARENT)
    with subprocess.Popen([sys.executable, str(script)], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        workers = [int(parent.stdout.readline()) for _ in range(2)]
        parent.send_signal(signal.SIGKILL)
        deadline = time.monotonic() + 60
        while any(map(is_running, workers)) and time.monotonic() < deadline:
            time.sleep(0.05)
        left = [worker for worker in workers if is_running(worker)]
        for worker in left:
            os.kill(worker, signal.SIGKILL)
        assert not left


def is_running(process: int) -> bool:
    status = Path(f"/proc/{process}/stat")
    return status.exists() and status.read_text().rsplit(")", 1)[1].split()[0] != "Z"

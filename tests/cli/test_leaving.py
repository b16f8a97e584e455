"""How the program ends: quickly, but not before all that is to be done at its end."""

import subprocess
import sys
from pathlib import Path

import pytest

LEAVING = """
import atexit, sys, threading, time
import globalconv.cli.main as program

def main():
    atexit.register(lambda: print("at exit"))
    threading.Thread(target=lambda: (time.sleep(0.2), print("a thread"))).start()
    {end}

program.main = main
{before}
print("no new line", end=" ")
program.command()
"""

IN_ORDER = "no new line a thread\nat exit\n"


def leave(end: str, before: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", LEAVING.format(end=end, before=before)], check=False, capture_output=True, text=True
    )


@pytest.mark.parametrize("code", [0, 2, 143])
def test_threads_and_what_is_to_be_done_at_exit_come_first(code: int) -> None:
    left = leave(f"return {code}")
    assert (left.returncode, left.stdout, left.stderr) == (code, IN_ORDER, "")


def test_what_was_registered_before_comes_too() -> None:
    """As logging's flushing and multiprocessing's waiting for children are, when modules are imported."""
    left = leave("return 0", "atexit.register(lambda: print('registered before'))")
    assert left.stdout == IN_ORDER + "registered before\n"


def test_children_are_waited_for() -> None:
    work = "lambda: (time.sleep(0.5), print('a child', flush=True))"
    start = f"import multiprocessing as mp; mp.get_context('fork').Process(target={work}).start()"
    assert "a child" in leave(f"{start}\n    return 0").stdout


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device that is always full")
def test_words_that_cannot_be_written_are_missed() -> None:
    command = [sys.executable, "-c", LEAVING.format(end="return 0", before="")]
    with Path("/dev/full").open("w") as full:
        left = subprocess.run(command, check=False, stdout=full, stderr=subprocess.PIPE, text=True)
    assert left.returncode != 0 and "No space left" in left.stderr


def test_a_command_that_raises_ends_as_any_program() -> None:
    left = leave("raise ValueError('ours')")
    assert left.returncode == 1 and left.stdout == IN_ORDER
    assert left.stderr.startswith("Traceback") and "ValueError: ours" in left.stderr


def test_nothing_that_was_loaded_is_taken_apart() -> None:
    """A module's objects are deleted at the end of any other program, which is what takes long after torch."""
    kept = "class Kept:\n        def __del__(self, say=print): say('taken apart')\n    global kept; kept = Kept()"
    assert "taken apart" not in leave(f"{kept}\n    return 0").stdout
    assert "taken apart" in leave(f"{kept}\n    raise ValueError").stdout


def test_help_ends_with_its_own_code() -> None:
    """Options are read by a library that leaves by itself."""
    words = [sys.executable, "-m", "globalconv.cli.main", "predict", "--help"]
    assert subprocess.run(words, check=False, capture_output=True).returncode == 0

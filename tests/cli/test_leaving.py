"""The end of the program: threads, exit functions, children and streams are finished; objects are not freed."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from helpers.training import write_blobs

PROGRAM = """
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


def run_command(end: str, before: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", PROGRAM.format(end=end, before=before)], check=False, capture_output=True, text=True
    )


@pytest.mark.parametrize("code", [0, 2, 143])
def test_threads_and_exit_functions_are_finished_first(code: int) -> None:
    process = run_command(f"return {code}")
    assert (process.returncode, process.stdout, process.stderr) == (code, IN_ORDER, "")


def test_exit_functions_registered_before_are_called() -> None:
    """As logging's flushing and multiprocessing's waiting for children are, when modules are imported."""
    process = run_command("return 0", "atexit.register(lambda: print('registered before'))")
    assert process.stdout == IN_ORDER + "registered before\n"


def test_children_are_waited_for() -> None:
    work = "lambda: (time.sleep(0.5), print('a child', flush=True))"
    start = f"import multiprocessing as mp; mp.get_context('fork').Process(target={work}).start()"
    assert "a child" in run_command(f"{start}\n    return 0").stdout


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device that is always full")
def test_output_that_cannot_be_written_is_an_error() -> None:
    command = [sys.executable, "-c", PROGRAM.format(end="return 0", before="")]
    with Path("/dev/full").open("w") as full:
        process = subprocess.run(command, check=False, stdout=full, stderr=subprocess.PIPE, text=True)
    assert process.returncode != 0 and "No space left" in process.stderr


def test_a_command_that_raises_ends_as_any_program() -> None:
    process = run_command("raise ValueError('ours')")
    assert process.returncode == 1 and process.stdout == IN_ORDER
    assert process.stderr.startswith("Traceback") and "ValueError: ours" in process.stderr


def test_objects_are_not_freed() -> None:
    """An ordinary exit deletes the objects of all modules, which takes long after torch."""
    kept = "class Kept:\n        def __del__(self, say=print): say('taken apart')\n    global kept; kept = Kept()"
    assert "taken apart" not in run_command(f"{kept}\n    return 0").stdout
    assert "taken apart" in run_command(f"{kept}\n    raise ValueError").stdout


def test_help_ends_with_its_own_code() -> None:
    """Options are read by a library that leaves by itself."""
    words = [sys.executable, "-m", "globalconv.cli.main", "predict", "--help"]
    assert subprocess.run(words, check=False, capture_output=True).returncode == 0


SHELL = pytest.mark.skipif(
    not Path("/dev/full").exists(), reason="needs a shell of Unix, and a device that is always full"
)


@SHELL
@pytest.mark.parametrize(
    ("line", "code", "error"),
    [
        ("recipes | head -n 1 > out; exit ${PIPESTATUS[0]}", 0, ""),
        ("recipes > /dev/full", 2, "globalconv: standard output: No space left on device; check the path"),
        ("data check nowhere 2> /dev/full", 2, ""),
        ("data check nowhere 2>&-", 2, ""),
        ("recipes >&- 2>&- <&-", 0, ""),
        ("recipes >&-", 0, ""),
        ("data check --help", 0, ""),
        ("data check --nothing", 2, "globalconv: data check: Unrecognized options: --nothing"),
    ],
)
def test_streams_that_are_closed_or_full_and_terminals_that_show_little(
    line: str, code: int, error: str, tmp_path: Path
) -> None:
    """In a terminal a column wide that knows ASCII only, from a folder whose `enum.py` is not Python's."""
    (tmp_path / "enum.py").write_text("raise SystemExit('not this one')\n")
    (program := tmp_path / "scripts" / "globalconv").parent.mkdir()
    program.write_text("from globalconv.cli.main import command\nif __name__ == '__main__':\n    command()\n")
    environment = {key: value for key, value in os.environ.items() if key != "HOME"}
    environment |= {"COLUMNS": "1", "LC_ALL": "C", "PYTHONIOENCODING": "ascii", "PYTHONPATH": os.pathsep.join(sys.path)}
    process = subprocess.run(
        ["bash", "-c", f"{sys.executable} {program} {line}"],
        check=False, capture_output=True, text=True, timeout=120, cwd=tmp_path, env=environment,
    )  # fmt: skip
    assert process.returncode == code, process.stderr
    assert process.stderr.startswith(error) and process.stderr.count("\n") == bool(error)


def test_workers_take_no_module_of_the_users_for_pythons(tmp_path: Path) -> None:
    data = write_blobs(tmp_path / "blobs")
    (tmp_path / "enum.py").write_text("raise SystemExit('not this one')\n")
    (program := tmp_path / "scripts" / "globalconv").parent.mkdir()
    program.write_text("from globalconv.cli.main import command\nif __name__ == '__main__':\n    command()\n")
    process = subprocess.run(
        [sys.executable, program, "data", "check", data, "--workers", "2"],
        check=False, capture_output=True, text=True, timeout=120, cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
    )  # fmt: skip
    assert process.stdout.splitlines()[-1] == "ready", process.stderr


def test_a_folder_that_is_gone_is_named(tmp_path: Path) -> None:
    (program := tmp_path / "globalconv").write_text("from globalconv.cli.main import command\ncommand()\n")
    line = f"mkdir gone; cd gone; rmdir ../gone; {sys.executable} {program} recipes"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    process = subprocess.run(
        line, check=False, capture_output=True, text=True, shell=True, cwd=tmp_path, env=environment, timeout=120
    )
    assert process.returncode == 2 and process.stderr.startswith("globalconv: the folder that this runs in has been")

"""The command line in a process that cannot import what the extra `train` brings, as if it were not installed.

python -m helpers.without_torch < COMMANDS.json   prints exit code, output and errors of each command, as JSON
"""

import contextlib
import io
import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from globalconv.errors import TRAIN_PACKAGES

TESTS = Path(__file__).resolve().parent.parent


class Blocker:
    """Finds none of the packages, as the import system says it. (None in sys.modules looks imported to some.)"""

    def find_spec(self, name: str, path: object = None, target: object = None) -> None:
        if name.partition(".")[0] in TRAIN_PACKAGES:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)


def block() -> None:
    """Let no import find the packages from here on; none of them may have been imported."""
    assert not set(TRAIN_PACKAGES) & set(sys.modules)
    sys.meta_path.insert(0, Blocker())


@dataclass(frozen=True)
class Ran:
    """How a command ended, and what it printed."""

    code: int
    output: str
    errors: str


def run_without_torch(commands: Sequence[Sequence[object]]) -> list[Ran]:
    """Run commands of `globalconv` one after the other, in a process of their own."""
    texts = json.dumps([list(map(str, command)) for command in commands])
    python = [sys.executable, "-m", "helpers.without_torch"]
    run = subprocess.run(python, cwd=TESTS, input=texts, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    return [Ran(*result) for result in json.loads(run.stdout)]


def main() -> None:
    block()
    from globalconv.cli.main import main as command_line

    results = []
    for command in json.load(sys.stdin):
        output, errors = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(output), contextlib.redirect_stderr(errors):
            try:
                code = command_line(command)
            except SystemExit as stop:  # of --help
                code = int(stop.code or 0)
        results.append((code, output.getvalue(), errors.getvalue()))
    print(json.dumps(results))


if __name__ == "__main__":
    main()

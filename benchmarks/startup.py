"""How long `globalconv --help` takes beside an empty Python and one that imports torch.

python benchmarks/startup.py
"""

import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass

import tyro
from common import compare, measure, print_rows, write_results


@dataclass(frozen=True)
class Settings:
    repeats: int = 15
    """Runs of every command."""


def call(*arguments: str) -> Callable[[], object]:
    """Return a call that runs Python with `arguments`, in silence."""
    command = [sys.executable, *arguments]
    return lambda: subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


def main(settings: Settings) -> None:
    cases = {
        "python -c pass": call("-c", "pass"),
        "globalconv --help": call("-m", "globalconv.cli.main", "--help"),
        "import globalconv": call("-c", "import globalconv"),
        "import torch": call("-c", "import torch"),
    }
    rows = compare(measure(cases, settings.repeats), "python -c pass")
    print_rows("start-up", rows)
    write_results("startup", "cpu", asdict(settings), {"startup": rows})


if __name__ == "__main__":
    main(tyro.cli(Settings, description=__doc__))

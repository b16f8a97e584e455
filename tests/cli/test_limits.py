"""Numbers beyond sense are refused in one line, and every number of every verb has a bound."""

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from globalconv.cli.limits import LIMITS
from globalconv.cli.main import main


@pytest.fixture(scope="module")
def lines() -> ModuleType:
    file = Path(__file__).parents[2] / "benchmarks" / "command_lines.py"
    spec = importlib.util.spec_from_file_location("command_lines", file)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.slow
def test_random_command_lines_end_well() -> None:
    """Some of those that `benchmarks/command_lines.py` makes by the thousand."""
    script = Path(__file__).parents[2] / "benchmarks" / "command_lines.py"
    command = [sys.executable, str(script), "--lines", "60", "--seed", "7"]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    process = subprocess.run(command, check=False, capture_output=True, text=True, env=environment)
    assert "60 lines, 0 ended badly" in process.stdout, process.stdout


def test_every_number_of_every_verb_has_a_bound(lines: Any) -> None:
    kinds = lines.kinds_of_options()
    assert len(kinds) > 15
    for verb, options in kinds.items():
        for name, kind in options:
            if re.search(r"\b(int|float)\b", kind):
                setting = name.removeprefix("--").replace("-", "_")
                assert setting in LIMITS or setting.rpartition(".")[2] in LIMITS, (verb, name)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("data scenes --out new --train 99999999999999999999", "--train 99999999999999999999: give 1 to 10,000,000"),
        ("data scenes --out new --val 99999999999", "--val 99999999999: give 0 to 10,000,000"),
        ("data check . --workers 1000000000", "--workers 1000000000: give 1 to 512"),
        ("data check . --workers -1", "--workers -1: give 1 to 512"),
        ("crf-search run --out new --workers 0", "--workers 0: give 1 to 512"),
        ("crf-search run --out new --iterations 1_000_000", "--iterations 1000000: give 0 to 10,000"),
        ("cost --classes 4294967296", "--classes 4294967296: give 1 to 100,000"),
        ("cost --kernel-sizes 3 100001", "--kernel-sizes 100001: give 1 to 1,023"),
        ("train folder --out new --data.workers 1000", "--data.workers 1000: give 0 to 512"),
        ("train folder --out new --optim.weight-decay inf", "--optim.weight-decay inf: give 0 to 1,000.0"),
        ("train folder --out new --data.augmentation.crop 9 99999", "--data.augmentation.crop 99999: give 1 to 32,768"),
        ("evaluate run --batch-size 99999999999", "--batch-size 99999999999: give 1 to 100,000"),
    ],
)  # fmt: skip
def test_a_number_beyond_sense_is_refused(
    line: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(line.split()) == 2
    assert capsys.readouterr().err == f"globalconv: {message}\n"
    assert not [*tmp_path.iterdir()]

"""The benchmarks' arithmetic, and that the page of figures is what the committed results say."""

import importlib.util
import json
from pathlib import Path
from types import ModuleType

import pytest

BENCHMARKS = Path(__file__).resolve().parent.parent / "benchmarks"


def load(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, BENCHMARKS / f"{name}.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_page_is_generated_from_the_results() -> None:
    table = load("table")
    assert table.DOCUMENT.read_text() == table.page()
    assert table.README.read_text() == table.readme()


def test_ratios_are_between_medians() -> None:
    rows = load("common").compare({"a": [1.0, 3.0, 2.0], "b": [1.0, 1.0, 9.0]}, "a")
    assert [row["case"] for row in rows] == ["a", "b"]
    assert rows[1] == {"case": "b", "median_ms": 1000.0, "min_ms": 1000.0, "max_ms": 9000.0, "ratio": 0.5, "repeats": 3}


def test_cases_are_measured_in_turns() -> None:
    calls: list[str] = []
    seconds = load("common").measure({name: lambda name=name: calls.append(name) for name in "ab"}, repeats=2, warmup=1)
    assert calls == ["a", "b"] * 3
    assert {name: len(taken) for name, taken in seconds.items()} == {"a": 2, "b": 2}


def test_results_name_hardware_settings_and_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    common = load("common")
    monkeypatch.setattr(common, "RESULTS", tmp_path)
    rows = common.compare({"a": [0.5]}, "a")
    common.write_results("sample", "cpu", {"repeats": 1}, {"sample": rows})
    (path,) = tmp_path.iterdir()
    report = json.loads(path.read_text())
    assert path.name.startswith("sample.") and path.name.endswith(f"-{report['hardware']['threads']}-threads.json")
    assert report["settings"] == {"repeats": 1} and report["tables"] == {"sample": rows}
    assert report["command"].startswith("python benchmarks/sample.py")
    assert "| a | 500.0 |" in load("table").page(tmp_path)

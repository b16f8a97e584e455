"""What runs are called, and which cannot be compared. The lines of refusals are in tests/cli/test_refusals.py."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from globalconv.errors import InputError
from globalconv.jobs.report import check_comparable
from globalconv.reports.findings import noted_data, run_names


def test_names_are_as_short_as_they_can_be(tmp_path: Path) -> None:
    assert run_names([tmp_path / "a", tmp_path / "b"]) == ["a", "b"]
    assert run_names([tmp_path / "monday" / "run", tmp_path / "tuesday" / "run"]) == ["monday/run", "tuesday/run"]
    with pytest.raises(InputError, match="named twice"):
        run_names([tmp_path / "a", tmp_path / "b" / ".." / "a"])


def test_without_a_note_there_are_no_data(tmp_path: Path) -> None:
    assert noted_data([tmp_path, tmp_path]) is None


def network(classes: tuple[str, ...] = ("a", "b"), held_out: tuple[str, ...] = (), split: str = "val") -> Any:
    return SimpleNamespace(class_names=classes, info={"val_split": split, "held_out": held_out})


def test_runs_that_held_out_other_images_need_a_split() -> None:
    folders = [Path("one"), Path("two")]
    check_comparable(folders, [network(held_out=("1", "2")), network(held_out=("2", "1"))], None)
    for other in (network(held_out=("3",)), network(split="test")):
        with pytest.raises(InputError, match=r"two: was validated on other images than one.*`split`"):
            check_comparable(folders, [network(held_out=("1", "2")), other], None)
        check_comparable(folders, [network(held_out=("1", "2")), other], "test")
    with pytest.raises(InputError, match=r"two: its classes \(a, c\)"):
        check_comparable(folders, [network(), network(("a", "c"))], "test")

"""Reports on runs, and runs that cannot be compared. The lines of refusals are in tests/cli/test_refusals.py."""

import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import globalconv
from globalconv.data.image_format import ImageFormat
from globalconv.errors import InputError
from globalconv.jobs.report import check_comparable


def network(classes: tuple[str, ...] = ("a", "b"), held_out: tuple[str, ...] = (), split: str = "val") -> Any:
    info = {"val_split": split, "held_out": held_out}
    return SimpleNamespace(class_names=classes, info=info, image_format=ImageFormat())


def test_runs_that_held_out_other_images_need_a_split() -> None:
    folders = [Path("one"), Path("two")]
    check_comparable(folders, [network(held_out=("1", "2")), network(held_out=("2", "1"))], None)
    for other in (network(held_out=("3",)), network(split="test")):
        with pytest.raises(InputError, match=r"two: was validated on other images than one.*`split`"):
            check_comparable(folders, [network(held_out=("1", "2")), other], None)
        check_comparable(folders, [network(held_out=("1", "2")), other], "test")
    with pytest.raises(InputError, match=r"two: its classes \(a, c\)"):
        check_comparable(folders, [network(), network(("a", "c"))], "test")


def test_runs_are_compared_on_the_data_they_noted(trained: Path, tmp_path: Path) -> None:
    shutil.copytree(trained / "run", tmp_path / "other")
    page = globalconv.report([trained / "run", tmp_path / "other"])
    assert page == trained / "comparison.html" and "run against other" in page.read_text(encoding="utf-8")
    named = globalconv.report([trained / "run"], out=tmp_path / "new" / "page.html", names=["mine"])
    assert "Report: mine" in named.read_text(encoding="utf-8")
    assert globalconv.report([tmp_path / "other"], trained / "blobs") == tmp_path / "other" / "report.html"
    with pytest.raises(InputError, match="no run given"):
        globalconv.report([])

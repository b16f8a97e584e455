"""Runs that cannot be compared. The lines of refusals are in tests/cli/test_refusals.py."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from globalconv.errors import InputError
from globalconv.jobs.report import check_comparable


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

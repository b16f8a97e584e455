"""What was unpacked beside, brought to where it belongs: by renaming, so that no file is ever there in part."""

import filecmp
import os
from collections.abc import Iterator
from pathlib import Path

from globalconv.errors import InputError


def place(staged: Path, root: Path) -> None:
    """Move everything below `staged` to the same place below `root`, and remove `staged`.

    Folders that are not there yet are moved whole; others are filled. Files that are there already and equal are left;
    `InputError`, before anything is moved, for one that is another. A call that was interrupted can be repeated.
    """
    for ours in _files(staged):
        there = root / ours.relative_to(staged)
        if there.exists() and not (there.is_file() and filecmp.cmp(ours, there, shallow=False)):
            raise InputError(
                f"{there}: is there already and is not that of the official archive; move it away (nothing is ever"
                " written over) and give the same command again"
            )
    _move(staged, root)


def _files(folder: Path) -> Iterator[Path]:
    for place, _, files in os.walk(folder):
        for name in files:
            yield Path(place, name)


def _move(staged: Path, target: Path) -> None:
    if not target.exists():
        target.parent.mkdir(parents=True, exist_ok=True)
        staged.rename(target)
        return
    for entry in sorted(staged.iterdir()):
        there = target / entry.name
        if entry.is_dir():
            _move(entry, there)
        elif there.exists():
            entry.unlink()
        else:
            entry.rename(there)
    staged.rmdir()

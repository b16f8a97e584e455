"""Files that are either the old ones or the new ones, whole: written beside, flushed, then renamed."""

import contextlib
import json
import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

from globalconv.errors import InputError


@contextlib.contextmanager
def naming(path: Path) -> Iterator[None]:
    """Let an `OSError` inside say which file it is about: one of a write (a full disk) does not."""
    try:
        yield
    except OSError as error:
        if error.filename is None:
            error.filename = str(path)
        raise


def as_path(name: str, value: object) -> Path:
    """Return `value`, which a caller from Python handed over as `name`, as a path; `InputError` for what is none."""
    if not isinstance(value, str | Path) or not str(value):
        raise InputError(f"{name}={value!r}: give a path")
    return Path(value)


def write_atomic(path: Path, write: Callable[[BinaryIO], object]) -> None:
    """Let `write` fill a file beside `path`, flush it to disk and rename it to `path`.

    Whatever interrupts this (an exception, a kill, a full disk) leaves the old `path` untouched.
    """
    descriptor, beside = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".partial", dir=path.parent)
    try:
        with naming(path), os.fdopen(descriptor, "wb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(beside, 0o666 & ~_umask())
        os.replace(beside, path)
    except BaseException:
        Path(beside).unlink(missing_ok=True)
        raise
    _sync_folder(path.parent)


def write_text(path: Path, text: str) -> None:
    """Write `text` to `path` atomically, as UTF-8."""
    write_atomic(path, lambda file: file.write(text.encode()))


def write_json(path: Path, value: Any) -> None:
    """Write `value` to `path` atomically, as indented JSON."""
    write_text(path, json.dumps(value, indent=2) + "\n")


def _umask() -> int:
    mask = os.umask(0o022)
    os.umask(mask)
    return mask


def _sync_folder(folder: Path) -> None:
    """Flush the rename itself; systems that cannot open a folder (Windows) do without."""
    try:
        descriptor = os.open(folder, os.O_RDONLY)
    except OSError:
        return
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)

"""Files that are always whole, written beside and renamed; a folder that one process at a time works in."""

import contextlib
import functools
import json
import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Concatenate, ParamSpec, TypeVar

from globalconv.errors import InputError

if TYPE_CHECKING:
    from filelock import BaseFileLock

P = ParamSpec("P")
R = TypeVar("R")


def cache_by_file(maxsize: int) -> Callable[[Callable[Concatenate[Path, P], R]], Callable[Concatenate[Path, P], R]]:
    """Cache a function of a file, and of further arguments, until the file changes: by its path, time and size."""

    def decorate(function: Callable[Concatenate[Path, P], R]) -> Callable[Concatenate[Path, P], R]:
        @functools.lru_cache(maxsize)
        def cached(file: Path, mtime_ns: int, size: int, *args: P.args, **kwargs: P.kwargs) -> R:
            return function(file, *args, **kwargs)

        @functools.wraps(function)
        def call(file: Path, /, *args: P.args, **kwargs: P.kwargs) -> R:
            facts = file.stat()
            return cached(file, facts.st_mtime_ns, facts.st_size, *args, **kwargs)  # type: ignore[arg-type] # hashable

        return call

    return decorate


@contextlib.contextmanager
def naming_file(path: Path) -> Iterator[None]:
    """Name `path` in an `OSError` raised inside that names no file, as that of a write to a full disk."""
    try:
        yield
    except OSError as error:
        if error.filename is None:
            error.filename = str(path)
        raise


def as_path(name: str, value: object) -> Path:
    """Return `value`, passed from Python as the argument `name`, as a path; `InputError` for anything else."""
    if not isinstance(value, str | Path) or not str(value):
        raise InputError(f"{name}={value!r}: give a path")
    return Path(value)


def check_output(option: str, path: Path, *suffixes: str) -> None:
    """Raise `InputError` if no file of one of these suffixes can be written to `path`, the value of `option`.

    For use before the work that fills the file.
    """
    if not path.name or path.is_dir():  # an empty path is the folder that the program runs in
        raise InputError(f"`{option}` {path}: is a folder; name a file in it, such as {path / f'report{suffixes[0]}'}")
    if path.suffix.lower() not in suffixes:
        better = path.with_suffix(suffixes[0]).name
        raise InputError(f"`{option}` {path}: is written as {' or '.join(suffixes)}; call it {better}")
    if path.exists() and not path.is_file():
        raise InputError(f"`{option}` {path}: is there and is no file; name another")
    folder = path.parent
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    if not folder.is_dir():
        raise InputError(f"`{option}` {path}: {folder} is a file; name a folder to write to")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise InputError(f"`{option}` {path}: nothing can be written to {folder}; name another folder")


def write_atomic(path: Path, write: Callable[[BinaryIO], object]) -> None:
    """Let `write` fill a file beside `path`, flush it to disk and rename it to `path`.

    Any interruption (an exception, a kill, a full disk) leaves the old `path` untouched.
    """
    descriptor, beside = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".partial", dir=path.parent)
    try:
        with naming_file(path), os.fdopen(descriptor, "wb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        umask = os.umask(0o022)
        os.umask(umask)
        os.chmod(beside, 0o666 & ~umask)  # mkstemp's own mode lets only the owner read
        os.replace(beside, path)
    except BaseException:
        Path(beside).unlink(missing_ok=True)
        raise
    try:
        folder = os.open(path.parent, os.O_RDONLY)
    except OSError:  # Windows cannot open a folder
        return
    try:
        os.fsync(folder)  # the rename itself
    finally:
        os.close(folder)


def write_text(path: Path, text: str) -> None:
    """Write `text` to `path` atomically, as UTF-8; what UTF-8 does not know, as in names of files, as an escape."""
    write_atomic(path, lambda file: file.write(text.encode(errors="backslashreplace")))


def write_json(path: Path, value: Any) -> None:
    """Write `value` to `path` atomically, as indented JSON."""
    write_text(path, json.dumps(value, indent=2) + "\n")


LOCK_FILE = ".lock"
"""Stays where it is: whoever removed it could remove the lock of the next process."""


class FolderLock:
    """Keeps other processes, and other threads of this one, out of a folder; it ends with the process at the latest.

    On a file system without locks (some network ones) it keeps nobody out.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._lock: BaseFileLock | None = None

    def take(self, activity: str) -> None:
        """Take the lock, or raise `InputError`; `activity` is what its holder does in the folder: "trains"."""
        if not self.try_take():
            raise InputError(f"`out` {self._folder}: another process {activity} there; wait for it or stop it")

    def try_take(self) -> bool:
        """Take the lock and return True, or return False where another one holds it."""
        from filelock import FileLock, Timeout  # takes a tenth of a second, which only those who lock wait for

        # A fallback to a lock by existence would outlive a killed process.
        lock = FileLock(self._folder / LOCK_FILE, thread_local=False, fallback_to_soft=False)
        try:
            lock.acquire(blocking=False)
        except Timeout:
            return False
        except (OSError, NotImplementedError) as error:
            if getattr(error, "filename", None) is not None:  # of the file itself; from locking there is no name
                raise
        self._lock = lock
        return True

    def release(self) -> None:
        """Let others in."""
        if self._lock is not None:
            self._lock.release()
        self._lock = None

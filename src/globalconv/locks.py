"""A folder that one process at a time works in."""

from pathlib import Path
from typing import IO

try:
    import fcntl

    CAN_LOCK = True
except ImportError:  # Windows
    CAN_LOCK = False

from globalconv.errors import InputError

LOCK_FILE = ".lock"
"""Empty, and left where it is: whoever removed it could remove the lock of the next process."""


class FolderLock:
    """Keeps other processes, and other threads of this one, out of a folder; it ends with the process at the latest.

    Where there are no locks (Windows, some network file systems) it keeps nobody out.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._file: IO[str] | None = None

    def take(self, doing: str) -> None:
        """Refuse, with `InputError`, where another one has it; `doing` is what it does there: "trains"."""
        if not self.try_take():
            raise InputError(f"--out {self._folder}: another process {doing} there; wait for it or stop it")

    def try_take(self) -> bool:
        """Return whether the folder is now ours, and not another one's."""
        if not CAN_LOCK:
            return True
        self._file = (self._folder / LOCK_FILE).open("w")
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self.release()
            return False
        except OSError:
            self.release()
        return True

    def release(self) -> None:
        """Let others in."""
        if self._file is not None:
            self._file.close()
        self._file = None


def is_free(folder: Path, first_file: str) -> bool:
    """Tell whether a folder holds at most what a kill or a full disk leaves of a start: the lock, half of a file."""
    partial = f".{first_file}."
    names = (file.name for file in folder.iterdir())
    return all(name == LOCK_FILE or (name.startswith(partial) and name.endswith(".partial")) for name in names)

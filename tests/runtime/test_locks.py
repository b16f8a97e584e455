"""A folder lock admits one process, and one thread, at a time."""

import errno
import multiprocessing
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from globalconv.errors import InputError
from globalconv.runtime.files import FolderLock

HOLD = "import sys; from pathlib import Path; from globalconv.runtime.files import FolderLock\n"
HOLD += "lock = FolderLock(Path(sys.argv[1])); lock.take('works'); print('taken', flush=True); sys.stdin.read()"


def test_a_lock_keeps_others_out_until_it_is_released(tmp_path: Path) -> None:
    first, second = FolderLock(tmp_path), FolderLock(tmp_path)
    first.take("works")
    with pytest.raises(InputError, match="another process works there; wait for it or stop it"):
        second.take("works")
    first.release()
    second.take("works")
    second.release()
    second.release()


def test_a_lock_ends_with_its_process(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as holder:
        assert holder.stdout and holder.stdout.readline() == b"taken\n"
        with pytest.raises(InputError, match="another process"):
            FolderLock(tmp_path).take("works")
        holder.kill()
    FolderLock(tmp_path).take("works")


def test_a_file_system_without_locks_keeps_nobody_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in (errno.ENOLCK, errno.ENOSYS):

        def none(*_: object, number: int = number) -> None:
            raise OSError(number, "no locks here")

        monkeypatch.setattr("fcntl.flock", none)
        first, second = FolderLock(tmp_path), FolderLock(tmp_path)
        first.take("works")
        second.take("works")
        first.release()
        second.release()


def test_a_folder_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match="file"):
        FolderLock(tmp_path / "file").take("works")


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_a_fork_neither_holds_nor_releases_the_lock(tmp_path: Path) -> None:
    lock = FolderLock(tmp_path)
    lock.take("works")
    child = multiprocessing.get_context("fork").Process(target=time.sleep, args=(60,))
    child.start()
    with pytest.raises(InputError, match="another process"):
        FolderLock(tmp_path).take("works")
    lock.release()
    FolderLock(tmp_path).take("works")
    child.kill()
    child.join()
    with pytest.raises(InputError, match="another process"):
        later = FolderLock(tmp_path)
        later.take("works")
        child = multiprocessing.get_context("fork").Process(target=int)
        child.start()
        child.join()
        FolderLock(tmp_path).take("works")

"""One process at a time in a folder; where there are no locks, nobody is kept out."""

import errno
import subprocess
import sys
from pathlib import Path

import pytest

from globalconv.errors import InputError
from globalconv.runtime import files
from globalconv.runtime.files import FolderLock, is_free

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


def test_where_there_are_no_locks_nobody_is_kept_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def none(*_: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr("globalconv.runtime.files.fcntl.flock", none)
    FolderLock(tmp_path).take("works")
    monkeypatch.setattr(files, "CAN_LOCK", False)
    FolderLock(tmp_path).take("works")


def test_what_is_free(tmp_path: Path) -> None:
    assert is_free(tmp_path, "first.json")
    for name in (".lock", ".first.json.x.partial"):
        (tmp_path / name).touch()
    assert is_free(tmp_path, "first.json") and not is_free(tmp_path, "other.json")
    (tmp_path / "first.json").touch()
    assert not is_free(tmp_path, "first.json")

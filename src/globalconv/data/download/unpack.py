"""Archives into a fresh folder: members that `Judge` lets pass, written by us, counted while they are written."""

import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import IO

from globalconv.data.download.catalogue import Package
from globalconv.data.download.fetch import CHUNK, MB
from globalconv.data.download.members import Judge
from globalconv.errors import InputError
from globalconv.runtime.files import naming_file
from globalconv.runtime.progress import Progress
from globalconv.runtime.text import one_line

Place = Callable[[str], str | None]
"""The path of a member -> the path at which it is wanted, None for one that is not."""

_DAMAGED = (tarfile.TarError, zipfile.BadZipFile, EOFError, zlib.error, NotImplementedError, ValueError)


def unpack(archive: Path, package: Package, place: Place, folder: Path) -> None:
    """Write the members of `archive` that `place` wants into the empty `folder`.

    Raises `InputError` for a damaged archive and for one that is not to be trusted; then `folder` is of no use.
    """
    judge = Judge(archive, package)
    reader = _unpack_zip if archive.suffix == ".zip" else _unpack_tar
    with Progress(f"unpacked {archive.name}", archive.stat().st_size // MB, "MB") as progress, _whole(archive):
        reader(archive, judge, _Writer(judge, place, folder), progress)


@contextmanager
def _whole(archive: Path) -> Iterator[None]:
    """Turn what the libraries say about a damaged archive into one line."""
    try:
        yield
    except InputError:
        raise
    except _DAMAGED as error:
        reason = one_line(error)
        raise InputError(f"{archive}: is damaged or no such archive ({reason}); remove it and get it again") from error


class _Writer:
    """Writes members below a folder, each once, and no more of one than it said it has."""

    def __init__(self, judge: Judge, place: Place, folder: Path) -> None:
        self.judge, self.place, self.folder = judge, place, folder

    def wants(self, name: str) -> Path | None:
        """Return the file that a member becomes, None for one that is left out."""
        wanted = self.place(str(PurePosixPath(name)))
        return None if wanted is None else self.folder / wanted

    def write(self, name: str, size: int, target: Path, source: IO[bytes], step: Callable[[], object]) -> None:
        """Copy `source`, of which the archive says that it has `size` bytes, to the new file `target`."""
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            file = target.open("xb")
        except (FileExistsError, NotADirectoryError):
            self.judge.refuse(name, "occurs twice, or as a file and as a folder")
        written = 0
        with file, naming_file(target):
            while chunk := source.read(CHUNK):
                written += len(chunk)
                if written > size:
                    self.judge.refuse(name, f"is larger than the {size} bytes that the archive claims")
                file.write(chunk)
                step()
        if written < size:
            raise EOFError(f"{name} ends after {written} of {size} bytes")


def _unpack_zip(archive: Path, judge: Judge, writer: _Writer, progress: Progress) -> None:
    """Judge all members before the first is written: a ZIP file has a table of contents."""
    with zipfile.ZipFile(archive) as opened:
        members = opened.infolist()
        for member in members:
            judge.zip(member)
        done = 0
        for member in members:
            target = None if member.is_dir() else writer.wants(member.filename)
            if target is not None:
                with opened.open(member) as source:
                    writer.write(member.filename, member.file_size, target, source, lambda: None)
            done += member.compress_size
            progress.update(done // MB)


def _unpack_tar(archive: Path, judge: Judge, writer: _Writer, progress: Progress) -> None:
    """Read a tape from its beginning to its end, as compressed ones have to be.

    One that is not called so is not decompressed: tarfile reads long headers into memory, whatever they grow to.
    """
    mode = "r|gz" if archive.suffix in (".tgz", ".gz") else "r|"
    with archive.open("rb") as file:
        _read_tape(file, mode, "", judge, writer, lambda: progress.update(file.tell() // MB))


def _read_tape(
    file: IO[bytes], mode: str, inside: str, judge: Judge, writer: _Writer, step: Callable[[], object]
) -> None:
    """Unpack one tape; `inside` is the folder for what it holds, where it is itself a member of another one."""
    nested = judge.package.nested and not inside
    with tarfile.open(fileobj=file, mode=mode) as tape:  # type: ignore[call-overload]
        for member in tape:
            judge.tar(member, writer.folder)
            if not member.isreg():
                continue
            source = tape.extractfile(member)
            assert source is not None
            if nested and member.name.endswith(".tar"):
                _read_tape(source, "r|", f"{PurePosixPath(member.name).stem}/", judge, writer, step)
                continue
            name = f"{inside}{member.name}"
            target = writer.wants(name)
            if target is not None:
                writer.write(name, member.size, target, source, step)
            step()

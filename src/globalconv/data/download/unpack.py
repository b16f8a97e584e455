"""Archives into a new folder: members that pass `MemberChecks`, written by us and counted while they are written."""

import tarfile
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path, PurePosixPath
from typing import IO

from globalconv.data.download.catalogue import MB, Package
from globalconv.data.download.fetch import CHUNK
from globalconv.data.download.members import MemberChecks
from globalconv.errors import InputError
from globalconv.runtime.files import naming_file
from globalconv.runtime.progress import Progress
from globalconv.runtime.text import one_line

Target = Callable[[str], str | None]
"""Returns the path to write for the path of a member; None: the member is left out."""

_DAMAGED = (tarfile.TarError, zipfile.BadZipFile, EOFError, zlib.error, NotImplementedError, ValueError)


def unpack(archive: Path, package: Package, target: Target, folder: Path) -> None:
    """Write the members of `archive` into the empty `folder`, each to its `target`.

    Raises `InputError` for a damaged archive and for one that is not to be trusted; then `folder` is of no use.
    """
    unpacker = _Unpacker(MemberChecks(archive, package), target, folder)
    with Progress(f"unpacked {archive.name}", archive.stat().st_size // MB, "MB") as progress:
        try:
            if archive.suffix == ".zip":
                unpacker.unpack_zip(archive, progress)
                return
            # A file that is not called so is not decompressed: tarfile reads long headers into memory, whatever their
            # size becomes.
            mode = "r|gz" if archive.suffix in (".tgz", ".gz") else "r|"
            with archive.open("rb") as file:
                unpacker.unpack_tar(file, mode, "", lambda: progress.update(file.tell() // MB))
        except InputError:
            raise
        except _DAMAGED as error:
            reason = one_line(error)
            raise InputError(
                f"{archive}: is damaged or no such archive ({reason}); remove it and get it again"
            ) from error


class _Unpacker:
    """Writes the members of an archive below a folder, each once, and no more bytes than its header claims."""

    def __init__(self, checks: MemberChecks, target: Target, folder: Path) -> None:
        self.checks, self.target, self.folder = checks, target, folder

    def unpack_zip(self, archive: Path, progress: Progress) -> None:
        """Check all members before the first is written: a ZIP file has a table of contents."""
        with zipfile.ZipFile(archive) as opened:
            members = opened.infolist()
            for member in members:
                self.checks.check_zip(member)
            done = 0
            for member in members:
                path = None if member.is_dir() else self.locate(member.filename)
                if path is not None:
                    with opened.open(member) as source:
                        self.write(member.filename, member.file_size, path, source, lambda: None)
                done += member.compress_size
                progress.update(done // MB)

    def unpack_tar(self, file: IO[bytes], mode: str, inside: str, on_step: Callable[[], object]) -> None:
        """Read a tar file from its beginning to its end, as compressed ones have to be.

        `inside` is the folder for what it holds, where it is itself a member of another one.
        """
        nested = self.checks.package.nested and not inside
        with tarfile.open(fileobj=file, mode=mode) as opened:  # type: ignore[call-overload]
            for member in opened:
                self.checks.check_tar(member, self.folder)
                if not member.isreg():
                    continue
                source = opened.extractfile(member)
                assert source is not None
                if nested and member.name.endswith(".tar"):
                    self.unpack_tar(source, "r|", f"{PurePosixPath(member.name).stem}/", on_step)
                    continue
                name = f"{inside}{member.name}"
                path = self.locate(name)
                if path is not None:
                    self.write(name, member.size, path, source, on_step)
                on_step()

    def locate(self, name: str) -> Path | None:
        """Return the file that a member becomes, None for one that is left out."""
        path = self.target(str(PurePosixPath(name)))
        return None if path is None else self.folder / path

    def write(self, name: str, size: int, path: Path, source: IO[bytes], on_step: Callable[[], object]) -> None:
        """Copy `source`, of which the archive claims that it has `size` bytes, to the new file `path`."""
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            file = path.open("xb")
        except (FileExistsError, NotADirectoryError):
            self.checks.refuse(name, "occurs twice, or as a file and as a folder")
        written = 0
        with file, naming_file(path):
            while chunk := source.read(CHUNK):
                written += len(chunk)
                if written > size:
                    self.checks.refuse(name, f"is larger than the {size} bytes that the archive claims")
                file.write(chunk)
                on_step()
        if written < size:
            raise EOFError(f"{name} ends after {written} of {size} bytes")

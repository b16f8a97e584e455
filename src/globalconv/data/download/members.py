"""The checks of an archive's members: their names, kinds and sizes, all before a byte of them is written.

An archive is somebody else's program for writing files. Names that lead out of the folder, links, devices, and more
bytes or files than the data set has are refused with the member's name, and nothing of the archive is used.
"""

import re
import stat
import tarfile
import zipfile
from pathlib import Path, PurePosixPath
from typing import NoReturn

from globalconv.data.download.catalogue import Package, format_bytes
from globalconv.errors import InputError

MARGIN = 3
"""How many times the bytes and files of the official package an archive may make."""

_ENCRYPTED = 0x1
_DRIVE = re.compile(r"^[A-Za-z]:")


class MemberChecks:
    """Checks the members of one archive, one after another."""

    def __init__(self, archive: Path, package: Package) -> None:
        self.archive, self.package = archive, package
        self._bytes = self._files = 0

    def check_tar(self, member: tarfile.TarInfo, folder: Path) -> None:
        """Raise `InputError` unless `member` is a plain file or folder that stays inside `folder`."""
        self._check_name(member.name)
        if member.isdir():
            return
        if not member.isreg() or member.issparse():
            if member.issym() or member.islnk():
                kind = f"a link to {member.linkname[:200]!a}"
            elif member.isdev():
                kind = "a device or pipe"
            else:
                kind = "a file with holes" if member.issparse() else f"of the unknown kind {member.type!r}"
            self.refuse(member.name, f"is {kind}, and a data set has plain files only")
        if hasattr(tarfile, "data_filter"):  # a second opinion: the standard library's, from Python 3.11.4 on
            try:
                tarfile.data_filter(member, str(folder))
            except tarfile.FilterError as error:
                self.refuse(member.name, f"is refused by Python ({error})")
        self._check_size(member.name, member.size)

    def check_zip(self, member: zipfile.ZipInfo) -> None:
        """Raise `InputError` unless `member` is a plain file or folder, not encrypted."""
        self._check_name(member.orig_filename)
        kind = stat.S_IFMT(member.external_attr >> 16)
        if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
            name = "a link" if kind == stat.S_IFLNK else "a device or pipe"
            self.refuse(member.filename, f"is {name}, and a data set has plain files only")
        if member.flag_bits & _ENCRYPTED:
            self.refuse(member.filename, "is encrypted")
        if not member.is_dir():
            self._check_size(member.filename, member.file_size)

    def refuse(self, name: str, reason: str) -> NoReturn:
        """Raise `InputError` about one member."""
        printable = ascii(name if len(name) <= 200 else f"{name[:200]}...")
        raise InputError(
            f"{self.archive}: member {printable} {reason}; this is not the official archive: remove it and get that one"
        )

    def _check_name(self, name: str) -> None:
        """Refuse a name that could lead out of a folder, on any system."""
        path = PurePosixPath(name)
        if path.is_absolute() or _DRIVE.match(name):
            self.refuse(name, "has an absolute path")
        if ".." in path.parts:
            self.refuse(name, "leads out of the folder")
        if "\\" in name or any(ord(character) < 32 for character in name):
            self.refuse(name, "has a backslash or a control character in its name")

    def _check_size(self, name: str, size: int) -> None:
        """Count a file, and refuse it if the archive makes too many bytes or files with it."""
        self._bytes += size
        self._files += 1
        if self._bytes > MARGIN * self.package.unpacked:
            self.refuse(name, f"would make more than {format_bytes(MARGIN * self.package.unpacked)} of the archive")
        if self._files > MARGIN * self.package.files:
            self.refuse(name, f"would be more than file number {MARGIN * self.package.files}")

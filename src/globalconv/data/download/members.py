"""What a member of an archive may be called, be and weigh: everything is judged before a byte of it is written.

An archive is somebody else's program for writing files. Names that lead out of the folder, links, devices and more
bytes or files than the data set has are refused with the member's name, and nothing of the archive is used.
"""

import re
import stat
import tarfile
import zipfile
from pathlib import Path, PurePosixPath

from globalconv.data.download.catalogue import Package, in_words
from globalconv.errors import InputError

MARGIN = 3
"""How many times the bytes and files that a package is known to hold are believed."""

_ENCRYPTED = 0x1
_DRIVE = re.compile(r"^[A-Za-z]:")


class Judge:
    """Decides about the members of one archive, one after another."""

    def __init__(self, archive: Path, package: Package) -> None:
        self.archive, self.package = archive, package
        self._bytes = self._files = 0

    def tar(self, member: tarfile.TarInfo, folder: Path) -> None:
        """Raise `InputError` unless `member` is a plain file or folder that stays inside `folder`."""
        self.name(member.name)
        if member.isdir():
            return
        if not member.isreg() or member.issparse():
            self.refuse(member.name, f"is {_kind(member)}, and a data set has plain files only")
        if hasattr(tarfile, "data_filter"):  # a second opinion: the standard library's, from Python 3.11.4 on
            try:
                tarfile.data_filter(member, str(folder))
            except tarfile.FilterError as error:
                self.refuse(member.name, f"is refused by Python ({error})")
        self._weigh(member.name, member.size)

    def zip(self, member: zipfile.ZipInfo) -> None:
        """Raise `InputError` unless `member` is a plain file or folder, not encrypted."""
        self.name(member.orig_filename)
        kind = stat.S_IFMT(member.external_attr >> 16)
        if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
            what = "a link" if kind == stat.S_IFLNK else "a device or pipe"
            self.refuse(member.filename, f"is {what}, and a data set has plain files only")
        if member.flag_bits & _ENCRYPTED:
            self.refuse(member.filename, "is encrypted")
        if not member.is_dir():
            self._weigh(member.filename, member.file_size)

    def name(self, name: str) -> None:
        """Raise `InputError` for a name that could lead out of a folder, on any system."""
        path = PurePosixPath(name)
        if path.is_absolute() or _DRIVE.match(name):
            self.refuse(name, "has an absolute path")
        if ".." in path.parts:
            self.refuse(name, "leads out of the folder")
        if "\\" in name or any(ord(character) < 32 for character in name):
            self.refuse(name, "has a backslash or a control character in its name")

    def refuse(self, name: str, why: str) -> None:
        """Raise `InputError` about one member."""
        shown = ascii(name if len(name) <= 200 else f"{name[:200]}...")
        raise InputError(
            f"{self.archive}: member {shown} {why}; this is not the official archive: remove it and get that one"
        )

    def _weigh(self, name: str, size: int) -> None:
        self._bytes += size
        self._files += 1
        if self._bytes > MARGIN * self.package.unpacked:
            self.refuse(name, f"would make more than {in_words(MARGIN * self.package.unpacked)} of the archive")
        if self._files > MARGIN * self.package.files:
            self.refuse(name, f"would be more than file number {MARGIN * self.package.files}")


def _kind(member: tarfile.TarInfo) -> str:
    if member.issym() or member.islnk():
        return f"a link to {member.linkname[:200]!a}"
    if member.isdev():
        return "a device or pipe"
    return "a file with holes" if member.issparse() else f"of the unknown kind {member.type!r}"

"""Whether an archive is the official one, and whether what it held is all there."""

import hashlib
from pathlib import Path

from globalconv.data.prepare.downloading import MB
from globalconv.data.prepare.packages import Package
from globalconv.errors import InputError
from globalconv.progress import Progress

_BLOCK = 2**22


def check_archive(archive: Path, package: Package) -> None:
    """Raise `InputError` unless `archive` has the size and the digest of the official file, as far as they are known.

    What has neither is proven when it is unpacked: ZIP files carry a checksum of every member.
    """
    size = archive.stat().st_size
    remedy = "remove it and get it again"
    if package.size is not None and size != package.size:
        raise InputError(
            f"{archive}: has {size} bytes, the official {package.file} has {package.size}, so it is cut short or"
            f" another file; {remedy}"
        )
    kind, _, expected = package.digest.partition(":")
    if expected and (found := _digest(archive, kind)) != expected:
        raise InputError(
            f"{archive}: its {kind.upper()} is {found}, that of the official {package.file} is {expected}, so it was"
            f" damaged or altered on its way; {remedy}"
        )


def missing(root: Path, package: Package) -> list[str]:
    """Return what the folder `root` of a data set lacks of a package, in words; nothing where it is complete."""
    counts = {pattern: sum(1 for _ in root.glob(pattern)) for pattern, _ in package.holds}
    return [
        f"{counts[pattern]} of {least} files {pattern}" for pattern, least in package.holds if counts[pattern] < least
    ]


def _digest(archive: Path, kind: str) -> str:
    state = hashlib.new(kind, usedforsecurity=False)
    done = 0
    with (
        archive.open("rb") as file,
        Progress(f"checked {archive.name}", archive.stat().st_size // MB, "MB") as progress,
    ):
        while block := file.read(_BLOCK):
            state.update(block)
            done += len(block)
            progress.update(done // MB)
    return state.hexdigest()

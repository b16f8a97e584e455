"""`data prepare`: an official data set from its official address, or from archives that a user downloaded.

The state is in the files themselves, so that any call goes on where an earlier one was stopped:

    OUT/archives/NAME.part         what has been downloaded of an archive so far
    OUT/archives/NAME              the archive, complete and checked
    OUT/archives/.NAME.unpacking   an unpacking that was stopped: begun anew
    OUT/archives/.NAME.unpacked    all files of the archive that are kept, on their way to where they belong
    OUT/...                        the data set in its official layout
"""

import shutil
import urllib.parse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from globalconv.data.download.catalogue import OFFICIAL_DATASETS, OfficialDataset, Package, format_bytes
from globalconv.data.download.fetch import check_archive, download, missing_files, part_size
from globalconv.data.download.place import move_into_place, sort_imagenet_val
from globalconv.data.download.unpack import Target, unpack
from globalconv.errors import InputError, Log, StoppedError, print_line, suggest
from globalconv.runtime.files import FolderLock

SPARE = 1.05
"""Unpacked files take somewhat more room on a disk than their bytes."""


def prepare_data(
    name: str,
    out: Path,
    archives: Path | None = None,
    packages: Sequence[str] = (),
    mirror: str | None = None,
    log: Log = print_line,
) -> Path:
    """Bring the data set `name` (one of `OFFICIAL_DATASETS`) into its official layout below `out`; return its root.

    `archives` is a folder with archives that the user downloaded. `packages` are the names of those that are wanted (by
    default the usual ones and those in `archives`). `mirror` is an address that holds the public ones under their
    official names. Files that are there already are left as they are. Raises `InputError` for an archive that is
    missing, damaged or not to be trusted; a call that was stopped is continued by the same call.
    """
    if name not in OFFICIAL_DATASETS:
        raise InputError(f"data set {name!r} is unknown; {suggest(name, OFFICIAL_DATASETS)}")
    dataset = OFFICIAL_DATASETS[name]
    if archives is not None and not archives.is_dir():
        raise InputError(f"`archives` {archives}: no such folder; name the one with the archives that you downloaded")
    if out.exists() and not out.is_dir():
        raise InputError(f"`out` {out}: is a file; name a folder")
    if mirror is not None and urllib.parse.urlsplit(mirror).scheme not in ("http", "https"):
        raise InputError(f"`mirror` {mirror}: give an address that begins with http:// or https://")
    by_name = {package.name: package for package in dataset.packages}
    if unknown := [package for package in packages if package not in by_name]:
        raise InputError(f"`packages` {unknown[0]}: {name} has no such package; {suggest(unknown[0], by_name)}")
    if not packages:
        own = [p.name for p in dataset.packages if archives is not None and (archives / p.file).is_file()]
        packages = (*dataset.usual, *own)

    root, work = out / dataset.root, _Preparation(name, dataset, out, archives, mirror)
    incomplete, lock = list[Package](), FolderLock(out / "archives")
    try:
        for package in (package for package in dataset.packages if package.name in packages):
            if work.unpacked(package).exists() or missing_files(work.folder, package):
                incomplete.append(package)
            else:
                log(f"{name} {package.name}: complete, nothing to do")
        work.require_available(incomplete)
        if not incomplete:
            return root
        (out / "archives").mkdir(parents=True, exist_ok=True)
        lock.take("prepares data")
        work.require_space(incomplete)
        for package in incomplete:
            if not work.unpacked(package).is_dir():
                work.unpack(package, work.get_archive(package))
            move_into_place(work.unpacked(package), work.folder)
            log(f"{name} {package.name}: complete")
        if kept := [file for file in (out / "archives").iterdir() if not file.name.startswith(".")]:
            size = format_bytes(sum(file.stat().st_size for file in kept))
            log(f"{out / 'archives'} ({size}) is not needed any more")
    except StoppedError as stopped:
        raise StoppedError(f"{stopped}; the same command goes on where it was", stopped.exit_code - 128) from None
    finally:
        lock.release()
    return root


@dataclass(frozen=True)
class _Preparation:
    """One data set, the folders of its preparation, and the steps that one package takes."""

    name: str
    dataset: OfficialDataset
    out: Path
    own_archives: Path | None
    """The user's folder with archives."""
    mirror: str | None

    @property
    def folder(self) -> Path:
        """The folder in which the archives' own paths begin."""
        return self.out / self.dataset.folder

    def unpacked(self, package: Package) -> Path:
        return self.out / "archives" / f".{package.file}.unpacked"

    def find_archive(self, package: Package) -> Path | None:
        """Return the archive where it lies, in the user's folder or our own."""
        folders = [folder for folder in (self.own_archives, self.out / "archives") if folder is not None]
        return next((folder / package.file for folder in folders if (folder / package.file).is_file()), None)

    def is_local(self, package: Package) -> bool:
        """Return whether nothing of a package has to be downloaded."""
        return self.unpacked(package).is_dir() or self.find_archive(package) is not None

    def require_available(self, packages: Sequence[Package]) -> None:
        """Refuse packages that can neither be downloaded nor lie in a folder, and explain how to get them."""
        if closed := [package.title for package in packages if not (package.address or self.is_local(package))]:
            raise InputError(
                f"{self.name}: {', '.join(closed)} cannot be had without an account; {self.dataset.account}, put the"
                " archives as they are into one folder, and give the same command with `archives` FOLDER"
            )

    def require_space(self, packages: Sequence[Package]) -> None:
        """Refuse to begin what the disk cannot hold."""
        needed = 0.0
        for package in packages:
            if not self.unpacked(package).is_dir():
                needed += SPARE * package.unpacked
            if not self.is_local(package):
                needed += (package.size or 0) - part_size(self.out / "archives" / f"{package.file}.part")
        if needed > (free := shutil.disk_usage(self.out).free):
            raise InputError(
                f"`out` {self.out}: {format_bytes(needed)} are needed for {', '.join(p.name for p in packages)} and"
                f" {format_bytes(free)} are free; make room, choose another disk, or name fewer `packages`"
            )

    def get_archive(self, package: Package) -> Path:
        """Return the archive of a package, checked, after downloading it if it lies nowhere."""
        archive = self.find_archive(package)
        if archive is not None:
            check_archive(archive, package)
            return archive
        archive = self.out / "archives" / package.file
        address = f"{self.mirror.rstrip('/')}/{package.file}" if self.mirror else package.address
        assert package.size is not None, "what has an address has a size"
        download(address, archive, package.size, lambda file: check_archive(file, package))
        return archive

    def unpack(self, package: Package, archive: Path) -> None:
        """Unpack the files of an archive that are kept, count them, and name the folder as unpacked."""
        half = self.out / "archives" / f".{package.file}.unpacking"
        if half.exists():
            shutil.rmtree(half)
        half.mkdir()
        try:
            unpack(archive, package, self.choose_target(package), half)
            if lacking := missing_files(half, package):
                raise InputError(
                    f"{archive}: holds {'; '.join(lacking)}, so it is cut short or not the official {package.file};"
                    " remove it and get it again"
                )
        except (InputError, OSError):
            shutil.rmtree(half)
            raise
        half.rename(self.unpacked(package))

    def choose_target(self, package: Package) -> Target:
        """Return the function that maps a member's path to its place in the data set."""
        if self.name == "imagenet" and package.name == "val":
            devkit = next(other for other in self.dataset.packages if other.name == "devkit")
            if missing_files(self.folder, devkit):
                raise InputError(f"imagenet val: needs {devkit.title}, which says what its images show; add it")
            return sort_imagenet_val(self.folder / devkit.keeps.rstrip("/"), package.keeps)
        if package.nested:
            return lambda member: f"{package.keeps}{member}"
        return lambda member: member if member.startswith(package.keeps) else None

"""The official data sets from their official addresses, or from archives that a user downloaded: checked and unpacked.

What is done shows in the files themselves, so that any call goes on where an earlier one was stopped:

    OUT/archives/NAME.part         what has been downloaded of an archive so far
    OUT/archives/NAME              the archive, complete and checked
    OUT/archives/.NAME.unpacking   an unpacking that was stopped: begun anew
    OUT/archives/.NAME.unpacked    all that is wanted of it, on its way to where it belongs
    OUT/...                        the data set in its official layout
"""

import shutil
import urllib.parse
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from globalconv.data.download.catalogue import DATA_SETS, DataSet, Package, in_words
from globalconv.data.download.fetch import check_archive, download, missing
from globalconv.data.download.place import place, place_val
from globalconv.data.download.unpack import Place, unpack
from globalconv.errors import InputError, StoppedError, suggest
from globalconv.runtime.files import FolderLock

SPARE = 1.05
"""What is unpacked takes somewhat more room on a disk than its bytes."""

Tell = Callable[[str], object]


def prepare(
    name: str,
    out: Path,
    archives: Path | None = None,
    packages: Sequence[str] = (),
    mirror: str | None = None,
    tell: Tell = print,
) -> Path:
    """Bring the data set `name` (one of `DATA_SETS`) into its official layout below `out`; return what `data` takes.

    `archives` is a folder with archives that the user downloaded, `packages` names those that are wanted (by default
    the usual ones and whatever lies in `archives`), `mirror` is an address that holds the public ones under their
    official names. What is there already is left as it is. Raises `InputError` for whatever is missing, damaged or not
    to be trusted; a call that was stopped is continued by the same call.
    """
    if name not in DATA_SETS:
        raise InputError(f"data set {name!r} is unknown; {suggest(name, DATA_SETS)}")
    data_set = DATA_SETS[name]
    if archives is not None and not archives.is_dir():
        raise InputError(f"`archives` {archives}: no such folder; name the one with the archives that you downloaded")
    if out.exists() and not out.is_dir():
        raise InputError(f"`out` {out}: is a file; name a folder")
    if mirror is not None and urllib.parse.urlsplit(mirror).scheme not in ("http", "https"):
        raise InputError(f"`mirror` {mirror}: give an address that begins with http:// or https://")
    wanted = _chosen(name, data_set, packages, archives)
    job, lock = _Job(name, data_set, out, archives, mirror, tell), FolderLock(out / "archives")
    try:
        left = job.left(wanted)
        if not left:
            return out / data_set.root
        (out / "archives").mkdir(parents=True, exist_ok=True)
        lock.take("prepares data")
        job.run(left)
    except StoppedError as stopped:
        again = "the same command goes on where it was"
        raise StoppedError(f"{stopped}; {again}", stopped.exit_code - 128) from None
    finally:
        lock.release()
    return out / data_set.root


def _chosen(name: str, data_set: DataSet, names: Sequence[str], archives: Path | None) -> list[Package]:
    """Return the packages that are wanted, in the data set's own order."""
    known = {package.name: package for package in data_set.packages}
    if unknown := [wanted for wanted in names if wanted not in known]:
        raise InputError(f"`packages` {unknown[0]}: {name} has no such package; {suggest(unknown[0], known)}")
    found = [p.name for p in data_set.packages if archives is not None and (archives / p.file).is_file()]
    wanted = names or (*data_set.usual, *found)
    return [package for package in data_set.packages if package.name in wanted]


@dataclass(frozen=True)
class _Job:
    """The packages of one data set, one after another."""

    name: str
    data_set: DataSet
    out: Path
    given: Path | None
    mirror: str | None
    tell: Tell

    @property
    def folder(self) -> Path:
        """Where the archives' own paths begin."""
        return self.out / self.data_set.folder

    def left(self, wanted: Sequence[Package]) -> list[Package]:
        """Return the packages that are not complete; `InputError` for those that cannot be had."""
        left = [package for package in wanted if self._unpacked(package).exists() or missing(self.folder, package)]
        for package in wanted:
            if package not in left:
                self.tell(f"{self.name} {package.name}: complete, nothing to do")
        self._check_to_be_had(left)
        return left

    def run(self, left: Sequence[Package]) -> None:
        """Do what is left to do."""
        self._check_room(left)
        for package in left:
            if not self._unpacked(package).is_dir():
                archive = self._archive(package)
                if archive is None:
                    archive = self._download(package)
                else:
                    check_archive(archive, package)
                self._unpack(package, archive)
            place(self._unpacked(package), self.folder)
            self.tell(f"{self.name} {package.name}: complete")
        kept = [file for file in (self.out / "archives").iterdir() if not file.name.startswith(".")]
        if kept:
            size = in_words(sum(file.stat().st_size for file in kept))
            self.tell(f"{self.out / 'archives'} ({size}) is not needed any more")

    def _unpacked(self, package: Package) -> Path:
        return self.out / "archives" / f".{package.file}.unpacked"

    def _archive(self, package: Package) -> Path | None:
        """Return the archive where it lies, in the user's folder or our own."""
        folders = [folder for folder in (self.given, self.out / "archives") if folder is not None]
        return next((folder / package.file for folder in folders if (folder / package.file).is_file()), None)

    def _is_to_be_had(self, package: Package) -> bool:
        return self._unpacked(package).is_dir() or self._archive(package) is not None

    def _check_to_be_had(self, left: Sequence[Package]) -> None:
        """Say how to come by what cannot simply be downloaded."""
        closed = [package for package in left if not (package.address or self._is_to_be_had(package))]
        if closed:
            names = ", ".join(package.about for package in closed)
            raise InputError(
                f"{self.name}: {names} cannot be had without an account; {self.data_set.account}, put the archives as"
                " they are into one folder, and give the same command with `archives` FOLDER"
            )

    def _check_room(self, left: Sequence[Package]) -> None:
        """Refuse to begin what the disk cannot hold."""
        needed = 0.0
        for package in left:
            if not self._unpacked(package).is_dir():
                needed += SPARE * package.unpacked
            if not self._is_to_be_had(package):
                needed += (package.size or 0) - _length(self.out / "archives" / f"{package.file}.part")
        if needed > (free := shutil.disk_usage(self.out).free):
            raise InputError(
                f"`out` {self.out}: {in_words(needed)} are needed for {', '.join(p.name for p in left)} and"
                f" {in_words(free)} are free; make room, choose another disk, or name fewer `packages`"
            )

    def _download(self, package: Package) -> Path:
        target = self.out / "archives" / package.file
        address = f"{self.mirror.rstrip('/')}/{package.file}" if self.mirror else package.address
        assert package.size is not None, "what has an address has a size"
        download(address, target, package.size, lambda file: check_archive(file, package))
        return target

    def _unpack(self, package: Package, archive: Path) -> None:
        """Unpack what is wanted of an archive, count it, and call it unpacked."""
        half = self.out / "archives" / f".{package.file}.unpacking"
        if half.exists():
            shutil.rmtree(half)
        half.mkdir()
        try:
            unpack(archive, package, self._place(package), half)
            if lacking := missing(half, package):
                raise InputError(
                    f"{archive}: holds {'; '.join(lacking)}, so it is cut short or not the official {package.file};"
                    " remove it and get it again"
                )
        except (InputError, OSError):
            shutil.rmtree(half)
            raise
        half.rename(self._unpacked(package))

    def _place(self, package: Package) -> Place:
        if self.name == "imagenet" and package.name == "val":
            devkit = next(other for other in self.data_set.packages if other.name == "devkit")
            if missing(self.folder, devkit):
                raise InputError(f"imagenet val: needs {devkit.about}, which says what its images show; add it")
            return place_val(self.folder / devkit.keeps.rstrip("/"), package.keeps)
        if package.nested:
            return lambda member: f"{package.keeps}{member}"
        return lambda member: member if member.startswith(package.keeps) else None


def _length(file: Path) -> int:
    return file.stat().st_size if file.exists() else 0

"""Archives unpacked, hostile ones refused by the name of the member, and what was unpacked brought to its place."""

import re
import stat
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest
from helpers.archives import tar_member, tar_of, zip_of

from globalconv.data.download.catalogue import Package
from globalconv.data.download.place import move_into_place
from globalconv.data.download.unpack import unpack
from globalconv.errors import InputError

GOOD = {"top/a/1.txt": b"one", "top/2.txt": b"two", "top/empty": b"", "README": b"left out"}


def package(file: str, unpacked: int = 1000, files: int = 10, nested: int = False) -> Package:
    return Package("p", file, None, "", "top/", unpacked, files, (), nested=bool(nested))


def unpacked(tmp_path: Path, name: str, content: bytes, **options: int) -> dict[str, bytes]:
    """Unpack an archive and return what came of it; nothing may appear anywhere else."""
    archive, folder = tmp_path / name, tmp_path / "in" / "folder"
    archive.write_bytes(content)
    folder.mkdir(parents=True)
    before = {path for path in tmp_path.rglob("*") if folder not in path.parents}

    def target(member: str) -> str | None:
        return member if member.startswith("top/") else None

    try:
        unpack(archive, package(name, **options), target, folder)
    finally:
        assert {path for path in tmp_path.rglob("*") if folder not in path.parents} == before
    assert not [path for path in folder.rglob("*") if path.is_symlink()]
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("good.tar", tar_of(GOOD)),
        ("good.tgz", tar_of(GOOD, "w:gz")),
        ("good.tar.gz", tar_of(GOOD, "w:gz")),
        ("good.zip", zip_of(GOOD)),
        ("dots.tar", tar_of({f"./{name}": content for name, content in GOOD.items()})),
        ("folders.tar", tar_of(GOOD, more=[tar_member("top", tarfile.DIRTYPE), tar_member("top/", tarfile.DIRTYPE)])),
        ("folders.zip", zip_of({"top/": b"", **GOOD}, {"top/": 0o40755})),
    ],
)
def test_plain_archives(tmp_path: Path, name: str, content: bytes) -> None:
    assert unpacked(tmp_path, name, content) == {name: GOOD[name] for name in GOOD if name != "README"}


def test_files_are_ours_whatever_the_archive_says(tmp_path: Path) -> None:
    member = tar_member("top/script")
    member.mode, member.uid, member.uname = 0o6777, 0, "root"
    unpacked(tmp_path, "modes.tar", tar_of({}, more=[member]))
    assert not (tmp_path / "in/folder/top/script").stat().st_mode & (stat.S_ISUID | stat.S_ISGID | stat.S_IXUSR)


def test_an_archive_of_archives(tmp_path: Path) -> None:
    inner = {f"n{number}.tar": tar_of({f"n{number}_{i}.JPEG": bytes([i]) for i in range(3)}) for number in range(2)}
    archive = tmp_path / "train.tar"
    archive.write_bytes(tar_of(inner))
    (tmp_path / "folder").mkdir()
    unpack(archive, package("train.tar", 40_000, nested=True), lambda name: f"train/{name}", tmp_path / "folder")
    files = {str(p.relative_to(tmp_path / "folder")): p.read_bytes() for p in (tmp_path / "folder").rglob("*.JPEG")}
    assert files == {f"train/n{n}/n{n}_{i}.JPEG": bytes([i]) for n in range(2) for i in range(3)}


def test_a_hostile_archive_in_an_archive(tmp_path: Path) -> None:
    archive = tmp_path / "train.tar"
    archive.write_bytes(tar_of({"n0.tar": tar_of({"../../evil": b"x"})}))
    (tmp_path / "folder").mkdir()
    with pytest.raises(InputError, match=r"member '\.\./\.\./evil' leads out"):
        unpack(archive, package("train.tar", 40_000, nested=True), lambda name: f"t/{name}", tmp_path / "folder")
    assert not (tmp_path / "evil").exists()


def _twice_zip() -> bytes:
    with pytest.warns(UserWarning, match="Duplicate name"):
        return zip_of([("top/1", b"x"), ("top/1", b"y")])


HOSTILE: list[tuple[str, Callable[[], bytes], str]] = [
    ("up.tar", lambda: tar_of({"top/../../../evil": b"x"}), "'top/../../../evil' leads out of the folder"),
    ("up.zip", lambda: zip_of({"top/1": b"", "../evil": b"x"}), "'../evil' leads out of the folder"),
    ("absolute.tar", lambda: tar_of({"/evil": b"x"}), "'/evil' has an absolute path"),
    ("absolute.zip", lambda: zip_of({"/evil": b"x"}), "'/evil' has an absolute path"),
    ("drive.zip", lambda: zip_of({"C:evil": b"x"}), "'C:evil' has an absolute path"),
    ("backslash.zip", lambda: zip_of({"..\\evil": b"x"}), r"'..\\evil' has a backslash"),
    ("control.tar", lambda: tar_of({"top/a\x1b[2Jb": b"x"}), r"'top/a\x1b[2Jb' has a backslash or a control"),
    (
        "symlink.tar",
        lambda: tar_of({}, more=[tar_member("top/l", tarfile.SYMTYPE, "../../..")]),
        "'top/l' is a link to '../../..'",
    ),
    ("within.tar", lambda: tar_of(GOOD, more=[tar_member("top/l", tarfile.SYMTYPE, "2.txt")]), "'top/l' is a link"),
    (
        "hardlink.tar",
        lambda: tar_of({}, more=[tar_member("top/h", tarfile.LNKTYPE, "/etc/passwd")]),
        "'top/h' is a link to '/etc/passwd'",
    ),
    ("symlink.zip", lambda: zip_of({"top/l": b"/etc"}, {"top/l": stat.S_IFLNK | 0o777}), "'top/l' is a link"),
    ("device.tar", lambda: tar_of({}, more=[tar_member("top/d", tarfile.CHRTYPE)]), "'top/d' is a device or pipe"),
    ("pipe.tar", lambda: tar_of({}, more=[tar_member("top/p", tarfile.FIFOTYPE)]), "'top/p' is a device or pipe"),
    ("device.zip", lambda: zip_of({"top/d": b""}, {"top/d": stat.S_IFCHR | 0o666}), "'top/d' is a device or pipe"),
    ("bomb.tgz", lambda: tar_of({"top/bomb": bytes(10**6)}, "w:gz"), "'top/bomb' would make more than 0.003 MB"),
    ("bomb.zip", lambda: zip_of({"top/bomb": bytes(10**6)}), "'top/bomb' would make more than 0.003 MB"),
    ("many.tar", lambda: tar_of({f"top/{i}": b"" for i in range(40)}), "'top/30' would be more than file number 30"),
    ("many.zip", lambda: zip_of({f"top/{i}": b"" for i in range(40)}), "'top/30' would be more than file number 30"),
    ("encrypted.zip", lambda: zip_of(GOOD, flags=1), "'top/a/1.txt' is encrypted"),
    ("twice.zip", _twice_zip, "'top/1' occurs twice"),
    ("twice.tar", lambda: tar_of({"top/1": b"x", "./top/1": b"y"}), "'./top/1' occurs twice"),
    ("both.tar", lambda: tar_of({"top/1": b"x", "top/1/2": b"y"}), "'top/1/2' occurs twice, or as a file and as a"),
    ("elsewhere.tar", lambda: tar_of({"no/../../evil": b"x"}), "'no/../../evil' leads out of the folder"),
]


@pytest.mark.parametrize(("name", "make", "message"), HOSTILE, ids=[name for name, _, _ in HOSTILE])
def test_hostile_archives_are_refused_by_name(
    tmp_path: Path, name: str, make: Callable[[], bytes], message: str
) -> None:
    with pytest.raises(InputError, match=re.escape(f"member {message}")) as error:
        unpacked(tmp_path, name, make())
    assert str(tmp_path / name) in str(error.value) and "\n" not in str(error.value)


def test_a_member_that_is_larger_than_it_says(tmp_path: Path) -> None:
    """A ZIP file whose table of contents, which decides about bombs, claims less than there is."""
    content = zip_of({"top/bomb": bytes(100_000)})
    lied = content.replace((100_000).to_bytes(4, "little"), (100).to_bytes(4, "little"))
    with pytest.raises(InputError, match=r"lies\.zip: is damaged"):
        unpacked(tmp_path, "lies.zip", lied)
    assert sum(path.stat().st_size for path in (tmp_path / "in").rglob("*") if path.is_file()) <= 100


def test_a_file_with_holes(tmp_path: Path) -> None:
    """Of an old GNU sparse member only the header matters: it may claim any size for nothing."""
    block = bytearray(tar_member("top/holes", tarfile.GNUTYPE_SPARSE).tobuf(tarfile.GNU_FORMAT))
    block[483:495] = b"00000001000\x00"  # the real size, which differs from that on tape
    block[148:156] = b" " * 8
    block[148:156] = f"{sum(block):06o}\x00 ".encode()
    with pytest.raises(InputError, match="member 'top/holes' is a file with holes"):
        unpacked(tmp_path, "holes.tar", bytes(block) + bytes(1024))


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("cut.tar", tar_of({"top/1": bytes(2000)})[:1500]),
        ("cut.tgz", tar_of({"top/1": bytes(range(256)) * 9}, "w:gz")[:300]),
        ("cut.zip", zip_of(GOOD)[:-40]),
        ("page.tar", b"<html>please log in</html>" * 40),
        ("page.zip", b"<html>please log in</html>" * 40),
        ("empty.tar", b""),
        ("compressed.tar", tar_of(GOOD, "w:gz")),
        ("flipped.zip", zip_of({"top/1": bytes(range(256))}).replace(bytes(range(50, 60)), bytes(10))),
    ],
)
def test_damaged_archives(tmp_path: Path, name: str, content: bytes) -> None:
    with pytest.raises(InputError, match=rf"{name}: is damaged or no such archive .*get it again"):
        unpacked(tmp_path, name, content)


def write(root: Path, files: dict[str, bytes]) -> Path:
    for name, content in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(content)
    return root


def read(root: Path) -> dict[str, bytes]:
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def test_placing_moves_whole_and_into_what_is_there(tmp_path: Path) -> None:
    move_into_place(write(tmp_path / "one", {"a/b/1": b"1", "a/2": b"2"}), tmp_path / "out")
    assert read(tmp_path / "out") == {"a/b/1": b"1", "a/2": b"2"}
    move_into_place(write(tmp_path / "two", {"a/b/3": b"3", "a/2": b"2", "c/4": b"4"}), tmp_path / "out")
    assert read(tmp_path / "out") == {"a/b/1": b"1", "a/2": b"2", "a/b/3": b"3", "c/4": b"4"}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out"]


@pytest.mark.parametrize("there", [{"a/2": b"mine"}, {"a/2/deep": b"mine"}])
def test_placing_writes_over_nothing(tmp_path: Path, there: dict[str, bytes]) -> None:
    staged, out = write(tmp_path / "staged", {"a/1": b"1", "a/2": b"2"}), write(tmp_path / "out", there)
    with pytest.raises(InputError, match=r"a/2: is there already and is not that of the official archive"):
        move_into_place(staged, out)
    assert read(out) == there and len(read(staged)) == 2


def test_placing_that_was_interrupted_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = {f"a/{number}": bytes([number]) for number in range(5)}
    staged, out = write(tmp_path / "staged", files), write(tmp_path / "out", {"a/mine": b""})
    real, calls = Path.rename, []

    def rename(self: Path, target: Path) -> Path:
        calls.append(target)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return real(self, target)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Path, "rename", rename)
        move_into_place(staged, out)
    move_into_place(staged, out)
    assert read(out) == {**files, "a/mine": b""} and not staged.exists()


def test_a_tape_is_read_in_one_go(tmp_path: Path) -> None:
    """A stream cannot be turned back, and compressed archives of a gigabyte are not read twice."""
    content = tar_of({f"top/{number}": bytes(300_000) for number in range(3)}, "w:gz")
    assert len(unpacked(tmp_path, "large.tgz", content, unpacked=10**6)) == 3

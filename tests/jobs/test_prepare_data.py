"""`globalconv data prepare` of every data set in miniature, from a server on the loopback or from own archives."""

import re
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from helpers.archives import tar_of, zip_of
from helpers.preparing import Tree, official_archives, table_for, tree_of
from helpers.serving import Behaviour, Server, serving

from globalconv.cli.main import main
from globalconv.data.datasets import open_source
from globalconv.data.download import fetch as fetch_module
from globalconv.data.download.catalogue import OFFICIAL_DATASETS
from globalconv.data.download.fetch import missing_files
from globalconv.errors import InputError, StoppedError
from globalconv.jobs.prepare_data import prepare_data


@dataclass
class Miniature:
    """One data set: its archives in a folder and on a server, and the tree that must come of them."""

    name: str
    folder: Path
    server: Server
    tree: Tree
    lines: list[str]

    def prepare(self, out: Path, **options: object) -> Path:
        options = {"mirror": f"{self.server.address}/pub/", "log": self.lines.append, **options}
        return prepare_data(self.name, out, **options)  # type: ignore[arg-type]


Make = Callable[[str], Miniature]


@pytest.fixture
def make(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Make]:
    monkeypatch.setattr(fetch_module, "PAUSES", (0.0, 0.0))
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with serving({}) as server:

        def miniature(name: str) -> Miniature:
            archives, tree = official_archives(name, tmp_path / "scratch")
            monkeypatch.setitem(OFFICIAL_DATASETS, name, table_for(name, archives, tree))
            folder = tmp_path / "own"
            folder.mkdir()
            for file, content in archives.items():
                (folder / file).write_bytes(content)
            server.files.update(archives)
            return Miniature(name, folder, server, tree, [])

        yield miniature


def prepared(out: Path) -> Tree:
    """Return what lies below --out beside the archives; nothing hidden may be left there but the lock."""
    archives = out / "archives"
    left = [path.name for path in archives.iterdir() if path.name.startswith(".") or path.suffix == ".part"]
    assert left == [".lock"]
    return {path: content for path, content in tree_of(out).items() if not path.startswith("archives/")}


@pytest.mark.parametrize("name", ["voc", "sbd", "coco"])
def test_public_ones_are_downloaded_and_unpacked(make: Make, tmp_path: Path, name: str) -> None:
    mini = make(name)
    test = {path for path in mini.tree if path.endswith("/test.txt") or "/2008_1000" in path}
    root = mini.prepare(tmp_path / "out")
    assert prepared(tmp_path / "out") == {p: c for p, c in mini.tree.items() if name != "voc" or p not in test}
    assert root == tmp_path / "out" / OFFICIAL_DATASETS[name].root and root.is_dir()
    requests = len(mini.server.requests)
    mini.prepare(tmp_path / "out")
    assert len(mini.server.requests) == requests
    packages = len(OFFICIAL_DATASETS[name].usual)
    assert mini.lines[packages].endswith("is not needed any more")
    assert all(line.endswith("complete, nothing to do") for line in mini.lines[packages + 1 :])


def test_several_share_one_folder(make: Make, tmp_path: Path) -> None:
    trees: Tree = {}
    for name in ("voc", "sbd"):
        mini = make(name)
        mini.prepare(tmp_path / "out")
        trees.update({path: c for path, c in mini.tree.items() if path in prepared(tmp_path / "out")})
        (tmp_path / "own").rename(tmp_path / name)
        (tmp_path / "scratch").rename(tmp_path / f"scratch-{name}")
    assert prepared(tmp_path / "out") == trees
    assert {path.split("/")[0] for path in trees} == {"VOCdevkit", "benchmark_RELEASE"}


def test_voc_is_read_afterwards(make: Make, tmp_path: Path) -> None:
    root = make("voc").prepare(tmp_path / "out")
    assert [len(open_source(root, split)) for split in ("train", "val")] == [4, 3]


@pytest.mark.parametrize("name", ["cityscapes", "imagenet"])
def test_closed_ones_are_explained_then_taken_from_a_folder(make: Make, tmp_path: Path, name: str) -> None:
    mini = make(name)
    with pytest.raises(InputError, match=r"cannot be had without an account; register at https://.*`archives` FOLDER"):
        mini.prepare(tmp_path / "out")
    assert not (tmp_path / "out").exists()
    mini.prepare(tmp_path / "out", archives=mini.folder)
    assert prepared(tmp_path / "out") == mini.tree
    assert not mini.server.requests


def test_packages_that_are_named(make: Make, tmp_path: Path) -> None:
    mini = make("cityscapes")
    (mini.folder / "leftImg8bit_trainextra.zip").unlink()
    mini.prepare(tmp_path / "out", archives=mini.folder, packages=["gtCoarse"])
    assert {path.split("/")[1] for path in prepared(tmp_path / "out")} == {"gtCoarse"}
    with pytest.raises(InputError, match=r"`packages` gtFin: cityscapes has no such package; did you mean 'gtFine'"):
        mini.prepare(tmp_path / "out", packages=["gtFin"])
    with pytest.raises(InputError, match=r"leftImg8bit_trainextra\.zip cannot be had without an account"):
        mini.prepare(tmp_path / "out", archives=mini.folder, packages=["trainextra"])


def test_voc_test_is_taken_along_where_it_lies_in_the_folder(make: Make, tmp_path: Path) -> None:
    mini = make("voc")
    mini.prepare(tmp_path / "out")
    mini.prepare(tmp_path / "out", archives=mini.folder)
    assert prepared(tmp_path / "out") == mini.tree


def test_imagenets_heap_needs_the_devkit(make: Make, tmp_path: Path) -> None:
    mini = make("imagenet")
    with pytest.raises(InputError, match=r"imagenet val: needs ILSVRC2012_devkit_t12\.tar\.gz"):
        mini.prepare(tmp_path / "out", archives=mini.folder, packages=["val"])


def test_nothing_but_http_is_a_mirror(make: Make, tmp_path: Path) -> None:
    mini = make("sbd")
    for mirror in ("file:///etc", "ftp://host", "elsewhere"):
        with pytest.raises(InputError, match=rf"`mirror` {mirror}: give an address"):
            mini.prepare(tmp_path / "out", mirror=mirror)


def test_a_wrong_checksum_leaves_nothing(make: Make, tmp_path: Path) -> None:
    mini = make("sbd")
    mini.server.script = [Behaviour(content=bytes(len(mini.server.files["benchmark.tgz"])))]
    with pytest.raises(InputError, match=r"its MD5 is [0-9a-f]{32}, that of the official benchmark\.tgz is"):
        mini.prepare(tmp_path / "out")
    assert prepared(tmp_path / "out") == {}
    mini.prepare(tmp_path / "out")


def test_a_damaged_archive_of_the_users_is_refused_and_kept(make: Make, tmp_path: Path) -> None:
    mini = make("sbd")
    damaged = mini.folder / "benchmark.tgz"
    damaged.write_bytes(damaged.read_bytes()[:-1])
    with pytest.raises(InputError, match=r"own/benchmark\.tgz: has \d+ bytes, the official benchmark\.tgz has"):
        mini.prepare(tmp_path / "out", archives=mini.folder)
    assert damaged.exists() and prepared(tmp_path / "out") == {}


def test_a_hostile_archive_leaves_nothing(make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mini = make("cityscapes")
    names = {path: path.removeprefix("cityscapes/") for path in mini.tree}
    inside = {name: mini.tree[path] for path, name in names.items() if name.startswith("gtFine/")}
    (mini.folder / "gtFine_trainvaltest.zip").write_bytes(zip_of({**inside, "gtFine/../../../evil": b"x"}))
    with pytest.raises(InputError, match=r"gtFine_trainvaltest\.zip: member 'gtFine/\.\./\.\./\.\./evil' leads out"):
        mini.prepare(tmp_path / "out", archives=mini.folder, packages=["gtFine"])
    assert prepared(tmp_path / "out") == {}
    assert not list(tmp_path.rglob("evil"))


def test_an_archive_of_something_else_is_refused(make: Make, tmp_path: Path) -> None:
    mini = make("cityscapes")
    (mini.folder / "gtFine_trainvaltest.zip").write_bytes(zip_of({"gtFine/readme": b"x"}))
    with pytest.raises(InputError, match=r"holds 0 of 4 files gtFine/train/\*/\*_gtFine_labelIds\.png; .*not the off"):
        mini.prepare(tmp_path / "out", archives=mini.folder, packages=["gtFine"])
    assert prepared(tmp_path / "out") == {}


def test_files_that_are_there_are_never_written_over(make: Make, tmp_path: Path) -> None:
    mini = make("sbd")
    mine = tmp_path / "out/benchmark_RELEASE/dataset/val.txt"
    mine.parent.mkdir(parents=True)
    mine.write_text("mine")
    with pytest.raises(InputError, match=r"dataset/val\.txt: is there already and is not that of the official"):
        mini.prepare(tmp_path / "out")
    assert mine.read_text() == "mine"
    mine.unlink()
    requests = len(mini.server.requests)
    mini.prepare(tmp_path / "out")  # what was unpacked is still there
    assert prepared(tmp_path / "out") == mini.tree and len(mini.server.requests) == requests


def test_a_tree_unpacked_by_hand_needs_nothing(make: Make, tmp_path: Path) -> None:
    mini = make("sbd")
    for path, content in mini.tree.items():
        (tmp_path / "out" / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "out" / path).write_bytes(content)
    mini.prepare(tmp_path / "out")
    assert not mini.server.requests and tree_of(tmp_path / "out") == mini.tree


def test_what_was_deleted_since_comes_back(make: Make, tmp_path: Path) -> None:
    mini = make("sbd")
    mini.prepare(tmp_path / "out")
    next((tmp_path / "out").rglob("cls/*.mat")).unlink()
    mini.prepare(tmp_path / "out")
    assert prepared(tmp_path / "out") == mini.tree and len(mini.server.requests) == 1


@pytest.mark.parametrize("moment", ["unpack", "place"])
def test_a_stop_at_any_moment_is_continued(
    make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    mini = make("coco")
    calls = []

    def stopped(*_: object) -> None:
        calls.append(1)
        if len(calls) == 2:
            raise StoppedError("stopped by SIGTERM", 15)

    with monkeypatch.context() as patch:
        if moment == "unpack":
            patch.setattr("globalconv.data.download.unpack._Unpacker.locate", stopped)
        else:
            real = Path.rename

            def rename(self: Path, target: Path) -> Path:
                stopped()
                return real(self, target)

            patch.setattr(Path, "rename", rename)
        with pytest.raises(StoppedError, match="stopped by SIGTERM; the same command goes on where it was") as error:
            mini.prepare(tmp_path / "out")
    assert error.value.exit_code == 143
    mini.prepare(tmp_path / "out")
    assert prepared(tmp_path / "out") == mini.tree
    assert len(mini.server.requests) == 3


def test_too_little_room_is_said_before_anything(make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mini = make("sbd")
    table = OFFICIAL_DATASETS["sbd"]
    monkeypatch.setitem(
        OFFICIAL_DATASETS, "sbd", replace(table, packages=(replace(table.packages[0], unpacked=10**18),))
    )  # fmt: skip
    with pytest.raises(InputError, match=r"1\.05e\+09 GB are needed for sbd and .* GB are free; make room"):
        mini.prepare(tmp_path / "out")
    assert not mini.server.requests


def test_two_at_once_do_not_mix(make: Make, tmp_path: Path) -> None:
    mini = make("sbd")
    hold = threading.Event()
    mini.server.script = [Behaviour(cut_after=10, hold=hold)]
    first = threading.Thread(target=mini.prepare, args=(tmp_path / "out",))
    first.start()
    try:
        while not mini.server.requests:
            time.sleep(0.001)
        with pytest.raises(InputError, match="another process prepares data there"):
            mini.prepare(tmp_path / "out")
    finally:
        hold.set()
        first.join()
    assert prepared(tmp_path / "out") == mini.tree


def test_the_command_line(
    make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    mini = make("voc")
    monkeypatch.chdir(tmp_path)
    assert main(["data", "prepare", "voc", "--out", "out", "--mirror", mini.server.address]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[-2:] == ["done: out/VOCdevkit/VOC2012", "next: globalconv data check out/VOCdevkit/VOC2012"]
    main(lines[-1].split()[2:])
    assert "layout voc, 21 classes; train 4, val 3" in capsys.readouterr().out


def test_what_to_do_next_with_a_classification_set_is_pretraining(
    make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    mini = make("imagenet")
    monkeypatch.chdir(tmp_path)
    assert main(["data", "prepare", "imagenet", "--out", "out", "--archives", str(mini.folder)]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "next: globalconv pretrain --data out/imagenet --out RUN"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_a_real_signal_in_a_download(make: Make, tmp_path: Path, number: int) -> None:
    """A process of its own is struck while the server holds the connection; the next call asks for the rest only."""
    mini = make("sbd")
    content = mini.server.files["benchmark.tgz"]
    hold = threading.Event()
    mini.server.script = [Behaviour(cut_after=len(content) // 2, hold=hold)]
    script = textwrap.dedent(f"""
        import sys
        from globalconv.data.download import fetch
        from globalconv.data.download.catalogue import *
        from globalconv.cli.main import main
        fetch.CHUNK = 1024
        OFFICIAL_DATASETS["sbd"] = {OFFICIAL_DATASETS["sbd"]!r}
        options = ["--out", {str(tmp_path / "out")!r}, "--mirror", "{mini.server.address}"]
        sys.exit(main(["data", "prepare", "sbd", *options]))
    """)
    process = subprocess.Popen([sys.executable, "-c", script], stderr=subprocess.PIPE, text=True)
    part = tmp_path / "out/archives/benchmark.tgz.part"
    try:
        while not (part.exists() and part.stat().st_size > 2048):
            assert process.poll() is None, process.communicate()[1]
            time.sleep(0.005)
        process.send_signal(number)
        errors = process.communicate(timeout=20)[1]
    finally:
        hold.set()
        process.kill()
    assert process.returncode == (130 if number == signal.SIGINT else -number)
    if number == signal.SIGINT:
        assert "globalconv: stopped by SIGINT; the same command goes on where it was" in errors
    length = part.stat().st_size
    mini.prepare(tmp_path / "out")
    assert mini.server.requests[-1][1] == f"bytes={length}-"
    assert prepared(tmp_path / "out") == mini.tree


def test_the_table_is_sound() -> None:
    """Names are unique; what has an address has a size and a digest; each is unpacked below a folder of its own."""
    for data_set in OFFICIAL_DATASETS.values():
        names = [package.name for package in data_set.packages]
        assert len(set(names)) == len(names) and set(data_set.usual) <= set(names)
        for package in data_set.packages:
            if package.address:
                assert package.size and re.fullmatch(r"md5:[0-9a-f]{32}|sha256:[0-9a-f]{64}", package.digest)
                assert package.address.endswith(f"/{package.file}")
            else:
                assert data_set.account
            assert package.keeps.endswith("/")
            assert all(glob.startswith(package.keeps) for glob, _ in package.holds)


def test_an_archive_whose_end_is_missing_is_noticed_by_what_it_lacks(make: Make, tmp_path: Path) -> None:
    """A tape that is cut between two members reads like a whole one."""
    mini = make("voc")
    test = {path: content for path, content in mini.tree.items() if "2008_100001" in path or path.endswith("/test.txt")}
    (mini.folder / "VOC2012test.tar").write_bytes(tar_of(test)[:-1024])
    voc = OFFICIAL_DATASETS["voc"]
    assert missing_files(tmp_path, voc.packages[1])
    with pytest.raises(InputError, match=r"VOC2012test\.tar: holds 1 of \d+ files VOCdevkit/VOC2012/JPEGImages"):
        mini.prepare(tmp_path / "out", archives=mini.folder, packages=["test"])

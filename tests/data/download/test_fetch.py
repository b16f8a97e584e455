"""A download against a server that does what servers and networks do."""

import hashlib
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from helpers.serving import Behaviour, Server, serving

from globalconv.data.download import fetch as fetch_module
from globalconv.data.download.fetch import download
from globalconv.errors import InputError, StoppedError
from globalconv.runtime.progress import Progress

CONTENT = np.random.default_rng(0).integers(0, 256, 700_000, np.uint8).tobytes()
SIZE = len(CONTENT)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setattr(fetch_module, "PAUSES", (0.0, 0.0, 0.0))
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with serving({"a.tar": CONTENT}) as server:
        yield server


def fetch(server: Server, folder: Path, size: int = SIZE) -> bytes:
    download(f"{server.address}/a.tar", folder / "a.tar", size, check)
    assert not (folder / "a.tar.part").exists()
    return (folder / "a.tar").read_bytes()


def check(file: Path) -> None:
    if hashlib.md5(file.read_bytes()).digest() != hashlib.md5(CONTENT).digest():
        raise InputError(f"{file}: wrong digest")


def ranges(server: Server) -> list[str | None]:
    return [byte_range for _, byte_range in server.requests]


def test_a_plain_download(server: Server, tmp_path: Path) -> None:
    assert fetch(server, tmp_path) == CONTENT
    assert ranges(server) == [None]


def test_a_connection_that_is_cut_twice_goes_on_each_time(server: Server, tmp_path: Path) -> None:
    server.script = [Behaviour(cut_after=300_000), Behaviour(cut_after=100_000)]
    assert fetch(server, tmp_path) == CONTENT
    assert ranges(server) == [None, "bytes=300000-", "bytes=400000-"]


def test_a_server_without_ranges_starts_anew(server: Server, tmp_path: Path) -> None:
    server.script = [Behaviour(cut_after=300_000), Behaviour(ranges=False)]
    assert fetch(server, tmp_path) == CONTENT


def test_a_server_without_ranges_that_always_cuts_is_given_up(server: Server, tmp_path: Path) -> None:
    server.script = [Behaviour(cut_after=300_000, ranges=False)] * 20
    with pytest.raises(InputError, match=r"given up after 4 attempts in a row .* 0\.3 MB of 0\.7 MB are kept"):
        fetch(server, tmp_path)
    assert len(server.requests) == 5  # the first got somewhere
    assert (tmp_path / "a.tar.part").stat().st_size == 300_000


def test_attempts_that_get_farther_are_not_counted(server: Server, tmp_path: Path) -> None:
    server.script = [Behaviour(cut_after=50_000) for _ in range(12)]
    assert fetch(server, tmp_path) == CONTENT


def test_unavailable_for_now_then_there(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pauses: list[float] = []
    monkeypatch.setattr(fetch_module, "PAUSES", (1.0, 2.0, 4.0))
    monkeypatch.setattr("time.sleep", pauses.append)
    server.script = [Behaviour(status=503), Behaviour(status=429, retry_after="7"), Behaviour(status=500)]
    assert fetch(server, tmp_path) == CONTENT
    assert pauses == [1.0, 7.0, 4.0]
    assert "a.tar: the server answers 503 at 0 MB; going on in 1 s" in capsys.readouterr().err


def test_a_server_may_not_make_us_wait_for_ever(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pauses: list[float] = []
    monkeypatch.setattr("time.sleep", pauses.append)
    server.script = [Behaviour(status=503, retry_after="99999")]
    assert fetch(server, tmp_path) == CONTENT
    assert pauses == [fetch_module.LONGEST_PAUSE]


@pytest.mark.parametrize("status", [401, 403, 404, 410])
def test_not_there_is_said_at_once(server: Server, tmp_path: Path, status: int) -> None:
    server.script = [Behaviour(status=status)] * 3
    with pytest.raises(InputError, match=rf"a\.tar: the server answers {status} .*`mirror`"):
        fetch(server, tmp_path)
    assert len(server.requests) == 1


def test_a_connection_that_stalls_counts_as_cut(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fetch_module, "TIMEOUT", 0.2)
    hold = threading.Event()
    server.script = [Behaviour(cut_after=300_000, hold=hold)]
    try:
        assert fetch(server, tmp_path) == CONTENT
    finally:
        hold.set()
    assert len(server.requests) >= 2


def test_a_server_that_does_not_say_how_long_the_file_is(server: Server, tmp_path: Path) -> None:
    server.script = [Behaviour(promise_length=False, cut_after=300_000), Behaviour(promise_length=False)]
    assert fetch(server, tmp_path) == CONTENT


def test_nobody_answers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetch_module, "PAUSES", (0.0,))
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with serving({}) as gone:
        address = gone.address
    with pytest.raises(InputError, match=r"given up after 2 attempts in a row \(.*refused"):
        download(f"{address}/a.tar", tmp_path / "a.tar", SIZE, check)


@pytest.mark.parametrize("length", [True, False])
def test_more_bytes_than_the_official_file_has(server: Server, tmp_path: Path, length: bool) -> None:
    server.script = [Behaviour(content=CONTENT + b"more", promise_length=length)]
    with pytest.raises(InputError, match=r"the server (offers 700004 bytes|sends more)"):
        fetch(server, tmp_path)


def test_an_error_page_instead_of_the_file(server: Server, tmp_path: Path) -> None:
    server.script = [Behaviour(content=b"<html>please log in</html>")]
    with pytest.raises(InputError, match="offers 26 bytes, the official file has 700000"):
        fetch(server, tmp_path)
    assert not any(tmp_path.iterdir())


def test_a_wrong_file_of_the_right_size_is_not_kept(server: Server, tmp_path: Path) -> None:
    server.script = [Behaviour(content=bytes(SIZE))] * 2
    with pytest.raises(InputError, match="wrong digest"):
        fetch(server, tmp_path)
    assert not any(tmp_path.iterdir()) and len(server.requests) == 1


def test_a_file_that_changed_between_two_calls_is_fetched_once_more(server: Server, tmp_path: Path) -> None:
    (tmp_path / "a.tar.part").write_bytes(bytes(1000))
    assert fetch(server, tmp_path) == CONTENT
    assert ranges(server) == ["bytes=1000-", None]


def test_a_wrong_file_that_changed_is_not_fetched_for_ever(server: Server, tmp_path: Path) -> None:
    (tmp_path / "a.tar.part").write_bytes(bytes(1000))
    server.script = [Behaviour(content=bytes(SIZE))] * 5
    with pytest.raises(InputError, match="wrong digest"):
        fetch(server, tmp_path)
    assert not any(tmp_path.iterdir()) and len(server.requests) == 2


def test_a_complete_part_needs_no_server(server: Server, tmp_path: Path) -> None:
    (tmp_path / "a.tar.part").write_bytes(CONTENT)
    assert fetch(server, tmp_path) == CONTENT
    assert not server.requests


def test_a_part_that_is_too_long_starts_anew(server: Server, tmp_path: Path) -> None:
    (tmp_path / "a.tar.part").write_bytes(CONTENT + b"x")
    assert fetch(server, tmp_path) == CONTENT
    assert ranges(server) == [None]


@pytest.mark.parametrize("wrong", [Behaviour(wrong_range=True), Behaviour(status=416)])
def test_answers_with_another_range(server: Server, tmp_path: Path, wrong: Behaviour) -> None:
    (tmp_path / "a.tar.part").write_bytes(CONTENT[:1000])
    server.script = [wrong]
    assert fetch(server, tmp_path) == CONTENT


def test_redirections_are_followed_to_http_only(server: Server, tmp_path: Path) -> None:
    server.script = [Behaviour(redirect=f"{server.address}/elsewhere/a.tar")]
    assert fetch(server, tmp_path) == CONTENT
    (tmp_path / "a.tar").unlink()
    secret = tmp_path / "secret"
    secret.write_bytes(CONTENT)
    server.script = [Behaviour(redirect=secret.as_uri())] * 9
    with pytest.raises(InputError, match="file:"):
        fetch(server, tmp_path)
    assert not (tmp_path / "a.tar").exists()


def test_a_stop_leaves_a_part_that_goes_on(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The signal strikes while the client waits for more bytes."""
    hold, real = threading.Event(), Progress.update

    def update(self: Progress, done: int, *more: object) -> None:
        if (tmp_path / "a.tar.part").stat().st_size >= 262_144:
            raise StoppedError("stopped by SIGINT", 2)
        real(self, done)

    server.script = [Behaviour(cut_after=300_000, hold=hold)]
    with monkeypatch.context() as patch, pytest.raises(StoppedError):
        patch.setattr(Progress, "update", update)
        try:
            fetch(server, tmp_path)
        finally:
            hold.set()
    assert (tmp_path / "a.tar.part").stat().st_size == 262_144
    assert fetch(server, tmp_path) == CONTENT
    assert ranges(server) == [None, "bytes=262144-"]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
def test_a_full_disk_is_no_cut_connection(server: Server, tmp_path: Path) -> None:
    (tmp_path / "a.tar.part").symlink_to("/dev/full")
    with pytest.raises(OSError, match="No space left") as error:
        fetch(server, tmp_path)
    assert error.value.filename == str(tmp_path / "a.tar.part")

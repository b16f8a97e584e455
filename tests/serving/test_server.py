"""The process: signals with requests in flight, hostile clients, slow ones, many at once."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from urllib.parse import urlsplit

import pytest
from helpers.http_server import Client, encoded, form, picture, serving
from helpers.saved_weights import save_run
from hostile import attacks, exchange, post, status_of

from globalconv.errors import InputError
from globalconv.infer.predictor import load
from globalconv.jobs.serve import digest_of, serve
from globalconv.serving import server
from globalconv.serving.boundary import Boundary
from globalconv.serving.metrics import ServerMetrics
from globalconv.serving.serve_settings import ServeSettings
from globalconv.serving.server import GracefulServer, listen


def raw(client: Client, content: bytes, ends: bool = False) -> bytes:
    """Send bytes as they are, and return all that comes back."""
    return exchange(urlsplit(client.address).port or 0, content, ends)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_run(tmp_path_factory.mktemp("served"))


def start(run: Path, *options: str) -> tuple["subprocess.Popen[str]", int]:
    command = [sys.executable, "-m", "globalconv.cli.main", "serve", str(run), "--port", "0", *options]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"})
    assert process.stderr is not None
    for line in process.stderr:
        if "serving at http://127.0.0.1:" in line:
            return process, int(line.split(":")[2].split()[0])
    raise AssertionError("the server did not start")


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_ends_the_server_when_all_accepted_requests_are_answered(
    run: Path, number: signal.Signals, code: int
) -> None:
    process, port = start(run, "--max-queue", "64")
    content = post(encoded(picture(160, 200)))
    sent, answers = threading.Barrier(13), []

    def ask(_: int) -> None:
        with socket.create_connection(("127.0.0.1", port), timeout=30) as connection:
            connection.sendall(content[:-10])
            sent.wait()
            time.sleep(0.02)  # the rest comes when the server has been told to end
            connection.sendall(content[-10:])
            received = b""
            while part := connection.recv(65536):
                received += part
            answers.append(received)

    with ThreadPoolExecutor(12) as pool:
        futures = [pool.submit(ask, index) for index in range(12)]
        sent.wait()
        process.send_signal(number)
        for future in futures:
            future.result(30)
    assert process.wait(30) == code
    assert len(answers) == 12 and all(answer.startswith(b"HTTP/1.1 200") and b"IEND" in answer for answer in answers)
    assert process.stderr is not None
    told = process.stderr.read()
    assert f"stopped by {number.name}" in told and "Traceback" not in told
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port), timeout=5)


def test_hostile_requests_are_refused_and_the_server_serves_on(capsys: pytest.CaptureFixture[str]) -> None:
    with serving(settings=ServeSettings(max_seconds=10)) as client, ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(lambda attack: raw(client, attack.content, attack.ends), attacks(200)))
        statuses = Counter(map(status_of, answers))
        assert not any(status.startswith("5") for status in statuses), statuses
        assert (
            statuses["none"] == 25
            and statuses["422"] > 40
            and statuses["413"] == 25
            and statuses["200"] >= 25
            and statuses["400"] >= 25
        )
        assert not any(b"Traceback" in answer or b"globalconv/" in answer for answer in answers)
        assert client.post("/v1/segment", encoded(picture())).status == 200
        assert client.service.batcher._places == client.service.uploads._held == 0
        assert "globalconv_requests_in_flight 1.0" in client.get("/metrics").content.decode()
    assert "please report" not in capsys.readouterr().err


def test_two_hundred_connections_at_once() -> None:
    content = encoded(picture(16, 16))
    with serving(settings=ServeSettings(max_queue=250)) as client, ThreadPoolExecutor(200) as pool:
        together = threading.Barrier(200)

        def ask(_: int) -> int:
            together.wait()
            return client.post("/v1/segment", content).status

        assert Counter(pool.map(ask, range(200))) == {200: 200}


def test_a_slow_body_is_answered_and_a_slow_header_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("globalconv.serving.uploads.RECEIVE_SECONDS", 0.3)
    monkeypatch.setattr(server, "HEADER_SECONDS", 0.6)
    with serving() as client:
        answer = raw(client, post(b"a few bytes", length=1000))
        assert answer.startswith(b"HTTP/1.1 408") and b"11 bytes came within 0.3 seconds" in answer
        began = time.monotonic()
        assert raw(client, b"POST /v1/segment HTT") == b""
        assert time.monotonic() - began < 5
        assert client.get("/healthz").status == 200


class Cycle:
    """A request and its answer; each is one of its own."""

    def __init__(self, response_complete: bool) -> None:
        self.response_complete = response_complete


class FakeConnection:
    """What a sweep sees of a connection."""

    def __init__(self) -> None:
        self.cycle: object = None
        self.waiting, self.cut = 0, False
        self.transport = SimpleNamespace(get_write_buffer_size=lambda: self.waiting, abort=self.abort)

    def abort(self) -> None:
        self.cut = True


def test_a_connection_is_cut_for_what_one_request_takes_and_not_for_its_age() -> None:
    swept = GracefulServer(Boundary(None, ServerMetrics(), max_seconds=20))  # type: ignore[arg-type]
    busy, silent, stuck, slow = (FakeConnection() for _ in range(4))
    swept.server_state.connections.update((busy, silent, stuck, slow))  # type: ignore[arg-type]
    stuck.cycle = Cycle(response_complete=False)
    slow.cycle, slow.waiting = Cycle(response_complete=True), 1000  # the answer is on its way
    cut: dict[str, int] = {}
    for second in range(100):
        busy.cycle = Cycle(response_complete=False)  # one request after another
        swept.end_slow_connections(float(second))
        for name, connection in {"busy": busy, "silent": silent, "stuck": stuck, "slow": slow}.items():
            if connection.cut:
                cut.setdefault(name, second)
    assert cut == {"silent": 11, "stuck": 51, "slow": 51}


def test_one_connection_serves_several_requests_also_after_a_refusal() -> None:
    with serving(settings=ServeSettings(max_bytes=1000)) as client:
        connection = client.connect()
        for body, status in ((encoded(picture()), 200), (b"0" * 200_000, 413), (encoded(picture()), 200)):
            connection.request("POST", "/v1/segment", body)
            response = connection.getresponse()
            assert response.status == status
            response.read()
        connection.close()


def test_images_are_never_written_to_disk(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Large files of forms would go to a temporary file: here, nothing is opened for writing at all."""
    opened: list[object] = []

    def note(event: str, arguments: tuple[object, ...]) -> None:
        if event == "open" and watching and isinstance(arguments[2], int) and arguments[2] & (os.O_WRONLY | os.O_RDWR):
            opened.append(arguments[0])

    watching = False
    sys.addaudithook(note)
    content = encoded(picture(1200, 1000), "BMP")
    assert len(content) > 3 * 2**20
    body, content_type = form(("large.bmp", content))
    with serving() as client:
        watching = True
        for output in ("class_map", "overlay", "all"):
            answer = client.post(f"/v1/segment?output={output}", body, content_type=content_type)
            assert answer.status == 200
        watching = False
    assert opened == []


def test_an_address_that_is_taken_is_one_line() -> None:
    with listen("127.0.0.1", 0) as bound, pytest.raises(InputError, match="another port"):
        listen("127.0.0.1", bound.getsockname()[1])
    with pytest.raises(InputError, match=r"`host` 256\.1\.1\.1"):
        listen("256.1.1.1", 0)


def test_without_the_extra_one_line_names_it(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("globalconv.jobs.serve.find_spec", lambda name: None if name == "uvicorn" else name)
    with pytest.raises(InputError, match=r"serve needs uvicorn; pip install globalconv\[serve\]"):
        serve(run)


def test_the_digest_is_that_of_the_weights_or_of_those_a_file_was_made_from(run: Path) -> None:
    predictor = load(run, "cpu")
    digest = json.loads((run / "model.json").read_text())["digest"]
    assert digest_of(predictor, run) == digest_of(predictor, run / "weights.safetensors") == digest
    assert digest_of(predictor, predictor) == ""
    predictor.backend.metadata = SimpleNamespace(digest="of the export")  # type: ignore[attr-defined]
    assert digest_of(predictor, run) == "of the export"


def test_the_server_itself_needs_no_torch() -> None:
    modules = "globalconv.cli.serve, globalconv.jobs.serve, globalconv.serving.app, globalconv.serving.server"
    code = f"import sys; sys.modules['torch'] = None; import {modules}"
    subprocess.run([sys.executable, "-c", code], check=True)

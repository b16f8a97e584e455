"""How `globalconv serve` stands load on the loopback: rate, latency, memory, hostile clients, an end under load.

    python benchmarks/serve.py [--requests 2000] [--hostile 1000] [--run FOLDER]

The server is a process of its own; clients are threads of this one, so both share the cores. First as many requests as
`connections` clients get answered, one after another each ("as fast as it goes"), then as many at a stated rate, a
share of that one, sent when they are due whether or not others are answered: their latency counts from when they are
due. Memory is the server's resident memory. Hostile requests are those of `hostile.py`; slow senders stop in the middle
of a request, and 200 connections come at once. The last part sends SIGTERM while clients ask: a request is lost if it
was sent on a connection that was accepted, and has no whole answer. Without --run the network is a fresh one, which
takes as long as one that has learned.
"""

import http.client
import io
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tyro
from common import RESULTS, hardware, print_rows, write_report
from hostile import attacks, exchange, post, status_of
from PIL import Image

from globalconv.labels import CAMVID
from globalconv.model.network import GlobalConvNet
from globalconv.weights import save_weights

SHARE = 0.6
"""The stated rate, of the rate as fast as it goes."""

PARTS, QUARTERS = 5, 4
"""Memory is looked at after so many parts of the requests, and of the hostile ones."""


@dataclass(frozen=True)
class Settings:
    run: Path | None = None
    """Run folder; by default a fresh network."""
    backbone: str = "tf_efficientnet_lite0"
    """Of the fresh network."""
    requests: int = 2000
    hostile: int = 1000
    size: int = 128
    """Side of the images."""
    connections: int = 8


@dataclass(frozen=True)
class Process:
    """The server that is measured."""

    port: int
    child: "subprocess.Popen[str]"

    def memory_mb(self) -> float:
        """Return the resident memory of the server, in MB."""
        lines = Path(f"/proc/{self.child.pid}/status").read_text().splitlines()
        return next(int(line.split()[1]) * 1024 / 1e6 for line in lines if line.startswith("VmRSS"))


def main(settings: Settings) -> None:
    image = photo(settings.size)
    with tempfile.TemporaryDirectory() as folder:
        weights = settings.run or fresh(Path(folder) / "network", settings.backbone)
        with started(weights) as server:
            rows = [*load_rows(server, image, settings)]
            strangers = hostile_rows(server, settings.hostile, image)
            ended = end_under_load(server, image, settings.connections)
    for title, table in (("load", rows), ("hostile clients", strangers), ("SIGTERM under load", ended)):
        print_rows(title, table)
    asked = {**asdict(settings), "run": "fresh" if settings.run is None else settings.run.name}
    report = {
        "command": f"python benchmarks/serve.py {' '.join(sys.argv[1:])}".strip(),
        "hardware": hardware(),
        "settings": asked,
        "tables": {"serve: load": rows, "serve: hostile clients": strangers, "serve: SIGTERM under load": ended},
    }
    write_report(RESULTS / "serve.json", report)


@contextmanager
def started(weights: Path) -> Iterator[Process]:
    """Run the server, and end it."""
    command = [sys.executable, "-m", "globalconv.cli.main", "serve", str(weights), "--port", "0"]
    child = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    assert child.stderr is not None
    try:
        port = next(int(line.split(":")[2].split()[0]) for line in child.stderr if "serving at http://" in line)
        threading.Thread(target=child.stderr.read, daemon=True).start()
        yield Process(port, child)
    finally:
        child.kill()
        child.wait()


def load_rows(server: Process, image: bytes, settings: Settings) -> Iterator[dict[str, Any]]:
    """Yield a row as fast as it goes, and one at a stated rate."""
    ask(server.port, image)
    count = settings.requests
    memory = [server.memory_mb()]
    taken: list[float] = []
    began = time.perf_counter()
    for part in range(PARTS):
        taken += in_turn(server.port, image, count * (part + 1) // PARTS - count * part // PARTS, settings.connections)
        memory.append(server.memory_mb())
    rate = count / (time.perf_counter() - began)
    yield row("as fast as it goes", rate, taken, memory)
    memory, stated = [server.memory_mb()], SHARE * rate
    taken = []
    began = time.perf_counter()
    for part in range(PARTS):
        taken += at_rate(server.port, image, count * (part + 1) // PARTS - count * part // PARTS, stated)
        memory.append(server.memory_mb())
    yield row(f"{stated:.0f} requests/s", count / (time.perf_counter() - began), taken, memory)


def row(case: str, rate: float, taken: list[float], memory: list[float]) -> dict[str, Any]:
    """Return the figures of requests that took `taken` seconds; memory before, and after each part."""
    median, high = np.quantile(taken, (0.5, 0.99))
    return {
        "case": case,
        "requests": len(taken),
        "requests_per_s": round(rate, 1),
        "median_ms": round(1e3 * float(median), 1),
        "p99_ms": round(1e3 * float(high), 1),
        "memory_mb": ", ".join(f"{value:.0f}" for value in memory),
    }


def ask(port: int, image: bytes) -> float:
    """Return the seconds that one request takes on a connection of its own."""
    began = time.perf_counter()
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    send(connection, image)
    connection.close()
    return time.perf_counter() - began


def send(connection: http.client.HTTPConnection, image: bytes) -> None:
    """Ask for one class map."""
    connection.request("POST", "/v1/segment", image)
    response = connection.getresponse()
    content = response.read()
    assert response.status == 200, content


def in_turn(port: int, image: bytes, count: int, connections: int) -> list[float]:
    """Return the seconds of `count` requests that so many clients send, each the next when it has its answer."""

    def client(requests: int) -> list[float]:
        connection, taken = http.client.HTTPConnection("127.0.0.1", port, timeout=60), []
        for _ in range(requests):
            began = time.perf_counter()
            send(connection, image)
            taken.append(time.perf_counter() - began)
        connection.close()
        return taken

    shares = [count * (number + 1) // connections - count * number // connections for number in range(connections)]
    with ThreadPoolExecutor(connections) as pool:
        return [seconds for taken in pool.map(client, shares) for seconds in taken]


def at_rate(port: int, image: bytes, count: int, rate: float) -> list[float]:
    """Return the seconds from when each of `count` requests was due until its answer."""
    start = time.perf_counter() + 0.05

    def client(number: int) -> float:
        due = start + number / rate
        time.sleep(max(0.0, due - time.perf_counter()))
        ask(port, image)
        return time.perf_counter() - due

    with ThreadPoolExecutor(64) as pool:
        return list(pool.map(client, range(count)))


def hostile_rows(server: Process, count: int, image: bytes) -> list[dict[str, Any]]:
    """Return the statuses of hostile requests of each kind; then slow senders, and 200 connections at once.

    The second half are the same requests again: what memory they take, those before have taken.
    """
    sent = attacks(count // 2) * 2
    memory, answers = [server.memory_mb()], list[str]()
    for part in range(QUARTERS):
        now = sent[len(sent) * part // QUARTERS : len(sent) * (part + 1) // QUARTERS]
        with ThreadPoolExecutor(16) as pool:
            answers += pool.map(lambda one: status_of(exchange(server.port, one.content, one.ends)), now)
        memory.append(server.memory_mb())
    kinds = dict.fromkeys(one.what for one in sent)
    found = {kind: Counter(s for one, s in zip(sent, answers, strict=True) if one.what == kind) for kind in kinds}
    with ThreadPoolExecutor(200) as pool:
        slow = [
            pool.submit(exchange, server.port, content, False, 60)
            for content in [post(image, length=2 * len(image)), b"POST /v1/segm"] * 10
        ]
        together = threading.Barrier(180)

        def at_once(_: int) -> str:
            together.wait()
            return status_of(exchange(server.port, post(image), False, 60))

        crowd = Counter(pool.map(at_once, range(180)))
        found["slow sender"] = Counter(status_of(future.result()) for future in slow)
    found["180 at once, beside 20 slow ones"] = crowd
    rows = [
        {"what": what, "requests": counts.total(), "statuses": _words(counts), "server_errors": _server_errors(counts)}
        for what, counts in found.items()
    ]
    memory.append(server.memory_mb())
    total = sum(counts.total() for counts in found.values())
    errors = sum(_server_errors(counts) for counts in found.values())
    listed = ", ".join(f"{value:.0f}" for value in memory)
    words = f"memory in MB before, after each quarter (the last two are the first two again), and at the end: {listed}"
    return [*rows, {"what": "all", "requests": total, "statuses": words, "server_errors": errors}]


def _server_errors(counts: "Counter[str]") -> int:
    return sum(count for status, count in counts.items() if status.startswith("5"))


def _words(counts: "Counter[str]") -> str:
    return ", ".join(f"{status}: {count}" for status, count in sorted(counts.items()))


def end_under_load(server: Process, image: bytes, connections: int) -> list[dict[str, Any]]:
    """Send SIGTERM while clients ask; return how many requests were answered, refused a connection, and lost."""
    outcomes: Counter[str] = Counter()
    request = post(image)

    def client(_: int) -> None:
        while True:
            try:
                received = exchange(server.port, request)
            except ConnectionRefusedError:
                return
            whole = received.startswith(b"HTTP/1.1 200") and b"IEND" in received
            outcomes["answered" if whole else f"status {status_of(received)}"] += 1

    with ThreadPoolExecutor(connections) as pool:
        futures = [pool.submit(client, number) for number in range(connections)]
        time.sleep(1.0)
        answered = outcomes["answered"]
        server.child.send_signal(signal.SIGTERM)
        for future in futures:
            future.result()
    code = server.child.wait(60)
    lost = outcomes.total() - outcomes["answered"]
    return [
        {
            "answered_before": answered,
            "answered_after": outcomes["answered"] - answered,
            "lost": lost,
            "exit_code": code,
        }
    ]


def photo(size: int) -> bytes:
    """Return a photograph of CamVid where there is one, else noise, as a JPEG of this size."""
    root = os.environ.get("GLOBALCONV_DATA")
    found = sorted((Path(root) / "CamVid" / "val").glob("*.jpg")) if root else []
    picture = Image.open(found[0]) if found else Image.effect_noise((size, size), 60)
    file = io.BytesIO()
    picture.convert("RGB").resize((size, size)).save(file, "JPEG", quality=90)
    return file.getvalue()


def fresh(folder: Path, backbone: str) -> Path:
    """Save a network that has learned nothing."""
    network = GlobalConvNet(CAMVID.num_classes, backbone, 15, decoder="features")
    save_weights(folder, network.eval(), CAMVID, {})
    return folder


if __name__ == "__main__":
    main(tyro.cli(Settings, description=__doc__))

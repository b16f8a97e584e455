"""A server on the loopback that does to its clients what servers and networks do, one thing per request."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class Behaviour:
    """What the server does to one request; the default is what servers should do."""

    status: int = 0
    """Answer with this and no file."""
    retry_after: str = ""
    cut_after: int | None = None
    """Close the connection after so many bytes, having promised all."""
    ranges: bool = True
    """Heed `Range`."""
    wrong_range: bool = False
    """Answer 206 with another part than was requested."""
    content: bytes | None = None
    """Send this instead of the file."""
    promise_length: bool = True
    redirect: str = ""
    hold: threading.Event | None = None
    """After `cut_after` bytes wait for this, with the connection open."""


@dataclass
class Server:
    """What is served, what happens to the next requests, and the requests."""

    files: dict[str, bytes]
    address: str = ""
    script: list[Behaviour] = field(default_factory=list)
    requests: list[tuple[str, str | None]] = field(default_factory=list)
    """Path and `Range` of each request."""


@contextmanager
def serving(files: dict[str, bytes]) -> Iterator[Server]:
    """Serve `files` (name -> content) on the loopback."""
    server = Server(files)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            server.requests.append((self.path, self.headers.get("Range")))
            _answer(self, server, server.script.pop(0) if server.script else Behaviour())

        def log_message(self, *_: object) -> None:
            pass

    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    http.daemon_threads = True
    server.address = f"http://127.0.0.1:{http.server_address[1]}"
    thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        http.shutdown()
        http.server_close()
        thread.join()


def _answer(request: BaseHTTPRequestHandler, server: Server, behaviour: Behaviour) -> None:
    content = server.files.get(request.path.rsplit("/", 1)[-1])
    content = content if behaviour.content is None else behaviour.content
    if behaviour.redirect:
        request.send_response(302)
        request.send_header("Location", behaviour.redirect)
        request.end_headers()
        return
    if behaviour.status or content is None:
        request.send_response(behaviour.status or 404)
        if behaviour.retry_after:
            request.send_header("Retry-After", behaviour.retry_after)
        request.end_headers()
        return
    byte_range = request.headers.get("Range")
    start = int(byte_range.removeprefix("bytes=").removesuffix("-")) if byte_range and behaviour.ranges else 0
    if start >= len(content):
        request.send_response(416)
        request.end_headers()
        return
    _send(request, content, start, behaviour)


def _send(request: BaseHTTPRequestHandler, content: bytes, start: int, behaviour: Behaviour) -> None:
    sent = content[start:]
    request.send_response(206 if start else 200)
    if start:
        first = start + 1 if behaviour.wrong_range else start
        request.send_header("Content-Range", f"bytes {first}-{len(content) - 1}/{len(content)}")
    if behaviour.promise_length:
        request.send_header("Content-Length", str(len(sent)))
    request.end_headers()
    request.wfile.write(sent if behaviour.cut_after is None else sent[: behaviour.cut_after])
    request.wfile.flush()
    if behaviour.hold is not None:
        behaviour.hold.wait(10)

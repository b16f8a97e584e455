"""A server of ours on the loopback, in a thread of the test's process, and requests to it."""

import http.client
import io
import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import numpy.typing as npt
from helpers.infer import LABELS, Brightest
from PIL import Image

from globalconv.infer.inference_settings import PLAIN, InferenceSettings
from globalconv.infer.predictor import Predictor
from globalconv.serving.app import build_app
from globalconv.serving.serve_settings import ServeSettings
from globalconv.serving.server import GracefulServer, listen
from globalconv.serving.service import Service

Pixels = npt.NDArray[np.uint8]


@dataclass
class Answer:
    status: int
    headers: Mapping[str, str]
    content: bytes

    def json(self) -> Any:
        return json.loads(self.content)

    def image(self) -> Image.Image:
        return Image.open(io.BytesIO(self.content))

    @property
    def detail(self) -> str:
        """The line of a problem, whose form is checked."""
        assert self.headers["content-type"] == "application/problem+json", self.content
        problem = self.json()
        assert problem["status"] == self.status and set(problem) == {"type", "title", "status", "detail"}
        line = problem["detail"]
        assert isinstance(line, str) and "\n" not in line and "Traceback" not in line
        return line


@dataclass
class Client:
    address: str
    service: Service
    server: GracefulServer

    def request(
        self, method: str, path: str, body: bytes | None = None, headers: Mapping[str, str] | None = None
    ) -> Answer:
        connection = self.connect()
        try:
            connection.request(method, path, body, dict(headers or {}))
            response = connection.getresponse()
            return Answer(
                response.status, {name.lower(): value for name, value in response.getheaders()}, response.read()
            )
        finally:
            connection.close()

    def connect(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection(urlsplit(self.address).netloc, timeout=30)

    def get(self, path: str) -> Answer:
        return self.request("GET", path)

    def post(self, path: str, body: bytes, **headers: str) -> Answer:
        return self.request("POST", path, body, {name.replace("_", "-"): value for name, value in headers.items()})


def brightest(settings: InferenceSettings = PLAIN) -> Predictor:
    """A predictor whose class of a pixel is its brightest channel."""
    return Predictor(Brightest(), LABELS, "cpu", "float32", settings=settings)


@contextmanager
def serving(predictor: Predictor | None = None, settings: ServeSettings | None = None) -> Iterator[Client]:
    """Serve in a thread; the end waits for requests in flight, as that of the verb does."""
    service = Service.of(predictor or brightest(), settings or ServeSettings(), "d1935")
    bound = listen("127.0.0.1", 0)
    server = GracefulServer(build_app(service))
    thread = threading.Thread(target=server.run, args=([bound],), daemon=True)
    with service.batcher.watching():
        thread.start()
        try:
            yield Client(f"http://127.0.0.1:{bound.getsockname()[1]}", service, server)
        finally:
            server.should_exit = True
            thread.join(30)
            bound.close()
    assert not thread.is_alive()


def picture(height: int = 6, width: int = 9, seed: int = 0) -> Pixels:
    """Red, green and blue pixels at random: what `brightest` finds is known."""
    classes = np.random.default_rng(seed).integers(0, 3, (height, width))
    return np.eye(3, dtype=np.uint8)[classes] * 200


def encoded(pixels: Pixels, kind: str = "PNG", **options: Any) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, kind, **options)
    return file.getvalue()


def form(*files: tuple[str, bytes], field: str = "file") -> tuple[bytes, str]:
    """A multipart form and its content type."""
    parts = [
        f'--border\r\nContent-Disposition: form-data; name="{field}"; filename="{name}"\r\n\r\n'.encode() + content
        for name, content in files
    ]
    return b"\r\n".join([*parts, b"--border--\r\n"]), "multipart/form-data; boundary=border"

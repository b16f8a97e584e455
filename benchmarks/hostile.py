"""What strangers send to a server, as bytes: pieces of images, images that claim too much, broken requests."""

import io
import random
import socket
from dataclasses import dataclass

import numpy as np
from PIL import Image

KINDS = ("BMP", "GIF", "JPEG", "PNG", "PPM", "TIFF", "WEBP")
BOMB_SIDE = 15_000
"""Pixels; its file has 30 kilobytes."""


@dataclass(frozen=True)
class Attack:
    """One request."""

    what: str
    content: bytes
    ends: bool = False
    """It is cut off, and the connection with it."""


def post(body: bytes, length: int | None = None) -> bytes:
    """Return a request with `body`, which is said to have `length` bytes, on a connection of its own."""
    size = len(body) if length is None else length
    head = f"POST /v1/segment HTTP/1.1\r\nHost: x\r\nContent-Length: {size}\r\nConnection: close\r\n\r\n"
    return head.encode() + body


def exchange(port: int, content: bytes, ends: bool = False, seconds: float = 30) -> bytes:
    """Send bytes to a port of this machine as they are, and return all that comes back until the connection closes."""
    with socket.create_connection(("127.0.0.1", port), timeout=seconds) as connection:
        received = b""
        try:
            connection.sendall(content)
            if ends:
                connection.shutdown(socket.SHUT_WR)
            while part := connection.recv(65536):
                received += part
        except (ConnectionResetError, BrokenPipeError):
            pass
        return received


def status_of(received: bytes) -> str:
    """Return the status of an answer, or "none" where there is none."""
    return received[9:12].decode("ascii", "replace") or "none"


def attacks(count: int, seed: int = 0) -> list[Attack]:
    """Return so many requests, of eight kinds in turn."""
    chance = random.Random(seed)
    photo = Image.fromarray(np.random.default_rng(seed).integers(0, 256, (40, 50, 3), np.uint8))
    good = {kind: _encoded(photo, kind) for kind in KINDS}
    bomb = _encoded(Image.new("1", (BOMB_SIDE, BOMB_SIDE)), "PNG")
    pixel = _encoded(Image.new("RGB", (1, 1)), "PNG")
    found = []
    for index in range(count):
        image = bytearray(good[chance.choice(KINDS)])
        what = index % 8
        if what == 0:
            found.append(Attack("truncated", post(bytes(image[: chance.randrange(len(image))]))))
        elif what == 1:
            for _ in range(20):
                image[chance.randrange(len(image))] = chance.randrange(256)
            found.append(Attack("changed bytes", post(bytes(image))))
        elif what == 2:
            found.append(Attack("bomb", post(bomb)))
        elif what == 3:
            found.append(Attack("1 x 1", post(pixel)))
        elif what == 4:
            found.append(Attack("no image", post(chance.randbytes(chance.randrange(2000)))))
        elif what == 5:
            found.append(Attack("form that ends early", _form(bytes(image))))
        elif what == 6:
            found.append(Attack("cut off", post(bytes(image), length=len(image) + 100), ends=True))
        else:
            found.append(Attack("no HTTP", chance.randbytes(200) + b"\r\n\r\n"))
    return found


def _form(image: bytes) -> bytes:
    """Return a form whose last boundary is missing, with a long file name."""
    head = f'--x\r\nContent-Disposition: form-data; name="file"; filename="{"x" * 3000}"\r\n\r\n'
    body = head.encode() + image + b"\r\n"
    start = b"POST /v1/segment HTTP/1.1\r\nHost: x\r\nContent-Type: multipart/form-data; boundary=x\r\n"
    return start + f"Connection: close\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body


def _encoded(image: Image.Image, kind: str) -> bytes:
    file = io.BytesIO()
    image.save(file, kind)
    return file.getvalue()

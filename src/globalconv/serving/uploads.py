"""What clients send: bodies within limits of size and time, files of forms, images out of them. All stays in memory.

H x W pixels of an image.
"""

import asyncio
import os
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from http import HTTPStatus

from starlette.requests import Request

from globalconv.arrays import Uint8Array
from globalconv.data.image_bytes import ImageBytes
from globalconv.data.image_format import ImageFormat
from globalconv.data.images import ImageTooLargeError, image_header, read_image
from globalconv.errors import InputError
from globalconv.runtime.text import cut_middle
from globalconv.serving.batching import Batcher, Segmented
from globalconv.serving.forms import files_of
from globalconv.serving.refusals import RefusedRequest

RECEIVE_SECONDS = 20.0
"""A body has to come within this time, or that of a request where it is shorter."""

HELD_BODIES = 8
"""Bodies of the largest size that may be in memory at a time; of smaller ones as many as come."""

MAX_SCANS = 200
"""Scans of a JPEG at most. A progressive one has about ten; each goes over the whole image, so thousands of them in a
small file would take minutes."""

FORM_SLACK = 65_536
"""Bytes that a form may have beside its files."""


class Uploads:
    """Receives bodies and decodes images for one server."""

    def __init__(self, batcher: Batcher, image_format: ImageFormat, max_bytes: int, max_seconds: float) -> None:
        self.batcher, self.image_format = batcher, image_format
        self.max_bytes, self.receive_seconds = max_bytes, min(max_seconds, RECEIVE_SECONDS)
        self.workers = ThreadPoolExecutor(max(2, os.cpu_count() or 1), "images")
        self._held = 0

    @asynccontextmanager
    async def body(self, request: Request, limit: int) -> AsyncIterator[bytes]:
        """Give the body of `request`, of at most `limit` bytes, to the block."""
        encoding = request.headers.get("content-encoding", "identity")
        if encoding != "identity":
            message = f"`Content-Encoding` {cut_middle(encoding, 40)}: send the body as it is"
            raise RefusedRequest(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, message)
        declared = request.headers.get("content-length", "0")
        if declared.isdecimal() and int(declared) > limit:
            raise self._too_long(int(declared), limit)
        content = bytearray()
        try:
            await self._receive(request, limit, content)
            yield bytes(content)
        finally:
            self._held -= len(content)

    async def _receive(self, request: Request, limit: int, content: bytearray) -> None:
        """Append the body to `content`, whose bytes are counted as held."""
        try:
            async with asyncio.timeout(self.receive_seconds):
                async for chunk in request.stream():
                    if len(content) + len(chunk) > limit:
                        raise self._too_long(len(content) + len(chunk), limit)
                    if self._held + len(chunk) > HELD_BODIES * self.max_bytes:
                        raise RefusedRequest(HTTPStatus.TOO_MANY_REQUESTS, "too many bytes at once; try again later", 1)
                    content += chunk
                    self._held += len(chunk)
        except TimeoutError:
            raise RefusedRequest(
                HTTPStatus.REQUEST_TIMEOUT,
                f"`body`: {len(content)} bytes came within {self.receive_seconds:g} seconds and no end; send it faster,"
                " or send a smaller image",
                close=True,
            ) from None

    def _too_long(self, size: int, limit: int) -> RefusedRequest:
        return RefusedRequest(
            HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
            f"`body` of {size} bytes or more: this server takes {limit} (`max_bytes`); send a smaller image",
        )

    @asynccontextmanager
    async def images(self, request: Request, most: int) -> AsyncIterator[list[ImageBytes]]:
        """Give the image that is the body of a request, or at most `most` that are files of a form, to the block."""
        content_type = request.headers.get("content-type", "")
        if not content_type.lower().startswith("multipart/form-data"):
            async with self.body(request, self.max_bytes) as content:
                yield [ImageBytes(content)]
            return
        async with self.body(request, min(most, HELD_BODIES) * self.max_bytes + FORM_SLACK) as content:
            loop = asyncio.get_running_loop()
            files = await loop.run_in_executor(self.workers, files_of, content, content_type, most)
            if (longest := max(len(file.content) for file in files)) > self.max_bytes:
                raise self._too_long(longest, self.max_bytes)
            yield files

    async def segment(self, upload: ImageBytes, with_confidence: bool) -> Segmented:
        """Decode one image and let the network see it."""
        loop = asyncio.get_running_loop()
        width, height = await loop.run_in_executor(self.workers, self.size, upload)
        with self.batcher.pixels(width * height):
            image = await loop.run_in_executor(self.workers, self.decode, upload)
            return await self.batcher.segment(image, with_confidence)

    def size(self, upload: ImageBytes) -> tuple[int, int]:
        """Return (width, height) of an image, or refuse it."""
        if upload.content[:2] == b"\xff\xd8" and (scans := upload.content.count(b"\xff\xda")) > MAX_SCANS:
            message = f"`{upload}`: a JPEG of {scans} scans takes too long; save it with at most {MAX_SCANS}"
            raise RefusedRequest(HTTPStatus.UNPROCESSABLE_ENTITY, message)
        header = image_header(upload)
        if header is None:  # it is no image, or claims far too many pixels: the reader says which
            height, width = self.decode(upload).shape[:2]
            return width, height
        if header.width * header.height > self.batcher.max_pixels:
            raise self._too_large(upload, header.width * header.height)
        return header.width, header.height

    def decode(self, upload: ImageBytes) -> Uint8Array:
        """Return the pixels of an image, or refuse it."""
        try:
            return read_image(upload, self.image_format)
        except ImageTooLargeError as error:
            raise self._too_large(upload, error.pixels) from None
        except InputError as error:
            raise RefusedRequest.of(error) from None
        except MemoryError:
            message = f"`{upload}`: not enough memory to decode it; send a smaller image"
            raise RefusedRequest(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, message) from None

    def _too_large(self, upload: ImageBytes, pixels: int) -> RefusedRequest:
        return RefusedRequest(
            HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
            f"`{upload}`: {pixels / 1e6:.4g} megapixels, and this server takes {self.batcher.max_pixels / 1e6:.4g}"
            " (`max_pixels`); send a smaller image",
        )

"""Images of Label Studio's tasks: data URIs, and files below the one address that the server was given.

Nothing else is ever fetched: a task may hold any address, also one inside the network that this server stands in.
"""

import base64
import binascii
import json
import posixpath
import time
import urllib.error
import urllib.request
from http import HTTPStatus
from typing import Any
from urllib.parse import SplitResult, unquote, urlsplit

from globalconv.data.image_bytes import ImageBytes
from globalconv.runtime.text import cut_middle, one_line
from globalconv.serving.refusals import RefusedRequest

FETCH_SECONDS = 15.0
"""How long Label Studio may take to answer."""

ACCESS_SECONDS = 200.0
"""How long an access token is used; Label Studio's last five minutes."""


class NoRedirect(urllib.request.HTTPRedirectHandler):
    """Follows no redirect: it would lead elsewhere, with the key."""

    def redirect_request(self, *_: Any) -> None:
        return None


class TaskImages:
    """Gets images from data URIs and, with its key, from Label Studio at `base`, where one is given."""

    def __init__(self, base: str | None, key: str | None, max_bytes: int) -> None:
        self.base = None if base is None else urlsplit(base.rstrip("/"))
        self.key, self.max_bytes = key, max_bytes
        self._opener = urllib.request.build_opener(NoRedirect)
        self._access, self._access_until = "", 0.0

    def get(self, source: object) -> ImageBytes:
        """Return the image that a task names; refuse it where it is elsewhere, too large, or cannot be had."""
        if not isinstance(source, str) or not source:
            raise self._refusal(source, "is no address of an image; give a data URI, or a file of Label Studio")
        if source.startswith("data:"):
            return ImageBytes(self._decode(source), "image")
        return ImageBytes(self._fetch(self.address(source)), cut_middle(posixpath.basename(urlsplit(source).path), 80))

    def _decode(self, source: str) -> bytes:
        head, comma, content = source.partition(",")
        if not comma or not head.endswith(";base64"):
            raise self._refusal(source, "is a data URI without base64; encode the image with it")
        if len(content) > self.max_bytes * 4 / 3 + 4:
            raise self._too_large(source)
        try:
            return base64.b64decode(content, validate=True)
        except (binascii.Error, ValueError):
            raise self._refusal(source, "is a data URI whose base64 is damaged; encode it again") from None

    def address(self, source: str) -> str:
        """Return the address to fetch: `source` if it lies below the base, or put below it if it has no host."""
        if self.base is None:
            raise self._refusal(
                source, "is not sent with the task; start the server with `label_studio_url`, Label Studio's address"
            )
        try:
            parts = urlsplit(source)
            own = _place(self.base) == _place(parts)
        except ValueError:
            raise self._refusal(source, "is no address; correct the task") from None
        within = self.base.path.rstrip("/")
        path = parts.path
        if not parts.scheme and not parts.netloc:
            path = path if within and path.startswith(f"{within}/") else f"{within}/{path.lstrip('/')}"
        elif not own or parts.username is not None or parts.password is not None:
            raise self._refusal(source, f"is not below {self.base.geturl()} (`label_studio_url`), so it is not fetched")
        plain = unquote(path)
        if ".." in plain.split("/") or "\\" in plain or not path.startswith(f"{within}/"):
            raise self._refusal(source, f"leads out of {self.base.geturl()} (`label_studio_url`), so it is not fetched")
        return SplitResult(self.base.scheme, self.base.netloc, path, parts.query, "").geturl()

    def _fetch(self, address: str) -> bytes:
        """Return the content at an address, which lies below the base."""
        headers = {"Authorization": self._authorisation()} if self.key else {}
        content = self._open(urllib.request.Request(address, headers=headers), self.max_bytes)
        if len(content) > self.max_bytes:
            raise self._too_large(address)
        return content

    def _authorisation(self) -> str:
        """Return the header for the key; a personal access token (a JWT) is exchanged for one of a few minutes."""
        assert self.key is not None and self.base is not None
        if self.key.count(".") != 2:
            return f"Token {self.key}"
        if time.monotonic() >= self._access_until:
            request = urllib.request.Request(
                f"{self.base.geturl()}/api/token/refresh/",
                json.dumps({"refresh": self.key}).encode(),
                {"Content-Type": "application/json"},
            )
            try:
                self._access = str(json.loads(self._open(request, 100_000))["access"])
            except (ValueError, KeyError, TypeError):
                message = "Label Studio gives no access token for the key in LABEL_STUDIO_API_KEY; make a new key"
                raise RefusedRequest(HTTPStatus.BAD_GATEWAY, message) from None
            self._access_until = time.monotonic() + ACCESS_SECONDS
        return f"Bearer {self._access}"

    def _open(self, request: urllib.request.Request, limit: int) -> bytes:
        """Return what a request is answered with, up to one byte more than `limit`."""
        shown = cut_middle(urlsplit(request.full_url).path, 100)
        try:
            with self._opener.open(request, timeout=FETCH_SECONDS) as response:
                content: bytes = response.read(limit + 1)
                return content
        except urllib.error.HTTPError as error:
            remedy = {401: "set LABEL_STUDIO_API_KEY to a valid key", 403: "let the key's user see the project"}.get(
                error.code, "look whether the file is still there"
            )
            error.close()
            message = f"`image` {shown}: Label Studio answers {error.code}; {remedy}"
            raise RefusedRequest(HTTPStatus.UNPROCESSABLE_ENTITY, message) from None
        except OSError as error:
            message = f"`image` {shown}: Label Studio cannot be reached ({one_line(error, 80)}); is it running?"
            raise RefusedRequest(HTTPStatus.UNPROCESSABLE_ENTITY, message) from None

    def _refusal(self, source: object, problem: str) -> RefusedRequest:
        return RefusedRequest(HTTPStatus.UNPROCESSABLE_ENTITY, f"`image` {cut_middle(str(source), 100)}: {problem}")

    def _too_large(self, source: str) -> RefusedRequest:
        return RefusedRequest(
            HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
            f"`image` {cut_middle(source, 100)}: more than {self.max_bytes} bytes (`max_bytes`); give a smaller file",
        )


def _place(address: SplitResult) -> tuple[str, str | None, int | None]:
    """Return scheme, host and port; `ValueError` for a port that is none."""
    return address.scheme, address.hostname, address.port or {"http": 80, "https": 443}.get(address.scheme)

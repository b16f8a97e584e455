"""Requests that are refused: a status, and one line that names the parameter, its value and the remedy (RFC 9457)."""

import json
import math
from http import HTTPStatus
from typing import Any

from globalconv.errors import InputError
from globalconv.runtime.text import one_line

LONGEST = 600
"""Characters of a line at most: what it quotes of a request may have any length."""


class RefusedRequest(InputError):  # noqa: N818 (it is what becomes of a request)
    """A request is answered with `status` and a line in place of what it asked for."""

    def __init__(self, status: int, message: str, retry_after: float | None = None, close: bool = False) -> None:
        super().__init__(message)
        self.status, self.close = status, close
        self.retry_after = None if retry_after is None else max(1, math.ceil(retry_after))
        """Seconds after which to try again."""

    @classmethod
    def of(cls, error: InputError) -> "RefusedRequest":
        """Return the refusal that says of a request what `error` says of a file or a setting."""
        return error if isinstance(error, cls) else cls(HTTPStatus.UNPROCESSABLE_ENTITY, str(error))

    def headers(self) -> dict[str, str]:
        """Return the headers of the answer."""
        headers = {"content-type": "application/problem+json", "cache-control": "no-store"}
        if self.retry_after is not None:
            headers["retry-after"] = str(self.retry_after)
        if self.close:
            headers["connection"] = "close"
        return headers

    def to_json(self) -> dict[str, Any]:
        """Return the answer as JSON values."""
        return {
            "type": "about:blank",
            "title": HTTPStatus(self.status).phrase,
            "status": int(self.status),
            "detail": one_line(self, LONGEST),
        }

    def body(self) -> bytes:
        """Return the answer."""
        return json.dumps(self.to_json(), ensure_ascii=True).encode()

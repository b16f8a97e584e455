"""Settings of the server: what one request may ask of it, and how many may wait."""

from dataclasses import dataclass
from urllib.parse import SplitResult, urlsplit

from globalconv.errors import InputError

MAX_PIXELS = 20_000_000
"""Largest image where `max_pixels` does not say otherwise: one of a telephone's or a camera's 20 megapixels."""

BATCH_SIZE = 4
"""Images of equal size in one pass of the network where `batch_size` does not say otherwise."""


@dataclass(frozen=True)
class ServeSettings:
    """What the server takes. Pixels, and images a pass, are among the settings of inference."""

    max_bytes: int = 32 * 2**20
    """Refuse larger image files."""
    max_seconds: float = 60.0
    """Give up a request that takes longer, waiting included."""
    max_queue: int = 64
    """Images that wait or are computed at a time; further ones are refused with 429."""
    allow_origin: tuple[str, ...] = ()
    """Pages of these origins may call the server from a browser (CORS), such as https://example.org; * for all."""
    label_studio_url: str | None = None
    """Where Label Studio is: images of its tasks are fetched below this address and nowhere else, with the key in the
    environment variable LABEL_STUDIO_API_KEY."""

    def __post_init__(self) -> None:
        for origin in self.allow_origin:
            parts = _split(origin)
            is_origin = parts is not None and f"{parts.scheme}://{parts.netloc}" == origin
            if origin != "*" and not is_origin:
                raise InputError(
                    f"`allow_origin` {origin}: give scheme and host alone, such as https://example.org, or *"
                )
        if self.label_studio_url is not None:
            address = _split(self.label_studio_url)
            if address is None or address.query or address.fragment or "@" in address.netloc:
                raise InputError(
                    f"`label_studio_url` {self.label_studio_url}: give its address, such as http://localhost:8080"
                )


def _split(address: str) -> SplitResult | None:
    """Return the parts of an address of HTTP; None where it is no such address."""
    try:
        parts = urlsplit(address)
        is_http = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:  # half an address of IPv6, a port that is no number
        return None
    return parts if is_http else None

"""Addresses among the settings are refused when they are given, not when the first request needs them."""

import pytest

from globalconv.errors import InputError
from globalconv.serving.serve_settings import ServeSettings


@pytest.mark.parametrize(
    "origin",
    ["", "example.org", "https://example.org/", "https://example.org/page", "ftp://example.org", "http://[::1"],
)
def test_an_origin_is_scheme_and_host(origin: str) -> None:
    with pytest.raises(InputError, match="`allow_origin`"):
        ServeSettings(allow_origin=("https://fine.org", origin))


@pytest.mark.parametrize(
    "address",
    ["", "here", "ftp://here", "http://", "http://here:port", "http://[::1", "http://user:word@here", "http://here?x"],
)
def test_label_studio_is_at_an_address(address: str) -> None:
    with pytest.raises(InputError, match="`label_studio_url`"):
        ServeSettings(label_studio_url=address)


def test_right_addresses_are_taken() -> None:
    ServeSettings(allow_origin=("*", "https://example.org", "http://localhost:3000", "http://[::1]:80"))
    ServeSettings(label_studio_url="http://localhost:8080/studio/")

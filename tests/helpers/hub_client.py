"""The hub's client, of this process, turned to a server on the loopback, with a cache and a token of its own."""

from pathlib import Path
from typing import Any

import pytest
from helpers.fake_hub import FakeHub

from globalconv.hub import download


def turn_client_to(hub: FakeHub, cache: Path, monkeypatch: pytest.MonkeyPatch, token: str | None = None) -> None:
    """Let huggingface_hub ask `hub`, as HF_ENDPOINT, HF_HOME, HF_TOKEN and HF_HUB_DISABLE_XET would from the start."""
    from huggingface_hub import close_session, constants

    settings: dict[str, Any] = {
        "ENDPOINT": hub.endpoint,
        "HUGGINGFACE_CO_URL_TEMPLATE": hub.endpoint + "/{repo_id}/resolve/{revision}/{filename}",
        "HF_HUB_OFFLINE": False,
        "HF_HUB_CACHE": str(cache),
        "HF_TOKEN_PATH": str(cache / "token"),
        "HF_HUB_DISABLE_XET": True,
    }
    for name, value in settings.items():
        monkeypatch.setattr(constants, name, value)
    if token is None:
        monkeypatch.delenv("HF_TOKEN", raising=False)
    else:
        monkeypatch.setenv("HF_TOKEN", token)
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("huggingface_hub.utils._http.time.sleep", lambda seconds: None)  # between its attempts
    monkeypatch.setattr(download, "_told", set())
    close_session()  # a kept one may still wait for another server

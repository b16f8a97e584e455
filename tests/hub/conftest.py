"""A hub on the loopback for every test, and a network to publish."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from helpers.fake_hub import FakeHub, serving
from helpers.hub_client import turn_client_to
from helpers.saved_weights import save_run


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeHub]:
    with serving(FakeHub()) as fake:
        turn_client_to(fake, tmp_path / "cache", monkeypatch)
        yield fake


@pytest.fixture(scope="session")
def network_files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """The two files of a network, by their names."""
    folder = save_run(tmp_path_factory.mktemp("saved"))
    return {path.name: path.read_bytes() for path in folder.iterdir()}

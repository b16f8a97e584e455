"""The small data set of `helpers.training`, once per session."""

from pathlib import Path

import pytest
from helpers.training import write_blobs


@pytest.fixture(scope="session")
def blobs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_blobs(tmp_path_factory.mktemp("blobs"))

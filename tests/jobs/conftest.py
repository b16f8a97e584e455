"""A network trained once for all tests of jobs."""

from pathlib import Path

import pytest
from helpers.training import small_recipe, write_blobs

import globalconv


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the data `blobs` and a network trained on them, `run`."""
    root = tmp_path_factory.mktemp("trained")
    globalconv.train(small_recipe(), write_blobs(root / "blobs"), root / "run")
    return root

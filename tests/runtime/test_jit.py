"""Compiled code is kept for later processes, and anything wrong with where it is kept costs time only."""

from pathlib import Path
from typing import Any

import pytest

from globalconv.runtime import jit


def twice(x: int) -> int:
    return 2 * x


@pytest.fixture
def kept(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """The folder where compiled code is kept."""
    monkeypatch.setattr("numba.config.CACHE_DIR", str(tmp_path))
    return tmp_path


def hits(function: Any) -> int:
    """How often compiled code was read from the folder, after a call of the compiled `twice`."""
    assert function(3) == 6
    return sum(function.stats.cache_hits.values())


def test_compiled_code_is_kept(kept: Path) -> None:
    assert [hits(jit.compiled(twice)) for _ in range(2)] == [0, 1]


def test_compiled_code_of_another_version_is_not_taken(kept: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    jit.compiled(twice)(3)
    monkeypatch.setattr(jit, "_DIGEST", "of another version")
    assert [hits(jit.compiled(twice)) for _ in range(2)] == [0, 1]


@pytest.mark.parametrize("suffix", ["nbi", "nbc"])
@pytest.mark.parametrize("size", [0, 40])
def test_half_a_file_of_the_cache_is_compiled_anew(kept: Path, suffix: str, size: int) -> None:
    jit.compiled(twice)(3)
    for file in kept.rglob(f"*.{suffix}"):
        file.write_bytes(file.read_bytes()[:size])
    assert [hits(jit.compiled(twice)) for _ in range(2)] == [0, 1]


def test_a_full_disk_keeps_nothing(kept: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("numba.core.caching.IndexDataCacheFile._open_for_write", full)
    assert [hits(jit.compiled(twice)) for _ in range(2)] == [0, 0]


def test_without_a_folder_for_the_cache_it_compiles_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("numba.core.caching.FunctionCache._impl_class._locator_classes", [])
    assert hits(jit.compiled(twice)) == 0

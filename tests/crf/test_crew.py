"""Results do not depend on threads, processes or who calls at the same time."""

import multiprocessing
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from globalconv.crf import solver_cpu
from globalconv.crf.dense import DenseCRF
from globalconv.crf.thread_pool import Crew, share, usable_threads
from globalconv.runtime import jit


def question(seed: int) -> tuple[Any, Any]:
    random = np.random.default_rng(seed)
    image = random.integers(0, 255, (23, 31, 3)).astype(np.uint8)
    return image, random.dirichlet(np.ones(5), (23, 31)).transpose(2, 0, 1)


def answer(seed: int) -> Any:
    return DenseCRF()(*question(seed))


@pytest.mark.parametrize("threads", ["2", "3", "8"])
def test_any_number_of_threads_gives_the_same_bits(monkeypatch: pytest.MonkeyPatch, threads: str) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    expected = answer(0)
    monkeypatch.setenv("OMP_NUM_THREADS", threads)
    solver_cpu._kept.clear()
    assert (answer(0) == expected).all()


def test_threads_follow_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "5,2")
    assert usable_threads() == 5
    monkeypatch.setenv("OMP_NUM_THREADS", "many")
    monkeypatch.setattr("os.sched_getaffinity", lambda _: {0, 1, 2}, raising=False)
    assert usable_threads() == 3


def test_callers_at_the_same_time_do_not_meet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    expected = [answer(seed) for seed in range(4)]
    solver_cpu._kept.clear()
    found: dict[int, Any] = {}
    callers = [threading.Thread(target=lambda seed=seed: found.update({seed: answer(seed)})) for seed in range(4)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    assert all((found[seed] == expected[seed]).all() for seed in range(4))


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_worker_processes_give_the_same(method: str) -> None:
    if method not in multiprocessing.get_all_start_methods():
        pytest.skip(f"this system has no {method}")
    expected = answer(0)
    with multiprocessing.get_context(method).Pool(2) as pool:
        for found in pool.starmap_async(DenseCRF(), [question(0)] * 2).get(timeout=120):
            assert (found == expected).all()


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_fork_while_another_thread_looks_up_a_kernel() -> None:
    if "fork" not in multiprocessing.get_all_start_methods():
        pytest.skip("this system has no fork")
    answer(0)
    held = threading.Event()

    def hold() -> None:
        with solver_cpu._lock:
            held.set()
            time.sleep(0.3)

    holder = threading.Thread(target=hold)
    holder.start()
    held.wait()
    child = multiprocessing.get_context("fork").Process(target=answer, args=(0,))
    child.start()
    holder.join()
    child.join(60)
    hangs = child.is_alive()
    child.kill()
    assert not hangs and child.exitcode == 0


def test_an_error_in_a_thread_is_raised() -> None:
    def fail(part: int) -> None:
        if part == 1:
            raise ValueError("part 1")

    with Crew(3) as threads, pytest.raises(ValueError, match="part 1"):
        threads.every(fail)


def test_shares_cover_everything_once() -> None:
    for count in (0, 1, 7, 100):
        for parts in (1, 2, 9):
            ranges = [share(count, part, parts) for part in range(parts)]
            assert [i for begin, end in ranges for i in range(begin, end)] == list(range(count))


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
def test_half_a_file_of_the_cache_is_made_anew(kept: Path, suffix: str, size: int) -> None:
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

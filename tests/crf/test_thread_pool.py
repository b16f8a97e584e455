"""Results do not depend on threads, processes or who calls at the same time; memory is reused within a bound."""

import multiprocessing
import threading
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from globalconv.crf import solver_cpu, thread_pool
from globalconv.crf.dense import DenseCRF
from globalconv.crf.thread_pool import Buffers, ThreadPool, usable_threads
from globalconv.errors import InputError


@pytest.fixture
def no_free_blocks() -> Iterator[None]:
    thread_pool._free_blocks.clear()
    yield
    thread_pool._free_blocks.clear()


def example(seed: int) -> tuple[Any, Any]:
    random = np.random.default_rng(seed)
    image = random.integers(0, 255, (23, 31, 3)).astype(np.uint8)
    return image, random.dirichlet(np.ones(5), (23, 31)).transpose(2, 0, 1)


def refined(seed: int) -> Any:
    return DenseCRF()(*example(seed))


@pytest.mark.parametrize("threads", ["2", "3", "8"])
def test_any_number_of_threads_gives_the_same_bits(monkeypatch: pytest.MonkeyPatch, threads: str) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    expected = refined(0)
    monkeypatch.setenv("OMP_NUM_THREADS", threads)
    solver_cpu._kept_kernels.clear()
    assert (refined(0) == expected).all()


def test_threads_follow_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "5,2")
    assert usable_threads() == 5
    monkeypatch.setenv("OMP_NUM_THREADS", "many")
    monkeypatch.setattr("os.sched_getaffinity", lambda _: {0, 1, 2}, raising=False)
    assert usable_threads() == 3


def test_callers_at_the_same_time_do_not_meet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    expected = [refined(seed) for seed in range(4)]
    solver_cpu._kept_kernels.clear()
    results: dict[int, Any] = {}
    callers = [threading.Thread(target=lambda seed=seed: results.update({seed: refined(seed)})) for seed in range(4)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    assert all((results[seed] == expected[seed]).all() for seed in range(4))


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_worker_processes_give_the_same(method: str) -> None:
    if method not in multiprocessing.get_all_start_methods():
        pytest.skip(f"this system has no {method}")
    expected = refined(0)
    with multiprocessing.get_context(method).Pool(2) as pool:
        for result in pool.starmap_async(DenseCRF(), [example(0)] * 2).get(timeout=120):
            assert (result == expected).all()


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_fork_while_another_thread_looks_up_a_kernel() -> None:
    if "fork" not in multiprocessing.get_all_start_methods():
        pytest.skip("this system has no fork")
    refined(0)
    held = threading.Event()

    def hold() -> None:
        with solver_cpu._lock:
            held.set()
            time.sleep(0.3)

    holder = threading.Thread(target=hold)
    holder.start()
    held.wait()
    child = multiprocessing.get_context("fork").Process(target=refined, args=(0,))
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

    with ThreadPool(3) as pool, pytest.raises(ValueError, match="part 1"):
        pool.run_on_each_thread(fail)


@pytest.mark.parametrize("threads", [1, 2, 9])
def test_loops_cover_everything_once(threads: int) -> None:
    with ThreadPool(threads) as pool:
        for count in (0, 1, 7, 10_000):
            tasks: list[int] = []
            pool.run_tasks(count, tasks.append)
            assert sorted(tasks) == list(range(count))
            for run in (pool.run_ranges, pool.run_chunks):
                covered: list[int] = []
                run(count, lambda begin, end, covered=covered: covered.extend(range(begin, end)))  # type: ignore[misc]
                assert sorted(covered) == list(range(count))


def kept_bytes() -> int:
    return sum(block.nbytes for block in thread_pool._free_blocks)


def test_arrays_begin_at_a_cache_line_and_do_not_overlap() -> None:
    with Buffers() as buffers:
        arrays = [buffers.empty((3, count), kind) for count in (1, 7, 1000) for kind in (np.float32, np.int64)]
        for number, array in enumerate(arrays):
            assert array.ctypes.data % 64 == 0
            array[:] = number
        assert all((array == number).all() for number, array in enumerate(arrays))


@pytest.mark.usefixtures("no_free_blocks")
def test_memory_comes_back_and_is_reused() -> None:
    with Buffers() as buffers:
        first = buffers.empty((1000, 1000), np.float32).ctypes.data
        assert kept_bytes() == 0
    with Buffers() as buffers:
        assert buffers.empty((1200, 1000), np.float32).ctypes.data == first  # a little larger fits, too
        assert buffers.empty((1000, 1000), np.float32).ctypes.data != first
    with Buffers() as buffers:
        small = buffers.empty((10,), np.float32)
        assert kept_bytes() > 8_000_000, "a small array took a large block"
        assert small.nbytes == 40


@pytest.mark.usefixtures("no_free_blocks")
def test_memory_comes_back_from_a_call_that_fails() -> None:
    with pytest.raises(ValueError, match="no"), Buffers() as buffers:
        buffers.empty((1000, 1000), np.float32)
        raise ValueError("no")
    assert kept_bytes() >= 4_000_000


@pytest.mark.usefixtures("no_free_blocks")
def test_what_is_kept_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(thread_pool, "KEPT_BYTES", 6_000_000)
    with Buffers() as buffers:
        for _ in range(3):
            buffers.empty((1000, 1000), np.float32)
    assert 4_000_000 <= kept_bytes() <= 6_000_000


@pytest.mark.usefixtures("no_free_blocks")
def test_a_crf_needs_no_more_memory_at_the_next_call_and_gives_none_of_it_away() -> None:
    image, probabilities = example(0)
    first = DenseCRF()(image, probabilities)
    blocks, before = len(thread_pool._free_blocks), first.copy()
    DenseCRF()(255 - image, probabilities[::-1])
    assert len(thread_pool._free_blocks) == blocks
    assert (first == before).all(), "the result lies in memory that was reused"
    with pytest.raises(InputError):
        DenseCRF()(image, 2 * probabilities)
    assert len(thread_pool._free_blocks) == blocks

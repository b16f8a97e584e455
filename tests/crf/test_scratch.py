"""Memory is lent for the time of a call, and kept for the next one within a bound."""

from collections.abc import Iterator

import numpy as np
import pytest

from globalconv.crf import thread_pool
from globalconv.crf.dense import DenseCRF
from globalconv.crf.thread_pool import Scratch
from globalconv.errors import InputError


@pytest.fixture(autouse=True)
def nothing_kept() -> Iterator[None]:
    thread_pool._free.clear()
    yield
    thread_pool._free.clear()


def kept() -> int:
    return sum(block.nbytes for block in thread_pool._free)


def test_arrays_begin_at_a_cache_line_and_do_not_overlap() -> None:
    with Scratch() as lent:
        arrays = [lent.empty((3, count), kind) for count in (1, 7, 1000) for kind in (np.float32, np.int64)]
        for number, array in enumerate(arrays):
            assert array.ctypes.data % 64 == 0
            array[:] = number
        assert all((array == number).all() for number, array in enumerate(arrays))


def test_memory_comes_back_and_is_lent_again() -> None:
    with Scratch() as lent:
        first = lent.empty((1000, 1000), np.float32).ctypes.data
        assert kept() == 0
    with Scratch() as lent:
        assert lent.empty((1200, 1000), np.float32).ctypes.data == first  # a little larger fits, too
        assert lent.empty((1000, 1000), np.float32).ctypes.data != first
    with Scratch() as lent:
        small = lent.empty((10,), np.float32)
        assert kept() > 8_000_000, "a small array took a large block"
        assert small.nbytes == 40


def test_memory_comes_back_from_a_call_that_fails() -> None:
    with pytest.raises(ValueError, match="no"), Scratch() as lent:
        lent.empty((1000, 1000), np.float32)
        raise ValueError("no")
    assert kept() >= 4_000_000


def test_what_is_kept_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(thread_pool, "KEPT_BYTES", 6_000_000)
    with Scratch() as lent:
        for _ in range(3):
            lent.empty((1000, 1000), np.float32)
    assert 4_000_000 <= kept() <= 6_000_000


def test_a_crf_needs_no_more_memory_at_the_next_call_and_gives_none_of_it_away() -> None:
    random = np.random.default_rng(0)
    image = random.integers(0, 255, (40, 50, 3)).astype(np.uint8)
    probabilities = random.dirichlet(np.ones(4), (40, 50)).transpose(2, 0, 1)
    first = DenseCRF()(image, probabilities)
    blocks, before = len(thread_pool._free), first.copy()
    DenseCRF()(255 - image, probabilities[::-1])
    assert len(thread_pool._free) == blocks
    assert (first == before).all(), "the answer lies in memory that was lent again"
    with pytest.raises(InputError):
        DenseCRF()(image, 2 * probabilities)
    assert len(thread_pool._free) == blocks

"""Reading ahead: results in order, no further ahead than asked, errors where they belong, nothing left running."""

import threading
import time
from types import SimpleNamespace

import pytest

from globalconv.runtime.threads import Override, Shares, ahead, alike


def test_results_come_in_order_and_no_further_ahead_than_asked() -> None:
    begun: list[int] = []

    def work(job: int) -> int:
        begun.append(job)
        return job * job

    seen = []
    for number, future in enumerate(ahead(work, range(20), 3)):
        seen.append(future.result())
        assert max(begun) <= number + 3
    assert seen == [job * job for job in range(20)] and begun == list(range(20))


def test_an_error_belongs_to_its_job_and_the_others_go_on() -> None:
    futures = list(ahead(lambda job: 1 // job, [1, 0, 1], 1))
    assert futures[0].result() == futures[2].result() == 1
    with pytest.raises(ZeroDivisionError):
        futures[1].result()


def test_whoever_stops_early_leaves_no_thread_behind() -> None:
    before = threading.active_count()
    for _ in ahead(lambda job: time.sleep(0.01), range(1000), 100):
        break
    assert threading.active_count() == before


def test_no_jobs_are_no_results() -> None:
    assert list(ahead(str, [], 2)) == []


def test_alike_are_those_that_follow_one_another() -> None:
    together = list(alike("aaabccb", lambda one, other: one == other, 2))
    assert together == [["a", "a"], ["a"], ["b"], ["c", "c"], ["b"]]
    assert list(alike("", lambda one, other: True, 2)) == []


def test_shares_name_every_part_and_the_rate() -> None:
    shares = Shares("decode", "network")
    with shares.part("network"):
        time.sleep(0.01)
    line = shares.line(3, "images")
    assert line.startswith("3 images in ") and "images/s; of the time: decode 0%, network " in line


def test_what_two_threads_override_is_put_back_when_both_have_left() -> None:
    shared = SimpleNamespace(value="before")
    override = Override(shared, "value")
    first, second = override.to(1), override.to(2)
    first.__enter__()
    second.__enter__()
    assert shared.value == 2
    first.__exit__(None, None, None)  # not in the order of a stack, as threads do
    assert shared.value == 2
    second.__exit__(None, None, None)
    assert shared.value == "before"

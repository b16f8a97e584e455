"""Prefetching: results in order, at most `depth` ahead, errors with their job, no thread left; overrides and times."""

import threading
import time
from types import SimpleNamespace

import pytest

from globalconv.runtime.threads import Override, StageTimes, group_consecutive, prefetch


def test_prefetch_keeps_order_and_depth() -> None:
    begun: list[int] = []

    def work(job: int) -> int:
        begun.append(job)
        return job * job

    results = []
    for number, future in enumerate(prefetch(work, range(20), 3)):
        results.append(future.result())
        assert max(begun) <= number + 3
    assert results == [job * job for job in range(20)] and begun == list(range(20))


def test_an_error_belongs_to_its_job_and_the_others_go_on() -> None:
    futures = list(prefetch(lambda job: 1 // job, [1, 0, 1], 1))
    assert futures[0].result() == futures[2].result() == 1
    with pytest.raises(ZeroDivisionError):
        futures[1].result()


def test_closing_early_leaves_no_thread() -> None:
    before = threading.active_count()
    for _ in prefetch(lambda job: time.sleep(0.01), range(1000), 100):
        break
    assert threading.active_count() == before


def test_no_jobs_give_no_results() -> None:
    assert list(prefetch(str, [], 2)) == []


def test_groups_are_of_neighbours() -> None:
    together = list(group_consecutive("aaabccb", lambda one, other: one == other, 2))
    assert together == [["a", "a"], ["a"], ["b"], ["c", "c"], ["b"]]
    assert list(group_consecutive("", lambda one, other: True, 2)) == []


def test_the_summary_names_every_stage_and_the_rate() -> None:
    times = StageTimes("decode", "network")
    with times.stage("network"):
        time.sleep(0.01)
    line = times.summary(3, "images")
    assert line.startswith("3 images in ") and "images/s; of the time: decode 0%, network " in line


def test_overlapping_overrides_end_with_the_original_value() -> None:
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

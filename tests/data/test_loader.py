"""Batches are a function of (seed, start); workers change nothing, hide nothing, and end when they should."""

import os
import signal
import subprocess
import sys
import time
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from globalconv.data.loader import Batch, training_batches
from globalconv.data.transform_settings import Augmentation
from globalconv.errors import InputError
from globalconv.labels import IGNORE, LabelSpace

SETTINGS = Augmentation((16, 24), (0.5, 2), True, 0.2, 0.2, 0.2)


class Numbered:
    """A source whose sample i is a textured image in which every value says i; counts what is decoded."""

    name = "numbered"
    labels = LabelSpace(("a", "b", "c"))

    def __init__(self, count: int, broken: int | None = None) -> None:
        self.count, self.broken = count, broken
        self.images: list[int] = []
        self.label_maps: list[int] = []

    def __len__(self) -> int:
        return self.count

    def sample_name(self, index: int) -> str:
        return str(index)

    def image(self, index: int) -> np.ndarray:
        self.images.append(index)
        if index == self.broken:
            raise InputError(f"file-{index}.png: cannot be decoded; replace it")
        return np.random.default_rng(index).integers(0, 256, (20, 30, 3), np.uint8)

    def label_map(self, index: int) -> np.ndarray:
        self.label_maps.append(index)
        return np.full((20, 30), index % 3, np.uint8)


def take(
    count: int, *, size: int = 4, start: int = 0, workers: int = 0, samples: int = 10, seed: int = 3
) -> list[Batch]:
    batches = training_batches(Numbered(samples), SETTINGS, (1, 2, 3), size, seed, start, workers)
    return list(islice(batches, count))


def same(one: list[Batch], two: list[Batch]) -> bool:
    return len(one) == len(two) and all(
        a.names == b.names and torch.equal(a.images_N3HW, b.images_N3HW) and torch.equal(a.targets, b.targets)
        for a, b in zip(one, two, strict=True)
    )


def test_shapes_and_types() -> None:
    (batch,) = take(1)
    assert (batch.images_N3HW.shape, batch.images_N3HW.dtype) == ((4, 3, 16, 24), torch.uint8)
    assert (batch.targets.shape, batch.targets.dtype) == ((4, 16, 24), torch.uint8)
    for name, labels_HW in zip(batch.names, batch.targets, strict=True):
        assert set(labels_HW.unique().tolist()) <= {int(name) % 3, IGNORE}


@given(start=st.integers(0, 30), size=st.integers(1, 7), samples=st.integers(1, 12))
def test_a_stream_that_starts_later_is_the_same_stream(start: int, size: int, samples: int) -> None:
    stream = take(start + 3, size=size, samples=samples)
    assert same(stream[start:], take(3, size=size, samples=samples, start=start))


@given(samples=st.integers(1, 12), size=st.integers(1, 7), seed=st.integers(0, 2**70))
def test_every_epoch_holds_every_sample_once_in_a_new_order(samples: int, size: int, seed: int) -> None:
    batches = take(-(-2 * samples // size), size=size, samples=samples, seed=seed)
    stream = [name for batch in batches for name in batch.names][: 2 * samples]
    everything = sorted(map(str, range(samples)))
    assert sorted(stream[:samples]) == sorted(stream[samples:]) == everything


def test_seeds_and_epochs_differ() -> None:
    one = take(5, samples=20)
    assert one[0].names != take(1, samples=20, seed=4)[0].names
    again = take(10, samples=20)[5:]
    assert [batch.names for batch in one] != [batch.names for batch in again]
    first, second = (batch.images_N3HW for batch in take(2, size=1, samples=1))
    assert not torch.equal(first, second), "the same sample is augmented anew in every epoch"


def test_workers_change_no_bit() -> None:
    alone = take(7)
    assert same(alone, take(7, workers=2))
    assert same(alone[5:], take(2, workers=1, start=5))


def test_a_sample_is_decoded_once_per_step() -> None:
    source = Numbered(10)
    names = [name for batch in islice(training_batches(source, SETTINGS, (0, 0, 0), 4, 0), 5) for name in batch.names]
    assert list(map(str, source.images)) == list(map(str, source.label_maps)) == names


@pytest.mark.parametrize("workers", [0, 2])
def test_global_randomness_is_left_alone(workers: int) -> None:
    before = torch.random.get_rng_state()
    take(2, workers=workers)
    assert torch.equal(before, torch.random.get_rng_state())


@pytest.mark.parametrize("workers", [0, 2])
def test_an_input_error_arrives_as_it_was_raised(workers: int) -> None:
    batches = training_batches(Numbered(10, broken=7), SETTINGS, (0, 0, 0), 4, 0, 0, workers)
    with pytest.raises(InputError) as error:
        list(islice(batches, 5))
    assert str(error.value) == "file-7.png: cannot be decoded; replace it"


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"batch_size": 0}, "`data.batch_size` 0"),
        ({"workers": -1}, "`data.workers` -1"),
        ({"seed": -1}, "`seed` -1"),
        ({}, "no samples"),
    ],
)
def test_wrong_settings_are_refused_at_once(wrong: dict[str, Any], message: str) -> None:
    settings: dict[str, Any] = {"batch_size": 2, "seed": 0, "workers": 0, **wrong}
    with pytest.raises(InputError, match=message):
        training_batches(Numbered(0 if not wrong else 5), SETTINGS, (0, 0, 0), start=0, **settings)


def children() -> set[int]:
    return {int(pid) for pid in Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()}


needs_proc = pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="lists processes through /proc")


@needs_proc
def test_workers_ignore_signals_and_end_with_the_iterator() -> None:
    before = children()
    batches = training_batches(Numbered(10), SETTINGS, (0, 0, 0), 4, 0, 0, 2)
    first = [next(batches), next(batches)]  # one from each worker, so both are up
    workers = children() - before
    assert len(workers) == 2
    for worker in workers:
        # Ignored, and blocked besides: inherited from the start, so that no signal comes before it is ignored.
        status = dict(line.split(":", 1) for line in Path(f"/proc/{worker}/status").read_text().splitlines())
        for mask in (int(status["SigIgn"], 16), int(status["SigBlk"], 16)):
            assert mask >> (signal.SIGINT - 1) & 1
            assert mask >> (signal.SIGTERM - 1) & 1
        os.kill(worker, signal.SIGINT)
        os.kill(worker, signal.SIGTERM)
    assert not signal.pthread_sigmask(signal.SIG_BLOCK, []), "the program itself still receives signals"
    time.sleep(0.1)
    same_again = training_batches(Numbered(10), SETTINGS, (0, 0, 0), 4, 0)
    assert same([*first, *islice(batches, 11)], list(islice(same_again, 13))), "nothing was lost"
    batches.close()
    assert not workers & children()


@needs_proc
def test_workers_end_with_a_dropped_iterator() -> None:
    before = children()
    batches = training_batches(Numbered(10), SETTINGS, (0, 0, 0), 4, 0, 0, 2)
    next(batches)
    del batches
    assert children() <= before


LEAVE = """
import sys; sys.path.insert(0, {folder!r})
from test_loader import Numbered, SETTINGS
from globalconv.data.loader import training_batches
batches = training_batches(Numbered(10), SETTINGS, (0, 0, 0), 4, 0, 0, 2)
next(batches)
{last}
"""


BROKEN = "list(training_batches(Numbered(10, broken=7), SETTINGS, (0, 0, 0), 4, 0, 0, 2))"


@pytest.mark.parametrize(("last", "code"), [("", 0), (BROKEN, 1)])
def test_a_program_that_forgets_the_iterator_still_ends(last: str, code: int) -> None:
    program = LEAVE.format(folder=str(Path(__file__).parent), last=last)
    # A hang is what the limit is for: nothing here is timed.
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == code, done.stderr
    assert ("file-7.png: cannot be decoded" in done.stderr) == (last == BROKEN)

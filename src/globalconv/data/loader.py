"""Training batches as a function of (seed, batch number).

The endless stream of positions p = 0, 1, 2, ... goes through the data epoch by epoch: position p is sample
permutation(seed, p // n)[p % n] of a source of n samples, augmented with random numbers of (seed, epoch, sample). Batch
b holds positions b B .. (b + 1) B - 1. So a run that resumes at batch b sees exactly what it would have seen, whatever
the number of workers.

A sample is made by a function (`MakeSample`): here an image with its label map, in `globalconv.data.classification` an
image with its class.

Shapes: N samples of a batch, H x W pixels of the crop.
"""

import atexit
import signal
import weakref
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from globalconv.data.source import Source
from globalconv.data.transform_settings import Augmentation
from globalconv.data.transforms import augment
from globalconv.errors import InputError
from globalconv.labels import Colour
from globalconv.runtime.processes import WHOLE, Shard, ignore_signals

_ORDER, _AUGMENT = 0, 1  # Keep the random streams of one seed apart.

Key = tuple[int, int]
"""(epoch, index of the sample in the source)."""


@dataclass
class Sample:
    """One augmented sample."""

    image_3HW: Tensor
    target: Tensor
    """labels_HW of segmentation (uint8), the class of classification (int64)."""
    name: str


@dataclass
class Batch:
    """The input of one training step."""

    images_N3HW: Tensor
    targets: Tensor
    """labels_NHW of segmentation (uint8), classes_N of classification (int64)."""
    names: list[str]


MakeSample = Callable[[int, np.random.Generator], Sample]
"""Makes sample number `index`, augmented with random numbers of the generator; `InputError` where it cannot be read.

It is sent to worker processes, so it has to be picklable.
"""


def training_batches(
    source: Source,
    augmentation: Augmentation,
    fill: Colour,
    batch_size: int,
    seed: int,
    start: int = 0,
    workers: int = 0,
    shard: Shard = WHOLE,
) -> Generator[Batch, None, None]:
    """Return the endless stream of segmentation batches; outside its image, a crop is `fill`. See `endless_batches`."""
    if len(source) == 0:
        raise InputError(f"{source.name}: holds no samples; name a split that does")
    make = partial(_make_segmentation_sample, source, augmentation, fill)
    return endless_batches(make, len(source), batch_size, seed, start, workers, shard)


def _make_segmentation_sample(
    source: Source, augmentation: Augmentation, fill: Colour, index: int, rng: np.random.Generator
) -> Sample:
    image, label_map = source.image(index), source.label_map(index)
    image_3HW, labels_HW = augment(image, label_map, augmentation, fill, rng)
    return Sample(image_3HW, labels_HW, source.sample_name(index))


def endless_batches(
    make: MakeSample, samples: int, batch_size: int, seed: int, start: int = 0, workers: int = 0, shard: Shard = WHOLE
) -> Generator[Batch, None, None]:
    """Return the endless stream of batches of `samples` samples, from batch number `start` on.

    Of every batch only the `shard` is made. `workers` processes prefetch (0: samples are made when they are needed).
    They ignore Ctrl-C and SIGTERM, which the trainer handles, and end when the iterator is closed or dropped.
    """
    if batch_size < 1:
        raise InputError(f"`data.batch_size` {batch_size}: a batch holds at least 1 sample")
    if batch_size % shard.count:
        raise InputError(
            f"`data.batch_size` {batch_size}: cannot be divided among {shard.count} processes, and the batch is that of"
            f" all of them; give a multiple of {shard.count}"
        )
    if workers < 0:
        raise InputError(f"`data.workers` {workers}: give 0 or more processes")
    if seed < 0:
        raise InputError(f"`seed` {seed}: give a whole number from 0 on")
    return _batches(make, seed, _Order(samples, batch_size, seed, start, shard), workers)


def single_pass_batches(
    make: MakeSample, samples: int, batch_size: int, workers: int = 0
) -> Generator[Batch, None, None]:
    """Return the batches of one pass in order; the last one is smaller if `batch_size` does not divide `samples`."""
    keys = [(0, index) for index in range(samples)]
    order = [keys[begin : begin + batch_size] for begin in range(0, samples, batch_size)]
    return _batches(make, 0, order, workers)


class _Order:
    """Endless batches of keys from batch `start` on; of each batch the shard of this process."""

    def __init__(self, samples: int, batch_size: int, seed: int, start: int, shard: Shard) -> None:
        self.samples, self.batch_size, self.seed, self.start = samples, batch_size, seed, start
        length = batch_size // shard.count
        self.own = slice(shard.index * length, (shard.index + 1) * length)

    def __iter__(self) -> Iterator[list[Key]]:
        epoch, offset = divmod(self.start * self.batch_size, self.samples)
        batch: list[Key] = []
        while True:
            order = np.random.default_rng([_ORDER, self.seed, epoch]).permutation(self.samples)
            for index in order[offset:]:
                batch.append((epoch, int(index)))
                if len(batch) == self.batch_size:
                    yield batch[self.own]
                    batch = []
            epoch, offset = epoch + 1, 0


class _Samples(Dataset[Sample | InputError]):
    """Augmented samples by key. An `InputError` is returned as a value: raised in a worker, it loses its message."""

    def __init__(self, make: MakeSample, seed: int) -> None:
        self.make, self.seed = make, seed

    def __getitem__(self, key: Key) -> Sample | InputError:
        try:
            return self.make(key[1], np.random.default_rng([_AUGMENT, self.seed, *key]))
        except InputError as error:
            return error


def _collate(samples: list[Sample | InputError]) -> Batch | InputError:
    good: list[Sample] = []
    for sample in samples:
        if isinstance(sample, InputError):
            return sample
        good.append(sample)
    return Batch(
        torch.stack([sample.image_3HW for sample in good]),
        torch.stack([sample.target for sample in good]),
        [sample.name for sample in good],
    )


def _batches(make: MakeSample, seed: int, order: Iterable[list[Key]], workers: int) -> Generator[Batch, None, None]:
    loader: DataLoader[Any] = DataLoader(
        _Samples(make, seed),
        batch_sampler=order,
        num_workers=workers,
        collate_fn=_collate,
        worker_init_fn=ignore_signals if workers else None,
        generator=torch.Generator(),  # Else the loader would draw its own seed from torch's global random numbers.
    )

    def stream() -> Generator[Batch, None, None]:
        with _signals_held():  # Workers inherit the mask, so no signal can reach one before it ignores them.
            batches = iter(loader)
        try:
            for batch in batches:
                if isinstance(batch, InputError):
                    raise batch
                yield batch
        finally:
            # Dropping the loader's iterator would do, but frames of a traceback may keep it and its workers alive.
            if (shut_down := getattr(batches, "_shutdown_workers", None)) is not None:
                shut_down()

    batches = stream()
    _open_streams.add(batches)
    return batches


_open_streams: "weakref.WeakSet[Generator[Batch, None, None]]" = weakref.WeakSet()


@atexit.register
def _close_streams() -> None:
    """End the workers of forgotten iterators: Python would wait for them after a SIGTERM, which they ignore."""
    for batches in list(_open_streams):
        batches.close()


@contextmanager
def _signals_held() -> Iterator[None]:
    """Keep SIGINT and SIGTERM pending inside the block, where the system can (not on Windows)."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)

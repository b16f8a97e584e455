"""Batches for training as a function of (seed, start), and class statistics.

The endless stream of positions p = 0, 1, 2, ... goes through the data epoch by epoch: position p is sample
permutation(seed, p // n)[p % n] of a source of n samples, augmented by random numbers of (seed, epoch, sample); batch b
holds positions b B .. (b + 1) B - 1. So a run that resumes at batch b sees exactly what it would have seen, whatever
the number of workers.

What a sample is made of is its maker's business (`MakeSample`): an image and its label map here, an image and its
class in `globalconv.data.classification`.

Shapes: N samples of a batch, H x W pixels of the crop, K classes.
"""

import atexit
import signal
import weakref
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from globalconv.data.class_weights import ClassWeighting, balance_classes
from globalconv.data.source import Source
from globalconv.data.transform_settings import Augmentation
from globalconv.data.transforms import augment
from globalconv.errors import InputError, suggest
from globalconv.labels import IGNORE, Colour
from globalconv.runtime.processes import WHOLE, Shard, ignore_signals

_ORDER, _AUGMENT = 0, 1  # Keep the random streams of one seed apart.

MAX_COUNTED = 1000
"""Label maps that class statistics are taken from: frequencies of classes need no more."""

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
    """What one training step sees."""

    images_N3HW: Tensor
    targets: Tensor
    """labels_NHW of segmentation (uint8), classes_N of classification (int64)."""
    names: list[str]


MakeSample = Callable[[int, np.random.Generator], Sample]
"""Makes sample number `index`, augmented by random numbers of that generator; `InputError` where it cannot be read.

It goes to other processes, so it has to be picklable.
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
    """Return the endless stream of batches for segmentation, as `endless_batches` does."""
    if len(source) == 0:
        raise InputError(f"{source.name}: holds no samples; name a split that does")
    make = partial(_augmented, source, augmentation, fill)
    return endless_batches(make, len(source), batch_size, seed, start, workers, shard)


def _augmented(
    source: Source, augmentation: Augmentation, fill: Colour, index: int, rng: np.random.Generator
) -> Sample:
    image, label_map = source.image(index), source.label_map(index)
    image_3HW, labels_HW = augment(image, label_map, augmentation, fill, rng)
    return Sample(image_3HW, labels_HW, source.sample_name(index))


def endless_batches(
    make: MakeSample, samples: int, batch_size: int, seed: int, start: int = 0, workers: int = 0, shard: Shard = WHOLE
) -> Generator[Batch, None, None]:
    """Return the endless stream of batches of `samples` samples, from batch number `start` on.

    Of every batch only the `shard` is made. `workers` processes read ahead (0: none, samples are made when asked for).
    They ignore Ctrl-C and SIGTERM, which are the trainer's to handle, and end when the iterator is closed or dropped.
    """
    if batch_size < 1:
        raise InputError(f"batch_size={batch_size}: a batch holds at least 1 sample")
    if batch_size % shard.count:
        raise InputError(
            f"`data.batch_size` {batch_size}: cannot be divided among {shard.count} processes, and the batch is that of"
            f" all of them; give a multiple of {shard.count}"
        )
    if workers < 0:
        raise InputError(f"workers={workers}: give 0 or more processes")
    if seed < 0:
        raise InputError(f"seed={seed}: give a whole number from 0 on")
    return _batches(make, seed, _Order(samples, batch_size, seed, start, shard), workers)


def single_pass_batches(
    make: MakeSample, samples: int, batch_size: int, workers: int = 0
) -> Generator[Batch, None, None]:
    """Return the batches of one pass in order, the last one smaller where it does not come out even."""
    keys = [(0, index) for index in range(samples)]
    return _batches(make, 0, [keys[at : at + batch_size] for at in range(0, samples, batch_size)], workers)


def _batches(make: MakeSample, seed: int, order: Iterable[list[Key]], workers: int) -> Generator[Batch, None, None]:
    loader: DataLoader[Any] = DataLoader(
        _Samples(make, seed),
        batch_sampler=order,
        num_workers=workers,
        collate_fn=_collate,
        worker_init_fn=ignore_signals if workers else None,
        generator=torch.Generator(),  # Else the loader would draw its own seed from torch's global random numbers.
    )
    batches = _stream(loader)
    _open_streams.add(batches)
    return batches


_open_streams: "weakref.WeakSet[Generator[Batch]]" = weakref.WeakSet()


@atexit.register
def _close_streams() -> None:
    """End the workers of forgotten iterators: Python would wait for them after a SIGTERM, which they ignore."""
    for batches in list(_open_streams):
        batches.close()


def _stream(loader: DataLoader[Any]) -> "Generator[Batch]":
    with _signals_held():  # Workers inherit the mask, so no signal can reach one before it ignores them.
        batches = iter(loader)
    try:
        for batch in batches:
            if isinstance(batch, InputError):
                raise batch
            yield batch
    finally:
        # Dropping the loader's iterator would do, but the frames of a traceback may keep it, and its workers, alive.
        if (shut_down := getattr(batches, "_shutdown_workers", None)) is not None:
            shut_down()


class _Order:
    """Batches of keys, endless, from batch `start` on; of each the shard of this process."""

    def __init__(self, samples: int, batch_size: int, seed: int, start: int, shard: Shard) -> None:
        self.samples, self.batch_size, self.seed, self.start = samples, batch_size, seed, start
        length = batch_size // shard.count
        self.own = slice(shard.index * length, (shard.index + 1) * length)

    def __iter__(self) -> Iterator[list[Key]]:
        keys = self._keys(self.start * self.batch_size)
        while True:
            yield [next(keys) for _ in range(self.batch_size)][self.own]

    def _keys(self, position: int) -> Iterator[Key]:
        epoch, offset = divmod(position, self.samples)
        while True:
            order = np.random.default_rng([_ORDER, self.seed, epoch]).permutation(self.samples)
            yield from ((epoch, int(index)) for index in order[offset:])
            epoch, offset = epoch + 1, 0


class _Samples(Dataset[Sample | InputError]):
    """Augmented samples by key; an `InputError` is handed on as a value, for a raised one loses its message."""

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


@dataclass(frozen=True)
class ClassPixels:
    """How often each class is labelled in a source."""

    pixels_K: NDArray[np.int64]
    """Label pixels of each class."""
    reach_K: NDArray[np.int64]
    """Label pixels, of any class, in the label maps in which the class occurs."""


def count_class_pixels(source: Source, on_progress: Callable[[int, int], object] | None = None) -> ClassPixels:
    """Count the labels of at most `MAX_COUNTED` samples, evenly spaced over the source.

    `on_progress` is called with the number done and the number in all.
    """
    classes = source.labels.num_classes
    counted = np.linspace(0, len(source) - 1, min(len(source), MAX_COUNTED)).round().astype(int)
    pixels_K, reach_K = np.zeros(classes, np.int64), np.zeros(classes, np.int64)
    for done, index in enumerate(counted.tolist(), start=1):
        found_K = np.bincount(source.label_map(index).ravel(), minlength=IGNORE + 1)[:classes]
        pixels_K += found_K
        reach_K += np.where(found_K > 0, found_K.sum(), 0)
        if on_progress is not None:
            on_progress(done, len(counted))
    return ClassPixels(pixels_K, reach_K)


def compute_class_weights(pixels: ClassPixels, kind: str) -> Tensor:
    """Return the weight of each class in the loss, float32 (K,): `balance_classes` as a tensor."""
    if kind not in get_args(ClassWeighting):
        raise InputError(f"class_weights={kind!r}: {suggest(kind, get_args(ClassWeighting))}")
    return torch.from_numpy(balance_classes(pixels.pixels_K, pixels.reach_K, kind).astype(np.float32))

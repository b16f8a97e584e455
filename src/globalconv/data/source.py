"""A source whose next samples are decoded while somebody works on the one before.

What a data set is to the rest of the program: a number of samples, each an image and its label map.
"""

import bisect
import functools
import itertools
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Protocol, TypeVar

import numpy as np

from globalconv.arrays import Uint8Array
from globalconv.data.images import image_size, read_image
from globalconv.data.masks import INDEX_MASKS, MaskFormat, read_label_map
from globalconv.errors import InputError
from globalconv.labels import LabelSpace
from globalconv.runtime.threads import StageTimes


class Source(Protocol):
    """Numbered samples of one split of a data set.

    `image(i)` is uint8 RGB (H, W, 3); `label_map(i)` is uint8 (H, W) with the classes of `labels` and `IGNORE`.
    Both raise `InputError`, naming the file, for anything they cannot read.
    """

    @property
    def name(self) -> str:
        """What the data is called in logs: layout, place and split."""
        ...

    @property
    def labels(self) -> LabelSpace: ...

    def __len__(self) -> int: ...

    def sample_name(self, index: int) -> str:
        """Return a unique relative POSIX path without suffix, under which results of the sample can be filed."""
        ...

    def image(self, index: int) -> Uint8Array: ...

    def label_map(self, index: int) -> Uint8Array: ...


@dataclass(frozen=True)
class Pair:
    """One sample on disk."""

    name: str
    image: Path
    label: Path


@dataclass(frozen=True)
class FileSource:
    """Samples that lie in files, one for the image and one for the label map."""

    name: str
    labels: LabelSpace
    pairs: tuple[Pair, ...]
    masks: MaskFormat = INDEX_MASKS

    def __len__(self) -> int:
        return len(self.pairs)

    def sample_name(self, index: int) -> str:
        return self.pairs[index].name

    def image(self, index: int) -> Uint8Array:
        return read_image(self.pairs[index].image)

    def label_map(self, index: int) -> Uint8Array:
        """Return the label map; `InputError` if its size is not the image's (read from the image's header)."""
        pair = self.pairs[index]
        label_map = read_label_map(pair.label, self.labels, self.masks)
        size = image_size(pair.image)
        if (drawn := (label_map.shape[1], label_map.shape[0])) != size:
            raise InputError(size_mismatch(str(pair.label), "label map", drawn, pair.image, size), "size")
        return label_map


@dataclass(frozen=True)
class Subset:
    """Some samples of a source, by their indices in it."""

    name: str
    whole: Source
    indices: tuple[int, ...]

    @property
    def labels(self) -> LabelSpace:
        return self.whole.labels

    def __len__(self) -> int:
        return len(self.indices)

    def sample_name(self, index: int) -> str:
        return self.whole.sample_name(self.indices[index])

    def image(self, index: int) -> Uint8Array:
        return self.whole.image(self.indices[index])

    def label_map(self, index: int) -> Uint8Array:
        return self.whole.label_map(self.indices[index])


@dataclass(frozen=True)
class Mixture:
    """Several sources of the same classes, one after the other."""

    parts: tuple[Source, ...]
    prefixes: tuple[str, ...]
    """What the names of each part's samples begin with, so that no two are equal."""

    @property
    def name(self) -> str:
        return " + ".join(f"{part.name}: {len(part)}" for part in self.parts)

    @property
    def labels(self) -> LabelSpace:
        return self.parts[0].labels

    def __len__(self) -> int:
        return self._ends[-1]

    @functools.cached_property
    def _ends(self) -> list[int]:
        return list(itertools.accumulate(map(len, self.parts)))

    def place(self, index: int) -> tuple[int, int]:
        """Return the part a sample is of, and its index there."""
        part = bisect.bisect_right(self._ends, index)
        return part, index - (self._ends[part - 1] if part else 0)

    def sample_name(self, index: int) -> str:
        part, within = self.place(index)
        return f"{self.prefixes[part]}/{self.parts[part].sample_name(within)}"

    def image(self, index: int) -> Uint8Array:
        part, within = self.place(index)
        return self.parts[part].image(within)

    def label_map(self, index: int) -> Uint8Array:
        part, within = self.place(index)
        return self.parts[part].label_map(within)


def resolve_sample(source: Source, index: int) -> tuple[Source, int]:
    """Return what really holds a sample, and its index there: behind mixtures and subsets."""
    if isinstance(source, Mixture):
        part, within = source.place(index)
        return resolve_sample(source.parts[part], within)
    return resolve_sample(source.whole, source.indices[index]) if isinstance(source, Subset) else (source, index)


def spread_evenly(count: int, most: int) -> list[int]:
    """Return `most` of the indices of `count` samples, evenly spread from the first to the last; all of a few."""
    return np.linspace(0, count - 1, min(most, count)).round().astype(int).tolist()  # type: ignore[no-any-return]


def size_mismatch(where: str, what: str, drawn: tuple[int, int], image: Path, size: tuple[int, int]) -> str:
    """Return the line for a `what` of another (width, height) than its image."""
    hint = "make both the same size (labels resized by nearest neighbour only)"
    if drawn == size[::-1]:
        hint = f"width and height are swapped, as when one of them ignores the EXIF rotation; rotate the {what}"
    return f"{where}: the {what} is {drawn[0]}x{drawn[1]} but its image {image} is {size[0]}x{size[1]}; {hint}"


R = TypeVar("R")


class Prefetcher:
    """Gives the samples of `source`; a thread decodes up to `depth` samples that come after the last image asked for.

    One thread decodes everything that is read ahead, image and label map alike: Pillow's warnings are silenced per
    process, so two threads would undo each other's silence. The time of decoding is counted as `decode`.
    """

    def __init__(self, source: Source, depth: int, times: StageTimes) -> None:
        self.source, self.depth, self.times = source, depth, times
        self._thread = ThreadPoolExecutor(1)
        self._images: dict[int, Future[Uint8Array]] = {}
        self._label_maps: dict[int, Future[Uint8Array]] = {}
        self._next = 0
        """Index of the first sample that has not been sent for."""

    def __enter__(self) -> "Prefetcher":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._thread.shutdown(wait=False, cancel_futures=True)

    @property
    def name(self) -> str:
        return self.source.name

    @property
    def labels(self) -> LabelSpace:
        return self.source.labels

    def __len__(self) -> int:
        return len(self.source)

    def sample_name(self, index: int) -> str:
        return self.source.sample_name(index)

    def image(self, index: int) -> Uint8Array:
        for number in range(max(index, self._next), min(index + self.depth + 1, len(self))):
            self._images[number] = self._thread.submit(self._read, self.source.image, number)
            self._label_maps[number] = self._thread.submit(self._read, self.source.label_map, number)
            self._next = number + 1
        return self._got(self._images, self.source.image, index)

    def label_map(self, index: int) -> Uint8Array:
        return self._got(self._label_maps, self.source.label_map, index)

    def _got(self, coming: dict[int, Future[R]], read: Callable[[int], R], index: int) -> R:
        """Wait for what was sent for, once; whatever else is asked for is read in the same thread."""
        future = coming.pop(index, None) or self._thread.submit(self._read, read, index)
        return future.result()

    def _read(self, read: Callable[[int], R], index: int) -> R:
        with self.times.stage("decode"):
            return read(index)

"""`Source`: a data set as the rest of the program sees it, a number of samples, each an image and its label map.

Sources of files, parts and mixtures of sources, and a source that prefetches the samples of another.
"""

import bisect
import itertools
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import reduce
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, TypeVar

import numpy as np

from globalconv.arrays import Uint8Array
from globalconv.data.image_format import UNKNOWN_FORMAT, ImageFormat
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
        """The name of the data in logs: layout, path and split."""
        ...

    @property
    def labels(self) -> LabelSpace: ...

    def __len__(self) -> int: ...

    def sample_name(self, index: int) -> str:
        """Return a unique relative POSIX path without suffix, under which results of the sample can be saved."""
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
    image_format: ImageFormat = UNKNOWN_FORMAT

    def __len__(self) -> int:
        return len(self.pairs)

    def sample_name(self, index: int) -> str:
        return self.pairs[index].name

    def image(self, index: int) -> Uint8Array:
        return read_image(self.pairs[index].image, self.image_format)

    def label_map(self, index: int) -> Uint8Array:
        """Return the label map; `InputError` if its size is not the image's (read from the image's header)."""
        pair = self.pairs[index]
        label_map = read_label_map(pair.label, self.labels, self.masks)
        size = image_size(pair.image)
        if (annotated := (label_map.shape[1], label_map.shape[0])) != size:
            raise InputError(size_mismatch(str(pair.label), "label map", annotated, pair.image, size), "size")
        return label_map


@dataclass(frozen=True)
class Subset:
    """Some samples of a source, by their indices in it."""

    name: str
    source: Source
    indices: tuple[int, ...]

    @property
    def labels(self) -> LabelSpace:
        return self.source.labels

    def __len__(self) -> int:
        return len(self.indices)

    def sample_name(self, index: int) -> str:
        return self.source.sample_name(self.indices[index])

    def image(self, index: int) -> Uint8Array:
        return self.source.image(self.indices[index])

    def label_map(self, index: int) -> Uint8Array:
        return self.source.label_map(self.indices[index])


@dataclass(frozen=True)
class Mixture:
    """Several sources of the same classes, one after the other."""

    parts: tuple[Source, ...]
    prefixes: tuple[str, ...]
    """Prefix of the sample names of each part, so that no two samples have the same name."""

    @property
    def name(self) -> str:
        return " + ".join(f"{part.name}: {len(part)}" for part in self.parts)

    @property
    def labels(self) -> LabelSpace:
        return self.parts[0].labels

    def __len__(self) -> int:
        return sum(map(len, self.parts))

    def locate(self, index: int) -> tuple[int, int]:
        """Return the number of the part that holds a sample, and the sample's index in it."""
        ends = list(itertools.accumulate(map(len, self.parts)))
        part = bisect.bisect_right(ends, index)
        return part, index - (ends[part - 1] if part else 0)

    def sample_name(self, index: int) -> str:
        part, within = self.locate(index)
        return f"{self.prefixes[part]}/{self.parts[part].sample_name(within)}"

    def image(self, index: int) -> Uint8Array:
        part, within = self.locate(index)
        return self.parts[part].image(within)

    def label_map(self, index: int) -> Uint8Array:
        part, within = self.locate(index)
        return self.parts[part].label_map(within)


def resolve_sample(source: Source, index: int) -> tuple[Source, int]:
    """Return the source that really holds a sample, behind mixtures and subsets, and the sample's index in it."""
    if isinstance(source, Mixture):
        part, within = source.locate(index)
        return resolve_sample(source.parts[part], within)
    if isinstance(source, Subset):
        return resolve_sample(source.source, source.indices[index])
    return source, index


def image_format_of(source: Source) -> ImageFormat:
    """Return the rule by which a source reads its images; one that knows nothing for generated ones."""
    if isinstance(source, Mixture):
        return reduce(ImageFormat.or_else, map(image_format_of, source.parts))
    inner = source.source if isinstance(source, Subset) else source
    own: ImageFormat = getattr(inner, "image_format", UNKNOWN_FORMAT)
    return own if inner is source else image_format_of(inner)


def with_image_format(source: Source, image_format: ImageFormat) -> Source:
    """Return `source` with another rule to read its images by."""
    if isinstance(source, Mixture):
        return replace(source, parts=tuple(with_image_format(part, image_format) for part in source.parts))
    if isinstance(source, Subset):
        return replace(source, source=with_image_format(source.source, image_format))
    files: Any = source
    return replace(files, image_format=image_format) if hasattr(files, "image_format") else source


def spread_evenly(count: int, most: int) -> list[int]:
    """Return at most `most` indices of `count` samples, evenly spaced from the first to the last."""
    return np.linspace(0, count - 1, min(most, count)).round().astype(int).tolist()  # type: ignore[no-any-return]


def size_mismatch(where: str, what: str, annotated: tuple[int, int], image: Path, size: tuple[int, int]) -> str:
    """Return the message for a `what` (label map or annotation) of another (width, height) than its image."""
    hint = "make both the same size (labels resized by nearest neighbour only)"
    if annotated == size[::-1]:
        hint = f"width and height are swapped, as when one of them ignores the EXIF rotation; rotate the {what}"
    return f"{where}: the {what} is {annotated[0]}x{annotated[1]} but its image {image} is {size[0]}x{size[1]}; {hint}"


R = TypeVar("R")


class Prefetcher:
    """Gives the samples of `source`; a thread decodes up to `depth` samples after the image that was requested last.

    One thread decodes everything, image and label map alike: Pillow's warnings are silenced per process, so two threads
    would undo each other's filters. The time of decoding is counted as the stage `decode` of `times`.
    """

    def __init__(self, source: Source, depth: int, times: StageTimes) -> None:
        self.source, self.depth, self.times = source, depth, times
        self.name, self.labels = source.name, source.labels
        self._thread = ThreadPoolExecutor(1)
        self._images: dict[int, Future[Uint8Array]] = {}
        self._label_maps: dict[int, Future[Uint8Array]] = {}
        self._next = 0
        """Index of the first sample that has not been submitted to the thread."""

    def __enter__(self) -> "Prefetcher":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._thread.shutdown(wait=False, cancel_futures=True)

    def __len__(self) -> int:
        return len(self.source)

    def sample_name(self, index: int) -> str:
        return self.source.sample_name(index)

    def image(self, index: int) -> Uint8Array:
        for ahead in range(max(index, self._next), min(index + self.depth + 1, len(self))):
            self._images[ahead] = self._submit(self.source.image, ahead)
            self._label_maps[ahead] = self._submit(self.source.label_map, ahead)
            self._next = ahead + 1
        # A sample is prefetched once; one that is requested again is read anew.
        return (self._images.pop(index, None) or self._submit(self.source.image, index)).result()

    def label_map(self, index: int) -> Uint8Array:
        return (self._label_maps.pop(index, None) or self._submit(self.source.label_map, index)).result()

    def _submit(self, read: Callable[[int], R], index: int) -> Future[R]:
        def timed_read() -> R:
            with self.times.stage("decode"):
                return read(index)

        return self._thread.submit(timed_read)

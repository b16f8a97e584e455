"""A source whose next samples are decoded while somebody works on the one before."""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import TypeVar

from globalconv.data.sources.source import Source, Uint8Array
from globalconv.labels import LabelSpace
from globalconv.pipeline import Shares

R = TypeVar("R")


class ReadAhead:
    """Gives the samples of `source`; a thread decodes up to `depth` samples that come after the last image asked for.

    One thread decodes everything that is read ahead, image and label map alike: Pillow's warnings are silenced per
    process, so two threads would undo each other's silence. The time of decoding is counted as `decode`.
    """

    def __init__(self, source: Source, depth: int, shares: Shares) -> None:
        self.source, self.depth, self.shares = source, depth, shares
        self._thread = ThreadPoolExecutor(1)
        self._images: dict[int, Future[Uint8Array]] = {}
        self._label_maps: dict[int, Future[Uint8Array]] = {}
        self._next = 0
        """Index of the first sample that has not been sent for."""

    def __enter__(self) -> "ReadAhead":
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
        with self.shares.part("decode"):
            return read(index)

"""The queue in front of the network: one thread computes, and images of equal size that wait go through together.

H x W pixels of an image.
"""

import asyncio
import time
import warnings
from collections import deque
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

import numpy as np

from globalconv.arrays import Uint8Array
from globalconv.errors import InputError, InputWarning
from globalconv.infer.predictor import Predictor
from globalconv.serving.metrics import ServerMetrics
from globalconv.serving.refusals import RefusedRequest

GATHER = 0.004
"""Seconds that an idle network waits for images of requests that have arrived and are being decoded."""

MAX_PROBABILITY_BYTES = 2**30
"""Probabilities of one image at most: `Predictor` keeps larger ones in a file, and nothing here goes to a disk."""

HELD_IMAGES = 4
"""Images of the largest size whose pixels may be in memory at a time; of smaller ones as many as the queue takes."""


@dataclass(frozen=True, eq=False)
class Segmented:
    """An image (H, W, 3), its class map (H, W), and where asked for the confidence (H, W) of each class: 255 is 1."""

    image: Uint8Array
    class_map: Uint8Array
    confidence: Uint8Array | None = None


@dataclass(eq=False)
class _Job:
    image: Uint8Array
    with_confidence: bool
    done: asyncio.Future[Segmented]

    @property
    def group(self) -> tuple[object, ...]:
        """Jobs of one group can be computed together."""
        return (self.image.shape, self.with_confidence)


class Batcher:
    """Gives images to `predictor`, several of equal size at a time, in the order of their arrival.

    At most `max_queue` images hold a place, from before they are decoded until they are answered.
    """

    def __init__(self, predictor: Predictor, max_queue: int, max_pixels: int, metrics: ServerMetrics) -> None:
        self.predictor, self.metrics = predictor, metrics
        self.max_queue, self.max_pixels = max_queue, max_pixels
        self.exported: Any = getattr(predictor.backend, "metadata", None)
        """What an exported file says about itself; None where the network is no such file."""
        self._places = self._pixels = 0
        self._jobs: deque[_Job] = deque()
        self._arrived = asyncio.Event()
        self._seconds_per_image = 0.1
        self._thread = ThreadPoolExecutor(1, "network")
        self._told: list[str] = []

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Hear inside the block, which holds all threads of the server, what the network warns of.

        Scores that are no numbers are a warning elsewhere; here nobody would read it, and their classes mean nothing.
        """
        before = warnings.showwarning

        def show(message: Warning | str, *others: Any, **named: Any) -> None:
            if isinstance(message, InputWarning) and message.kind == "network":
                self._told.append(str(message))
            before(message, *others, **named)

        with warnings.catch_warnings():
            warnings.simplefilter("always", InputWarning)
            warnings.showwarning = show
            yield

    @property
    def has_confidence(self) -> bool:
        """Whether the network gives probabilities: a file may have been exported without them."""
        return bool(getattr(self.exported, "has_probabilities", True))

    def warm_up(self) -> None:
        """Let the network see a small image: its first pass takes longest. Scores that are no numbers are refused."""
        side = max(64, getattr(self.exported, "least_side", 1))
        self.predictor.class_maps([np.zeros((side, side, 3), np.uint8)])
        if self._told:
            raise InputError(self._told[0])

    async def run(self) -> None:
        """Compute whatever comes, until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            self._arrived.clear()
            await self._arrived.wait() if not self._jobs else None
            if self._places > len(self._jobs):  # others are being decoded
                await asyncio.sleep(GATHER)
            if not (batch := self._next_batch()):
                continue
            began = time.perf_counter()
            outcomes = await loop.run_in_executor(self._thread, self._compute, [job.image for job in batch], batch[0])
            taken = time.perf_counter() - began
            self._seconds_per_image += 0.2 * (taken / len(batch) - self._seconds_per_image)
            self.metrics.network.observe(taken)
            self.metrics.batches.observe(len(batch))
            self.metrics.images.inc(len(batch))
            self.metrics.pixels.inc(sum(job.image.shape[0] * job.image.shape[1] for job in batch))
            for job, outcome in zip(batch, outcomes, strict=True):
                if job.done.done():  # whoever waited has gone
                    continue
                if isinstance(outcome, Segmented):
                    job.done.set_result(outcome)
                else:
                    job.done.set_exception(outcome)

    def close(self) -> None:
        """End the thread once it has computed what it computes."""
        self._thread.shutdown(wait=False, cancel_futures=True)

    def check_room(self, images: int = 1) -> None:
        """Refuse a request with 429 where there are not so many places, as before its body is received."""
        if self._places + images > self.max_queue:
            raise self._full(f"{self._places} images wait or are computed, of {self.max_queue} (`max_queue`) at most")

    @contextmanager
    def places(self, images: int) -> Iterator[None]:
        """Hold places for so many images inside the block; refuse the request with 429 where there are not enough."""
        self.check_room(images)
        self._places += images
        self.metrics.queue.set(self._places)
        try:
            yield
        finally:
            self._places -= images
            self.metrics.queue.set(self._places)

    @contextmanager
    def pixels(self, pixels: int) -> Iterator[None]:
        """Hold so many pixels inside the block; refuse the request with 429 where too many are held already."""
        if self._pixels and self._pixels + pixels > HELD_IMAGES * self.max_pixels:
            raise self._full(f"{self._pixels / 1e6:.3g} megapixels wait or are computed, as many as fit")
        self._pixels += pixels
        try:
            yield
        finally:
            self._pixels -= pixels

    def _full(self, reason: str) -> RefusedRequest:
        wait = min(60.0, self._places * self._seconds_per_image)
        return RefusedRequest(HTTPStatus.TOO_MANY_REQUESTS, f"the queue is full: {reason}; try again later", wait)

    async def segment(self, image: Uint8Array, with_confidence: bool) -> Segmented:
        """Return the class map of `image` (H, W, 3), and its confidence where asked for and the network has it."""
        with_confidence = with_confidence and self.has_confidence
        height, width = image.shape[:2]
        needed = 4 * height * width * self.predictor.labels.num_classes
        if (with_confidence or self.predictor.settings.crf is not None) and needed > MAX_PROBABILITY_BYTES:
            raise RefusedRequest(
                HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
                f"`image` of {width}x{height}: its probabilities take {needed / 1e9:.3g} GB, more than the"
                f" {MAX_PROBABILITY_BYTES / 1e9:.3g} allowed; send a smaller image, or ask for its class map alone",
            )
        job = _Job(image, with_confidence, asyncio.get_running_loop().create_future())
        self._jobs.append(job)
        self._arrived.set()
        return await job.done

    def _next_batch(self) -> list[_Job]:
        """Take the oldest job that somebody waits for, and those that can be computed with it."""
        while self._jobs and self._jobs[0].done.done():
            self._jobs.popleft()
        if not self._jobs:
            return []
        first = self._jobs[0]
        most = 1 if first.with_confidence else self.predictor.images_at_once
        batch = [job for job in self._jobs if job.group == first.group and not job.done.done()][:most]
        taken = set(map(id, batch))
        self._jobs = deque(job for job in self._jobs if id(job) not in taken)
        return batch

    def _compute(self, images: list[Uint8Array], first: _Job) -> list[Segmented | Exception]:
        """Return the outcome of each of `images`, which are of one group; runs in the network's thread."""
        try:
            self._told.clear()
            if first.with_confidence:
                predictions = [self.predictor(image, probabilities=True) for image in images]
                found = [Segmented(p.image, p.class_map, _confidence(p.probabilities)) for p in predictions]
            else:
                maps = self.predictor.class_maps(images)
                found = [Segmented(image, class_map) for image, class_map in zip(images, maps, strict=True)]
            if self._told:
                raise RefusedRequest(HTTPStatus.INTERNAL_SERVER_ERROR, self._told[0])
        except MemoryError:
            if len(images) > 1:
                return [self._compute([image], first)[0] for image in images]
            height, width = images[0].shape[:2]
            message = f"`image` of {width}x{height}: not enough memory; send a smaller image"
            return [RefusedRequest(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, message)]
        except InputError as error:
            if len(images) > 1:
                return [self._compute([image], first)[0] for image in images]
            path = getattr(self.predictor.backend, "path", None)  # of an exported file, which is nobody's business
            message = str(error) if path is None else str(error).replace(str(path), "the network")
            return [error if isinstance(error, RefusedRequest) else RefusedRequest.of(InputError(message))]
        except Exception as error:
            return [error] * len(images)
        return [*found]


def _confidence(probabilities_KHW: Any) -> Uint8Array:
    highest_HW = probabilities_KHW.max(0)
    confidence_HW: Uint8Array = np.rint(255 * highest_HW).astype(np.uint8)
    return confidence_HW

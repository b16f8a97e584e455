"""The queue: images of equal size go through together, the others in their turn, and no more than fit."""

import asyncio
import threading
import time
from collections.abc import Callable, Coroutine
from typing import Any

import numpy as np
import pytest
from helpers.http_server import Pixels, brightest, encoded, form, picture, serving

from globalconv.errors import InputError
from globalconv.infer.inference_settings import InferenceSettings
from globalconv.infer.predictor import Predictor
from globalconv.serving.batching import HELD_IMAGES, Batcher, Segmented
from globalconv.serving.metrics import ServerMetrics
from globalconv.serving.refusals import RefusedRequest
from globalconv.serving.serve_settings import ServeSettings


class Gate:
    """Lets a predictor compute when it is opened, and notes the sizes of the images of each pass."""

    def __init__(self, batch_size: int = 4) -> None:
        self.predictor = brightest(InferenceSettings(batch_size=batch_size))
        self.open, self.entered = threading.Event(), threading.Event()
        self.passes: list[list[tuple[int, int]]] = []
        compute = self.predictor.class_maps

        def class_maps(images: list[Pixels]) -> list[Pixels]:
            self.passes.append([image.shape[:2] for image in images])
            self.entered.set()
            assert self.open.wait(20)
            return compute(images)

        self.predictor.class_maps = class_maps  # type: ignore[assignment, method-assign]


def wait_for(is_so: Callable[[], bool]) -> None:
    """Wait until something is so, in another thread."""
    end = time.monotonic() + 20
    while not is_so():
        assert time.monotonic() < end
        time.sleep(0.002)


def run(work: Callable[[Batcher], Coroutine[Any, Any, None]], predictor: Predictor, max_queue: int = 64) -> None:
    """Run `work` beside the loop of a batcher."""

    async def beside() -> None:
        batcher = Batcher(predictor, max_queue, 1000, ServerMetrics())
        task = asyncio.create_task(batcher.run())
        try:
            await asyncio.wait_for(work(batcher), 20)
        finally:
            task.cancel()
            batcher.close()

    asyncio.run(beside())


def test_images_that_wait_go_through_together_by_size_in_order() -> None:
    gate = Gate()
    first, wide, tall = (
        picture(4, 4),
        [picture(4, 8, seed) for seed in range(5)],
        [picture(8, 4, seed) for seed in (5, 6)],
    )

    async def work(batcher: Batcher) -> None:
        async def go(image: Pixels) -> Segmented:
            return await batcher.segment(image, False)

        tasks = [asyncio.create_task(go(first))]
        await asyncio.to_thread(gate.entered.wait)
        images = [wide[0], tall[0], *wide[1:], tall[1]]
        tasks += [asyncio.create_task(go(image)) for image in images]
        await asyncio.sleep(0.05)
        gate.open.set()
        for image, segmented in zip([first, *images], await asyncio.gather(*tasks), strict=True):
            assert np.array_equal(segmented.class_map, brightest().class_map(image))

    run(work, gate.predictor)
    assert gate.passes == [[(4, 4)], [(4, 8)] * 4, [(8, 4)] * 2, [(4, 8)]]


def test_requests_over_http_that_arrive_together_share_a_pass() -> None:
    gate = Gate(batch_size=8)
    with serving(gate.predictor) as client:
        answers: list[int] = []
        content = encoded(picture(16, 16))
        threads = [
            threading.Thread(target=lambda: answers.append(client.post("/v1/segment", content).status))
            for _ in range(9)
        ]
        threads[0].start()
        gate.entered.wait(10)
        for thread in threads[1:]:
            thread.start()
        wait_for(lambda: client.service.batcher._places == 9)
        gate.open.set()
        for thread in threads:
            thread.join()
        metrics = client.get("/metrics").content.decode()
    assert answers == [200] * 9
    assert gate.passes[0] == [(16, 16)] and max(map(len, gate.passes)) >= 4
    assert f"globalconv_batch_size_count {len(gate.passes)}.0" in metrics


def test_settings_of_several_passes_take_one_image_at_a_time() -> None:
    predictor = brightest(InferenceSettings(batch_size=4, flip=True))

    async def work(batcher: Batcher) -> None:
        found = await asyncio.gather(*(batcher.segment(picture(4, 4, seed), False) for seed in range(3)))
        assert all(np.array_equal(each.class_map, predictor.class_map(each.image)) for each in found)
        assert batcher.metrics.batches._sum.get() == 3  # three passes of one

    run(work, predictor)


def test_a_full_queue_refuses_and_says_when_to_come_back() -> None:
    gate = Gate()
    with serving(gate.predictor, ServeSettings(max_queue=2)) as client:
        content = encoded(picture())
        answers: list[int] = []
        threads = [
            threading.Thread(target=lambda: answers.append(client.post("/v1/segment", content).status))
            for _ in range(2)
        ]
        for thread in threads:
            thread.start()
        wait_for(lambda: client.service.batcher._places == 2)
        refused = client.post("/v1/segment", content)
        assert refused.status == 429 and "2 (`max_queue`)" in refused.detail
        assert int(refused.headers["retry-after"]) >= 1
        body, content_type = form(*[("a", content)] * 2, field="files")
        assert client.post("/v1/segment/batch", body, content_type=content_type).status == 429
        gate.open.set()
        for thread in threads:
            thread.join()
        assert answers == [200, 200]
        assert client.post("/v1/segment", content).status == 200


def test_large_images_wait_for_memory() -> None:
    async def work(batcher: Batcher) -> None:
        with batcher.pixels(1000 * HELD_IMAGES), pytest.raises(RefusedRequest) as refusal, batcher.pixels(1):
            pass
        assert refusal.value.status == 429
        with batcher.pixels(1):
            pass

    run(work, brightest())


def test_a_request_that_takes_too_long_is_given_up_and_never_computed() -> None:
    gate = Gate()
    with serving(gate.predictor, ServeSettings(max_seconds=0.3)) as client:
        content = encoded(picture(8, 8))
        assert client.post("/v1/segment", content).status == 503
        late = client.post("/v1/segment", encoded(picture(9, 9)))
        assert late.status == 503 and "0.3 seconds (`max_seconds`)" in late.detail
        assert client.service.batcher._places == 0
        gate.open.set()
        assert client.post("/v1/segment", content).status == 200
    assert [(9, 9)] not in gate.passes


def test_nothing_is_computed_for_a_client_who_went() -> None:
    gate = Gate()
    with serving(gate.predictor) as client:
        content = encoded(picture(8, 8))
        thread = threading.Thread(target=client.post, args=("/v1/segment", content))
        thread.start()
        gate.entered.wait(10)
        connection = client.connect()
        connection.request("POST", "/v1/segment", encoded(picture(9, 9)))
        wait_for(lambda: client.service.batcher._places == 2)
        connection.close()
        wait_for(lambda: client.service.batcher._places == 1)
        gate.open.set()
        thread.join()
        assert client.post("/v1/segment", content).status == 200
        metrics = client.get("/metrics").content.decode()
    assert [(9, 9)] not in gate.passes
    assert 'globalconv_requests_total{path="/v1/segment",status="499"} 1.0' in metrics


def test_probabilities_that_would_go_to_a_file_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("globalconv.serving.batching.MAX_PROBABILITY_BYTES", 4 * 3 * 100)
    with serving() as client:
        assert client.post("/v1/segment?output=confidence", encoded(picture(10, 10))).status == 200
        refused = client.post("/v1/segment?output=all", encoded(picture(10, 11)))
        assert refused.status == 413 and "class map alone" in refused.detail
        assert client.post("/v1/segment", encoded(picture(10, 11))).status == 200


def test_an_image_that_fails_fails_alone() -> None:
    predictor = brightest(InferenceSettings(batch_size=4))
    compute = predictor.class_maps

    def class_maps(images: list[Pixels]) -> list[Pixels]:
        if any(image[0, 0, 0] == 1 for image in images):
            raise MemoryError if len(images) > 1 else InputError("image of 4x4: not enough memory on cpu")
        return compute(images)

    predictor.class_maps = class_maps  # type: ignore[assignment, method-assign]

    async def work(batcher: Batcher) -> None:
        images = [picture(4, 4, seed) for seed in range(3)]
        images[1][0, 0, 0] = 1
        tasks = [asyncio.create_task(batcher.segment(image, False)) for image in images]
        found = await asyncio.gather(*tasks, return_exceptions=True)
        assert isinstance(found[0], Segmented) and isinstance(found[2], Segmented)
        assert isinstance(found[1], RefusedRequest) and "not enough memory" in str(found[1])

    run(work, predictor)

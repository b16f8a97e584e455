"""Label Studio's protocol for ML backends: proposals of brush labels for the images of its tasks.

https://labelstud.io/guide/ml says how a project is connected; there is no training here.
"""

import asyncio
import json
import os
import uuid
from collections.abc import Sequence
from http import HTTPStatus
from typing import Any

import numpy as np
from fastapi import FastAPI, Request, Response

from globalconv.arrays import BoolArray, Uint8Array
from globalconv.errors import InputError, print_line
from globalconv.serving.answers import JSON
from globalconv.serving.batching import Segmented
from globalconv.serving.boundary import unless_gone
from globalconv.serving.brush_rle import encode_brush
from globalconv.serving.label_config import LabelConfig, read_config
from globalconv.serving.refusals import RefusedRequest
from globalconv.serving.service import Service
from globalconv.serving.task_images import TaskImages
from globalconv.serving.uploads import HELD_BODIES

KEY = "LABEL_STUDIO_API_KEY"
"""The environment variable that holds the key for Label Studio, so that no list of processes shows it."""

MAX_TASKS = 1000


def add_label_studio(app: FastAPI, service: Service) -> None:
    """Add the paths of the protocol."""
    settings = service.settings
    images = TaskImages(settings.label_studio_url, os.environ.get(KEY), settings.max_bytes)
    version = service.digest[:16] or "globalconv"

    @app.get("/health", summary="Label Studio: whether the backend is there")
    async def health() -> dict[str, str]:
        return {"status": "UP", "model_class": "globalconv"}

    @app.post("/setup", summary="Label Studio: a project connects")
    async def setup(request: Request) -> dict[str, str]:
        async with service.uploads.body(request, settings.max_bytes):
            return {"model_version": version}

    @app.post("/webhook", summary="Label Studio: events of a project, which nothing here learns from")
    async def webhook(request: Request) -> dict[str, str]:
        async with service.uploads.body(request, settings.max_bytes):
            return {"status": "ignored", "model_version": version}

    @app.get("/versions", summary="Label Studio: the versions of the model")
    async def versions() -> dict[str, list[str]]:
        return {"versions": [version]}

    @app.post("/predict", summary="Label Studio: brush labels for the images of tasks", response_class=Response)
    async def predict(request: Request) -> Response:
        service.batcher.check_room()
        run, workers = asyncio.get_running_loop().run_in_executor, service.uploads.workers
        async with service.uploads.body(request, HELD_BODIES * settings.max_bytes) as content:
            tasks, config = await run(workers, read_tasks, content, service.predictor.class_names)
            results = await unless_gone(request, Proposals(service, images, config, version).of(tasks))
            answer = await run(workers, json.dumps, {"results": results, "model_version": version})
        return Response(answer, media_type=JSON)


def read_tasks(content: bytes, class_names: Sequence[str]) -> tuple[list[dict[str, Any]], LabelConfig]:
    """Return the tasks of a request, and what its project asks for."""
    try:
        asked = json.loads(content)
        tasks = asked["tasks"]
        data = [task["data"] for task in tasks]
    except (ValueError, KeyError, TypeError, RecursionError):
        message = "`body`: is no request of Label Studio's; send JSON with tasks, each with its data, and label_config"
        raise RefusedRequest(HTTPStatus.BAD_REQUEST, message) from None
    if not isinstance(tasks, list) or len(tasks) > MAX_TASKS or not all(isinstance(each, dict) for each in data):
        message = f"`tasks`: give a list of at most {MAX_TASKS}, each with a dictionary of data"
        raise RefusedRequest(HTTPStatus.BAD_REQUEST, message)
    return tasks, read_config(asked.get("label_config"), class_names)


class Proposals:
    """Makes the predictions for one request."""

    def __init__(self, service: Service, images: TaskImages, config: LabelConfig, version: str) -> None:
        self.service, self.images, self.config, self.version = service, images, config, version
        self._together = asyncio.Semaphore(2)

    async def of(self, tasks: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Return a prediction for each task, in their order.

        A task whose image is refused has a prediction without regions, which a line on standard error tells; where all
        are, the request is refused.
        """
        found = await asyncio.gather(*map(self._one, tasks))
        refused = [each for each in found if isinstance(each, RefusedRequest)]
        if refused and len(refused) == len(found):
            raise refused[0]
        for each in refused:
            print_line(f"globalconv: serve: a task of Label Studio's has no prediction: {each}")
        empty: dict[str, Any] = {"result": [], "score": 0.0, "model_version": self.version}
        return [empty if isinstance(each, RefusedRequest) else each for each in found]

    async def _one(self, task: dict[str, Any]) -> dict[str, Any] | RefusedRequest:
        uploads, loop = self.service.uploads, asyncio.get_running_loop()
        try:
            async with self._together:
                source = task["data"].get(self.config.image_key)
                upload = await loop.run_in_executor(uploads.workers, self.images.get, source)
                with self.service.batcher.places(1):
                    segmented = await uploads.segment(upload, with_confidence=True)
                return await loop.run_in_executor(uploads.workers, self._prediction, segmented)
        except InputError as error:
            return RefusedRequest.of(error)

    def _prediction(self, segmented: Segmented) -> dict[str, Any]:
        """Return the regions of an image, one for each class with a label, and the mean confidence of its pixels.

        Without probabilities there are no scores.
        """
        regions = [
            self._region(label, segmented.class_map == index, segmented.confidence)
            for index, label in self.config.labels.items()
            if (segmented.class_map == index).any()
        ]
        whole = np.ones(segmented.class_map.shape, bool)
        return {"result": regions, **_score(segmented.confidence, whole), "model_version": self.version}

    def _region(self, label: str, mask_HW: BoolArray, confidence_HW: Uint8Array | None) -> dict[str, Any]:
        height, width = mask_HW.shape
        return {
            "id": uuid.uuid4().hex[:10],
            "from_name": self.config.from_name,
            "to_name": self.config.to_name,
            "type": "brushlabels",
            "original_width": width,
            "original_height": height,
            "image_rotation": 0,
            **_score(confidence_HW, mask_HW),
            "value": {"format": "rle", "rle": encode_brush(mask_HW), "brushlabels": [label]},
        }


def _score(confidence_HW: Uint8Array | None, mask_HW: BoolArray) -> dict[str, float]:
    """Return the mean confidence of some pixels as a field, or no field where it is not known."""
    if confidence_HW is None:
        return {}
    return {"score": round(float(confidence_HW[mask_HW].mean()) / 255, 4)}

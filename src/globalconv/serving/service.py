"""`Service`: what all paths of the server share, and the answers for one image and for many."""

import asyncio
import io
import json
import re
import zipfile
from dataclasses import dataclass
from http import HTTPStatus
from importlib.metadata import version
from pathlib import PurePosixPath
from typing import Any

from globalconv.data.image_bytes import ImageBytes
from globalconv.errors import InputError
from globalconv.infer.predictor import Predictor
from globalconv.serving.answers import JSON, NEEDS_CONFIDENCE, ZIP, Output, answer, suffix
from globalconv.serving.batching import Batcher
from globalconv.serving.metrics import ServerMetrics
from globalconv.serving.refusals import RefusedRequest
from globalconv.serving.serve_settings import MAX_PIXELS, ServeSettings
from globalconv.serving.uploads import Uploads


@dataclass
class Service:
    """What the paths share."""

    predictor: Predictor
    settings: ServeSettings
    digest: str
    metrics: ServerMetrics
    batcher: Batcher
    uploads: Uploads

    @classmethod
    def of(cls, predictor: Predictor, settings: ServeSettings, digest: str) -> "Service":
        max_pixels = predictor.settings.max_pixels or MAX_PIXELS
        counters = ServerMetrics()
        batcher = Batcher(predictor, settings.max_queue, max_pixels, counters)
        uploads = Uploads(batcher, predictor.image_format, settings.max_bytes, settings.max_seconds)
        return cls(predictor, settings, digest, counters, batcher, uploads)

    def about(self) -> dict[str, Any]:
        """Return what the network is and what the server takes, as JSON values."""
        predictor, labels = self.predictor, self.predictor.labels
        return {
            "globalconv": version("globalconv"),
            "digest": self.digest,
            "device": predictor.description,
            "precision": predictor.precision,
            "classes": list(labels.class_names),
            "palette": [list(colour) for colour in labels.palette],
            "geometry": (self.batcher.exported or predictor).geometry.to_json(),
            "confidence": self.batcher.has_confidence,
            "inference": predictor.settings.changes(),
            "limits": {
                "max_bytes": self.settings.max_bytes,
                "max_pixels": self.batcher.max_pixels,
                "max_seconds": self.settings.max_seconds,
                "max_queue": self.settings.max_queue,
            },
        }

    async def answer(self, upload: ImageBytes, output: Output, legend: bool) -> tuple[bytes, str]:
        """Return the answer for one image, which holds a place, and its media type."""
        if output == "confidence" and not self.batcher.has_confidence:
            message = "`output` confidence: this network was exported without probabilities; ask for another output"
            raise RefusedRequest(HTTPStatus.BAD_REQUEST, message)
        segmented = await self.uploads.segment(upload, output in NEEDS_CONFIDENCE)
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(
            self.uploads.workers, answer, segmented, self.predictor.labels, output, legend
        )

    async def answers(self, files: list[ImageBytes], output: Output, legend: bool) -> tuple[bytes, str]:
        """Return the answers for many images: a ZIP, or where they are JSON a list of them."""
        together = asyncio.Semaphore(max(2, self.predictor.images_at_once))

        async def one(upload: ImageBytes) -> tuple[bytes, str] | RefusedRequest:
            try:
                async with together:
                    return await self.answer(upload, output, legend)
            except InputError as error:
                return RefusedRequest.of(error)

        found = await asyncio.gather(*map(one, files))
        pack = _list if output in ("rle", "all") else _zip
        return await asyncio.get_running_loop().run_in_executor(self.uploads.workers, pack, files, found)


def _list(files: list[ImageBytes], found: list[tuple[bytes, str] | RefusedRequest]) -> tuple[bytes, str]:
    """Return the answers, which are JSON, as one document."""
    listed = [
        {"name": upload.name, "problem": each.to_json()}
        if isinstance(each, RefusedRequest)
        else {"name": upload.name, **json.loads(each[0])}
        for upload, each in zip(files, found, strict=True)
    ]
    return json.dumps({"images": listed}).encode(), JSON


def _zip(files: list[ImageBytes], found: list[tuple[bytes, str] | RefusedRequest]) -> tuple[bytes, str]:
    """Return the answers as a ZIP: NUMBER-NAME.png, and answers.json, which says which is of which image."""
    listed: list[dict[str, Any]] = []
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_STORED) as packed:
        for number, (upload, each) in enumerate(zip(files, found, strict=True)):
            if isinstance(each, RefusedRequest):
                listed.append({"name": upload.name, "problem": each.to_json()})
                continue
            stem = re.sub(r"[^\w.-]+", "_", PurePosixPath(upload.name.replace("\\", "/")).stem)[:60].strip(".")
            name = f"{number:03d}-{stem or 'image'}{suffix(each[1])}"
            packed.writestr(name, each[0])
            listed.append({"name": upload.name, "file": name})
        packed.writestr("answers.json", json.dumps({"images": listed}, indent=2))
    return archive.getvalue(), ZIP

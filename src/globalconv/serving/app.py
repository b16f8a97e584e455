"""The paths of the server: `build_app` puts predictor, queue, uploads and answers together."""

import asyncio
import base64
import hashlib
import io
import json
import re
import zipfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path, PurePosixPath
from typing import Annotated, Any

from fastapi import FastAPI, Header, Query, Request, Response
from pydantic import BaseModel, ConfigDict
from starlette.middleware.cors import CORSMiddleware

from globalconv.data.image_bytes import ImageBytes
from globalconv.errors import InputError
from globalconv.infer.predictor import Predictor
from globalconv.serving import metrics
from globalconv.serving.answers import JSON, NEEDS_CONFIDENCE, Output, answer, choose_output, suffix
from globalconv.serving.batching import Batcher
from globalconv.serving.boundary import Boundary, handle_errors
from globalconv.serving.metrics import ServerMetrics
from globalconv.serving.refusals import RefusedRequest
from globalconv.serving.serve_settings import MAX_PIXELS, ServeSettings
from globalconv.serving.uploads import Uploads

PAGE = Path(__file__).parent / "page" / "index.html"

ZIP = "application/zip"

IMAGE_BODY = {"image/*": {"schema": {"type": "string", "format": "binary"}}}
FORM_BODY = {
    "multipart/form-data": {
        "schema": {"type": "object", "properties": {"file": {"type": "string", "format": "binary"}}}
    }
}
FORM_OF_FILES = {
    "multipart/form-data": {
        "schema": {
            "type": "object",
            "properties": {"files": {"type": "array", "items": {"type": "string", "format": "binary"}}},
        }
    }
}
PROBLEMS: dict[int | str, dict[str, Any]] = {
    status: {"description": text, "content": {"application/problem+json": {}}}
    for status, text in {
        400: "A parameter or a form that cannot be read",
        408: "The body did not come in time",
        413: "Too many bytes or pixels",
        422: "No image, or a damaged one",
        429: "The queue is full; Retry-After says when to try again",
    }.items()
}
"""What a request for class maps may be answered with besides them."""


class AnswerOptions(BaseModel):
    """What is asked for, as parameters of the query."""

    model_config = ConfigDict(extra="forbid")

    output: Output | None = None
    """class_map: a PNG of class indices with the palette; overlay: a JPEG; confidence: a grey PNG, 255 is certain; rle:
    COCO's run lengths as JSON; all: class map, confidence and shares as JSON. By default as the Accept header says:
    image/png a class map, image/jpeg an overlay, application/json run lengths."""
    legend: bool = True
    """Draw the names of the classes below an overlay."""


Options = Annotated[AnswerOptions, Query()]


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
            "geometry": predictor.geometry.to_json(),
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
        if output in ("rle", "all"):
            listed = [
                {"name": upload.name, "problem": each.to_json()}
                if isinstance(each, RefusedRequest)
                else {"name": upload.name, **json.loads(each[0])}
                for upload, each in zip(files, found, strict=True)
            ]
            return json.dumps({"images": listed}).encode(), JSON
        return _zip(files, found), ZIP


def build_app(service: Service) -> Boundary:
    """Return the application: what `globalconv serve` serves."""
    background: set[asyncio.Task[None]] = set()

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        task = asyncio.create_task(service.batcher.run())
        background.add(task)
        yield
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        service.batcher.close()
        service.uploads.workers.shutdown(wait=False, cancel_futures=True)

    app = FastAPI(
        title="globalconv", version=version("globalconv"), lifespan=lifespan, docs_url=None, redoc_url=None,
        description="A trained network for semantic segmentation: images in, class maps out.",
    )  # fmt: skip
    handle_errors(app)
    add_paths(app, service)
    if service.settings.allow_origin:
        app.add_middleware(
            CORSMiddleware, allow_origins=service.settings.allow_origin, allow_methods=("GET", "POST"),
            allow_headers=("content-type", "accept"),
        )  # fmt: skip
    return Boundary(app, service.metrics, service.settings.max_seconds)


def add_paths(app: FastAPI, service: Service) -> None:
    """Add all paths but those of Label Studio."""
    page = PAGE.read_text(encoding="utf-8")
    policy = content_policy(page)

    @app.get("/", include_in_schema=False)
    async def show_page() -> Response:
        headers = {"content-security-policy": policy, "cache-control": "no-cache"}
        return Response(page, media_type="text/html; charset=utf-8", headers=headers)

    @app.get("/healthz", summary="Whether the server answers")
    async def check_health() -> dict[str, str]:
        return {"status": "ok"}

    @app.get("/metrics", summary="Counters as Prometheus reads them", response_class=Response)
    async def show_metrics() -> Response:
        return Response(service.metrics.text(), media_type=metrics.CONTENT_TYPE)

    @app.get("/v1/model", summary="Classes, palette, geometry and digest of the network; limits of the server")
    async def describe_model() -> dict[str, Any]:
        return service.about()

    @app.post(
        "/v1/segment",
        summary="The class of every pixel of an image",
        response_class=Response,
        responses={200: {"content": {"image/png": {}, "image/jpeg": {}, "application/json": {}}}, **PROBLEMS},
        openapi_extra={"requestBody": {"required": True, "content": IMAGE_BODY | FORM_BODY}},
    )
    async def segment(request: Request, options: Options, accept: Annotated[str, Header()] = "*/*") -> Response:
        output = choose_output(options.output, accept)
        service.batcher.check_room()
        async with service.uploads.images(request, 1) as (upload,):
            with service.batcher.places(1):
                content, media_type = await service.answer(upload, output, options.legend)
        return Response(content, media_type=media_type, headers={"cache-control": "no-store"})

    @app.post(
        "/v1/segment/batch",
        summary="The same of several images, the files of a form; a ZIP of images, or a list as JSON",
        response_class=Response,
        responses={200: {"content": {ZIP: {}, JSON: {}}}, **PROBLEMS},
        openapi_extra={"requestBody": {"required": True, "content": FORM_OF_FILES}},
    )
    async def segment_batch(request: Request, options: Options, accept: Annotated[str, Header()] = "*/*") -> Response:
        wanted = accept.replace(ZIP, "*/*")
        output = choose_output(options.output, wanted)
        service.batcher.check_room()
        async with service.uploads.images(request, service.settings.max_queue) as files:
            with service.batcher.places(len(files)):
                content, media_type = await service.answers(files, output, options.legend)
        return Response(content, media_type=media_type, headers={"cache-control": "no-store"})


def content_policy(page: str) -> str:
    """Return the policy under which a browser runs the page's own script and style, and loads nothing else."""

    def digests(tag: str) -> str:
        contents = re.findall(rf"<{tag}>(.*?)</{tag}>", page, re.DOTALL)
        hashes = [base64.b64encode(hashlib.sha256(content.encode()).digest()).decode() for content in contents]
        return " ".join(f"'sha256-{digest}'" for digest in hashes) or "'none'"

    return (
        f"default-src 'none'; script-src {digests('script')}; style-src {digests('style')}; img-src 'self' blob: data:;"
        " connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )


def _zip(files: list[ImageBytes], found: list[tuple[bytes, str] | RefusedRequest]) -> bytes:
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
    return archive.getvalue()

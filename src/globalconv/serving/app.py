"""The paths of the server: `build_app` puts predictor, queue, uploads and answers together."""

import asyncio
import base64
import hashlib
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any

from fastapi import FastAPI, Header, Query, Request, Response
from pydantic import BaseModel, ConfigDict
from starlette.middleware.cors import CORSMiddleware

from globalconv.serving import metrics
from globalconv.serving.answers import JSON, ZIP, Output, choose_output
from globalconv.serving.boundary import Boundary, handle_errors, unless_gone
from globalconv.serving.label_studio import add_label_studio
from globalconv.serving.service import Service

PAGE = Path(__file__).parent / "page" / "index.html"

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
    add_label_studio(app, service)
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
                work = service.answer(upload, output, options.legend)
                content, media_type = await unless_gone(request, work)
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
                work = service.answers(files, output, options.legend)
                content, media_type = await unless_gone(request, work)
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

"""What surrounds every request: its time, its metrics, and one line in place of whatever goes wrong inside."""

import asyncio
import time
import traceback
from collections.abc import Coroutine
from http import HTTPStatus
from typing import Any, TypeVar

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from globalconv.errors import InputError, print_line, suggest
from globalconv.runtime.text import cut_middle, one_line
from globalconv.serving.metrics import ServerMetrics
from globalconv.serving.refusals import RefusedRequest

R = TypeVar("R")

HEADERS = ((b"x-content-type-options", b"nosniff"), (b"referrer-policy", b"no-referrer"))
"""Of every answer."""

DISCONNECTED = 499
"""The status that counts a client who went before the answer, as proxies have it."""


class Boundary:
    """Wraps `app`: no request takes longer than `max_seconds`, and no answer shows more than one line of an error."""

    def __init__(self, app: ASGIApp, metrics: ServerMetrics, max_seconds: float) -> None:
        self.app, self.metrics, self.max_seconds = app, metrics, max_seconds
        self.ending = False
        """The server ends: connections close with their answer."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        began, status = time.perf_counter(), 0

        async def send_with_headers(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                closing = ((b"connection", b"close"),) if self.ending else ()
                message = {**message, "headers": [*message.get("headers", ()), *HEADERS, *closing]}
            await send(message)

        self.metrics.in_flight.inc()
        try:
            async with asyncio.timeout(self.max_seconds):
                await self.app(scope, receive, send_with_headers)
        except TimeoutError:
            if status == 0:
                message = f"the request took longer than {self.max_seconds:g} seconds (`max_seconds`); try again later"
                refusal = RefusedRequest(HTTPStatus.SERVICE_UNAVAILABLE, message, 5)
                await to_response(refusal)(scope, receive, send_with_headers)
        except Exception as error:
            if status == 0:
                await to_response(explain(error))(scope, receive, send_with_headers)
        finally:
            self.metrics.in_flight.dec()
            path = getattr(scope.get("route"), "path", "other")
            self.metrics.requests.labels(path, str(status or DISCONNECTED)).inc()
            self.metrics.latency.labels(path).observe(time.perf_counter() - began)


def handle_errors(app: FastAPI) -> None:
    """Let `app` answer with one line whatever is raised in it."""

    async def handle(request: Request, error: Exception) -> Response:
        if isinstance(error, ClientDisconnect):
            return Response(status_code=DISCONNECTED)
        if isinstance(error, HTTPException):
            path = cut_middle(request.url.path, 80)
            if error.status_code == HTTPStatus.NOT_FOUND:
                known = {str(getattr(route, "path", "/")) for route in app.routes}
                return to_response(RefusedRequest(error.status_code, f"`path` {path}: {suggest(path, known)}"))
            if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
                allowed = (error.headers or {}).get("Allow", "another")
                message = f"`method` {request.method}: {path} takes {allowed}; see /openapi.json"
                return to_response(RefusedRequest(error.status_code, message))
        return to_response(explain(error))

    for kind in (InputError, RequestValidationError, HTTPException, ClientDisconnect, Exception):
        app.add_exception_handler(kind, handle)


async def unless_gone(request: Request, work: Coroutine[Any, Any, R]) -> R:
    """Return what `work` does, or give it up with `ClientDisconnect` when the client of `request`, whose body has been
    received, goes."""

    async def wait_for_the_end() -> None:
        while (await request.receive())["type"] != "http.disconnect":
            pass

    answer, gone = asyncio.create_task(work), asyncio.create_task(wait_for_the_end())
    try:
        await asyncio.wait((answer, gone), return_when=asyncio.FIRST_COMPLETED)
        if answer.done():
            return answer.result()
        raise ClientDisconnect
    finally:
        for task in (answer, gone):
            task.cancel()


def to_response(refusal: RefusedRequest) -> Response:
    """Return the answer that a refusal is."""
    return Response(refusal.body(), refusal.status, refusal.headers())


def explain(error: Exception) -> RefusedRequest:
    """Return the refusal that stands for `error`; one that is our fault is told on standard error, in one line."""
    if isinstance(error, InputError):
        return RefusedRequest.of(error)
    if isinstance(error, RequestValidationError):
        return RefusedRequest(HTTPStatus.BAD_REQUEST, _first_problem(error))
    if isinstance(error, HTTPException):
        return RefusedRequest(error.status_code, str(error.detail))
    place = traceback.extract_tb(error.__traceback__)[-1:]
    where = f" at {place[0].name}:{place[0].lineno}" if place else ""
    print_line(f"globalconv: serve: {type(error).__name__}{where}: {one_line(error)}; please report this")
    message = "something went wrong here, which is not the request's fault; the server's log says what"
    return RefusedRequest(HTTPStatus.INTERNAL_SERVER_ERROR, message)


def _first_problem(error: RequestValidationError) -> str:
    """Return what is wrong with the first parameter that is: its name, its value, what it may be."""
    problem = error.errors()[0]
    name = ".".join(str(part) for part in problem["loc"][1:]) or "body"
    if problem["type"] == "extra_forbidden":
        return f"`{name}`: is no option of this path; see /openapi.json"
    given = cut_middle(str(problem.get("input", "")), 80)
    return f"`{name}` {given}: {problem['msg']}; see /openapi.json"

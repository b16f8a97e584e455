"""The process that serves: its socket, connections that send or take too slowly, and an end that loses no request."""

import asyncio
import logging
import socket
import time
from typing import Any

import uvicorn

from globalconv.errors import InputError, print_line
from globalconv.runtime.text import one_line
from globalconv.serving.boundary import Boundary

HEADER_SECONDS = 10.0
"""The headers of a request have to come within this time."""

LATE_REQUESTS = 0.3
"""Seconds for requests that are on their way when the server is told to end."""

SWEEP_TICKS = 5
"""Slow connections are looked for so often, in ticks of a tenth of a second."""


class GracefulServer(uvicorn.Server):
    """Ends without losing a request that it has accepted, and ends connections that hang."""

    def __init__(self, app: Boundary) -> None:
        config = uvicorn.Config(
            app, http="h11", ws="none", loop="asyncio", lifespan="on", log_config=None, access_log=False,
            server_header=False, date_header=False, proxy_headers=False,
            timeout_graceful_shutdown=int(2 * app.max_seconds) + 5,
        )  # fmt: skip
        super().__init__(config)
        self.app = app
        self._states: dict[Any, tuple[object, float]] = {}

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listen, and then say so."""
        asyncio.get_running_loop().set_exception_handler(_tell)
        await super().startup(sockets)
        for bound in sockets or []:
            host, port = bound.getsockname()[:2]
            print_line(f"serving at http://{f'[{host}]' if ':' in host else host}:{port} until Ctrl-C")

    async def on_tick(self, counter: int) -> bool:
        """Do what is done every tenth of a second."""
        if counter % SWEEP_TICKS == 0:
            self.end_slow_connections(time.monotonic())
        return await super().on_tick(counter)

    def end_slow_connections(self, now: float) -> None:
        """Cut connections whose headers do not end, and those that take longer for an answer than any request may."""
        states: dict[Any, tuple[object, float]] = {}
        for connection in list(self.server_state.connections):
            cycle, transport = getattr(connection, "cycle", None), connection.transport
            sending = transport.get_write_buffer_size() > 0
            answering = sending or (cycle is not None and not cycle.response_complete)
            state = (cycle, answering)  # the cycle itself, which is one of a request: another may get its number
            before, since = self._states.get(connection, (None, now))
            states[connection] = (state, since if before == state else now)
            allowed = 2 * self.app.max_seconds + HEADER_SECONDS if answering else HEADER_SECONDS
            if before == state and now - since > allowed:
                transport.abort()
        self._states = states

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Accept nothing more, answer what has been accepted, end."""
        print_line("ending: no new requests, those in flight are answered")
        self.app.ending = True
        for server in self.servers:
            server.close()
        # A connection that was accepted a moment ago may not have been read yet.
        await asyncio.sleep(LATE_REQUESTS)
        await super().shutdown(sockets)


def listen(host: str, port: int) -> socket.socket:
    """Return a socket that listens at `host` and `port`; 0 is any free one."""
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        return socket.create_server(address[:2], family=family, backlog=1024)
    except OSError as error:
        reason = (error.strerror or str(error)).partition(" (while")[0]
        raise InputError(
            f"`host` {host} `port` {port}: cannot be listened at ({reason}); give another port, or"
            " 127.0.0.1 for this machine alone, 0.0.0.0 for all"
        ) from error


def serve_until_stopped(app: Boundary, bound: socket.socket) -> None:
    """Answer requests until a signal comes, which is raised again once everything is answered."""
    for name in ("uvicorn", "uvicorn.error", "uvicorn.access", "asyncio"):  # tracebacks, in a format of their own
        logging.getLogger(name).disabled = True
    GracefulServer(app).run([bound])


def _tell(_: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """Tell in one line what a connection's callback raised; a client that went is nothing to tell."""
    error = context.get("exception")
    if error is not None and not isinstance(error, OSError):
        print_line(f"globalconv: serve: {type(error).__name__}: {one_line(error)}; please report this")

"""The HTTP server: listening sockets, limits, timeouts by one shared timer, draining."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Awaitable, Callable

from .messages import Handler, HeaderList, Request, Response
from .rendering import HeadRenderer
from .server_bodies import BodyBudget
from .server_connection import ServerConnection
from .server_stream import Flusher

SWEEP_SECONDS = 5.0
TLS_HANDSHAKE_TIMEOUT_SECONDS = 10.0
# Clients that keep a connection unused do not answer a goodbye until they use it again.
TLS_SHUTDOWN_TIMEOUT_SECONDS = 0.5

Admit = Callable[[Request], Response | Awaitable[Response | None] | None]
"""Whether the body of a request is read, from its head alone: None, or what it is answered instead."""


def plain_error(status: int, message: str) -> Response:
    """The answer to what never reaches the handler, for servers that set no other."""
    return Response(status, message.encode() + b"\n", "text/plain; charset=utf-8")


class HttpServer:
    """Serves `handler` over HTTP/1.1. All methods belong to the event loop it was made in.

    `on_error(status, message)` renders answers to requests that never reach the handler (400, 413, 417, 431) or whose
    handler failed (500, 503). `default_headers` go into every response. Request bodies over `max_body_bytes` are
    refused with 413 before they are read. Of those that do not come with their heads, and are over 64 KiB or waited
    with (``Expect: 100-continue``), `admit` decides, if given; and no more are read at a time than come to
    `max_reading_bytes`: 429.
    """

    def __init__(
        self,
        handler: Handler,
        *,
        tls: ssl.SSLContext | None = None,
        admit: Admit | None = None,
        max_body_bytes: int = 3 * 1024 * 1024,
        max_reading_bytes: int = 256 * 1024 * 1024,
        max_header_bytes: int = 64 * 1024,
        header_timeout_seconds: float = 30.0,
        body_timeout_seconds: float = 60.0,
        idle_timeout_seconds: float = 180.0,
        linger_seconds: float = 0.5,
        default_headers: HeaderList = (),
        on_error: Callable[[int, str], Response] = plain_error,
    ) -> None:
        self.handler = handler
        self.admit = admit
        self.bodies = BodyBudget(max_reading_bytes)
        self.max_body_bytes = max_body_bytes
        self.max_header_bytes = max_header_bytes
        self.header_timeout_seconds = header_timeout_seconds
        self.body_timeout_seconds = body_timeout_seconds
        self.idle_timeout_seconds = idle_timeout_seconds
        self.linger_seconds = linger_seconds
        self.on_error = on_error
        self.draining = False
        self.loop = asyncio.get_running_loop()
        self.renderer = HeadRenderer(default_headers)
        self.flusher = Flusher(self.loop)
        self._tls = tls
        self._listeners: list[asyncio.Server] = []
        self._connections: set[ServerConnection] = set()
        self._sweep_timer: asyncio.TimerHandle | None = None
        self._all_closed = asyncio.Event()
        self._all_closed.set()

    async def start(self, host: str, port: int) -> int:
        """Listen; may be called for several addresses. Returns the port (of use when `port` is 0)."""
        listener = await self.loop.create_server(
            lambda: ServerConnection(self),
            host,
            port,
            ssl=self._tls,
            backlog=1024,
            ssl_handshake_timeout=TLS_HANDSHAKE_TIMEOUT_SECONDS if self._tls else None,
            ssl_shutdown_timeout=TLS_SHUTDOWN_TIMEOUT_SECONDS if self._tls else None,
        )
        self._listeners.append(listener)
        bound: int = listener.sockets[0].getsockname()[1]
        return bound

    def set_tls_identity(self, certificate: bytes, key: bytes) -> None:
        """New connections are shown this certificate (PEM); the open ones stay as they are."""
        from .tls import load_identity

        if self._tls is None:
            raise ValueError("the server has no TLS")
        load_identity(self._tls, certificate, key)

    async def close(self, grace_seconds: float = 10.0) -> None:
        """Stop listening and drain: idle connections and streams end now, requests in flight and upgraded connections
        have `grace_seconds`; then everything is cut. Returns when no connection is left."""
        self.draining = True
        for listener in self._listeners:
            listener.close()
        self._listeners.clear()
        for connection in list(self._connections):
            connection.stop()
        try:
            await asyncio.wait_for(self._all_closed.wait(), grace_seconds)
        except TimeoutError:
            for connection in list(self._connections):
                connection.kill()
            await self._all_closed.wait()
        finally:
            if self._sweep_timer is not None:
                self._sweep_timer.cancel()
                self._sweep_timer = None

    @property
    def connection_count(self) -> int:
        return len(self._connections)

    # What connections call.

    def opened(self, connection: ServerConnection) -> None:
        self._connections.add(connection)
        self._all_closed.clear()
        if self.draining:
            connection.stop()
        if self._sweep_timer is None:
            self._sweep_timer = self.loop.call_later(SWEEP_SECONDS, self._sweep)

    def closed(self, connection: ServerConnection) -> None:
        self._connections.discard(connection)
        if not self._connections:
            self._all_closed.set()

    def linger(self, transport: asyncio.Transport) -> None:
        """Close a refused connection, but not at once: closing over unread input sends a reset, which would destroy
        the answer on its way to a peer that is still sending."""
        self.loop.call_later(self.linger_seconds, transport.close)

    def _sweep(self) -> None:
        """One timer for all connections; it rests while there are none."""
        self._sweep_timer = None
        now = self.loop.time()
        for connection in list(self._connections):
            connection.expire(now)
        if self._connections:
            self._sweep_timer = self.loop.call_later(SWEEP_SECONDS, self._sweep)

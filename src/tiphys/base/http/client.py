"""The HTTP client: one server, kept connections, whole, streamed and upgraded exchanges."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from urllib.parse import urlsplit

from .client_connection import (
    ClientConnection,
    ClientResponse,
    ClientStream,
    ProtocolError,
    StaleConnection,
    UpgradedConnection,
)
from .messages import HeaderList
from .rendering import render_fields

__all__ = [
    "ClientResponse",
    "ClientStream",
    "HttpClient",
    "ProtocolError",
    "StaleConnection",
    "UpgradeRefused",
    "UpgradedConnection",
]

# Below the server's own idle timeout, so that a kept connection is seldom closed under a request.
IDLE_TIMEOUT_SECONDS = 90.0
CONNECT_TIMEOUT_SECONDS = 10.0
SILENCE_SECONDS = 10
"""A peer whose kernel acknowledges nothing for so long is gone: no request waits longer for it, no watch listens on."""
_KEEPALIVE = ((socket.TCP_KEEPIDLE, 5), (socket.TCP_KEEPINTVL, 2), (socket.TCP_KEEPCNT, 3))
_REPEATABLE = frozenset({"GET", "HEAD", "OPTIONS"})


class UpgradeRefused(Exception):
    """The server answered an upgrade with something else than 101; `response` is its answer."""

    def __init__(self, response: ClientResponse) -> None:
        super().__init__(f"upgrade refused with status {response.status}")
        self.response = response


class HttpClient:
    """Talks to one server. Belongs to one event loop; `close` it in the end.

    `base_url` is ``https://host:port``; `server_name` is what the certificate must carry if not the host. `headers` go
    with every request; a function is asked each time (tokens that change). At most `max_connections` whole exchanges
    run at a time, further ones wait; streams and upgrades have connections of their own beyond that.
    """

    def __init__(
        self,
        base_url: str,
        tls: ssl.SSLContext | None = None,
        headers: HeaderList | Callable[[], HeaderList] = (),
        *,
        server_name: str = "",
        max_connections: int = 32,
        timeout_seconds: float = 60.0,
    ) -> None:
        url = urlsplit(base_url)
        if url.scheme not in ("http", "https") or not url.hostname:
            raise ValueError(f"not an HTTP address: {base_url!r}")
        if (url.scheme == "https") != (tls is not None):
            raise ValueError("a TLS context goes with https, and only with it")
        self._host = url.hostname
        self._port = url.port or (443 if tls else 80)
        self._prefix = url.path.rstrip("/")
        self._tls = tls
        self._server_name = server_name or url.hostname
        self._authority = url.netloc.rpartition("@")[2].encode()
        self._headers: Callable[[], HeaderList] | None = headers if callable(headers) else None
        self._fixed_head = render_fields(((b"Host", self._authority), *(() if callable(headers) else headers)))
        self._timeout_seconds = timeout_seconds
        self._max_connections = max_connections
        self._active = 0
        self._idle: list[ClientConnection] = []
        self._busy: set[ClientConnection] = set()  # all that are neither idle nor upgraded
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._idle_timer: asyncio.TimerHandle | None = None
        self._closed = False
        self._generation = 0

    async def request(
        self,
        method: str,
        target: str,
        body: bytes = b"",
        headers: HeaderList = (),
        *,
        timeout_seconds: float | None = None,
    ) -> ClientResponse:
        """One whole exchange. `target` is path and query, percent-encoded. Raises OSError (ConnectionError,
        TimeoutError, ssl.SSLError). A request is repeated only when it cannot have been acted on: on a kept connection
        found closed, and for reads also when such a connection closes before it answers."""
        data = self._render(method, target, body, headers)
        timeout = self._timeout_seconds if timeout_seconds is None else timeout_seconds
        if self._active >= self._max_connections:
            await self._turn()
        self._active += 1
        try:
            while True:
                connection = self._take_idle() or await self._connect()
                try:
                    return await self._exchange(connection, method, data, timeout)
                except StaleConnection:
                    if method not in _REPEATABLE:
                        raise
        finally:
            self._active -= 1
            self._next_turn()

    async def _exchange(self, connection: ClientConnection, method: str, data: bytes, timeout: float) -> ClientResponse:
        generation = self._generation
        timer = asyncio.get_running_loop().call_later(timeout, connection.expire)
        self._busy.add(connection)
        try:
            result = await connection.exchange(data, head_only=method == "HEAD", stream=False)
        except BaseException:
            connection.abort()
            raise
        finally:
            timer.cancel()
            self._busy.discard(connection)
        if isinstance(result, UpgradedConnection):
            result.abort()
            raise ProtocolError("the server upgraded a connection that was not asked to")
        if connection.usable and generation == self._generation:
            self._keep(connection)
        else:
            connection.close()
        return ClientResponse(result.status, result.headers, b"") if isinstance(result, ClientStream) else result

    @asynccontextmanager
    async def stream(
        self,
        method: str,
        target: str,
        body: bytes = b"",
        headers: HeaderList = (),
        *,
        timeout_seconds: float | None = None,
    ) -> AsyncIterator[ClientStream]:
        """A response read while it is sent (watch, logs). The timeout is for the head only. Leaving the context before
        the end closes the connection. Errors as of `request`; reading raises ConnectionError when it is cut."""
        connection, result = await self._streamed(method, target, body, headers, timeout_seconds)
        try:
            if not isinstance(result, ClientStream):
                raise ProtocolError("the server upgraded a connection that was not asked to")
            yield result
        finally:
            self._busy.discard(connection)
            if connection.usable and isinstance(result, ClientStream) and result.complete:
                connection.flow(True)
                self._keep(connection)
            else:
                connection.abort()

    async def upgrade(
        self,
        method: str,
        target: str,
        headers: HeaderList,
        body: bytes = b"",
        *,
        timeout_seconds: float | None = None,
    ) -> UpgradedConnection:
        """Ask for another protocol; `headers` must have Connection and Upgrade. Returns the connection, which is the
        caller's to close. Raises UpgradeRefused on any other answer than 101, else as `request`."""
        connection, result = await self._own_exchange(method, target, body, headers, timeout_seconds)
        self._busy.discard(connection)
        if isinstance(result, UpgradedConnection):
            return result
        try:
            refusal = result.read_all() if isinstance(result, ClientStream) else None
            answer = await asyncio.wait_for(refusal, self._timeout_seconds) if refusal is not None else b""
            raise UpgradeRefused(ClientResponse(result.status, result.headers, answer))
        finally:
            connection.close()

    async def _streamed(
        self, method: str, target: str, body: bytes, headers: HeaderList, timeout_seconds: float | None
    ) -> tuple[ClientConnection, ClientStream | UpgradedConnection | ClientResponse]:
        """On a kept connection if there is one: who watches has listed before."""
        while method in _REPEATABLE and (kept := self._take_idle()) is not None:
            with suppress(StaleConnection):
                return await self._own_exchange(method, target, body, headers, timeout_seconds, kept)
        return await self._own_exchange(method, target, body, headers, timeout_seconds)

    async def _own_exchange(
        self,
        method: str,
        target: str,
        body: bytes,
        headers: HeaderList,
        timeout_seconds: float | None,
        kept: ClientConnection | None = None,
    ) -> tuple[ClientConnection, ClientStream | UpgradedConnection | ClientResponse]:
        data = self._render(method, target, body, headers)
        timeout = self._timeout_seconds if timeout_seconds is None else timeout_seconds
        connection = kept or await self._connect()
        self._busy.add(connection)
        timer = asyncio.get_running_loop().call_later(timeout, connection.expire)
        try:
            return connection, await connection.exchange(data, head_only=method == "HEAD", stream=True)
        except BaseException:
            self._busy.discard(connection)
            connection.abort()
            raise
        finally:
            timer.cancel()

    async def close(self) -> None:
        """Close every connection; exchanges in flight fail with ConnectionError."""
        self._closed = True
        if self._idle_timer is not None:
            self._idle_timer.cancel()
        for connection in [*self._idle, *self._busy]:
            connection.abort()
        self._idle.clear()
        self._busy.clear()
        await asyncio.sleep(0)  # lets the transports say so

    def renew(self) -> None:
        """Make the next exchanges on new connections, as when the TLS context has another certificate now."""
        self._generation += 1
        for connection in self._idle:
            connection.close()
        self._idle.clear()

    # Connections.

    async def _connect(self) -> ClientConnection:
        self._check_open()
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(CONNECT_TIMEOUT_SECONDS):
            transport, connection = await loop.create_connection(
                lambda: ClientConnection(loop),
                self._host,
                self._port,
                ssl=self._tls,
                server_hostname=self._server_name if self._tls else None,
            )
        _notice_silence(transport.get_extra_info("socket"))
        try:
            self._check_open()  # it may have been closed meanwhile
        except ConnectionError:
            connection.abort()
            raise
        return connection

    def _check_open(self) -> None:
        if self._closed:
            raise ConnectionError("the client is closed")

    def _take_idle(self) -> ClientConnection | None:
        while self._idle:
            connection = self._idle.pop()
            if connection.usable:
                return connection
        return None

    def _keep(self, connection: ClientConnection) -> None:
        if self._closed or len(self._idle) >= self._max_connections:
            connection.close()
            return
        loop = asyncio.get_running_loop()
        connection.idle_since = loop.time()
        self._idle.append(connection)
        if self._idle_timer is None:
            self._idle_timer = loop.call_later(IDLE_TIMEOUT_SECONDS, self._expire_idle)

    def _expire_idle(self) -> None:
        """One timer for all idle connections; it rests while there are none."""
        loop = asyncio.get_running_loop()
        self._idle_timer = None
        oldest = loop.time() - IDLE_TIMEOUT_SECONDS
        kept = []
        for connection in self._idle:
            if connection.usable and connection.idle_since > oldest:
                kept.append(connection)
            else:
                connection.close()
        self._idle = kept
        if kept:
            self._idle_timer = loop.call_later(IDLE_TIMEOUT_SECONDS, self._expire_idle)

    async def _turn(self) -> None:
        """Wait, first come first served, until fewer than `max_connections` exchanges run."""
        while self._active >= self._max_connections:
            waiter = asyncio.get_running_loop().create_future()
            self._waiting.append(waiter)
            try:
                await waiter
            except asyncio.CancelledError:
                if waiter.done() and not waiter.cancelled():
                    self._next_turn()
                raise

    def _next_turn(self) -> None:
        while self._waiting:
            waiter = self._waiting.popleft()
            if not waiter.done():
                waiter.set_result(None)
                return

    def _render(self, method: str, target: str, body: bytes, headers: HeaderList) -> bytes:
        raw_target = f"{self._prefix}{target}".encode("ascii")
        if any(byte <= 32 or byte == 127 for byte in raw_target):
            raise ValueError("white space in a request target")
        extra = render_fields(headers) if headers else b""
        if self._headers is not None:
            extra += render_fields(self._headers())
        length = b"Content-Length: %d\r\n" % len(body) if body or method in ("POST", "PUT", "PATCH") else b""
        return b"%b %b HTTP/1.1\r\n%b%b%b\r\n%b" % (
            method.encode("ascii"),
            raw_target,
            self._fixed_head,
            extra,
            length,
            body,
        )


def _notice_silence(connection: socket.socket) -> None:
    """A host that lost its power or its link says nothing; by itself the kernel would believe in it for minutes."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for option, value in (*_KEEPALIVE, (socket.TCP_USER_TIMEOUT, SILENCE_SECONDS * 1000)):
        connection.setsockopt(socket.IPPROTO_TCP, option, value)

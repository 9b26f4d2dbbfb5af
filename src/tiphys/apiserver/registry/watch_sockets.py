"""Watches over WebSocket: an event a message, as text. Old clients and browsers have them so."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Final

from tiphys.api import errors
from tiphys.base.http.messages import (
    MAX_STREAM_BUFFER_BYTES,
    BadRequest,
    Chunk,
    RawConnection,
    Request,
    StreamWriter,
    UpgradeResponse,
)
from tiphys.base.http.websocket import WebSocket, handshake_headers, offered

_BEARER: Final = "base64url.bearer.authorization.k8s.io."


def over_websocket(request: Request, run: Callable[[StreamWriter], Awaitable[None]]) -> UpgradeResponse:
    """The handshake's answer, after which `run` writes events into messages. Raises ApiError 400 if it is malformed."""
    names = [name for name in offered(request) if not name.startswith(_BEARER)]
    try:
        headers = handshake_headers(request, names[0] if names else "")
    except BadRequest as error:
        raise errors.bad_request(str(error)) from error

    async def take_over(connection: RawConnection) -> None:
        socket = WebSocket(connection)
        writer = _SocketWriter(socket)
        tasks = [asyncio.ensure_future(work) for work in (run(writer), writer.send(), writer.ignore())]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            if tasks[0].done():
                await writer.flush()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        if socket.open:
            await socket.finish()

    return UpgradeResponse(b"websocket", take_over, headers)


class _SocketWriter:
    """A StreamWriter into messages. A peer that does not read is cut off when 8 MiB wait for it."""

    def __init__(self, socket: WebSocket) -> None:
        self.coalesce = False
        self._socket = socket
        self._waiting: list[bytes] = []
        self._waiting_bytes = 0
        self._more = asyncio.Event()
        self._sent = asyncio.Event()
        self._gone = asyncio.Event()

    def write(self, data: bytes) -> None:
        if self._gone.is_set():
            return
        self._waiting.append(data)
        self._waiting_bytes += len(data)
        self._sent.clear()
        self._more.set()
        if self._waiting_bytes > MAX_STREAM_BUFFER_BYTES:
            self._gone.set()
            self._socket.connection.abort()

    def write_chunk(self, chunk: Chunk) -> None:
        self.write(chunk.data)

    async def drain(self) -> None:
        if self._waiting and not self._gone.is_set():
            await self._sent.wait()

    async def wait_closed(self) -> None:
        await self._gone.wait()

    @property
    def closed(self) -> bool:
        return self._gone.is_set()

    async def send(self) -> None:
        """Write out what waits, until cancelled or the peer is gone."""
        with suppress(ConnectionError):
            while True:
                await self._more.wait()
                self._more.clear()
                await self.flush()
        self._gone.set()

    async def flush(self) -> None:
        """Write out what waits now. Raises ConnectionError."""
        while self._waiting:
            batch, self._waiting, self._waiting_bytes = self._waiting, [], 0
            for data in batch:
                self._socket.send(data.decode())
                await self._socket.drain()
        self._sent.set()

    async def ignore(self) -> None:
        """Read until the peer closes; it has nothing to say."""
        while await self._socket.receive() is not None:
            pass
        self._gone.set()

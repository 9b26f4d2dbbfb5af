"""One connection of the client: a request written, its response parsed; whole, streamed, or upgraded to raw bytes."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import cast

import httptools

from .messages import Headers
from .raw import TransportConnection

STREAM_BUFFER_BYTES = 1024 * 1024  # a streamed response's reading pauses above it


class ProtocolError(ConnectionError):
    """The server's answer is not HTTP, or ended early."""


class StaleConnection(ConnectionError):
    """A kept connection was closed by the server before it answered anything."""


@dataclass(slots=True)
class ClientResponse:
    """A whole response."""

    status: int
    headers: Headers
    body: bytes


class UpgradedConnection(TransportConnection):
    """RawConnection after ``101``; `headers` are the response's."""

    __slots__ = ("headers",)

    def __init__(self, transport: asyncio.Transport, headers: Headers) -> None:
        super().__init__(transport)
        self.headers = headers


class ClientStream:
    """A response whose body arrives over time. Iterate it for pieces as they came (chunk borders mean nothing)."""

    __slots__ = ("_buffered", "_connection", "_error", "_pieces", "_waiter", "complete", "headers", "status")

    def __init__(self, connection: ClientConnection, status: int, headers: Headers) -> None:
        self.status = status
        self.headers = headers
        self.complete = False
        self._connection = connection
        self._pieces: deque[bytes] = deque()
        self._buffered = 0
        self._error: Exception | None = None
        self._waiter: asyncio.Future[None] | None = None

    async def read(self) -> bytes:
        """The next bytes; b"" at the end. Raises ConnectionError when the stream is cut short."""
        while not self._pieces:
            if self._error is not None:
                raise self._error
            if self.complete:
                return b""
            self._waiter = asyncio.get_running_loop().create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None
        data = self._pieces[0] if len(self._pieces) == 1 else b"".join(self._pieces)
        self._pieces.clear()
        self._buffered = 0
        self._connection.flow(True)
        return data

    async def read_all(self) -> bytes:
        """All that remains."""
        return b"".join([piece async for piece in self])

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while data := await self.read():
            yield data

    def abort(self) -> None:
        """Give the response up; the connection closes."""
        self._connection.abort()

    def feed(self, data: bytes) -> None:
        self._pieces.append(data)
        self._buffered += len(data)
        if self._buffered > STREAM_BUFFER_BYTES:
            self._connection.flow(False)
        self._wake()

    def end(self, error: Exception | None) -> None:
        if error is None:
            self.complete = True
        elif not self.complete:
            self._error = error
        self._wake()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)


class ClientConnection(asyncio.Protocol):
    """At most one exchange at a time. `reusable` tells, after it, whether another may follow."""

    __slots__ = (
        "_body",
        "_flowing",
        "_headers",
        "_loop",
        "_parser",
        "_raw",
        "_status",
        "_stream",
        "_streaming",
        "_transport",
        "_until_close",
        "_waiter",
        "answered",
        "closed",
        "idle_since",
        "on_lost",
        "reusable",
        "used",
    )

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._transport = cast(asyncio.Transport, None)
        self._parser = httptools.HttpResponseParser(self)
        # Scripts answer with bare newlines, and probes and proxies must read what Go's client reads.
        self._parser.set_dangerous_leniencies(lenient_optional_cr_before_lf=True, lenient_data_after_close=True)
        self._waiter: asyncio.Future[ClientResponse | ClientStream | UpgradedConnection] | None = None
        self._streaming = False
        self._stream: ClientStream | None = None
        self._raw: UpgradedConnection | None = None
        self._headers = Headers()
        self._body: list[bytes] = []
        self._status = 0
        self._until_close = False
        self._flowing = True
        self.used = False  # an exchange was completed on it
        self.answered = False  # a byte of the current response came
        self.reusable = True
        self.closed = False
        self.idle_since = 0.0

    def exchange(
        self, data: bytes, *, head_only: bool, stream: bool
    ) -> asyncio.Future[ClientResponse | ClientStream | UpgradedConnection]:
        """Send one rendered request. The future gives the response; with `stream` once its head has come."""
        waiter = self._loop.create_future()
        self._waiter = waiter
        self._streaming = stream
        self.answered = False
        if head_only:
            # The parser cannot be told that no body follows.
            self.reusable = False
            self._streaming = True
        self._transport.write(data)
        return waiter

    @property
    def usable(self) -> bool:
        return self.reusable and not self.closed and not self._transport.is_closing()

    def abort(self) -> None:
        self.reusable = False
        if self._transport is not None and not self.closed:
            self._transport.abort()

    def close(self) -> None:
        self.reusable = False
        if not self._transport.is_closing():
            self._transport.close()

    def expire(self) -> None:
        """The exchange took too long: its waiter gets TimeoutError."""
        self._fail(TimeoutError("no response in time"))
        self.abort()

    def flow(self, on: bool) -> None:
        if on != self._flowing and not self.closed and not self._transport.is_closing():
            self._flowing = on
            if on:
                self._transport.resume_reading()
            else:
                self._transport.pause_reading()

    # The transport's side.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        if self._raw is not None:
            self._raw.feed(data)
            return
        if self._waiter is None and self._stream is None:
            # Nobody asked: the server ends a connection that way at best.
            self.abort()
            return
        self.answered = True
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            self._take_over(data[upgrade.args[0] :])
        except httptools.HttpParserError as error:
            self._fail(ProtocolError(f"malformed response: {error}"))
            self.abort()

    def eof_received(self) -> bool | None:
        if self._raw is not None:
            self._raw.feed_eof()
            return self._transport.can_write_eof()
        return None

    def pause_writing(self) -> None:
        if self._raw is not None:
            self._raw.writable(False)

    def resume_writing(self) -> None:
        if self._raw is not None:
            self._raw.writable(True)

    def connection_lost(self, exc: Exception | None) -> None:
        self.closed = True
        self.reusable = False
        if self._raw is not None:
            self._raw.lost()
        elif self._until_close and exc is None:
            self.on_message_complete()
        elif self.used and not self.answered:
            self._fail(StaleConnection("the server closed a kept connection"))
        else:
            self._fail(ProtocolError("the server closed the connection before its answer was complete"))

    def _fail(self, error: Exception) -> None:
        if self._stream is not None:
            self._stream.end(error)
        waiter, self._waiter = self._waiter, None
        if waiter is not None and not waiter.done():
            waiter.set_exception(error)

    def _take_over(self, rest: bytes) -> None:
        raw = UpgradedConnection(self._transport, self._headers)
        self._raw = raw
        self.reusable = False
        raw.feed(rest)
        waiter, self._waiter = self._waiter, None
        if waiter is not None and not waiter.done():
            waiter.set_result(raw)
        else:
            raw.abort()

    # The parser's side.

    def on_message_begin(self) -> None:
        self._headers = Headers()
        self._body = []
        self._until_close = False

    def on_header(self, name: bytes, value: bytes) -> None:
        self._headers.add(name, value)

    def on_headers_complete(self) -> None:
        self._status = status = self._parser.get_status_code()
        if status < 200:
            return
        self.reusable = self.reusable and self._parser.should_keep_alive()
        headers = self._headers
        if b"content-length" not in headers and b"transfer-encoding" not in headers and status not in (204, 304):
            self._until_close = True
        if self._streaming:
            self._stream = ClientStream(self, status, headers)
            waiter, self._waiter = self._waiter, None
            if waiter is not None and not waiter.done():
                waiter.set_result(self._stream)

    def on_body(self, data: bytes) -> None:
        if self._stream is not None:
            self._stream.feed(data)
        else:
            self._body.append(data)

    def on_message_complete(self) -> None:
        if self._status < 200:  # 100 Continue, 103 Early Hints; 101 is handled where the parser stops
            return
        self._until_close = False
        self.used = True
        if self._stream is not None:
            stream, self._stream = self._stream, None
            stream.end(None)
            return
        body = self._body
        self._body = []
        waiter, self._waiter = self._waiter, None
        if waiter is not None and not waiter.done():
            whole = b"" if not body else body[0] if len(body) == 1 else b"".join(body)
            waiter.set_result(ClientResponse(self._status, self._headers, whole))

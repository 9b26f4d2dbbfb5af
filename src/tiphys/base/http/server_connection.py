"""One connection of the server: requests to the handler in order, responses out in the same order.

    reading -> handling -> (plain)   reading
                        -> (stream)  streaming -> reading
                        -> (upgrade) raw, until closed
Requests that arrive while one is handled wait in `_queue`; too many pause reading. A large body that
does not come with its head is read once the server admits it.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable
from typing import TYPE_CHECKING, Any, cast

from tiphys.base.logging import get_logger

from .messages import CLOSE, BadRequest, Response, StreamResponse, UpgradeResponse
from .raw import TransportConnection
from .server_bodies import BodyGate
from .server_parser import ReadRequest, RequestParser
from .server_stream import ChunkedWriter
from .tls import peer_identity

if TYPE_CHECKING:
    from .server import HttpServer

log = get_logger(__name__)

MAX_QUEUED_REQUESTS = 16
# A body above this is handed to the transport apart from its head: joining them would copy it.
JOIN_LIMIT_BYTES = 32 * 1024


class ServerConnection(asyncio.Protocol):
    """See the module. Owned by the event loop; `HttpServer` holds it while it is open."""

    __slots__ = (
        "_abortable",
        "_gate",
        "_parser",
        "_queue",
        "_raw",
        "_reading_paused",
        "_refused",
        "_server",
        "_task",
        "_transport",
        "_upgraded",
        "_upgraded_bytes",
        "_writer",
        "busy",
        "closing",
        "last_activity",
        "request_started",
    )

    def __init__(self, server: HttpServer) -> None:
        self._server = server
        self._transport: asyncio.Transport = cast(asyncio.Transport, None)
        self._parser = RequestParser(
            self._arrived,
            max_header_bytes=server.max_header_bytes,
            max_body_bytes=server.max_body_bytes,
        )
        self._queue: deque[ReadRequest] = deque()
        self._raw: TransportConnection | None = None
        self._writer: ChunkedWriter | None = None
        self._task: asyncio.Future[Any] | None = None
        self._abortable = False  # whether the task is of no use once the peer is gone
        self.closing = False  # what still arrives is dropped
        self._refused: Response | None = None  # to be sent after the answers owed before it
        self._gate = BodyGate(server, self, self._parser)
        self._reading_paused = False
        self._upgraded = False  # the parser met an upgrade: further bytes are not HTTP
        self._upgraded_bytes: list[bytes] = []
        self.busy = False
        self.last_activity = server.loop.time()
        self.request_started = 0.0

    # The transport's side.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        peer = transport.get_extra_info("peername")
        self._parser.remote = peer[0] if isinstance(peer, tuple) else ""
        ssl_object = transport.get_extra_info("ssl_object")
        if ssl_object is not None:
            self._parser.peer = peer_identity(ssl_object)
        self._server.opened(self)

    def data_received(self, data: bytes) -> None:
        if self._upgraded:
            self._take_upgraded(data)
            return
        if self.closing:
            return
        self.last_activity = self._server.loop.time()
        if not self._parser.started:
            self.request_started = self.last_activity
        try:
            rest = self._parser.feed(data)
        except BadRequest as error:
            self.refuse(self._server.on_error(error.status, str(error)))
        else:
            if rest is not None:
                self._upgraded = True
                self._take_upgraded(rest)
            elif self._parser.in_body and not self._parser.admitted:
                self._gate.decide()

    def _take_upgraded(self, data: bytes) -> None:
        if self._raw is not None:
            self._raw.feed(data)
        elif data:  # the upgrade is still being decided on
            self._upgraded_bytes.append(data)
            if sum(map(len, self._upgraded_bytes)) > self._server.max_header_bytes:
                self._transport.abort()

    def eof_received(self) -> bool | None:
        if self._raw is not None:
            self._raw.feed_eof()
            return self._transport.can_write_eof()  # half-close: our side may still write
        return None

    def pause_writing(self) -> None:
        if self._raw is not None:
            self._raw.writable(False)
        elif self._writer is not None:
            self._writer.writable(False)
        else:
            # A peer that asks without reading the answers is not asked for more.
            self.pause_reading()

    def resume_writing(self) -> None:
        if self._raw is not None:
            self._raw.writable(True)
        elif self._writer is not None:
            self._writer.writable(True)
        elif len(self._queue) <= MAX_QUEUED_REQUESTS:
            self.resume_reading()

    def connection_lost(self, exc: Exception | None) -> None:
        self.closing = True
        self._queue.clear()
        self._gate.close()
        if self._raw is not None:
            self._raw.lost()
        if self._writer is not None:
            self._writer.finish()
        if self._task is not None and self._abortable:
            self._task.cancel()
        self._server.closed(self)

    def write(self, data: bytes) -> None:
        """Between answers."""
        self._transport.write(data)

    def pause_reading(self) -> None:
        if not self._reading_paused and not self._transport.is_closing():
            self._reading_paused = True
            self._transport.pause_reading()

    def resume_reading(self) -> None:
        if self._reading_paused and not self._gate.undecided and not self._transport.is_closing():
            self._reading_paused = False
            self._transport.resume_reading()

    # Handling.

    def _arrived(self, read: ReadRequest) -> None:
        if self._gate.reserved_bytes:
            self._gate.release()
        self._queue.append(read)
        if not self.busy:
            self._run_queue()
        elif len(self._queue) > MAX_QUEUED_REQUESTS:
            self.pause_reading()

    def _run_queue(self) -> None:
        queue = self._queue
        while queue and not self.busy:
            read = queue.popleft()
            self.busy = True
            try:
                result = self._server.handler(read.request)
            except BadRequest as error:
                result = self._server.on_error(error.status, str(error))
            except Exception:
                log.exception("handler failed", method=read.request.method, path=read.request.path)
                result = self._server.on_error(500, "internal error")
            if isinstance(result, Response):
                self._respond(read, result)
            else:
                self._respond_later(read, result)
        if self._reading_paused and self._writer is None and len(queue) <= MAX_QUEUED_REQUESTS // 2:
            self.resume_reading()
        if self._refused is not None and not self.busy:
            self._send_refusal()
        elif self._parser.awaited:
            self._gate.tell()

    def _respond_later(self, read: ReadRequest, result: Awaitable[Response]) -> None:
        future = asyncio.ensure_future(result)

        def done(finished: asyncio.Future[Response]) -> None:
            request = read.request
            if finished.cancelled():
                response = self._server.on_error(503, "the server is shutting down")
            elif (error := finished.exception()) is not None:
                reason = f"{type(error).__name__}: {error}"
                log.error("handler failed", method=request.method, path=request.path, error=reason)
                response = self._server.on_error(500, "internal error")
            else:
                response = finished.result()
            self._task = None
            self._respond(read, response)
            self._run_queue()

        self._task = future
        # What changes something is seen through; an answer that nobody waits for is not computed.
        self._abortable = read.request.method in ("GET", "HEAD")
        future.add_done_callback(done)

    def _respond(self, read: ReadRequest, response: Response) -> None:
        transport = self._transport
        head_only = read.request.method == "HEAD"
        if transport.is_closing():
            self.busy = False
            _abandon(response)
            return
        plain = type(response) is Response
        if not plain:
            if isinstance(response, StreamResponse) and not head_only:
                self._start_stream(read, response)
                return
            if isinstance(response, UpgradeResponse):
                self._start_raw(response)
                return
            _abandon(response)
        keep_alive = read.keep_alive and not self._server.draining
        body = response.body
        if response.status == 204 or response.status == 304:
            body = framing = b""
        else:
            framing = b"Content-Length: %d\r\n" % len(body) if plain else b"Transfer-Encoding: chunked\r\n"
        if response.status >= 400 and CLOSE in response.headers:
            keep_alive = False
        elif not keep_alive:
            framing += b"Connection: close\r\n"
        elif read.old_protocol:
            framing += b"Connection: keep-alive\r\n"
        head = self._server.renderer.head(response, framing)
        if head_only or not body:
            transport.write(head)
        elif len(body) <= JOIN_LIMIT_BYTES:
            transport.write(head + body)
        else:
            transport.writelines((head, body))
        self._finished(keep_alive)

    def _finished(self, keep_alive: bool) -> None:
        self.busy = False
        self.last_activity = self._server.loop.time()
        if not keep_alive:
            self.closing = True
            self._queue.clear()
            self._transport.close()

    def _start_stream(self, read: ReadRequest, response: StreamResponse) -> None:
        old = read.old_protocol
        keep_alive = read.keep_alive and not old and not self._server.draining
        framing = b"" if old else b"Transfer-Encoding: chunked\r\n"
        if not keep_alive:
            framing += b"Connection: close\r\n"
        self._transport.write(self._server.renderer.head(response, framing))
        writer = ChunkedWriter(
            self._transport,
            self._server.flusher,
            chunked=not old,
            max_buffer_bytes=response.max_buffer_bytes,
            on_overflow=self._overflow,
        )
        self._writer = writer
        task = asyncio.ensure_future(response.run(writer))
        self._task = task
        self._abortable = True
        task.add_done_callback(lambda finished: self._stream_done(finished, writer, keep_alive))

    def _stream_done(self, finished: asyncio.Future[None], writer: ChunkedWriter, keep_alive: bool) -> None:
        self._writer = self._task = None
        self.busy = False
        error = None if finished.cancelled() else finished.exception()
        if error is not None:
            log.error("stream failed", error=f"{type(error).__name__}: {error}")
        if writer.closed or self._transport.is_closing():
            writer.finish()
        elif error is not None or (finished.cancelled() and not self._server.draining):
            # Without the last chunk the peer knows that the stream was cut.
            writer.finish()
            self._transport.abort()
        else:
            if last := writer.last_bytes():
                self._transport.write(last)
            self._finished(keep_alive and not self._server.draining)
            self._run_queue()

    def _overflow(self) -> None:
        log.warning("a stream's reader is too slow: connection cut", remote=self._parser.remote)
        self._transport.abort()

    def _start_raw(self, response: UpgradeResponse) -> None:
        framing = b"Connection: Upgrade\r\nUpgrade: %b\r\n" % response.protocol
        self._transport.write(self._server.renderer.head(response, framing))
        raw = TransportConnection(self._transport)
        self._raw = raw
        self._upgraded = True
        for data in self._upgraded_bytes:
            raw.feed(data)
        self._upgraded_bytes = []
        self.resume_reading()
        task = asyncio.ensure_future(response.take_over(raw))
        self._task = task
        self._abortable = False  # it reads the end itself

        def done(finished: asyncio.Future[None]) -> None:
            if not finished.cancelled() and (error := finished.exception()) is not None:
                log.error("upgraded connection failed", error=f"{type(error).__name__}: {error}")
                raw.abort()
            raw.close()

        task.add_done_callback(done)

    # Refusing and ending.

    def refuse(self, response: Response) -> None:
        """Answer what is read no further, and end."""
        if self.closing:
            return
        self.closing = True
        self._gate.release()
        self._refused = response
        if not self.busy:
            self._send_refusal()

    def _send_refusal(self) -> None:
        response, self._refused = self._refused, None
        if response is None or self._transport.is_closing():
            return
        framing = b"Content-Length: %d\r\n" % len(response.body)
        if CLOSE not in response.headers:
            framing += b"Connection: close\r\n"
        self._transport.write(self._server.renderer.head(response, framing) + response.body)
        self._server.linger(self._transport)

    def expire(self, now: float) -> None:
        """Called every few seconds: ends what has been idle, or has been sending a request, for too long."""
        server = self._server
        if self._raw is not None or self.busy:
            return
        if self._parser.started:
            limit = server.body_timeout_seconds if self._parser.in_body else server.header_timeout_seconds
            if now - self.request_started > limit:
                self._transport.abort()
        elif now - self.last_activity > server.idle_timeout_seconds:
            self._transport.abort()

    def stop(self) -> None:
        """Drain: an idle connection closes now, a stream ends, a request in flight is answered first."""
        if self._raw is not None:
            return
        if self._writer is not None and self._task is not None:
            self._task.cancel()
        elif not self.busy:
            self._transport.close()

    def kill(self) -> None:
        """Close at once, whatever is going on."""
        if self._task is not None:
            self._task.cancel()
        self._transport.abort()


def _abandon(response: Response) -> None:
    if isinstance(response, StreamResponse | UpgradeResponse) and response.abandoned is not None:
        response.abandoned()

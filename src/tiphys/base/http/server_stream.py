"""Writing a stream of chunks to one peer, and the shared clock that lets small writes leave together."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from .messages import Chunk

COALESCE_SECONDS = 0.005
CREDIT_SECONDS = 0.04
"""How much waiting a quiet time saves later: the first flushes after it (8, if they are short) do not wait."""
MANY_STREAMS = 64
"""What goes to more than these at once waits for company: flushing them all is dear."""


class Flusher:
    """Flushes the streams that have something pending: at the end of the loop's turn when it was quiet, and at most
    every `COALESCE_SECONDS` when it is not. One timer for all streams of a server.

    Quiet is not only the last moment: what one change sets off (created, assigned, started …) is seen without delay.
    """

    __slots__ = ("_credit", "_dirty", "_due", "_loop", "_scheduled")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._dirty: list[ChunkedWriter] = []
        self._scheduled = False
        #: When the next flush may be, and of a flush that is under way, how long ago it already might have been.
        self._due = 0.0
        self._credit = 0.0

    def mark(self, writer: ChunkedWriter) -> None:
        self._dirty.append(writer)
        if not self._scheduled:
            self._scheduled = True
            wait = self._due - self._loop.time()
            # Only quiet time counts, not what a busy loop is late by.
            self._credit = min(max(-wait, 0.0), CREDIT_SECONDS)
            if wait > 0:
                self._loop.call_later(wait, self._flush)
            else:
                self._loop.call_soon(self._flush)

    def _flush(self) -> None:
        self._scheduled = False
        dirty, self._dirty = self._dirty, []
        for writer in dirty:
            writer.flush()
        if len(dirty) > MANY_STREAMS:
            self._credit = 0.0
        # Counted from the end: a flush that takes longer than the interval must leave the loop time for the rest.
        self._due = self._loop.time() + COALESCE_SECONDS - self._credit


class ChunkedWriter:
    """StreamWriter over a transport. `chunked` False: plain bytes until the connection closes (HTTP/1.0 peers)."""

    __slots__ = (
        "_chunked",
        "_closed",
        "_closed_waiters",
        "_drain_waiters",
        "_flusher",
        "_marked",
        "_max_buffer_bytes",
        "_on_overflow",
        "_paused",
        "_pending",
        "_pending_bytes",
        "_transport",
        "coalesce",
    )

    def __init__(
        self,
        transport: asyncio.Transport,
        flusher: Flusher,
        *,
        chunked: bool,
        max_buffer_bytes: int,
        on_overflow: Callable[[], None],
    ) -> None:
        self.coalesce = False
        self._transport = transport
        self._flusher = flusher
        self._chunked = chunked
        self._max_buffer_bytes = max_buffer_bytes
        self._on_overflow = on_overflow
        self._pending: list[bytes] = []
        self._pending_bytes = 0
        self._marked = False
        self._paused = False
        self._closed = False
        self._drain_waiters: list[asyncio.Future[None]] = []
        self._closed_waiters: list[asyncio.Future[None]] = []

    def write(self, data: bytes) -> None:
        if data:
            self._push(b"%x\r\n%b\r\n" % (len(data), data) if self._chunked else data)

    def write_chunk(self, chunk: Chunk) -> None:
        if chunk.data:
            self._push(chunk.frame if self._chunked else chunk.data)

    def _push(self, frame: bytes) -> None:
        if self._closed:
            return
        if not self.coalesce and not self._paused and not self._pending:
            self._transport.write(frame)
            return
        self._pending.append(frame)
        self._pending_bytes += len(frame)
        if self._pending_bytes > self._max_buffer_bytes:
            self.finish()
            self._on_overflow()
        elif not self._marked and not self._paused:
            self._marked = True
            self._flusher.mark(self)

    def flush(self) -> None:
        """Send what is pending, unless the transport asked to wait: then `writable` does."""
        self._marked = False
        pending = self._pending
        if not pending or self._paused or self._closed:
            return
        self._pending = []
        self._pending_bytes = 0
        self._transport.write(pending[0] if len(pending) == 1 else b"".join(pending))

    def writable(self, yes: bool) -> None:
        """The transport's buffer is low (or, `yes` False, full)."""
        self._paused = not yes
        if yes:
            self.flush()
            if not self._paused:
                self._wake(self._drain_waiters)

    async def drain(self) -> None:
        while (self._paused or self._pending_bytes > self._max_buffer_bytes // 2) and not self._closed:
            waiter = asyncio.get_running_loop().create_future()
            self._drain_waiters.append(waiter)
            if not self._paused:
                self.flush()
                if not self._paused:
                    self._drain_waiters.remove(waiter)
                    return
            await waiter

    async def wait_closed(self) -> None:
        if not self._closed:
            waiter = asyncio.get_running_loop().create_future()
            self._closed_waiters.append(waiter)
            await waiter

    @property
    def closed(self) -> bool:
        return self._closed

    def last_bytes(self) -> bytes:
        """What is still pending plus the end of the stream; after it the writer is closed."""
        data = b"".join(self._pending) + (b"0\r\n\r\n" if self._chunked else b"")
        self.finish()
        return data

    def finish(self) -> None:
        """No more can be written; whoever waits is woken."""
        self._closed = True
        self._pending = []
        self._pending_bytes = 0
        self._wake(self._drain_waiters)
        self._wake(self._closed_waiters)

    @staticmethod
    def _wake(waiters: list[asyncio.Future[None]]) -> None:
        for waiter in waiters:
            if not waiter.done():
                waiter.set_result(None)
        waiters.clear()

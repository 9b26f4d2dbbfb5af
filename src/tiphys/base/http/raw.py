"""A byte stream on a transport (an upgraded connection), and the relay between two of them."""

from __future__ import annotations

import asyncio
from collections import deque

from .messages import RawConnection

READ_BUFFER_BYTES = 256 * 1024  # reading pauses above it


class TransportConnection:
    """RawConnection on an asyncio transport; the protocol that owns the transport feeds it."""

    __slots__ = (
        "_buffer",
        "_buffered",
        "_drain_waiters",
        "_eof",
        "_lost",
        "_paused",
        "_reading",
        "_transport",
        "_waiter",
    )

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._buffer: deque[bytes] = deque()
        self._buffered = 0
        self._waiter: asyncio.Future[None] | None = None
        self._drain_waiters: list[asyncio.Future[None]] = []
        self._eof = False
        self._lost = False
        self._paused = False
        self._reading = True

    async def read(self, max_bytes: int = 65536) -> bytes:
        while not self._buffer:
            if self._eof or self._lost:
                return b""
            self._waiter = asyncio.get_running_loop().create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None
        data = self._buffer.popleft()
        if len(data) > max_bytes:
            self._buffer.appendleft(data[max_bytes:])
            data = data[:max_bytes]
        self._buffered -= len(data)
        if not self._reading and self._buffered <= READ_BUFFER_BYTES // 2 and not self.closed:
            self._reading = True
            self._transport.resume_reading()
        return data

    def write(self, data: bytes) -> None:
        if data and not self.closed:
            self._transport.write(data)

    async def drain(self) -> None:
        if self._lost:
            raise ConnectionResetError("the peer closed the connection")
        if self._paused:
            waiter = asyncio.get_running_loop().create_future()
            self._drain_waiters.append(waiter)
            await waiter
            if self._lost:
                raise ConnectionResetError("the peer closed the connection")

    def write_eof(self) -> None:
        if self.closed:
            return
        if self._transport.can_write_eof():
            self._transport.write_eof()
        else:
            self._transport.close()

    def close(self) -> None:
        if not self._transport.is_closing():
            self._transport.close()

    def abort(self) -> None:
        if not self._lost:
            self._transport.abort()

    @property
    def closed(self) -> bool:
        return self._lost or self._transport.is_closing()

    # What the owning protocol calls.

    def feed(self, data: bytes) -> None:
        if not data:
            return
        self._buffer.append(data)
        self._buffered += len(data)
        if self._reading and self._buffered > READ_BUFFER_BYTES and not self.closed:
            self._reading = False
            self._transport.pause_reading()
        self._wake()

    def feed_eof(self) -> None:
        self._eof = True
        self._wake()

    def lost(self) -> None:
        self._lost = True
        self._wake()
        self.writable(True)

    def writable(self, yes: bool) -> None:
        self._paused = not yes
        if yes:
            waiters, self._drain_waiters = self._drain_waiters, []
            for waiter in waiters:
                if not waiter.done():
                    waiter.set_result(None)

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)


async def relay(a: RawConnection, b: RawConnection) -> None:
    """Copy bytes both ways until both sides have ended; closes both. The end of one side is passed on to the other
    as a half-close; a slow reader slows its writer. Errors of either connection end the relay without raising."""
    pumps = [asyncio.ensure_future(_pump(a, b)), asyncio.ensure_future(_pump(b, a))]
    try:
        await asyncio.wait(pumps)
    finally:
        for pump in pumps:
            pump.cancel()
        await asyncio.gather(*pumps, return_exceptions=True)
        a.close()
        b.close()


async def _pump(source: RawConnection, sink: RawConnection) -> None:
    try:
        while data := await source.read():
            sink.write(data)
            await sink.drain()
        sink.write_eof()
    except OSError:
        source.abort()
        sink.abort()

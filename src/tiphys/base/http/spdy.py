"""SPDY/3.1 sessions: streams over one taken-over connection, client or server side.

    open -> (close: FIN sent) half-closed -> (FIN received) closed
         -> (FIN received) half-closed -> (close) closed
         -> (reset, either way, or the connection ends) closed
There is no flow control per stream, as the peers here have none: a stream whose reader is slow stops the reading of the
whole connection.
"""

from __future__ import annotations

import asyncio
import struct
from collections import deque
from collections.abc import Callable, Mapping
from typing import Final

from .messages import RawConnection
from .spdy_frames import (
    GOAWAY,
    PING,
    RST_STREAM,
    SYN_REPLY,
    SYN_STREAM,
    FrameDecoder,
    FrameEncoder,
    SpdyError,
    data_frame,
    goaway,
    ping,
    rst_stream,
)

STREAM_BUFFER_BYTES: Final = 256 * 1024
MAX_STREAMS: Final = 1024
DATA_BYTES: Final = 32 * 1024
_CANCEL: Final = 5
_REFUSED: Final = 3
_INVALID: Final = 2


class SpdyStream:
    """One stream of a session; `headers` are those it was opened with."""

    __slots__ = (
        "_buffer",
        "_buffered",
        "_ended",
        "_finished",
        "_session",
        "_waiter",
        "headers",
        "stream_id",
        "was_reset",
    )

    def __init__(self, session: SpdySession, stream_id: int, headers: Mapping[str, str]) -> None:
        self.stream_id = stream_id
        self.headers = headers
        self.was_reset = False
        self._session = session
        self._buffer: deque[bytes] = deque()
        self._buffered = 0
        self._ended = False  # the peer sends no more
        self._finished = False  # we send no more
        self._waiter: asyncio.Future[None] | None = None

    async def read(self) -> bytes:
        """The next bytes; b"" once the peer has closed its side, or the stream or connection ended."""
        while not self._buffer:
            if self._ended:
                return b""
            self._waiter = asyncio.get_running_loop().create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None
        data = self._buffer.popleft()
        self._buffered -= len(data)
        self._session.stream_read()
        return data

    async def read_all(self, limit_bytes: int = 1 << 20) -> bytes:
        """Everything until the peer closes its side; what is over the limit is dropped."""
        parts, size = [], 0
        while data := await self.read():
            if size < limit_bytes:
                parts.append(data[: limit_bytes - size])
                size += len(data)
        return b"".join(parts)

    def write(self, data: bytes) -> None:
        """Send bytes; no-op after `close`."""
        if not self._finished:
            for at in range(0, len(data), DATA_BYTES):
                self._session.send(data_frame(self.stream_id, data[at : at + DATA_BYTES]))

    async def drain(self) -> None:
        """Wait until the connection takes more; raises ConnectionError when it is gone."""
        await self._session.connection.drain()

    def close(self) -> None:
        """Half-close: no more bytes from us."""
        if not self._finished:
            self._finished = True
            self._session.send(data_frame(self.stream_id, b"", fin=True))
            self._session.settle(self)

    def reset(self) -> None:
        """Give the stream up, both ways."""
        if not (self._finished and self._ended):
            self._session.send(rst_stream(self.stream_id, _CANCEL))
            self.end(reset=True)

    @property
    def buffered_bytes(self) -> int:
        return self._buffered

    @property
    def closed(self) -> bool:
        """Both sides are done sending."""
        return self._ended and self._finished

    # What the session calls.

    def feed(self, data: bytes, fin: bool) -> None:
        if data and not self._ended:
            self._buffer.append(data)
            self._buffered += len(data)
        if fin:
            self._ended = True
        self._wake()

    def end(self, *, reset: bool) -> None:
        self.was_reset = self.was_reset or reset
        self._ended = self._finished = True
        self._session.settle(self)
        self._wake()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)


class SpdySession:
    """`on_stream` is told of each stream the peer opens (it has been replied to); without it they are refused.
    Run `run` in a task; it returns when the connection ends."""

    def __init__(
        self,
        connection: RawConnection,
        *,
        server: bool = False,
        on_stream: Callable[[SpdyStream], None] | None = None,
    ) -> None:
        self.connection = connection
        self._on_stream = on_stream
        self._server = server
        self._next_id = 2 if server else 1
        self._last_peer_id = 0
        self._streams: dict[int, SpdyStream] = {}
        self._encoder = FrameEncoder()
        self._decoder = FrameDecoder()
        self._relieved: asyncio.Event = asyncio.Event()

    def open_stream(self, headers: Mapping[str, str]) -> SpdyStream:
        """Open a stream; it can be written to at once."""
        stream = SpdyStream(self, self._next_id, headers)
        self._streams[stream.stream_id] = stream
        self._next_id += 2
        self.send(self._encoder.syn_stream(stream.stream_id, headers))
        return stream

    async def run(self) -> None:
        """Read frames until the connection ends. Raises SpdyError for what is no SPDY; streams are ended either way."""
        try:
            while data := await self.connection.read():
                for frame in self._decoder.feed(data):
                    self._take(frame.kind, frame.stream_id, frame.fin, frame.headers, frame.payload)
                while any(stream.buffered_bytes > STREAM_BUFFER_BYTES for stream in self._streams.values()):
                    self._relieved.clear()
                    await self._relieved.wait()
        except SpdyError:
            self.send(goaway(self._last_peer_id, 1))
            raise
        finally:
            for stream in list(self._streams.values()):
                stream.end(reset=not stream.closed)
            self.connection.close()

    def _take(self, kind: int, stream_id: int, fin: bool, headers: Mapping[str, str], payload: bytes) -> None:
        if kind == SYN_STREAM:
            self._opened(stream_id, headers, fin)
            return
        if kind == PING:
            (identifier,) = struct.unpack("!I", payload[:4].rjust(4, b"\0"))
            if (identifier % 2 == 1) == self._server:
                self.send(ping(identifier))
            return
        stream = self._streams.get(stream_id)
        if kind == 0:
            if stream is None:
                self.send(rst_stream(stream_id, _INVALID))
                return
            stream.feed(payload, fin)
            self.settle(stream)
        elif stream is not None:
            if kind == RST_STREAM:
                stream.end(reset=True)
            elif kind == SYN_REPLY and fin:
                stream.feed(b"", True)
                self.settle(stream)
        elif kind == GOAWAY:
            pass  # no new streams are wanted; the open ones go on until the peer closes

    def _opened(self, stream_id: int, headers: Mapping[str, str], fin: bool) -> None:
        if stream_id <= self._last_peer_id or (stream_id % 2 == 1) != self._server:
            raise SpdyError(f"stream {stream_id} out of order")
        self._last_peer_id = stream_id
        if self._on_stream is None or len(self._streams) >= MAX_STREAMS:
            self.send(rst_stream(stream_id, _REFUSED))
            return
        stream = SpdyStream(self, stream_id, headers)
        self._streams[stream_id] = stream
        self.send(self._encoder.syn_reply(stream_id))
        if fin:
            stream.feed(b"", True)
        self._on_stream(stream)

    # What streams call.

    def send(self, frame: bytes) -> None:
        self.connection.write(frame)

    def settle(self, stream: SpdyStream) -> None:
        """Forget a stream that is closed both ways."""
        if stream.closed:
            self._streams.pop(stream.stream_id, None)
            self._relieved.set()

    def stream_read(self) -> None:
        self._relieved.set()

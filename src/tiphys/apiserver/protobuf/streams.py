"""A watch's events in protobuf: each with its length before it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final

from tiphys.apiserver.protobuf.encoding import frame
from tiphys.base.http.messages import Chunk, StreamResponse, StreamWriter

STREAM_TYPE: Final = "application/vnd.kubernetes.protobuf;stream=watch"


def framed(run: Callable[[StreamWriter], Awaitable[None]]) -> StreamResponse:
    """The answer that `run` streams, which writes an event's JSON at a time."""

    async def written(writer: StreamWriter) -> None:
        await run(_Framing(writer))

    return StreamResponse(written, content_type=STREAM_TYPE)


class _Framing:
    """A StreamWriter that turns each event into a frame for another one."""

    def __init__(self, writer: StreamWriter) -> None:
        self._writer = writer

    @property
    def coalesce(self) -> bool:
        return self._writer.coalesce

    @coalesce.setter
    def coalesce(self, wanted: bool) -> None:
        self._writer.coalesce = wanted

    def write(self, data: bytes) -> None:
        self._writer.write(frame(data))

    def write_chunk(self, chunk: Chunk) -> None:
        self._writer.write(frame(chunk.data))

    async def drain(self) -> None:
        await self._writer.drain()

    async def wait_closed(self) -> None:
        await self._writer.wait_closed()

    @property
    def closed(self) -> bool:
        return self._writer.closed

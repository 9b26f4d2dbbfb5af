"""Two ends of a byte stream in memory."""

from __future__ import annotations

import asyncio


class PipeEnd:
    """RawConnection whose bytes arrive at `other`."""

    other: PipeEnd

    def __init__(self) -> None:
        self._incoming: asyncio.Queue[bytes] = asyncio.Queue()
        self._rest = b""
        self._ended = False
        self.closed = False
        self.written = b""

    async def read(self, max_bytes: int = 65536) -> bytes:
        if not self._rest and not self._ended:
            self._rest = await self._incoming.get()
            self._ended = not self._rest
        data, self._rest = self._rest[:max_bytes], self._rest[max_bytes:]
        return data

    def write(self, data: bytes) -> None:
        if not self.closed and data:
            self.written += data
            self.other._incoming.put_nowait(data)

    async def drain(self) -> None:
        if self.closed:
            raise ConnectionResetError
        await asyncio.sleep(0)

    def write_eof(self) -> None:
        self.other._incoming.put_nowait(b"")

    def close(self) -> None:
        if not self.closed:
            self.closed = True
            self.other._incoming.put_nowait(b"")
            self._incoming.put_nowait(b"")

    def abort(self) -> None:
        self.close()


def pipe() -> tuple[PipeEnd, PipeEnd]:
    one, two = PipeEnd(), PipeEnd()
    one.other, two.other = two, one
    return one, two

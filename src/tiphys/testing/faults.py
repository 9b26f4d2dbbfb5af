"""A transport that fails now and then, as networks and servers do, in an order that a seed decides."""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator
from contextlib import asynccontextmanager
from random import Random

from tiphys.base.http.client import ClientResponse
from tiphys.base.http.messages import RawConnection
from tiphys.client.transport import HeaderPairs, Transport


class FaultyTransport:
    """Before each request it may refuse, after it it may lose the answer, and it may cut a stream after any chunk.

    Each happens with `probability` (1: nothing gets through). A lost answer is the hard one: it happened, unknown.
    """

    def __init__(self, inner: Transport, seed: int, *, probability: float = 0.1) -> None:
        self.faults = 0
        self._inner = inner
        self._random = Random(seed)
        self.probability = probability

    def _strikes(self) -> bool:
        hit = self._random.random() < self.probability
        self.faults += hit
        return hit

    async def request(
        self, method: str, target: str, body: bytes, content_type: str, headers: HeaderPairs
    ) -> ClientResponse:
        if self._strikes():
            raise ConnectionRefusedError("a fault before the request")
        answer = await self._inner.request(method, target, body, content_type, headers)
        if self._strikes():
            raise ConnectionResetError("a fault after the request")
        return answer

    @asynccontextmanager
    async def stream(self, method: str, target: str, headers: HeaderPairs = ()) -> AsyncIterator[AsyncIterable[bytes]]:
        if self._strikes():
            raise ConnectionRefusedError("a fault before the stream")
        async with self._inner.stream(method, target, headers) as chunks:
            yield self._cut(chunks)

    async def _cut(self, chunks: AsyncIterable[bytes]) -> AsyncIterator[bytes]:
        async for chunk in chunks:
            if self._strikes():
                # Half of what arrived, as a connection that breaks leaves it.
                yield chunk[: len(chunk) // 2]
                raise ConnectionResetError("a fault in the stream")
            yield chunk

    async def upgrade(self, method: str, target: str, protocol: bytes, headers: HeaderPairs = ()) -> RawConnection:
        return await self._inner.upgrade(method, target, protocol, headers)

    async def close(self) -> None:
        await self._inner.close()

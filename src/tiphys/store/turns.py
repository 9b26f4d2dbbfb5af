"""Writes of one key, one after another, in the order they came."""

from __future__ import annotations

import asyncio
from collections import deque
from types import TracebackType


class Turns:
    """``async with turns.of(key):`` waits for those before. A key nobody waits for costs one dict entry."""

    def __init__(self) -> None:
        self._queues: dict[str, deque[asyncio.Future[None]]] = {}
        self._idle: asyncio.Event | None = None

    def of(self, key: str) -> _Turn:
        return _Turn(self, key)

    async def take(self, key: str) -> None:
        queue = self._queues.get(key)
        if queue is None:
            self._queues[key] = deque()
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        queue.append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self.give(key)
            raise

    def give(self, key: str) -> None:
        queue = self._queues[key]
        while queue:
            turn = queue.popleft()
            if not turn.done():
                turn.set_result(None)
                return
        del self._queues[key]
        if self._idle is not None and not self._queues:
            self._idle.set()

    async def none(self) -> None:
        """Wait until no key is anybody's."""
        while self._queues:
            self._idle = asyncio.Event()
            await self._idle.wait()


class _Turn:
    __slots__ = ("_key", "_turns")

    def __init__(self, turns: Turns, key: str) -> None:
        self._turns = turns
        self._key = key

    async def __aenter__(self) -> None:
        await self._turns.take(self._key)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._turns.give(self._key)

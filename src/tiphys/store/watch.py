"""Watches: live events from memory, older ones from history, with no gap between.

    behind ──history read up to the newest──► live ──buffer over its bound──► behind

A live watch is handed every committed batch. One whose reader is too slow is not cut but falls behind: its buffer is
dropped and it reads history from where it was, so memory is bounded whatever the reader does.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable

from tiphys.store.backend import Event

MAXIMUM_BUFFERED_EVENTS = 20_000
HISTORY_CHUNK_EVENTS = 1_000

ReadHistory = Callable[[str, int, int, int], Awaitable[list[Event]]]
"""``(prefix, after, up_to, limit)``: the events under prefix with after < revision <= up_to, oldest first, at most
limit. Raises Compacted if any of them may be gone."""


class Watch:
    """One watcher's position and buffer; one reader only."""

    __slots__ = ("_behind", "_buffer", "_closed", "_hub", "_position", "_waiter", "prefix")

    def __init__(self, hub: WatchHub, prefix: str, after_revision: int) -> None:
        self.prefix = prefix
        self._hub = hub
        self._position = after_revision
        self._buffer: deque[Event] = deque()
        self._behind = True
        self._closed = False
        self._waiter: asyncio.Future[None] | None = None

    async def next(self) -> list[Event]:
        """The next batch, non-empty; empty once the hub is closed and the buffer read."""
        while True:
            if self._buffer:
                batch = list(self._buffer)
                self._buffer.clear()
                self._position = batch[-1].revision
                return batch
            if self._closed:
                return []
            if self._behind:
                batch = await self._catch_up()
                if batch:
                    return batch
                continue
            self._waiter = asyncio.get_running_loop().create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None

    def close(self) -> None:
        """Wake the reader and let it end."""
        self._closed = True
        self._wake()

    def push(self, events: list[Event]) -> None:
        """Events under the prefix, newer than all before. Called by the hub."""
        if self._behind:
            return
        if len(self._buffer) + len(events) > MAXIMUM_BUFFERED_EVENTS:
            self._buffer.clear()
            self._behind = True
        elif events[0].revision > self._position:
            self._buffer.extend(events)
        else:
            # Only a watch that starts in the future gets here.
            self._buffer.extend(event for event in events if event.revision > self._position)
        self._wake()

    async def _catch_up(self) -> list[Event]:
        up_to = self._hub.revision
        if self._position >= up_to:
            # No await since reading the revision: nothing can have been published in between.
            self._behind = False
            return []
        events = await self._hub.read_history(self.prefix, self._position, up_to, HISTORY_CHUNK_EVENTS)
        self._position = events[-1].revision if len(events) == HISTORY_CHUNK_EVENTS else up_to
        return events

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)


class WatchHub:
    """Hands committed events to the watches they concern. `revision` is the newest published."""

    def __init__(self, read_history: ReadHistory) -> None:
        self.revision = 0
        self.read_history = read_history
        self._closed = False
        self._watches: set[Watch] = set()
        # Which watches may concern a key, by the key's folder (up to its last slash).
        self._by_folder: dict[str, list[Watch]] = {}

    async def watch(self, prefix: str, after_revision: int) -> AsyncIterator[list[Event]]:
        """`Backend.watch`."""
        watch = Watch(self, prefix, after_revision)
        self._watches.add(watch)
        self._by_folder.clear()
        try:
            while not self._closed and (batch := await watch.next()):
                yield batch
        finally:
            self._watches.discard(watch)
            self._by_folder.clear()

    def close(self) -> None:
        """End all watches."""
        self._closed = True
        for watch in self._watches:
            watch.close()

    def publish(self, events: list[Event], revision: int) -> None:
        """Queue a committed batch, oldest first, and move `revision`."""
        self.revision = revision
        if not self._watches:
            return
        batches: dict[Watch, list[Event]] = {}
        for event in events:
            key = event.key
            for watch in self._interested(key[: key.rfind("/") + 1]):
                if key.startswith(watch.prefix):
                    batches.setdefault(watch, []).append(event)
        for watch, batch in batches.items():
            watch.push(batch)

    def _interested(self, folder: str) -> list[Watch]:
        watches = self._by_folder.get(folder)
        if watches is None:
            if len(self._by_folder) > 10_000:
                self._by_folder.clear()
            watches = self._by_folder[folder] = [
                w for w in self._watches if folder.startswith(w.prefix) or w.prefix.startswith(folder)
            ]
        return watches

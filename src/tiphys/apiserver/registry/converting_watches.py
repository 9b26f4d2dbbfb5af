"""Watches in a version that is not the one that is kept."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Iterable
from typing import Final

from tiphys.api import errors
from tiphys.apiserver.registry.listing import ListOptions
from tiphys.apiserver.registry.versions import Versions
from tiphys.apiserver.registry.watch_streams import DRAIN_EVERY, WatchStream, error_event
from tiphys.apiserver.watch_cache.cache import ResourceCache
from tiphys.apiserver.watch_cache.feed import WatchCache
from tiphys.apiserver.watch_cache.filters import Filter
from tiphys.apiserver.watch_cache.watchers import Renderer, Watcher
from tiphys.base.http.messages import Chunk, StreamWriter

_MAXIMUM_WAITING_EVENTS: Final = 10_000


class UnconvertedEvent(Chunk):
    """An event whose object is still as it is kept."""

    __slots__ = ("full", "kind")

    def __init__(self, kind: str, full: bytes) -> None:
        super().__init__(b"")
        self.kind = kind
        self.full = full


class _Deferring:
    """Renders events when their objects have been converted; bookmarks need no conversion."""

    def __init__(self, renderer: Renderer) -> None:
        self._renderer = renderer

    def event(self, kind: str, full: bytes) -> Chunk:
        return UnconvertedEvent(kind, full)

    def bookmark(self, revision: int, *, initial_events_end: bool) -> Chunk:
        return self._renderer.bookmark(revision, initial_events_end=initial_events_end)


class ConvertingWatchStream(WatchStream):
    """A watch in a version that is not the kept one. Events keep their order; those that wait are converted together.

    An object that cannot be converted ends the watch with an ERROR event. So does a peer, or a webhook, that is slower
    than what happens: `_MAXIMUM_WAITING_EVENTS` are kept for it.
    """

    def __init__(
        self,
        cache: ResourceCache,
        feed: WatchCache,
        options: ListOptions,
        filter_: Filter,
        renderer: Renderer,
        key: tuple[str, ...],
        versions: Versions,
    ) -> None:
        super().__init__(cache, feed, options, filter_, _Deferring(renderer), (*key, "converted", str(id(self))))
        self._shown = renderer
        self._versions = versions

    async def _write_paced(self, writer: StreamWriter, frames: Iterable[Chunk]) -> None:
        waiting = iter(frames)
        while batch := list(itertools.islice(waiting, DRAIN_EVERY)):
            await self._write_converted(writer, batch)
            await writer.drain()

    async def _go_on(self, watcher: Watcher, writer: StreamWriter) -> None:
        waiting: asyncio.Queue[Chunk] = asyncio.Queue(_MAXIMUM_WAITING_EVENTS)

        def send(frame: Chunk) -> None:
            try:
                waiting.put_nowait(frame)
            except asyncio.QueueFull:
                self._end()

        watcher.send = send
        while not writer.closed:
            batch = [await waiting.get()]
            while len(batch) < DRAIN_EVERY and not waiting.empty():
                batch.append(waiting.get_nowait())
            await self._write_converted(writer, batch)

    async def _write_converted(self, writer: StreamWriter, batch: list[Chunk]) -> None:
        try:
            converted = iter(
                await self._versions.shown([frame.full for frame in batch if isinstance(frame, UnconvertedEvent)])
            )
        except errors.ApiError as error:
            writer.write_chunk(error_event(error))
            self._end()
            await asyncio.sleep(0)
            return
        for frame in batch:
            if isinstance(frame, UnconvertedEvent):
                frame = self._shown.event(frame.kind, next(converted))
            writer.write_chunk(frame)

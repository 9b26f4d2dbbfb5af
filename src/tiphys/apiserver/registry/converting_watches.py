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
from tiphys.apiserver.watch_cache.objects import CachedObject
from tiphys.apiserver.watch_cache.watchers import ComparingRenderer, Renderer, Watcher
from tiphys.base.http.messages import Chunk, StreamWriter

_MAXIMUM_WAITING_EVENTS: Final = 10_000


class UnconvertedEvent(Chunk):
    """An event whose object is still as it is kept."""

    __slots__ = ("full", "kind", "previous")

    def __init__(self, kind: str, full: bytes, previous: bytes | None = None) -> None:
        super().__init__(b"")
        self.kind = kind
        self.full = full
        self.previous = previous


class _Deferring(ComparingRenderer):
    """Renders events when their objects have been converted; bookmarks need no conversion."""

    def __init__(self, renderer: Renderer) -> None:
        self._renderer = renderer

    def event(self, kind: str, full: bytes) -> Chunk:
        return UnconvertedEvent(kind, full)

    def change(self, full: bytes, previous: bytes) -> Chunk:
        return UnconvertedEvent("MODIFIED", full, previous)

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
        selecting = self._filter.shown is not None
        kept: list[bytes] = []
        for frame in batch:
            if isinstance(frame, UnconvertedEvent):
                kept.append(frame.full)
                if selecting and frame.previous is not None:
                    kept.append(frame.previous)
        try:
            converted = iter(await self._versions.shown(kept))
        except errors.ApiError as error:
            writer.write_chunk(error_event(error))
            self._end()
            await asyncio.sleep(0)
            return
        for frame in batch:
            if not isinstance(frame, UnconvertedEvent):
                writer.write_chunk(frame)
                continue
            full = next(converted)
            before = next(converted) if selecting and frame.previous is not None else None
            kind, seen = self._seen(frame.kind, full, before)
            if kind:
                writer.write_chunk(self._shown.event(kind, seen))

    def _seen(self, kind: str, full: bytes, before: bytes | None) -> tuple[str, bytes]:
        """What an event is to selectors of this version's fields, and its object; "" if it is nothing to them."""
        shown = self._filter.shown
        if shown is None:
            return kind, full
        now = kind != "DELETED" and shown.selects(_of(full))
        was = shown.selects(_of(before)) if before is not None else kind == "DELETED" and shown.selects(_of(full))
        if now:
            return "MODIFIED" if was else "ADDED", full
        return ("DELETED", full if before is None else before) if was else ("", b"")


def _of(value: bytes) -> CachedObject:
    """An object that is asked for its fields and nothing else."""
    return CachedObject("", value, 0, {}, "")

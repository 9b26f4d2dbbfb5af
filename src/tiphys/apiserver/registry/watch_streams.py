"""One watch while it runs: the state or the missed events first, then events as they come."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator
from typing import Final

from tiphys.api import codec, errors
from tiphys.apiserver.registry.listing import ListOptions
from tiphys.apiserver.watch_cache.cache import ResourceCache
from tiphys.apiserver.watch_cache.feed import WatchCache
from tiphys.apiserver.watch_cache.filters import Filter
from tiphys.apiserver.watch_cache.history import CacheEvent
from tiphys.apiserver.watch_cache.objects import CachedObject
from tiphys.apiserver.watch_cache.watchers import Renderer, Rendering, Watcher, WatchGroup
from tiphys.base.chance import CHANCE
from tiphys.base.http.messages import Chunk, StreamWriter

_MINIMUM_TIMEOUT_SECONDS: Final = 1800.0
_WAIT_SECONDS: Final = 3.0
DRAIN_EVERY: Final = 256
_BACKLOG_BYTES: Final = 32 << 20
_BEFORE_END_SECONDS: Final = 2.0


class WatchStream:
    """One watch request while it runs. key: groups with equal keys have equal filters and renderers."""

    def __init__(
        self,
        cache: ResourceCache,
        feed: WatchCache,
        options: ListOptions,
        filter_: Filter,
        renderer: Renderer,
        key: tuple[str, ...],
    ) -> None:
        self._cache = cache
        self._feed = feed
        self._options = options
        self._filter = filter_
        self._renderer = renderer
        self._key = (filter_.namespace, filter_.name, *key)
        self._watcher: Watcher | None = None
        self._deadline: asyncio.Timeout | None = None

    async def run(self, writer: StreamWriter) -> None:
        """Write events until the peer leaves or the time is over."""
        writer.coalesce = True
        seconds = self._timeout_seconds()
        before_end = seconds - _BEFORE_END_SECONDS
        last_bookmark = asyncio.get_running_loop().call_later(before_end, self._say_where) if before_end > 0 else None
        try:
            async with asyncio.timeout(seconds) as deadline:
                self._deadline = deadline
                refusal = await self._reach()
                if refusal is not None:
                    writer.write_chunk(refusal)
                    return
                await self._follow(writer)
        except TimeoutError:
            pass
        finally:
            if last_bookmark is not None:
                last_bookmark.cancel()
            if self._watcher is not None:
                self._cache.watchers.remove(self._key, self._watcher)

    async def _reach(self) -> Chunk | None:
        """Wait for a revision that is still to come; what to refuse with if the events asked for are not to be had."""
        wanted = self._options.revision or 0
        if wanted > self._feed.revision:
            # State of the future is waited for a moment, events of the future for as long as the watch lasts.
            limit = _WAIT_SECONDS if self._options.send_initial_events else None
            if not await self._feed.wait_for(wanted, limit):
                return error_event(errors.too_large_resource_version(wanted, self._feed.revision))
        oldest = self._cache.history.complete_after
        if wanted and not self._options.send_initial_events and wanted < oldest:
            return error_event(errors.expired(f"too old resource version: {wanted} ({oldest})"))
        return None

    async def _follow(self, writer: StreamWriter) -> None:
        """The state or the events missed, no faster than the peer reads, then events as they come."""
        backlog = _Backlog(self._end)
        watcher = self._watcher = Watcher(backlog.add, bookmarks=self._options.allow_bookmarks, end=self._end)
        frames = self._initial_frames()
        self._cache.watchers.add(self._key, self._filter, self._renderer, watcher)
        try:
            await self._write_paced(writer, frames)
            while late := backlog.take():
                await self._write_paced(writer, late)
        except asyncio.CancelledError:
            if backlog.over:
                raise ConnectionError("a watch's reader is too slow: connection cut") from None
            raise
        await self._go_on(watcher, writer)

    async def _go_on(self, watcher: Watcher, writer: StreamWriter) -> None:
        """Write every event as it comes, until the peer leaves."""
        watcher.send = writer.write_chunk
        await writer.wait_closed()

    def _end(self) -> None:
        """End the watch as its timeout does."""
        if self._deadline is not None:
            self._deadline.reschedule(asyncio.get_running_loop().time())

    def _say_where(self) -> None:
        """The bookmark shortly before the end, from which the client goes on."""
        watcher = self._watcher
        if watcher is not None and watcher.bookmarks:
            watcher.send(self._renderer.bookmark(self._feed.revision, initial_events_end=False))

    async def _write_paced(self, writer: StreamWriter, frames: Iterable[Chunk]) -> None:
        """Write no faster than the peer reads: what is there already may be more than a stream's bound."""
        for count, frame in enumerate(frames, 1):
            writer.write_chunk(frame)
            if count % DRAIN_EVERY == 0:
                await writer.drain()
                # A client that reads as fast as we write must not have the loop for itself.
                await asyncio.sleep(0)

    def _initial_frames(self) -> Iterable[Chunk]:
        """What comes before live events, as of now."""
        options = self._options
        if options.send_initial_events or (options.send_initial_events is None and not options.revision):
            objects = list(self._cache.select(self._filter))
            return self._state_frames(objects, self._feed.revision, end=bool(options.send_initial_events))
        if not options.revision:
            return ()
        return self._event_frames(self._cache.history.after(options.revision) or [])

    def _state_frames(self, objects: list[CachedObject], revision: int, *, end: bool) -> Iterator[Chunk]:
        for obj in objects:
            yield self._renderer.event("ADDED", obj.value)
        if end and self._options.allow_bookmarks:
            yield self._renderer.bookmark(revision, initial_events_end=True)

    def _event_frames(self, events: list[CacheEvent]) -> Iterator[Chunk]:
        group = WatchGroup(self._key, self._filter, self._renderer)
        for event in events:
            kind = group.transition(event)
            if kind:
                yield Rendering(event, self._cache.format).frame(self._renderer, kind)

    def _timeout_seconds(self) -> float:
        wanted = self._options.timeout_seconds
        return float(wanted) if wanted else _MINIMUM_TIMEOUT_SECONDS * (1 + CHANCE.random())


class _Backlog:
    """What happens while a watch is still told the state. Over its bound the watch ends: `end` is called."""

    __slots__ = ("_bytes", "_chunks", "_end", "over")

    def __init__(self, end: Callable[[], None]) -> None:
        self._chunks: list[Chunk] = []
        self._bytes = 0
        self._end = end
        self.over = False

    def add(self, chunk: Chunk) -> None:
        if self.over:
            return
        self._chunks.append(chunk)
        self._bytes += len(chunk.data)
        if self._bytes > _BACKLOG_BYTES:
            self._chunks, self.over = [], True
            self._end()

    def take(self) -> list[Chunk]:
        """What has come since the last time."""
        chunks, self._chunks, self._bytes = self._chunks, [], 0
        return chunks


def error_event(error: errors.ApiError) -> Chunk:
    """How a watch is told that it cannot go on."""
    return Chunk(b'{"type":"ERROR","object":%b}\n' % codec.encode(error.status))

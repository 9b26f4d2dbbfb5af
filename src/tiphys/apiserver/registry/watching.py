"""WATCH: initial state or missed events first, then every committed change, framed once for all watchers."""

from __future__ import annotations

import asyncio
import itertools
import random
from collections.abc import Awaitable, Callable, Iterable, Iterator
from typing import Final

from tiphys.api import codec, errors
from tiphys.api.scheme import Resource
from tiphys.apiserver.negotiation import METADATA, TABLE, Representation, negotiate_stream
from tiphys.apiserver.registry import listing
from tiphys.apiserver.registry.listing import ListOptions
from tiphys.apiserver.registry.representation import METADATA_ONLY, included, metadata_of
from tiphys.apiserver.registry.views import View
from tiphys.apiserver.registry.watch_sockets import over_websocket
from tiphys.apiserver.routing import RequestInfo
from tiphys.apiserver.tables import render_event
from tiphys.apiserver.watch_cache.cache import ResourceCache
from tiphys.apiserver.watch_cache.feed import WatchCache
from tiphys.apiserver.watch_cache.filters import Filter
from tiphys.apiserver.watch_cache.history import CacheEvent
from tiphys.apiserver.watch_cache.objects import CachedObject
from tiphys.apiserver.watch_cache.watchers import Renderer, Rendering, Watcher, WatchGroup
from tiphys.base.http.messages import Chunk, Request, Response, StreamResponse, StreamWriter
from tiphys.base.http.websocket import is_upgrade

_MINIMUM_TIMEOUT_SECONDS: Final = 1800.0
_WAIT_SECONDS: Final = 3.0
_DRAIN_EVERY: Final = 256
BOOKMARK_SECONDS: Final = 60.0
_BEFORE_END_SECONDS: Final = 2.0
_BOOKMARK_HEAD: Final = b'{"type":"BOOKMARK","object":'
_END_ANNOTATION: Final = b',"annotations":{"k8s.io/initial-events-end":"true"}'


class EventRenderer:
    """Renders events in one representation: `convert` turns an object's JSON into what the client accepts."""

    def __init__(self, kind: str, api_version: str, convert: Callable[[bytes], bytes] | None) -> None:
        self._convert = convert
        self._bookmark = f'{{"kind":"{kind}","apiVersion":"{api_version}","metadata":{{"resourceVersion":"'.encode()

    def event(self, kind: str, full: bytes) -> Chunk:
        data = full if self._convert is None else self._convert(full)
        return Chunk(b'{"type":"%b","object":%b}\n' % (kind.encode(), data))

    def bookmark(self, revision: int, *, initial_events_end: bool) -> Chunk:
        end = _END_ANNOTATION if initial_events_end else b""
        obj = b'%b%d","creationTimestamp":null%b}}' % (self._bookmark, revision, end)
        return Chunk(b'{"type":"BOOKMARK","object":%b}\n' % obj)


class TableRenderer:
    """Renders one watch's events as Tables: the first one has the columns, the others only rows."""

    def __init__(self, resource: Resource, shown: Callable[[bytes], bytes] | None, include: str, version: str) -> None:
        self._resource = resource
        self._shown = shown
        self._include = include
        self._version = version
        self._begun = False
        self._empty = EventRenderer(resource.kind, resource.api_version, None)

    def event(self, kind: str, full: bytes) -> Chunk:
        return self._table(kind, full if self._shown is None else self._shown(full), self._include)

    def bookmark(self, revision: int, *, initial_events_end: bool) -> Chunk:
        """A row of an object that has a resourceVersion and nothing else; the one that ends the state shows that."""
        empty = self._empty.bookmark(revision, initial_events_end=initial_events_end)
        include = METADATA_ONLY if initial_events_end and self._include == "None" else self._include
        try:
            return self._table("BOOKMARK", empty.data[len(_BOOKMARK_HEAD) : -2], include)
        except Exception:
            # Cells are made of objects that passed validation; this one has not.
            return empty

    def _table(self, kind: str, full: bytes, include: str) -> Chunk:
        data = render_event(self._resource, full, include, self._version, with_columns=not self._begun)
        self._begun = True
        return Chunk(b'{"type":"%b","object":%b}\n' % (kind.encode(), data))


class WatchVerb:
    """The watch verb of one resource."""

    def __init__(self, resource: Resource, cache: ResourceCache, feed: WatchCache, view: View | None = None) -> None:
        self.resource = resource if view is None else view.resource
        self._view = view
        self.cache = cache
        self._feed = feed
        self._renderers: dict[Representation, Renderer] = {}
        self._tables = itertools.count()

    def watch(self, request: Request, info: RequestInfo) -> Response | Awaitable[Response]:
        """The stream of events the request asks for. Raises ApiError before it starts, sends ERROR events after."""
        representation = negotiate_stream(request.headers.get(b"accept"))
        options = listing.list_options(request.query, watch=True)
        filter_, texts = listing.make_filter(info, request.query, self.cache)
        renderer, key = self._renderer(representation, request)
        stream = WatchStream(
            self.cache, self._feed, options, filter_, renderer, (*texts, self.resource.api_version, key)
        )
        if options.revision is None and not self._feed.fresh:
            return self._later(request, stream)
        return self._answer(request, stream)

    def send_bookmarks(self) -> None:
        """Tell the watchers that asked for it how far the resource has come."""
        revision = self._feed.revision
        for group in self.cache.watchers.groups():
            frame: Chunk | None = None
            for watcher in tuple(group.watchers):
                if watcher.bookmarks:
                    frame = frame or group.renderer.bookmark(revision, initial_events_end=False)
                    watcher.send(frame)

    async def _later(self, request: Request, stream: WatchStream) -> Response:
        await self._feed.wait_fresh()
        return self._answer(request, stream)

    def _answer(self, request: Request, stream: WatchStream) -> Response:
        if is_upgrade(request):
            return over_websocket(request, stream.run)
        return StreamResponse(stream.run)

    def _renderer(self, representation: Representation, request: Request) -> tuple[Renderer, str]:
        """How to render, and what tells this renderer from the others. Those of Tables are not shared."""
        shown = None if self._view is None else self._view.shown
        if representation.form == TABLE:
            include = included(request.query)
            key = f"table {next(self._tables)}"
            return TableRenderer(self.resource, shown, include, representation.version), key
        key = f"{representation.form} {representation.version}"
        found = self._renderers.get(representation)
        if found is None:
            found = self._renderers[representation] = self._shared(representation)
        return found, key

    def _shared(self, representation: Representation) -> Renderer:
        resource, version = self.resource, representation.version
        if representation.form == METADATA:
            return EventRenderer(
                "PartialObjectMetadata", f"meta.k8s.io/{version}", lambda full: metadata_of(full, version)
            )
        return EventRenderer(resource.kind, resource.api_version, None if self._view is None else self._view.shown)


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

    async def run(self, writer: StreamWriter) -> None:
        """Write events until the peer leaves or the time is over."""
        writer.coalesce = True
        seconds = self._timeout_seconds()
        before_end = seconds - _BEFORE_END_SECONDS
        last_bookmark = asyncio.get_running_loop().call_later(before_end, self._say_where) if before_end > 0 else None
        try:
            async with asyncio.timeout(seconds):
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
                return _error_event(errors.too_large_resource_version(wanted, self._feed.revision))
        oldest = self._cache.history.complete_after
        if wanted and not self._options.send_initial_events and wanted < oldest:
            return _error_event(errors.expired(f"too old resource version: {wanted} ({oldest})"))
        return None

    async def _follow(self, writer: StreamWriter) -> None:
        """The state or the events missed, no faster than the peer reads, then events as they come."""
        pending: list[Chunk] = []
        watcher = self._watcher = Watcher(pending.append, bookmarks=self._options.allow_bookmarks)
        frames = self._initial_frames()
        self._cache.watchers.add(self._key, self._filter, self._renderer, watcher)
        await self._write_paced(writer, frames)
        while pending:
            late = pending.copy()
            pending.clear()
            await self._write_paced(writer, late)
        watcher.send = writer.write_chunk
        await writer.wait_closed()

    def _say_where(self) -> None:
        """The bookmark shortly before the end, from which the client goes on."""
        watcher = self._watcher
        if watcher is not None and watcher.bookmarks:
            watcher.send(self._renderer.bookmark(self._feed.revision, initial_events_end=False))

    async def _write_paced(self, writer: StreamWriter, frames: Iterable[Chunk]) -> None:
        """Write no faster than the peer reads: what is there already may be more than a stream's bound."""
        for count, frame in enumerate(frames, 1):
            writer.write_chunk(frame)
            if count % _DRAIN_EVERY == 0:
                await writer.drain()

    def _initial_frames(self) -> Iterable[Chunk]:
        """What comes before live events, as of now."""
        options = self._options
        if options.send_initial_events or (options.send_initial_events is None and not options.revision):
            objects = list(self._cache.select(self._filter))
            return self._state_frames(objects, self._feed.revision, end=bool(options.send_initial_events))
        if not options.revision:
            return ()
        return list(self._event_frames(self._cache.history.after(options.revision) or []))

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
        return float(wanted) if wanted else _MINIMUM_TIMEOUT_SECONDS * (1 + random.random())


def _error_event(error: errors.ApiError) -> Chunk:
    return Chunk(b'{"type":"ERROR","object":%b}\n' % codec.encode(error.status))

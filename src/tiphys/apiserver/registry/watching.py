"""WATCH: initial state or missed events first, then every committed change, framed once for all watchers."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Iterable, Iterator
from typing import Final

from tiphys.api import codec, errors
from tiphys.api.scheme import Resource
from tiphys.apiserver.negotiation import METADATA, OBJECT, TABLE, Representation, negotiate
from tiphys.apiserver.registry import listing
from tiphys.apiserver.registry.listing import ListOptions
from tiphys.apiserver.registry.representation import METADATA_ONLY, metadata_of
from tiphys.apiserver.registry.views import View
from tiphys.apiserver.routing import RequestInfo
from tiphys.apiserver.tables import render_event
from tiphys.apiserver.watch_cache.cache import ResourceCache
from tiphys.apiserver.watch_cache.feed import WatchCache
from tiphys.apiserver.watch_cache.filters import Filter
from tiphys.apiserver.watch_cache.history import CacheEvent
from tiphys.apiserver.watch_cache.objects import CachedObject
from tiphys.apiserver.watch_cache.watchers import Renderer, Rendering, Watcher, WatchGroup
from tiphys.base.http.messages import Chunk, Request, Response, StreamResponse, StreamWriter

_MINIMUM_TIMEOUT_SECONDS: Final = 1800.0
_WAIT_SECONDS: Final = 3.0
_DRAIN_EVERY: Final = 256
BOOKMARK_SECONDS: Final = 60.0
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


class WatchVerb:
    """The watch verb of one resource."""

    def __init__(self, resource: Resource, cache: ResourceCache, feed: WatchCache, view: View | None = None) -> None:
        self.resource = resource if view is None else view.resource
        self._view = view
        self.cache = cache
        self._feed = feed
        self._renderers: dict[tuple[Representation, str], Renderer] = {}

    def watch(self, request: Request, info: RequestInfo) -> Response | Awaitable[Response]:
        """The stream of events the request asks for. Raises ApiError before it starts, sends ERROR events after."""
        options = listing.list_options(request.query, watch=True)
        filter_, texts = listing.make_filter(info, request.query, self.cache)
        representation = negotiate(request.headers.get(b"accept"))
        include = request.query.get("includeObject") or METADATA_ONLY
        stream = _Stream(self, self._feed, options, filter_, texts, self._renderer(representation, include))
        stream.key += (self.resource.api_version, representation.form, representation.version, include)
        wanted = self._feed.revision if self._is_current(options) else (options.revision or 0)
        if wanted <= self._feed.revision and (self._feed.fresh or options.revision):
            return StreamResponse(stream.run)
        return self._later(stream, wanted, options)

    def send_bookmarks(self) -> None:
        """Tell the watchers that asked for it how far the resource has come."""
        revision = self._feed.revision
        for group in self.cache.watchers.groups():
            frame: Chunk | None = None
            for watcher in tuple(group.watchers):
                if watcher.bookmarks:
                    frame = frame or group.renderer.bookmark(revision, initial_events_end=False)
                    watcher.send(frame)

    def _is_current(self, options: ListOptions) -> bool:
        return not options.revision

    async def _later(self, stream: _Stream, wanted: int, options: ListOptions) -> Response:
        if options.revision is None:
            await self._feed.wait_fresh()
        elif not await self._feed.wait_for(wanted, _WAIT_SECONDS):
            raise errors.too_large_resource_version(wanted, self._feed.revision)
        return StreamResponse(stream.run)

    def _renderer(self, representation: Representation, include: str) -> Renderer:
        key = (representation, include if representation.form == TABLE else "")
        found = self._renderers.get(key)
        if found is None:
            found = self._renderers[key] = self._new_renderer(representation, include)
        return found

    def _new_renderer(self, representation: Representation, include: str) -> Renderer:
        resource, version = self.resource, representation.version
        shown = None if self._view is None else self._view.shown
        if representation.form == OBJECT:
            return EventRenderer(resource.kind, resource.api_version, shown)
        if representation.form == METADATA:
            return EventRenderer(
                "PartialObjectMetadata", f"meta.k8s.io/{version}", lambda full: metadata_of(full, version)
            )

        def table(full: bytes) -> bytes:
            return render_event(resource, full if shown is None else shown(full), include, version)

        return EventRenderer("Table", f"meta.k8s.io/{version}", table)


class _Stream:
    """One watch request while it runs."""

    def __init__(
        self,
        verb: WatchVerb,
        feed: WatchCache,
        options: ListOptions,
        filter_: Filter,
        texts: tuple[str, str],
        renderer: Renderer,
    ) -> None:
        self._cache = verb.cache
        self._feed = feed
        self._options = options
        self._filter = filter_
        self._renderer = renderer
        self.key: tuple[str, ...] = (filter_.namespace, filter_.name, *texts)

    async def run(self, writer: StreamWriter) -> None:
        """Write events until the peer leaves or the time is over."""
        writer.coalesce = True
        pending: list[Chunk] = []
        watcher = Watcher(pending.append, bookmarks=self._options.allow_bookmarks)
        frames = self._initial_frames()
        if frames is None:
            writer.write_chunk(_expired_event(self._options.revision or 0, self._cache.history.complete_after))
            return
        watchers = self._cache.watchers
        watchers.add(self.key, self._filter, self._renderer, watcher)
        try:
            async with asyncio.timeout(self._timeout_seconds()):
                await self._write_paced(writer, frames)
                while pending:
                    late = pending.copy()
                    pending.clear()
                    await self._write_paced(writer, late)
                watcher.send = writer.write_chunk
                await writer.wait_closed()
        except TimeoutError:
            pass
        finally:
            watchers.remove(self.key, watcher)

    async def _write_paced(self, writer: StreamWriter, frames: Iterable[Chunk]) -> None:
        """Write no faster than the peer reads: what is there already may be more than a stream's bound."""
        for count, frame in enumerate(frames, 1):
            writer.write_chunk(frame)
            if count % _DRAIN_EVERY == 0:
                await writer.drain()

    def _initial_frames(self) -> Iterable[Chunk] | None:
        """What comes before live events, as of now; None if the revision is too old."""
        options = self._options
        if options.send_initial_events or (options.send_initial_events is None and not options.revision):
            objects = list(self._cache.select(self._filter))
            return self._state_frames(objects, self._feed.revision, end=bool(options.send_initial_events))
        if not options.revision:
            return ()
        events = self._cache.history.after(options.revision)
        return None if events is None else list(self._event_frames(events))

    def _state_frames(self, objects: list[CachedObject], revision: int, *, end: bool) -> Iterator[Chunk]:
        for obj in objects:
            yield self._renderer.event("ADDED", obj.value)
        if end and self._options.allow_bookmarks:
            yield self._renderer.bookmark(revision, initial_events_end=True)

    def _event_frames(self, events: list[CacheEvent]) -> Iterator[Chunk]:
        group = WatchGroup(self.key, self._filter, self._renderer)
        for event in events:
            kind = group.transition(event)
            if kind:
                yield Rendering(event, self._cache.format).frame(self._renderer, kind)

    def _timeout_seconds(self) -> float:
        wanted = self._options.timeout_seconds
        return float(wanted) if wanted else _MINIMUM_TIMEOUT_SECONDS * (1 + random.random())


def _expired_event(asked: int, oldest: int) -> Chunk:
    status = errors.expired(f"too old resource version: {asked} ({oldest})").status
    return Chunk(b'{"type":"ERROR","object":%b}\n' % codec.encode(status))

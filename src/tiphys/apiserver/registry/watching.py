"""WATCH: initial state or missed events first, then every committed change, framed once for all watchers."""

from __future__ import annotations

import itertools
from collections.abc import Awaitable, Callable
from typing import Final

from tiphys.api.scheme import Resource
from tiphys.apiserver import protobuf
from tiphys.apiserver.negotiation import METADATA, OBJECT, PROTOBUF, TABLE, Representation, negotiate_stream
from tiphys.apiserver.registry import listing
from tiphys.apiserver.registry.converting_watches import ConvertingWatchStream
from tiphys.apiserver.registry.representation import METADATA_ONLY, included, metadata_of
from tiphys.apiserver.registry.versions import Versions
from tiphys.apiserver.registry.views import View
from tiphys.apiserver.registry.watch_sockets import over_websocket
from tiphys.apiserver.registry.watch_streams import WatchStream
from tiphys.apiserver.routing import RequestInfo
from tiphys.apiserver.tables import render_event
from tiphys.apiserver.watch_cache.cache import ResourceCache
from tiphys.apiserver.watch_cache.feed import WatchCache
from tiphys.apiserver.watch_cache.watchers import Renderer
from tiphys.base.http.messages import Chunk, Request, Response, StreamResponse
from tiphys.base.http.websocket import is_upgrade

BOOKMARK_SECONDS: Final = 60.0
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

    def __init__(
        self,
        resource: Resource,
        cache: ResourceCache,
        feed: WatchCache,
        view: View | None = None,
        versions: Versions | None = None,
    ) -> None:
        self.resource = resource if view is None else view.resource
        self._versions = versions
        self._view = view
        self.cache = cache
        self._feed = feed
        self._renderers: dict[Representation, Renderer] = {}
        self._tables = itertools.count()

    def watch(self, request: Request, info: RequestInfo) -> Response | Awaitable[Response]:
        """The stream of events the request asks for. Raises ApiError before it starts, sends ERROR events after."""
        representation = negotiate_stream(request.headers.get(b"accept"))
        if representation.media_type == PROTOBUF and representation.form == OBJECT:
            self._require_protobuf()
        options = listing.list_options(request.query, watch=True)
        filter_, texts = listing.make_filter(info, request.query, self.cache)
        renderer, key = self._renderer(representation, request)
        if self._versions is not None:
            filter_ = filter_.apart()
        arguments = (self.cache, self._feed, options, filter_, renderer, (*texts, self.resource.api_version, key))
        if self._versions is None:
            stream = WatchStream(*arguments)
        else:
            stream = ConvertingWatchStream(*arguments, self._versions)
        if options.revision is None and not self._feed.fresh:
            return self._later(request, stream, representation)
        return self._answer(request, stream, representation)

    def send_bookmarks(self) -> None:
        """Tell the watchers that asked for it how far the resource has come."""
        revision = self._feed.revision
        for group in self.cache.watchers.groups():
            frame: Chunk | None = None
            for watcher in tuple(group.watchers):
                if watcher.bookmarks:
                    frame = frame or group.renderer.bookmark(revision, initial_events_end=False)
                    watcher.send(frame)

    async def _later(self, request: Request, stream: WatchStream, representation: Representation) -> Response:
        await self._feed.wait_fresh()
        return self._answer(request, stream, representation)

    def _answer(self, request: Request, stream: WatchStream, representation: Representation) -> Response:
        if representation.media_type == PROTOBUF:
            return protobuf.framed(stream.run)
        if is_upgrade(request):
            return over_websocket(request, stream.run)
        return StreamResponse(stream.run)

    def _require_protobuf(self) -> None:
        resource = self.resource
        if not protobuf.encodes(resource.api_version, resource.kind):
            raise protobuf.not_encoded(resource.api_version, resource.kind)

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

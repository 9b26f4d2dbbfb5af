"""GET and LIST, answered with cached bytes."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Iterable, Sequence
from typing import Final

import msgspec

from tiphys.api import errors
from tiphys.api.scheme import Resource
from tiphys.apiserver.negotiation import JSON, LISTS, TABLE, Representation, negotiate
from tiphys.apiserver.registry import listing
from tiphys.apiserver.registry.large_lists import bodies_of, in_parts, is_large, is_long, large_list
from tiphys.apiserver.registry.listing import ListOptions
from tiphys.apiserver.registry.representation import (
    Body,
    included,
    joined,
    list_parts,
    list_response,
    object_response,
    shown_body,
)
from tiphys.apiserver.registry.versions import Versions, settled
from tiphys.apiserver.registry.views import View
from tiphys.apiserver.routing import RequestInfo
from tiphys.apiserver.watch_cache.cache import ResourceCache
from tiphys.apiserver.watch_cache.feed import WatchCache
from tiphys.apiserver.watch_cache.filters import Filter
from tiphys.apiserver.watch_cache.objects import CachedObject
from tiphys.base.http.messages import Request, Response
from tiphys.store.backend import Backend, Compacted, FutureRevision, Page

_WAIT_SECONDS: Final = 3.0
_PAGE_ITEMS: Final = 500
_MANY_READ: Final = 2000
Bodies = list[Body]
Objects = list[CachedObject]


class Reader:
    """The reading verbs of one resource. What is answered was committed, and is never older than what was asked for."""

    def __init__(
        self,
        resource: Resource,
        cache: ResourceCache,
        feed: WatchCache,
        backend: Backend,
        view: View | None = None,
        versions: Versions | None = None,
    ) -> None:
        self.resource = resource if view is None else view.resource
        self._versions = versions
        self._view = view
        self.cache = cache
        self._feed = feed
        self._backend = backend

    def get(self, request: Request, info: RequestInfo) -> Response | Awaitable[Response]:
        """One object; plain when the cache is up to date, awaitable when it must catch up first."""
        wanted = listing.parse_revision(request.query.get("resourceVersion")) if request.query.raw else None
        if wanted == 0 or (self._feed.fresh and not wanted):
            return self._get(request, info)
        return self._get_later(request, info, wanted)

    def list(self, request: Request, info: RequestInfo) -> Response | Awaitable[Response]:
        """The objects in scope that the selectors match."""
        options = listing.list_options(request.query)
        filter_, _ = listing.make_filter(info, request.query, self.cache)
        if self._versions is not None:
            filter_ = filter_.apart()
        representation = LISTS.negotiate(request.headers.get(b"accept"))
        if representation.form == TABLE:
            included(request.query)
        if options.exact or (options.revision or 0) > 0:
            return self._list_at(request, options, filter_, representation)
        if options.revision == 0 or self._feed.fresh:
            return self._list(request, options, filter_, representation)
        return self._list_later(request, options, filter_, representation)

    def listed(self, request: Request, objects: Iterable[CachedObject]) -> Response | Awaitable[Response]:
        """These objects as a list of now."""
        representation = LISTS.negotiate(request.headers.get(b"accept"))
        return self._answer(request, objects, representation, listing.head(self.resource, self._feed.revision))

    def _get(self, request: Request, info: RequestInfo) -> Response | Awaitable[Response]:
        key = f"{info.namespace}/{info.name}" if self.resource.namespaced else info.name
        body = self.cache.get(key)
        if body is None:
            raise errors.not_found(self.resource.qualified, info.name)
        if self._versions is not None:
            ready = self._versions.ready((body,))
            if ready is None:
                return self._get_converted(request, body, self._versions)
            (body,) = ready
        elif self._view is not None:
            body = self._view.shown(body)
        return self._answer_one(request, body)

    async def _get_converted(self, request: Request, body: bytes, versions: Versions) -> Response:
        (body,) = await versions.shown((body,))
        return self._answer_one(request, body)

    def _answer_one(self, request: Request, body: bytes) -> Response:
        accept = request.headers.get(b"accept")
        if accept in (b"", b"application/json", b"*/*"):
            return Response(200, body)
        return object_response(self.resource, body, negotiate(accept), request.query)

    async def _get_later(self, request: Request, info: RequestInfo, wanted: int | None) -> Response:
        await self._catch_up(wanted)
        return await settled(self._get(request, info))

    async def _list_later(
        self, request: Request, options: ListOptions, filter_: Filter, representation: Representation
    ) -> Response:
        await self._feed.wait_fresh()
        return await settled(self._list(request, options, filter_, representation))

    async def _list_at(
        self, request: Request, options: ListOptions, filter_: Filter, representation: Representation
    ) -> Response:
        revision, history = options.revision or 0, self.cache.history
        await self._catch_up(revision)
        if not options.exact:
            return await settled(self._list(request, options, filter_, representation))
        unchanged = max(history.last_revision, history.complete_after) <= revision
        # A revision expires for all resources at once, changed or not: clients rely on tokens that do.
        if unchanged and self._backend.compacted_revision <= revision:
            return await settled(self._list(request, options, filter_, representation, revision))
        return await self._list_past(request, options, filter_, representation)

    async def _catch_up(self, wanted: int | None) -> None:
        if not wanted:
            await self._feed.wait_fresh()
        elif not await self._feed.wait_for(wanted, _WAIT_SECONDS):
            raise errors.too_large_resource_version(wanted, self._feed.revision)

    def _list(
        self,
        request: Request,
        options: ListOptions,
        filter_: Filter,
        representation: Representation,
        revision: int | None = None,
    ) -> Response | Awaitable[Response]:
        """From the cache, as of `revision` (the cache's own by default)."""
        revision = self._feed.revision if revision is None else revision
        if filter_.shown is not None:
            candidates = list(self.cache.select(filter_, options.after))
            return self._list_shown(request, options, candidates, filter_.shown, representation, revision)
        if filter_.reads_objects and len(self.cache.keys) > _MANY_READ:
            return self._scanned(request, options, filter_, representation, revision)
        if not options.limit:
            selected = self.cache.select(filter_, options.after)
            return self._answer(request, selected, representation, listing.head(self.resource, revision))
        page, rest = self.cache.page(filter_, options.after, options.limit)
        token = listing.encode_token(revision, page[-1].key) if rest else ""
        remaining = rest if filter_.everything else None
        return self._answer(request, page, representation, listing.head(self.resource, revision, token, remaining))

    async def _scanned(
        self,
        request: Request,
        options: ListOptions,
        filter_: Filter,
        representation: Representation,
        revision: int,
    ) -> Response:
        """As `_list`, where every object must be read."""
        page, rest = await self.cache.scan(filter_, options.after, options.limit)
        token = listing.encode_token(revision, page[-1].key) if rest else ""
        return await settled(self._answer(request, page, representation, listing.head(self.resource, revision, token)))

    async def _list_past(
        self, request: Request, options: ListOptions, filter_: Filter, representation: Representation
    ) -> Response:
        """From the store's history, at exactly the revision asked for."""
        prefix = self.cache.prefix
        scope = f"{prefix}{filter_.namespace}/" if filter_.namespace else prefix
        after = prefix + options.after if options.after else ""
        found: list[CachedObject] = []
        limit, revision = options.limit if filter_.shown is None else 0, options.revision or 0
        remaining, page_items = 1, _PAGE_ITEMS
        if limit and filter_.everything:
            page_items = min(limit, _PAGE_ITEMS)
        while remaining and (not limit or len(found) < limit):
            page = await self._page(scope, revision, page_items, after, options)
            for item in page.items:
                obj = self.cache.format.cached(item.key[len(prefix) :], item.value, item.mod_revision)
                if filter_.matches(obj):
                    found.append(obj)
            remaining = page.remaining
            after = page.items[-1].key if page.items else after
        if filter_.shown is not None:
            return await self._list_shown(request, options, found, filter_.shown, representation, revision)
        rest = remaining + (max(0, len(found) - limit) if limit else 0)
        found = found[:limit] if limit else found
        token = listing.encode_token(revision, found[-1].key) if rest and found else ""
        more = rest if token and filter_.everything else None
        head = listing.head(self.resource, revision, token, more)
        return await settled(self._answer(request, found, representation, head))

    async def _list_shown(
        self,
        request: Request,
        options: ListOptions,
        candidates: Sequence[CachedObject],
        shown: Filter,
        representation: Representation,
        revision: int,
    ) -> Response:
        """Those of the candidates that `shown` selects once they are in the version that is served."""
        bodies: Bodies = []
        last = token = ""
        async for obj in self._shown_ones(candidates, shown):
            if options.limit and len(bodies) == options.limit:
                token = listing.encode_token(revision, last)
                break
            bodies.append(self._body(obj.value))
            last = obj.key
        return self._answer_list(request, bodies, representation, listing.head(self.resource, revision, token))

    async def _shown_ones(self, candidates: Sequence[CachedObject], shown: Filter) -> AsyncIterator[CachedObject]:
        """The selected ones as they are shown."""
        assert self._versions is not None
        for at in range(0, len(candidates), _PAGE_ITEMS):
            part = candidates[at : at + _PAGE_ITEMS]
            for obj, value in zip(part, await self._versions.shown([obj.value for obj in part]), strict=True):
                converted = msgspec.structs.replace(obj, value=value)
                if shown.selects(converted):
                    yield converted

    async def select(self, filter_: Filter) -> Objects:
        """The objects of now that a filter of the served version selects, as they are kept."""
        kept = filter_ if self._versions is None else filter_.apart()
        found = list(self.cache.select(kept))
        if kept.shown is None:
            return found
        keys = {obj.key async for obj in self._shown_ones(found, kept.shown)}
        return [obj for obj in found if obj.key in keys]

    async def _page(self, scope: str, revision: int, limit: int, after: str, options: ListOptions) -> Page:
        try:
            return await self._backend.list(scope, revision=revision, limit=limit, after=after)
        except Compacted as error:
            if options.continued:
                raise listing.expired(options.after) from error
            raise errors.expired("The resourceVersion for the provided list is too old.") from error
        except FutureRevision as error:
            raise errors.too_large_resource_version(revision, error.revision) from error

    def _answer(
        self, request: Request, objects: Iterable[CachedObject], representation: Representation, head: bytes
    ) -> Response | Awaitable[Response]:
        if self._versions is not None:
            values = [obj.value for obj in objects]
            ready = self._versions.ready(values)
            if ready is None:
                return self._list_converted(request, values, representation, head, self._versions)
            bodies: Bodies = [self._body(value) for value in ready]
        elif self._view is not None:
            bodies = [shown_body(self._view.shown(obj.value)) for obj in objects]
        else:
            listed = list(objects)
            if representation.plain and is_large(listed):
                return large_list(head, listed, self.cache.format)
            if not representation.plain and representation.media_type == JSON and is_long(listed):
                items = bodies_of(listed, self.cache.format)
                return in_parts(list_parts(self.resource, head, items, representation, request.query))
            bodies = [*self.cache.format.bodies(listed)]
        return self._answer_list(request, bodies, representation, head)

    async def _list_converted(
        self, request: Request, values: Sequence[bytes], representation: Representation, head: bytes, versions: Versions
    ) -> Response:
        bodies: Bodies = [self._body(value) for value in await versions.shown(values)]
        return self._answer_list(request, bodies, representation, head)

    def _answer_list(self, request: Request, bodies: Bodies, representation: Representation, head: bytes) -> Response:
        if representation.plain:
            return Response(200, joined(head, bodies))
        return list_response(self.resource, head, bodies, representation, request.query)

    def _body(self, full: bytes) -> Body:
        """A converted object as lists carry it."""
        return shown_body(full) if self.cache.format.typed else full[1:]

"""One served resource: its verbs together, and the answers they make."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Final, Protocol

from tiphys.api import errors, field_errors
from tiphys.api.scheme import Resource
from tiphys.apiserver.dressing import compressed
from tiphys.apiserver.negotiation import LISTS, OBJECTS, TABLE, Offer, negotiate
from tiphys.apiserver.registry.committing import Freshness
from tiphys.apiserver.registry.context import Context
from tiphys.apiserver.registry.creating import Creator
from tiphys.apiserver.registry.custom import Custom
from tiphys.apiserver.registry.deleting import Deleter
from tiphys.apiserver.registry.parts import PARTS
from tiphys.apiserver.registry.patching import Patcher
from tiphys.apiserver.registry.reading import Reader
from tiphys.apiserver.registry.representation import included, object_response
from tiphys.apiserver.registry.updating import Updater
from tiphys.apiserver.registry.versions import Versions, settled
from tiphys.apiserver.registry.views import View
from tiphys.apiserver.registry.watching import WatchVerb
from tiphys.apiserver.routing import RequestInfo
from tiphys.apiserver.watch_cache.cache import ResourceCache
from tiphys.base.http.messages import HeaderList, Request, Response

_PLAIN_ACCEPTS: Final = frozenset({b"", b"application/json", b"*/*"})
_STATUS_HEAD: Final = b'{"kind":"Status"'
_OBJECT_SUBRESOURCES: Final = frozenset({"status", *PARTS})


_DEPRECATIONS: Final = {
    ("", "endpoints"): "v1 Endpoints is deprecated in v1.33+; use discovery.k8s.io/v1 EndpointSlice",
}


class Subresource(Protocol):
    """Serves one subresource path of a resource, all verbs."""

    def serve(self, request: Request, info: RequestInfo) -> Response | Awaitable[Response]: ...


class Endpoint:
    """Serves everything below ``…/<plural>``. Raises ApiError, at once or when awaited."""

    def __init__(
        self,
        resource: Resource,
        cache: ResourceCache,
        context: Context,
        view: View | None = None,
        custom: Custom | None = None,
        versions: Versions | None = None,
    ) -> None:
        self._versions = versions
        self.resource = resource
        self._view = view
        self._context = context
        self.cache = cache
        self.reader = Reader(resource, cache, context.feed, context.backend, view, versions)
        self.watcher = WatchVerb(resource, cache, context.feed, view, versions)
        self.creator = Creator(resource, cache, context, view, custom, versions)
        self.updater = Updater(resource, cache, context, self.creator, view, custom, versions)
        self.patcher = Patcher(resource, cache, context, self.creator, self.updater, view, custom)
        self.deleter = Deleter(resource, cache, context, self.updater)
        self.deprecation = _DEPRECATIONS.get((resource.group, resource.plural), "")
        self.subresources: dict[str, Subresource] = {}
        self._object_subresources = resource.subresource_names & _OBJECT_SUBRESOURCES

    def serve(self, request: Request, info: RequestInfo) -> Response | Awaitable[Response]:
        """Do what `info` says. Reads that need no waiting answer at once."""
        if self.deprecation:
            return self._warned(self._serve(request, info))
        return self._serve(request, info)

    def _serve(self, request: Request, info: RequestInfo) -> Response | Awaitable[Response]:
        verb = info.verb
        if info.subresource:
            return self._serve_subresource(request, info)
        if request.method == "HEAD" or (verb == "watch" and request.method != "GET"):
            raise errors.method_not_allowed()
        if verb == "get":
            return compressed(request, self.reader.get(request, info))
        if verb not in self.resource.verbs:
            raise errors.method_not_allowed()
        if verb == "list":
            return compressed(request, self.reader.list(request, info))
        if verb == "watch":
            return self.watcher.watch(request, info)
        self._check_scope(info)
        self._check_accept(request, LISTS if verb == "deletecollection" else OBJECTS)
        return self._write(request, info)

    def _warned(self, answer: Response | Awaitable[Response]) -> Response | Awaitable[Response]:
        if isinstance(answer, Response):
            answer.headers += warning_headers([self.deprecation])
            return answer
        return self._warned_later(answer)

    async def _warned_later(self, answer: Awaitable[Response]) -> Response:
        response = await answer
        response.headers = warning_headers([self.deprecation]) + response.headers
        return response

    def _serve_subresource(self, request: Request, info: RequestInfo) -> Response | Awaitable[Response]:
        if info.subresource in self._object_subresources:
            if info.verb == "get":
                return self.reader.get(request, info)
            if info.verb in ("update", "patch"):
                self._check_accept(request)
                return self._write(request, info)
            raise errors.method_not_allowed()
        special = self.subresources.get(info.subresource)
        if special is None:
            raise errors.route_not_found()
        if self._context.backend.shared:
            return self._serve_special(special, request, info)
        return special.serve(request, info)

    async def _serve_special(self, special: Subresource, request: Request, info: RequestInfo) -> Response:
        """Where others write to the store as well: with what is committed, if the cache alone would refuse."""
        freshness = Freshness(self._context)
        if info.verb == "get" and info.subresource == "scale":
            await self._context.feed.wait_fresh()
        while True:
            try:
                answer = special.serve(request, info)
                return answer if isinstance(answer, Response) else await answer
            except errors.ApiError as error:
                await freshness.require(error)

    def _check_scope(self, info: RequestInfo) -> None:
        if (info.verb == "create" and info.name) or (info.verb in ("update", "patch") and not info.name):
            raise errors.method_not_allowed()
        if self.resource.namespaced and not info.namespace and info.verb != "deletecollection":
            raise errors.method_not_allowed()

    def _check_accept(self, request: Request, offer: Offer = OBJECTS) -> None:
        """Nothing is written for who would not take the answer."""
        accept = request.headers.get(b"accept")
        if accept not in _PLAIN_ACCEPTS and offer.negotiate(accept).form == TABLE:
            included(request.query)

    async def _write(self, request: Request, info: RequestInfo) -> Response:
        warnings: list[str] = []
        status = 200
        try:
            verb = info.verb
            if verb == "create":
                status, body = 201, await self.creator.create(request, info, warnings)
            elif verb == "update":
                status, body = await self.updater.put(request, info, warnings)
            elif verb == "patch":
                status, body = await self.patcher.patch(request, info, warnings)
            elif verb == "delete":
                status, body = await self.deleter.delete(request, info, warnings)
            else:
                deleted = await self.deleter.delete_collection(request, info, warnings, self.reader.select)
                response = await settled(self.reader.listed(request, deleted))
                response.headers += warning_headers(warnings)
                return response
        except errors.ApiError as error:
            if warnings:
                error.warnings = warning_headers(warnings)  # type: ignore[attr-defined]
            raise
        if self._versions is not None and not body.startswith(_STATUS_HEAD):
            (body,) = await self._versions.shown((body,))
        response = self._answer(request, status, body)
        if warnings:
            response.headers += warning_headers(warnings)
        return response

    def _answer(self, request: Request, status: int, body: bytes) -> Response:
        accept = request.headers.get(b"accept")
        is_status = body.startswith(_STATUS_HEAD)
        if self._view is not None and not is_status:
            body = self._view.shown(body)
        if accept in _PLAIN_ACCEPTS or is_status:
            return Response(status, body)
        return object_response(self.reader.resource, body, negotiate(accept), request.query, status)


def warning_headers(warnings: list[str]) -> HeaderList:
    """``Warning: 299 - "…"`` for each text, repeats once."""
    return tuple((b"Warning", f"299 - {field_errors.quote(text)}".encode()) for text in dict.fromkeys(warnings))

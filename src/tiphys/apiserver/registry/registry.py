"""All served resources, their caches and what they share."""

from __future__ import annotations

from collections.abc import Awaitable

from tiphys.api import errors
from tiphys.api.scheme import RESOURCES, Resource
from tiphys.apiserver.registry.context import Context
from tiphys.apiserver.registry.endpoint import Endpoint, Subresource
from tiphys.apiserver.registry.views import views
from tiphys.apiserver.routing import RequestInfo
from tiphys.apiserver.watch_cache.feed import WatchCache
from tiphys.base.http.messages import Request, Response

_STORING_VERBS = frozenset({"get", "list", "watch", "create", "update"})


def stored_resources() -> tuple[Resource, ...]:
    """The resources whose objects are kept: one version of each."""
    chosen: dict[tuple[str, str], Resource] = {}
    for resource in RESOURCES:
        if set(resource.verbs) >= _STORING_VERBS:
            chosen.setdefault((resource.group, resource.plural), resource)
    return tuple(chosen.values())


class Registry:
    """Endpoints by (group, version, plural)."""

    def __init__(self, context: Context, feed: WatchCache) -> None:
        self.context = context
        self._endpoints: dict[tuple[str, str, str], Endpoint] = {}
        self._unstored: dict[tuple[str, str, str], Subresource] = {}
        for cache in feed.caches.values():
            self.add(Endpoint(cache.resource, cache, context))
        for view in views():
            shown, stored = view.resource, feed.caches[view.stored.group, view.stored.plural]
            endpoint = Endpoint(view.stored, stored, context, view)
            self._endpoints[shown.group, shown.version, shown.plural] = endpoint

    def add(self, endpoint: Endpoint) -> None:
        """Serve one more resource."""
        resource = endpoint.resource
        self._endpoints[resource.group, resource.version, resource.plural] = endpoint

    def serve_as(self, resource: Resource, endpoint: Endpoint) -> None:
        """Serve `endpoint` at a resource's path, which may not be that of what it stores."""
        self._endpoints[resource.group, resource.version, resource.plural] = endpoint

    def withdraw(self, resource: Resource) -> None:
        """Serve one resource less; unknown ones are ignored."""
        self._endpoints.pop((resource.group, resource.version, resource.plural), None)

    def add_unstored(self, group: str, version: str, plural: str, served: Subresource) -> None:
        """Serve a resource whose objects are answered and not kept."""
        self._unstored[group, version, plural] = served

    def endpoint(self, group: str, version: str, plural: str) -> Endpoint:
        """The endpoint of a served resource. Raises KeyError."""
        return self._endpoints[group, version, plural]

    def endpoints(self) -> list[Endpoint]:
        return list(self._endpoints.values())

    def of(self, resource: Resource) -> Endpoint:
        """The endpoint of a stored resource, whatever version of it is stored. Raises KeyError."""
        return self._endpoints[resource.group, resource.version, resource.plural]

    def serve(self, request: Request, info: RequestInfo) -> Response | Awaitable[Response]:
        """Answer a resource request. Raises ApiError, at once or when awaited."""
        key = (info.group, info.version, info.resource)
        endpoint = self._endpoints.get(key)
        if info.target is None:
            raise errors.route_not_found()
        if endpoint is None:
            unstored = self._unstored.get(key)
            if unstored is None:
                raise errors.route_not_found()
            return unstored.serve(request, info)
        return endpoint.serve(request, info)

    def send_bookmarks(self) -> None:
        """Tell every watcher that asked for bookmarks how far the server has come; forget old events meanwhile."""
        now = self.context.clock.monotonic()
        for endpoint in self._endpoints.values():
            endpoint.cache.history.trim(now)
            if len(endpoint.cache.watchers):
                endpoint.watcher.send_bookmarks()

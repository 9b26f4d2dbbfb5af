"""componentstatuses: how the store is; deprecated, and still asked for."""

from __future__ import annotations

from typing import Final

from tiphys.api import codec, errors
from tiphys.api.scheme import Resource, by_path
from tiphys.api.types.core_v1 import ComponentCondition, ComponentStatus
from tiphys.api.types.meta_v1 import ObjectMeta
from tiphys.apiserver.negotiation import negotiate
from tiphys.apiserver.registry import listing
from tiphys.apiserver.registry.endpoint import warning_headers
from tiphys.apiserver.registry.representation import list_response, object_response, shown_body
from tiphys.apiserver.routing import RequestInfo
from tiphys.apiserver.watch_cache.feed import WatchCache
from tiphys.base.http.messages import Request, Response

_STORE: Final = "etcd-0"
_DEPRECATED: Final = "v1 ComponentStatus is deprecated in v1.19+"


class ComponentStatuses:
    """Serves get and list. The server answers, so its store works: there is one component, and it is healthy."""

    def __init__(self, feed: WatchCache) -> None:
        self._feed = feed
        found = by_path("", "v1", "componentstatuses")
        assert found is not None
        self._resource: Resource = found

    def serve(self, request: Request, info: RequestInfo) -> Response:
        """Answer a request. Raises ApiError 404 or 405."""
        representation = negotiate(request.headers.get(b"accept"))
        healthy = ComponentCondition(type="Healthy", status="True", message="ok")
        store = codec.encode(ComponentStatus(metadata=ObjectMeta(name=_STORE), conditions=(healthy,)))
        if info.verb == "list":
            head = listing.head(self._resource, self._feed.revision)
            response = list_response(self._resource, head, [shown_body(store)], representation, request.query)
        elif info.verb != "get":
            raise errors.method_not_allowed()
        elif info.name != _STORE:
            raise errors.not_found(self._resource.qualified, info.name)
        else:
            response = object_response(self._resource, store, representation, request.query)
        response.headers += warning_headers([_DEPRECATED])
        return response

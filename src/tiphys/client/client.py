"""The API as typed calls over a transport.

Errors of every call: `ApiError` (what the server answered), `OSError` (no answer: refused, reset, TLS) and
`TimeoutError` (none in time; whether it happened is not known).
"""

from __future__ import annotations

import builtins
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import aclosing
from typing import Any, Final, TypeVar
from urllib.parse import quote, urlencode

from tiphys.api import codec
from tiphys.api.codec import ObjectList
from tiphys.api.errors import ApiError
from tiphys.api.scheme import Resource
from tiphys.api.types.authentication_v1 import TokenRequest, TokenRequestSpec
from tiphys.api.types.core_v1 import Binding, ObjectReference, Pod, ServiceAccount
from tiphys.api.types.meta_v1 import DeleteOptions, ObjectMeta, Preconditions
from tiphys.api.types.policy_v1 import Eviction
from tiphys.base.clock import Clock, SystemClock
from tiphys.base.http.client import ClientResponse
from tiphys.client.config import ClientConfig
from tiphys.client.transport import HttpTransport, Transport
from tiphys.client.view import View, view_of
from tiphys.client.watch import WatchEvent, decode_events

T = TypeVar("T")

JSON: Final = "application/json"
PATCH_TYPES: Final = {
    "json": "application/json-patch+json",
    "merge": "application/merge-patch+json",
    "strategic": "application/strategic-merge-patch+json",
    "apply": "application/apply-patch+yaml",
}
MAX_THROTTLED_RETRIES: Final = 10
"""How often a request is sent again when the server says Retry-After."""
_SAFE: Final = ":@$-_.~!*'(),"


class Client:
    """Typed access to an apiserver. Safe for any number of concurrent calls on one event loop.

    Objects given are never changed and objects returned are the caller's own.
    """

    def __init__(self, transport: Transport, *, clock: Clock | None = None) -> None:
        self.transport = transport
        self._clock = clock or SystemClock()

    @classmethod
    def from_config(cls, config: ClientConfig, *, user_agent: str = "tiphys") -> Client:
        """A client that speaks HTTPS as `config` says."""
        return cls(HttpTransport(config, user_agent=user_agent))

    async def close(self) -> None:
        """Close the transport's connections."""
        await self.transport.close()

    async def get(self, kind: type[T] | View[T], name: str, namespace: str = "", *, subresource: str = "") -> T:
        """The object; ApiError 404 if there is none."""
        view = view_of(kind)
        answer = await self._ask("GET", path_of(view.resource, namespace, name, subresource))
        return codec.decode(view.struct, answer.body)

    async def list(
        self,
        kind: type[T] | View[T],
        namespace: str = "",
        *,
        label_selector: str = "",
        field_selector: str = "",
        limit: int = 0,
        continue_: str = "",
        resource_version: str = "",
    ) -> ObjectList[T]:
        """One page of objects (all if `limit` is 0) of `namespace`, or of all namespaces if that is empty."""
        view = view_of(kind)
        query = _query(
            labelSelector=label_selector,
            fieldSelector=field_selector,
            limit=str(limit) if limit else "",
            resourceVersion=resource_version,
            **{"continue": continue_},
        )
        answer = await self._ask("GET", path_of(view.resource, namespace) + query)
        listed: type[ObjectList[T]] = ObjectList[view.struct]  # type: ignore[name-defined]
        return codec.decode(listed, answer.body)

    async def create(self, obj: T, *, kind: View[T] | None = None, namespace: str = "") -> T:
        """Store a new object; returns it as stored. `kind` is needed for plain data only."""
        view = kind or view_of(type(obj))
        target = path_of(view.resource, namespace or _namespace(obj))
        answer = await self._ask("POST", target, codec.encode(obj))
        return codec.decode(view.struct, answer.body)

    async def update(self, obj: T, *, kind: View[T] | None = None, subresource: str = "") -> T:
        """Replace the object; ApiError 409 if it changed since the resourceVersion in `obj`."""
        view = kind or view_of(type(obj))
        target = path_of(view.resource, _namespace(obj), _name(obj), subresource)
        answer = await self._ask("PUT", target, codec.encode(obj))
        return codec.decode(view.struct, answer.body)

    async def update_status(self, obj: T) -> T:
        """Replace the object's status only."""
        return await self.update(obj, subresource="status")

    async def patch(
        self,
        kind: type[T] | View[T],
        name: str,
        namespace: str,
        body: Any,
        *,
        type: str = "merge",
        subresource: str = "",
        field_manager: str = "",
        force: bool = False,
    ) -> T:
        """Change part of an object by a patch of `type` merge, strategic, json or apply; returns it as stored."""
        view = view_of(kind)
        query = _query(fieldManager=field_manager, force="true" if force else "")
        target = path_of(view.resource, namespace, name, subresource) + query
        answer = await self._ask("PATCH", target, codec.encode_any(body), PATCH_TYPES[type])
        return codec.decode(view.struct, answer.body)

    async def delete(
        self,
        kind: type[T] | View[T],
        name: str,
        namespace: str = "",
        *,
        uid: str = "",
        resource_version: str = "",
        grace_period_seconds: int | None = None,
        propagation_policy: str = "",
    ) -> None:
        """Delete an object, or start to if it has finalizers or a grace period. `uid` guards against a namesake."""
        conditions = Preconditions(uid=uid or None, resource_version=resource_version or None)
        options = DeleteOptions(
            kind="DeleteOptions",
            api_version="v1",
            grace_period_seconds=grace_period_seconds,
            propagation_policy=propagation_policy or None,
            preconditions=conditions if uid or resource_version else None,
        )
        await self._ask("DELETE", path_of(view_of(kind).resource, namespace, name), codec.encode(options))

    async def delete_collection(
        self,
        kind: type[T] | View[T],
        namespace: str = "",
        *,
        label_selector: str = "",
        field_selector: str = "",
        propagation_policy: str = "",
    ) -> None:
        """Delete every object that the selectors match."""
        query = _query(labelSelector=label_selector, fieldSelector=field_selector)
        options = DeleteOptions(kind="DeleteOptions", api_version="v1", propagation_policy=propagation_policy or None)
        await self._ask("DELETE", path_of(view_of(kind).resource, namespace) + query, codec.encode(options))

    async def bind(
        self, namespace: str, name: str, uid: str, node_name: str, *, annotations: Mapping[str, str] | None = None
    ) -> None:
        """Assign a pod to a node; ApiError 409 if it is assigned already or `uid` is another pod's.

        `annotations` are given to the pod by the same write.
        """
        meta = ObjectMeta(name=name, namespace=namespace, uid=uid or None, annotations=dict(annotations or {}))
        binding = Binding(metadata=meta, target=ObjectReference(kind="Node", name=node_name))
        await self._ask("POST", path_of(view_of(Pod).resource, namespace, name, "binding"), codec.encode(binding))

    async def evict(self, namespace: str, name: str, *, options: DeleteOptions | None = None) -> None:
        """Delete a pod if its disruption budgets allow it; ApiError 429 if they do not now (not retried here)."""
        eviction = Eviction(metadata=ObjectMeta(name=name, namespace=namespace), delete_options=options)
        target = path_of(view_of(Pod).resource, namespace, name, "eviction")
        await self._ask("POST", target, codec.encode(eviction), retries=0)

    async def create_token(
        self,
        namespace: str,
        service_account: str,
        *,
        audiences: Sequence[str] = (),
        expiration_seconds: int = 3600,
        bound_object: Any = None,
    ) -> TokenRequest:
        """A service account's token; ``status.token`` and ``status.expiration_timestamp`` are set.

        `bound_object` is an `authentication_v1.BoundObjectReference`: the token dies with that object.
        """
        spec = TokenRequestSpec(
            audiences=tuple(audiences), expiration_seconds=expiration_seconds, bound_object_ref=bound_object
        )
        target = path_of(view_of(ServiceAccount).resource, namespace, service_account, "token")
        answer = await self._ask("POST", target, codec.encode(TokenRequest(spec=spec)))
        return codec.decode(TokenRequest, answer.body)

    async def watch(
        self,
        kind: type[T] | View[T],
        namespace: str = "",
        *,
        label_selector: str = "",
        field_selector: str = "",
        resource_version: str = "",
        allow_bookmarks: bool = False,
        timeout_seconds: int = 0,
    ) -> AsyncIterator[WatchEvent[T]]:
        """Events after `resource_version`, in order, until the server ends the stream.

        A BOOKMARK's object carries only its metadata. An ERROR event is raised as ApiError (410: list again).
        """
        batches = self.watch_batches(
            kind,
            namespace,
            label_selector=label_selector,
            field_selector=field_selector,
            resource_version=resource_version,
            allow_bookmarks=allow_bookmarks,
            timeout_seconds=timeout_seconds,
        )
        async with aclosing(batches):  # type: ignore[type-var]
            async for batch in batches:
                for event in batch:
                    yield event

    async def watch_batches(
        self,
        kind: type[T] | View[T],
        namespace: str = "",
        *,
        label_selector: str = "",
        field_selector: str = "",
        resource_version: str = "",
        allow_bookmarks: bool = False,
        timeout_seconds: int = 0,
    ) -> AsyncIterator[builtins.list[WatchEvent[T]]]:
        """As `watch`, with the events that arrived together in one list: one wake-up for a burst.

        The first list is empty: it says that the server has accepted the watch.
        """
        view = view_of(kind)
        query = _query(
            watch="true",
            labelSelector=label_selector,
            fieldSelector=field_selector,
            resourceVersion=resource_version,
            allowWatchBookmarks="true" if allow_bookmarks else "",
            timeoutSeconds=str(timeout_seconds) if timeout_seconds else "",
        )
        async with (
            self.transport.stream("GET", path_of(view.resource, namespace) + query) as chunks,
            aclosing(decode_events(view.struct, chunks)) as batches,  # type: ignore[type-var]
        ):
            yield []
            async for batch in batches:
                yield batch

    async def raw(
        self,
        method: str,
        target: str,
        body: bytes = b"",
        content_type: str = JSON,
        headers: Sequence[tuple[bytes, bytes]] = (),
    ) -> ClientResponse:
        """One request as it is; any status is returned, none raised."""
        return await self.transport.request(method, target, body, content_type if body else "", headers)

    async def _ask(
        self,
        method: str,
        target: str,
        body: bytes = b"",
        content_type: str = JSON,
        retries: int = MAX_THROTTLED_RETRIES,
    ) -> ClientResponse:
        attempt = 0
        while True:
            answer = await self.transport.request(method, target, body, content_type if body else "", ())
            if answer.status < 300:
                return answer
            error = ApiError.from_body(answer.status, answer.body)
            wait_seconds = _retry_after(answer, error)
            if wait_seconds is None or attempt >= retries:
                raise error
            attempt += 1
            await self._clock.sleep(wait_seconds)


def path_of(resource: Resource, namespace: str = "", name: str = "", subresource: str = "") -> str:
    """The request path, percent-encoded."""
    return quote(resource.path(namespace, name, subresource), safe="/" + _SAFE)


def _query(**parameters: str) -> str:
    given = {key: value for key, value in parameters.items() if value}
    return "?" + urlencode(given) if given else ""


def _retry_after(answer: ClientResponse, error: ApiError) -> float | None:
    if answer.status != 429 and answer.status < 500:
        return None
    said = answer.headers.get(b"retry-after")
    if not said:
        return None
    try:
        return max(0.0, float(said))
    except ValueError:
        return None


def _namespace(obj: Any) -> str:
    if isinstance(obj, dict):
        return str(obj.get("metadata", {}).get("namespace") or "")
    return obj.metadata.namespace or ""


def _name(obj: Any) -> str:
    if isinstance(obj, dict):
        return str(obj.get("metadata", {}).get("name") or "")
    return obj.metadata.name or ""

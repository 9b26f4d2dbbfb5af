"""Follows APIServices: which groups other servers serve, whether they answer, and what discovery says of them.

    APIService, Service, EndpointSlice changed ──► queue ──► sync: resolve, ask for /apis/<group>/<version>
                                                     ▲         │ status.conditions[Available], discovery
                  a request could not be passed on ──┘         └► again after RECHECK_SECONDS, sooner while unavailable

A server that answers is asked every 30 seconds, on a kept connection, as upstream does: nothing else would tell that
it is gone before a client needs it. Without remote APIServices nothing runs.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any, Final, NamedTuple

from tiphys.api import codec, errors
from tiphys.api.scheme import RESOURCES, Resource
from tiphys.api.types.apiextensions_v1 import CustomResourceDefinition
from tiphys.api.types.apiregistration_v1 import APIService, APIServiceStatus
from tiphys.api.types.core_v1 import Service
from tiphys.api.types.discovery_v1 import EndpointSlice
from tiphys.api.types.meta_v1 import DeleteOptions
from tiphys.apiserver.admission.chain import Lookup
from tiphys.apiserver.aggregation import availability
from tiphys.apiserver.aggregation.availability import LOCAL, Verdict
from tiphys.apiserver.aggregation.backends import Backends
from tiphys.apiserver.aggregation.endpoints import SERVICE_LABEL, Address, Unresolved, resolve
from tiphys.apiserver.aggregation.proxying import forward
from tiphys.apiserver.aggregation.published import Published
from tiphys.apiserver.aggregation.remotes import (
    AUTOMANAGED,
    AVAILABLE,
    FOLLOWS,
    Remote,
    is_available,
    local_services,
    remote_of,
    with_condition,
)
from tiphys.apiserver.openapi.merging import Part
from tiphys.apiserver.registry.options import WriteOptions
from tiphys.apiserver.registry.registry import Registry
from tiphys.apiserver.registry.updating import Changed, Stored
from tiphys.apiserver.routing import RequestInfo
from tiphys.apiserver.watch_cache.history import CacheEvent
from tiphys.base.http.messages import Request, Response
from tiphys.base.logging import get_logger
from tiphys.base.workqueue import WorkQueue

_logger = get_logger(__name__)
GROUP: Final = "apiregistration.k8s.io"
PLURAL: Final = "apiservices"
RECHECK_SECONDS: Final = 30.0
#: While a server does not answer it is asked again after 1, 2, 4 … seconds.
RETRY_SECONDS: Final = 1.0
WORKERS: Final = 4
_OPTIONS: Final = WriteOptions(field_manager="kube-apiserver", field_validation="Ignore")
_BUILT_IN: Final = frozenset((r.group, r.version) for r in RESOURCES)


class Served(NamedTuple):
    """What discovery tells of a remote group and version. `openapi` is a path of the remote server, or ""; `schemas`
    what its OpenAPI version 2 document says, which stays while it does not answer."""

    remote: Remote
    available: bool
    resources: tuple[dict[str, Any], ...]
    openapi: str = ""
    schemas: Part | None = None


Announce = Callable[[Iterable[Served]], None]
"""Told all remote groups and versions, those clients should prefer first."""


class Aggregator:
    """`identity` is who we are to other servers (certificate and key, PEM); `user` does the server's own writes."""

    def __init__(
        self, registry: Registry, lookup: Lookup, user: Any, identity: tuple[bytes, bytes], announce: Announce
    ) -> None:
        self._registry = registry
        self._lookup = lookup
        self._user = user
        self._announce = announce
        self._context = registry.context
        self._backends = Backends(identity, self._context.clock.monotonic)
        self._published = Published(self._backends, self._context.clock.monotonic)
        self._endpoint = registry.endpoint(GROUP, "v1", PLURAL)
        self._queue: WorkQueue[str] = WorkQueue(initial_seconds=RETRY_SECONDS, maximum_seconds=RECHECK_SECONDS)
        self._remotes: dict[tuple[str, str], Remote] = {}
        self._served: dict[str, Served] = {}
        self._behind: dict[tuple[str, str], set[str]] = {}
        self._wanted: Mapping[str, APIService] = {}
        feed = self._context.feed
        self._endpoint.cache.listen(self._follow)
        feed.caches["", "services"].listen(self._follow_service)
        feed.caches["discovery.k8s.io", "endpointslices"].listen(self._follow_slice)

    # Requests.

    def remote(self, group: str, version: str) -> Remote | None:
        """Who serves a group and version, if another server does."""
        return self._remotes.get((group, version))

    def remote_at(self, path: str) -> Remote | None:
        """Who answers ``/apis/<group>/<version>`` and its OpenAPI document, if another server does."""
        parts = path.strip("/").split("/")
        if parts[:2] == ["openapi", "v3"]:
            parts = parts[2:]
        return self._remotes.get((parts[1], parts[2])) if len(parts) == 3 and parts[0] == "apis" else None

    def serve(self, request: Request, remote: Remote) -> Awaitable[Response]:
        """Pass a request on. Raises ApiError 503 while the server does not answer."""
        served = self._served.get(remote.name)
        if served is None or not served.available:
            raise errors.service_unavailable("service unavailable")
        return self._forward(request, remote)

    async def _forward(self, request: Request, remote: Remote) -> Response:
        try:
            return await forward(request, remote, self._addresses(remote), self._backends)
        except Unresolved as unresolved:
            self._queue.add(remote.name)
            raise errors.service_unavailable("service unavailable") from unresolved
        except errors.ApiError:
            # Look at once whether it answers anybody.
            self._queue.add(remote.name)
            raise

    # Following.

    def serve_local(self, resources: Iterable[Resource]) -> None:
        """Keep an APIService for every group and version of these, and none for others that were followed."""
        self._wanted = local_services(resources, _BUILT_IN)
        for name in {*self._wanted, *self._endpoint.cache.objects}:
            self._queue.add(name)

    async def load(self) -> None:
        """Have the APIServices of what is served here before clients ask; other servers are looked at in `run`."""
        ours = (name for name in self._wanted if all(remote.name != name for remote in self._remotes.values()))
        await asyncio.gather(*(self._sync(name) for name in ours))

    async def run(self) -> None:
        """Until cancelled: follow what changes, several at a time, since one that does not answer takes its time."""
        async with asyncio.TaskGroup() as group:
            for _ in range(WORKERS):
                group.create_task(self._work())

    async def close(self) -> None:
        self._queue.shutdown()
        await self._backends.close()

    async def _work(self) -> None:
        while True:
            name = await self._queue.get()
            try:
                await self._sync(name)
            except Exception:
                _logger.exception("an APIService could not be followed", name=name)
                self._queue.add_rate_limited(name)
            finally:
                self._queue.done(name)

    async def _sync(self, name: str) -> None:
        service = self._endpoint.cache.decoded(APIService, name)
        wanted = self._wanted.get(name)
        if service is None:
            self._forget(name)
            if wanted is None:
                return
            await self._create(wanted)
            service = self._endpoint.cache.decoded(APIService, name)
            if service is None:
                return
        if wanted is None and self._is_left_over(service):
            await self._delete(name)
            return
        remote = remote_of(service)
        if remote is None:
            self._forget(name)
            await self._report(service, LOCAL)
            return
        verdict = await self._look(remote)
        if self._remotes.get((remote.group, remote.version)) != remote:
            return  # it changed meanwhile and is in the queue again
        await self._learn(remote, verdict)
        await self._report(service, verdict)
        if verdict.available:
            await self._learn_schemas(remote)
            self._queue.forget(name)
            self._queue.add_after(name, RECHECK_SECONDS)
        else:
            self._queue.add_rate_limited(name)

    def _is_left_over(self, service: APIService) -> bool:
        """Whether it followed a custom resource's group and nothing defines that any more. Definitions are asked, not
        what is served: another server may have been quicker to serve a new one."""
        spec = service.spec
        if service.metadata.labels.get(AUTOMANAGED) != FOLLOWS or spec.service is not None:
            return False
        return not any(
            definition.spec.group == spec.group and any(v.name == spec.version for v in definition.spec.versions)
            for definition in self._lookup.list(CustomResourceDefinition)
        )

    async def _look(self, remote: Remote) -> Verdict:
        try:
            addresses = self._addresses(remote)
        except Unresolved as unresolved:
            return Verdict(False, unresolved.reason, str(unresolved))
        return await availability.check(remote, addresses, self._backends)

    def _addresses(self, remote: Remote) -> tuple[Address, ...]:
        service = self._lookup.get(Service, remote.service, remote.namespace)
        slices = self._lookup.list(EndpointSlice, remote.namespace)
        return resolve(remote.service, remote.namespace, remote.port, service, slices)

    async def _learn(self, remote: Remote, verdict: Verdict) -> None:
        """Tell discovery, if there is news. A server that does not answer keeps the resources it had."""
        before = self._served.get(remote.name)
        known = before if before is not None and before.remote == remote else Served(remote, False, ())
        fresh = known._replace(available=verdict.available)
        if verdict.available and (verdict.resources != known.resources or not known.available):
            openapi = await availability.openapi_path(remote, self._addresses(remote), self._backends)
            fresh = fresh._replace(resources=verdict.resources, openapi=openapi)
        if fresh != before:
            self._served[remote.name] = fresh
            self._tell()

    async def _learn_schemas(self, remote: Remote) -> None:
        """Have what the server's OpenAPI version 2 document says, unless it was asked for a moment ago."""
        try:
            schemas = await self._published.part(remote, self._addresses(remote))
        except Unresolved:
            return
        known = self._served.get(remote.name)
        if known is not None and known.remote == remote and known.schemas != schemas:
            self._served[remote.name] = known._replace(schemas=schemas)
            self._tell()

    def _tell(self) -> None:
        def preference(served: Served) -> tuple[int, str, int, str]:
            remote = served.remote
            return -remote.group_priority, remote.group, -remote.version_priority, remote.version

        self._announce(sorted(self._served.values(), key=preference))

    def _forget(self, name: str) -> None:
        self._published.forget(name)
        if self._served.pop(name, None) is not None:
            self._tell()

    def _follow(self, event: CacheEvent) -> None:
        obj = event.current or event.previous
        assert obj is not None
        name = obj.key
        self._drop(name)
        if event.current is not None:
            service = codec.decode(APIService, event.current.value)
            remote = remote_of(service)
            if remote is not None and (remote.group, remote.version) not in _BUILT_IN:
                self._remotes[remote.group, remote.version] = remote
                self._behind.setdefault((remote.namespace, remote.service), set()).add(name)
                known = self._served.get(name)
                if known is None or known.remote != remote:
                    # Listed at once. What its status says is believed until it is looked at: a server that starts must
                    # not refuse what another still serves.
                    self._served[name] = Served(remote, known is None and is_available(service), ())
                    self._tell()
        self._queue.add(name)

    def _drop(self, name: str) -> None:
        for key, remote in list(self._remotes.items()):
            if remote.name == name:
                del self._remotes[key]
        for key, names in list(self._behind.items()):
            names.discard(name)
            if not names:
                del self._behind[key]

    def _follow_service(self, event: CacheEvent) -> None:
        obj = event.current or event.previous
        if self._behind and obj is not None:
            for name in self._behind.get((obj.namespace, obj.name), ()):
                self._queue.add(name)

    def _follow_slice(self, event: CacheEvent) -> None:
        obj = event.current or event.previous
        if self._behind and obj is not None:
            for name in self._behind.get((obj.namespace, obj.labels.get(SERVICE_LABEL, "")), ()):
                self._queue.add(name)

    # Writing.

    async def _create(self, service: APIService) -> None:
        info = self._info("create", service.metadata.name or "")
        try:
            fresh = codec.from_dict(APIService, codec.to_dict(service))
            await self._endpoint.creator.create_object(fresh, info, _OPTIONS, self._user, [])
        except errors.ApiError as error:
            if error.reason != "AlreadyExists":
                raise

    async def _delete(self, name: str) -> None:
        try:
            await self._endpoint.deleter.delete_object(self._info("delete", name), DeleteOptions(), self._user, [])
        except errors.ApiError as error:
            if error.reason != "NotFound":
                raise

    async def _report(self, service: APIService, verdict: Verdict) -> None:
        """Write the Available condition unless it says so already."""
        status = "True" if verdict.available else "False"
        before = next((c for c in service.status.conditions if c.type == AVAILABLE), None)
        if before is not None and (before.status, before.reason, before.message) == (
            status,
            verdict.reason,
            verdict.message,
        ):
            return
        now = self._context.times.now()

        def change(stored: Stored) -> Changed:
            fresh = codec.decode(APIService, stored.value)
            conditions = with_condition(fresh.status.conditions, status, verdict.reason, verdict.message, now)
            fresh.status = APIServiceStatus(conditions=conditions)
            return Changed(fresh, raw=True)

        info = self._info("update", service.metadata.name or "")
        info.subresource = "status"
        try:
            await self._endpoint.updater.change(info, change, _OPTIONS, self._user, [])
        except errors.ApiError as error:
            if error.reason != "NotFound":
                raise

    def _info(self, verb: str, name: str) -> RequestInfo:
        resource = self._endpoint.resource
        return RequestInfo(resource.path("", name), verb, GROUP, "v1", PLURAL, "", name, target=resource)

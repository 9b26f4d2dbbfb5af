"""The apiserver, put together: `ApiServer(config, backend)` with `handler`, `start` and `close`."""

from __future__ import annotations

import platform
import time
from collections.abc import Awaitable, Iterable
from http import HTTPStatus
from typing import Any, Final

from prometheus_client import CollectorRegistry

from tiphys.api import codec, errors
from tiphys.api.scheme import RESOURCES, Resource
from tiphys.apiserver.admission.certificates import RequesterAdmission, SignerPermissions
from tiphys.apiserver.admission.chain import Chain, Lookup
from tiphys.apiserver.admission.escalation import PrivilegeEscalation
from tiphys.apiserver.admission.plugins import default_plugins
from tiphys.apiserver.admission.quota_turns import QuotaTurns
from tiphys.apiserver.aggregation import Aggregator
from tiphys.apiserver.aggregation.aggregator import Served
from tiphys.apiserver.allocators.reservations import Reservations
from tiphys.apiserver.allocators.services import ServiceAllocator
from tiphys.apiserver.bootstrap.flow_upkeep import FlowUpkeep
from tiphys.apiserver.bootstrap.keeper import Keeper
from tiphys.apiserver.bootstrap.objects import Bootstrap
from tiphys.apiserver.config import ApiServerConfig
from tiphys.apiserver.customresources.definitions import Definitions
from tiphys.apiserver.discovery import Discovery
from tiphys.apiserver.discovery.documents import RemoteVersion
from tiphys.apiserver.flow_control.controller import FlowControl
from tiphys.apiserver.handling import Handling, error_response
from tiphys.apiserver.health import NOSNIFF, Health
from tiphys.apiserver.log_files import LogFiles
from tiphys.apiserver.openapi import OpenApi
from tiphys.apiserver.registry.context import Context
from tiphys.apiserver.registry.registry import Registry, stored_resources
from tiphys.apiserver.registry.watching import BOOKMARK_SECONDS
from tiphys.apiserver.routing import RequestInfo, Router
from tiphys.apiserver.security import SYSTEM, Security
from tiphys.apiserver.statistics import RequestStatistics
from tiphys.apiserver.subresources.table import add_subresources
from tiphys.apiserver.watch_cache.feed import WatchCache
from tiphys.apiserver.webhooks.calling import WebhookCaller
from tiphys.base import metrics
from tiphys.base.clock import Clock, SystemClock
from tiphys.base.http.messages import Handler, Request, Response
from tiphys.base.http.server import HttpServer
from tiphys.base.http.tls import server_context
from tiphys.base.logging import get_logger
from tiphys.base.tasks import Supervisor
from tiphys.store.backend import Backend

_logger = get_logger(__name__)
_TEXT: Final = "text/plain; charset=utf-8"
_DEFAULT_HEADERS: Final = ((b"Cache-Control", b"no-cache, private"),)
_API_ROOTS: Final = ("/api/", "/apis/")
GIT_VERSION: Final = "v1.36.0+tiphys"
MAX_BODY_BYTES: Final = 3 * 1024 * 1024


class ApiServer:
    """One apiserver over one store, whose life it owns.

    `handler` answers requests in process; it works after `start`. With a certificate in the config `start` also
    listens; `port` is then where.
    """

    def __init__(self, config: ApiServerConfig, backend: Backend, *, clock: Clock | None = None) -> None:
        self.config = config
        self.clock = clock or SystemClock()
        self.port = 0
        self._backend = backend
        self.router = Router()
        self.feed = WatchCache(backend, stored_resources(), self.clock.monotonic)
        self.lookup = Lookup(self.feed)
        chain = Chain(
            default_plugins(self.lookup, QuotaTurns(backend, self.feed), config.default_unreachable_toleration_seconds)
        )
        self.context = Context(backend, self.feed, self.clock, chain)
        services = self.feed.caches["", "services"]
        allocator = ServiceAllocator(services, config.service_cidr, config.node_ports, Reservations(backend, self.feed))
        self.context.allocations["", "services"] = (allocator,)
        self.security = Security(config, self.context, self.lookup)
        chain.append(PrivilegeEscalation(self.security.authorizer))
        chain.append(SignerPermissions(self.security.authorizer))
        chain.append(RequesterAdmission(self.context.times.now))
        self.registry = Registry(self.context, self.feed)
        self.webhooks = WebhookCaller(self.lookup)
        self.definitions = Definitions(self.registry, self.router, SYSTEM, self._announce, self.webhooks)
        self._kubelets = add_subresources(self.registry, self.security, self.lookup, config)
        address = f"{config.advertise_address}:{config.port}" if config.advertise_address else ""
        self.discovery = Discovery(RESOURCES, address)
        self.openapi = OpenApi(RESOURCES, GIT_VERSION)
        identity = (config.proxy_client_certificate, config.proxy_client_key)
        self.aggregator = Aggregator(self.registry, self.lookup, SYSTEM, identity, self._announce_remote)
        self._logs = LogFiles()
        self.health = Health()
        self.health.add("etcd", self._store_failure)
        self.health.add("etcd-readiness", self._store_failure, ready_only=True)
        self.health.add("informer-sync", lambda: "" if self.feed.revision else "not synced", ready_only=True)
        self.statistics = RequestStatistics(self.registry)
        self.flow_control = FlowControl(
            self.feed,
            config.max_requests_inflight + config.max_mutating_requests_inflight,
            config.request_timeout_seconds / 4,
            self.statistics.timed,
        )
        self._handling = Handling(
            self.router,
            self._serve_resource,
            self._serve_path,
            self.security.authenticate,
            self.security.authorize,
            self.flow_control,
            config.request_timeout_seconds,
            self.statistics,
        )
        self.handler: Handler = self._handling
        self._metrics = CollectorRegistry(auto_describe=True)
        self._metrics.register(self.statistics)
        self._metrics.register(self.flow_control)
        self._http: HttpServer | None = None
        self._tasks: Supervisor | None = None

    async def start(self) -> None:
        """Open the store, fill the caches, make what every cluster has, then listen."""
        await self._backend.start()
        await self.feed.start()
        bootstrap = Bootstrap(self.config, self.registry, SYSTEM, shared=self._backend.shared)
        await bootstrap.run()
        await self.definitions.load()
        self._tasks = Supervisor("apiserver")
        self._tasks.spawn(self.definitions.run, "custom-resources")
        self.aggregator.serve_local([*RESOURCES, *self.definitions.resources])
        await self.aggregator.load()
        self._tasks.spawn(self.aggregator.run, "aggregator")
        self._tasks.spawn(self._send_bookmarks, "bookmarks")
        self._tasks.spawn(Keeper(self.feed, bootstrap, self.clock).run, "bootstrap")
        self._tasks.spawn(FlowUpkeep(self.feed, self.registry, SYSTEM, self.clock).run, "flow-control")
        self.health.done(*_STEPS)
        if self.config.certificate:
            await self._listen()

    async def close(self) -> None:
        """Stop being ready, finish what is under way, close the store. Idempotent.

        What is acknowledged is durable at any time; watches end as after their timeout.
        """
        config, first = self.config, not self.health.shutting_down
        self.health.shutting_down = True
        if self._http is not None:
            if first and config.shutdown_delay_seconds:
                await self.clock.sleep(config.shutdown_delay_seconds)
            if config.shutdown_send_retry_after:
                await self._handling.drain(config.shutdown_grace_seconds)
            await self._http.close(config.shutdown_grace_seconds)
            self._http = None
        if self._tasks is not None:
            await self._tasks.close()
        if self._kubelets is not None:
            await self._kubelets.close()
        await self.aggregator.close()
        await self.webhooks.close()
        await self.feed.close()
        await self._backend.close()

    async def _listen(self) -> None:
        config = self.config
        authorities = b"\n".join(filter(None, (config.client_ca, config.requestheader_client_ca)))
        tls = server_context(config.certificate, config.key, client_ca=authorities)
        self._http = HttpServer(
            self.handler,
            tls=tls,
            admit=self._handling.admit,
            max_body_bytes=MAX_BODY_BYTES,
            default_headers=_DEFAULT_HEADERS,
            on_error=_transport_error,
        )
        self.port = await self._http.start(config.bind_address, config.port)
        _logger.info("serving", address=config.bind_address, port=self.port)

    def _serve_resource(self, request: Request, info: RequestInfo) -> Response | Awaitable[Response]:
        if info.target is None:
            remote = self.aggregator.remote(info.group, info.version)
            if remote is not None:
                return self.aggregator.serve(request, remote)
        return self.registry.serve(request, info)

    def _serve_path(self, request: Request, info: RequestInfo) -> Response | Awaitable[Response]:
        path = request.path.rstrip("/") or "/"
        health = self.health.serve(request)
        if health is not None:
            return health
        if path == "/version":
            return Response(200, _VERSION)
        if (logged := self._logs.serve(request)) is not None:
            return logged
        if path == "/metrics":
            text = metrics.render() + metrics.render(self._metrics)
            return Response(200, text, metrics.CONTENT_TYPE)
        served = self.security.serve_path(request)
        if served is not None:
            return served
        if remote := self.aggregator.remote_at(path):
            return self.aggregator.serve(request, remote)
        if f"{path}/".startswith(_API_ROOTS):
            return self.discovery.handle(request)
        if path.startswith("/openapi/"):
            return self.openapi.handle(request)
        if path == "/":
            known = {*_PATHS, *self.security.paths, *self.discovery.paths, *self.openapi.paths}
            return Response(200, codec.encode_any({"paths": sorted(known)}))
        return Response(404, b"404 page not found\n", _TEXT, NOSNIFF)

    def _store_failure(self) -> str:
        return "" if self.feed.following else "the store is not followed"

    def _announce(self, resources: list[Resource], schemas: dict[str, Any]) -> None:
        """Describe exactly these resources to clients."""
        self.discovery.replace(resources)
        self.openapi.replace(resources, schemas)
        self.aggregator.serve_local(resources)

    def _announce_remote(self, served: Iterable[Served]) -> None:
        """Describe what other servers serve."""
        listed = tuple(served)
        self.discovery.replace_remote(
            RemoteVersion(one.remote.group, one.remote.version, one.resources, one.available) for one in listed
        )
        paths = {one.remote.path[1:]: one.openapi for one in listed if one.openapi}
        self.openapi.replace_remote(paths, (one.schemas for one in listed if one.schemas is not None))

    async def _send_bookmarks(self) -> None:
        while True:
            await self.clock.sleep(BOOKMARK_SECONDS)
            self.registry.send_bookmarks()


# What `start` has done before it listens, as upstream calls it.
_STEPS: Final = (
    "start-apiserver-admission-initializer",
    "priority-and-fairness-config-consumer",
    "start-apiextensions-informers",
    "start-apiextensions-controllers",
    "crd-informer-synced",
    "rbac/bootstrap-roles",
    "scheduling/bootstrap-system-priority-classes",
    "priority-and-fairness-config-producer",
    "bootstrap-controller",
    "start-kube-aggregator-informers",
    "apiservice-registration-controller",
    "apiservice-discovery-controller",
)
_PATHS: Final = ("/healthz", "/livez", "/logs", "/metrics", "/readyz", "/version")


def _transport_error(status: int, message: str) -> Response:
    """What a request that never reached the handler is answered: a Status, or upstream's text where it is no HTTP."""
    if status == 413:
        return error_response(errors.request_entity_too_large(f"limit is {MAX_BODY_BYTES}"), None)
    if status == 429:
        return error_response(errors.too_many_requests(message, 1), None)
    if status == 503:
        return error_response(errors.service_unavailable(message), None)
    if status >= 500:
        return error_response(errors.internal(message), None)
    text = f"{status} {HTTPStatus(status).phrase}"
    return Response(status, (f"{text}: {message}" if status == 400 else text).encode(), _TEXT)


_VERSION: Final = codec.encode_any(
    {
        "major": "1",
        "minor": "36",
        "emulationMajor": "1",
        "emulationMinor": "36",
        "minCompatibilityMajor": "1",
        "minCompatibilityMinor": "35",
        "gitVersion": GIT_VERSION,
        "gitCommit": "",
        "gitTreeState": "clean",
        "buildDate": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(0)),
        "goVersion": f"python{platform.python_version()}",
        "compiler": platform.python_implementation().lower(),
        "platform": f"linux/{ {'x86_64': 'amd64', 'aarch64': 'arm64'}.get(platform.machine(), platform.machine()) }",
    }
)

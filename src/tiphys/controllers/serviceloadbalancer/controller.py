"""Writes ``status.loadBalancer`` of Services, and holds them by a finalizer while they have an address."""

from __future__ import annotations

from typing import Any, Final

from tiphys.api.codec import to_dict
from tiphys.api.types.core_v1 import Node, Service
from tiphys.api.types.discovery_v1 import EndpointSlice
from tiphys.client import NORMAL, WARNING, ObjectKey, key_of
from tiphys.controllers.runtime import Environment, KeyedController
from tiphys.controllers.serviceloadbalancer.reconcile import (
    FINALIZER,
    NODES,
    NONE,
    AddressError,
    Pool,
    eligibility,
    finalizers_with,
    ingress_of,
    is_ours,
    node_addresses,
    port_conflict,
    wants_address,
)

BY_SERVICE: Final = "service"
SERVICE_NAME_LABEL: Final = "kubernetes.io/service-name"


class ServiceLoadBalancerController(KeyedController):
    """With a pool each Service has an address of its own; without one, those of the nodes; with "none", nothing."""

    name = "service-lb-controller"
    workers = 1

    def __init__(self, environment: Environment) -> None:
        super().__init__()
        self._client = environment.client
        self._recorder = environment.recorder("service-controller")
        self._services = environment.informer(Service)
        self._nodes = environment.informer(Node)
        self._slices = environment.informer(EndpointSlice)
        pool = environment.config.load_balancer_cidr
        self._enabled = pool != NONE
        self._pool = Pool(pool) if pool not in ("", NODES, NONE) else None
        self._reserved = frozenset(environment.config.reserved_node_ports)
        self._waiting: dict[ObjectKey, str] = {}
        if not self._enabled:
            return
        self._slices.add_index(BY_SERVICE, _service_of)
        self._services.add_handler(on_add=self._seen, on_update=lambda _, new: self._seen(new), on_delete=self._gone)
        if self._pool is None:
            self._nodes.add_handler(
                on_add=lambda _: self._all(), on_update=self._node_changed, on_delete=lambda _: self._all()
            )
            self._slices.add_handler(
                on_add=self._slice_seen, on_update=lambda _, new: self._slice_seen(new), on_delete=self._slice_seen
            )

    # -- hearing -----------------------------------------------------------------------------------------------------

    def _seen(self, service: Service) -> None:
        owner = key_of(service)
        if self._pool is not None and wants_address(service) and not self._pool.of(owner):
            # Addresses in use are known before the first one is given, since informers come first.
            for ingress in service.status.load_balancer.ingress:
                self._pool.occupy(owner, ingress.ip or "")
        if wants_address(service) or FINALIZER in service.metadata.finalizers:
            self.enqueue(service)

    def _gone(self, service: Service) -> None:
        self._release(key_of(service))
        if self._pool is None and service.spec.type == "LoadBalancer":
            self._all()  # its ports are free now

    def _all(self) -> None:
        for service in self._services.list():
            if wants_address(service):
                self.enqueue(service)

    def _node_changed(self, old: Node, new: Node) -> None:
        if eligibility(old) != eligibility(new):
            self._all()

    def _slice_seen(self, slice_: EndpointSlice) -> None:
        for name in _service_of(slice_):
            namespace, _, service_name = name.partition("/")
            service = self._services.get(service_name, namespace)
            if service is not None and wants_address(service) and service.spec.external_traffic_policy == "Local":
                self.enqueue(service)

    # -- doing -------------------------------------------------------------------------------------------------------

    async def sync(self, key: ObjectKey) -> None:
        service = self._services.get(key.name, key.namespace)
        if service is None:
            self._release(key)
        elif wants_address(service):
            await self._ensure(key, service)
        elif FINALIZER in service.metadata.finalizers and (is_ours(service) or service.spec.type != "LoadBalancer"):
            await self._give_up(key, service)

    async def _ensure(self, key: ObjectKey, service: Service) -> None:
        try:
            addresses = self._addresses(key, service)
        except AddressError as error:
            addresses = []
            if self._waiting.get(key) != str(error):
                text = f"Error syncing load balancer: failed to ensure load balancer: {error}"
                self._recorder.event(service, WARNING, "SyncLoadBalancerFailed", text)
            self._waiting[key] = str(error)
        else:
            self._waiting.pop(key, None)
        held = finalizers_with(service, held=True)
        wanted = ingress_of(addresses)
        before = service.status.load_balancer.ingress
        if held is None and wanted == before:
            return
        if addresses and not before:
            self._recorder.event(service, NORMAL, "EnsuringLoadBalancer", "Ensuring load balancer")
        if held is not None:
            await self._patch(key, {"metadata": {"finalizers": held, **_as_seen(service)}})
        if wanted != before:
            await self._write_status(key, addresses)
        if addresses and not before:
            self._recorder.event(service, NORMAL, "EnsuredLoadBalancer", "Ensured load balancer")
        elif addresses and wanted != before:
            self._recorder.event(service, NORMAL, "UpdatedLoadBalancer", "Updated load balancer with new hosts")

    def _addresses(self, key: ObjectKey, service: Service) -> list[str]:
        if self._pool is not None:
            return [self._pool.assign(key, service.spec.load_balancer_ip or "")]
        others = [s for s in self._services.list() if wants_address(s) and key_of(s) != key]
        conflict = port_conflict(service, others, self._reserved)
        if conflict:
            raise AddressError(conflict)
        slices = self._slices.by_index(BY_SERVICE, f"{key.namespace}/{key.name}")
        return node_addresses(service, self._nodes.list(), slices)

    async def _give_up(self, key: ObjectKey, service: Service) -> None:
        self._recorder.event(service, NORMAL, "DeletingLoadBalancer", "Deleting load balancer")
        self._release(key)
        if service.status.load_balancer.ingress and service.metadata.deletion_timestamp is None:
            await self._write_status(key, [])
        kept = finalizers_with(service, held=False)
        if kept is not None:
            await self._patch(key, {"metadata": {"finalizers": kept, "uid": service.metadata.uid}})
        self._recorder.event(service, NORMAL, "DeletedLoadBalancer", "Deleted load balancer")

    def _release(self, key: ObjectKey) -> None:
        self._waiting.pop(key, None)
        if self._pool is not None and self._pool.release(key):
            for waiting in self._waiting:
                self.queue.add(waiting)

    async def _patch(self, key: ObjectKey, change: dict[str, Any], subresource: str = "") -> None:
        await self._client.patch(Service, key.name, key.namespace, change, type="merge", subresource=subresource)

    async def _write_status(self, key: ObjectKey, addresses: list[str]) -> None:
        ingress = [to_dict(item) for item in ingress_of(addresses)]
        await self._patch(key, {"status": {"loadBalancer": {"ingress": ingress or None}}}, "status")


def _as_seen(service: Service) -> dict[str, str | None]:
    """Of another Service by that name, or one that has other finalizers by now, nothing is to be changed."""
    return {"uid": service.metadata.uid, "resourceVersion": service.metadata.resource_version}


def _service_of(slice_: EndpointSlice) -> list[str]:
    name = slice_.metadata.labels.get(SERVICE_NAME_LABEL)
    return [f"{slice_.metadata.namespace}/{name}"] if name else []

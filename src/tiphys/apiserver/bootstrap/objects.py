"""Makes what is missing of a cluster's first objects, at every start."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from ipaddress import IPv4Network, ip_address
from typing import Any, Final

from tiphys.api import codec, errors
from tiphys.api.types import core_v1, discovery_v1, flowcontrol_v1, meta_v1, networking_v1, scheduling_v1
from tiphys.apiserver.authorization import bootstrap as roles
from tiphys.apiserver.bootstrap import flow_control, front_proxy
from tiphys.apiserver.config import ApiServerConfig
from tiphys.apiserver.registry.kinds import resource_of
from tiphys.apiserver.registry.options import WriteOptions
from tiphys.apiserver.registry.registry import Registry
from tiphys.apiserver.registry.updating import Changed, Stored
from tiphys.apiserver.routing import RequestInfo

NAMESPACES: Final = ("kube-system", "kube-public", "kube-node-lease", "default")
_NODE_CRITICAL: Final = (
    2000001000,
    "Used for system critical pods that must not be moved from their current node.",
)
_CLUSTER_CRITICAL: Final = (
    2000000000,
    "Used for system critical pods that must run in the cluster, but can be moved to another node if necessary.",
)
BOOTSTRAP_OPTIONS: Final = WriteOptions(field_manager="kube-apiserver", field_validation="Ignore")
_SERVICE: Final = "kubernetes"
_PORT_NAME: Final = "https"


class Bootstrap:
    """Idempotent: what is there stays as it is, but for the endpoint of `kubernetes`, which follows the address."""

    def __init__(self, config: ApiServerConfig, registry: Registry, user: Any, *, shared: bool = False) -> None:
        self._config = config
        self._shared = shared
        self._registry = registry
        self._user = user

    async def run(self) -> None:
        """Make what is missing. Raises ApiError if the store refuses."""
        for obj in self._objects():
            await self._ensure(obj)
        await self._mark(self._service_cidr(), _ready)
        for obj in flow_control.objects():
            await self._ensure(obj)
            if isinstance(obj, flowcontrol_v1.FlowSchema):
                await self._mark(obj, _found)
        if self._config.client_ca:
            await self._follow_settings(front_proxy.published(self._config))
        address = self._config.advertise_address
        # Pods cannot reach a loopback address, and no endpoint may have one. Where others share the store, `Masters`
        # keeps the endpoints of all.
        if address and not ip_address(address).is_loopback and not self._shared:
            await self._follow_address(endpoints((address,), self._config.port))
            await self._follow_address(endpoint_slice((address,), self._config.port))

    def _objects(self) -> Iterator[Any]:
        for name in NAMESPACES:
            yield core_v1.Namespace(metadata=meta_v1.ObjectMeta(name=name))
        yield from roles.objects()
        for name, (value, description) in (
            ("system-node-critical", _NODE_CRITICAL),
            ("system-cluster-critical", _CLUSTER_CRITICAL),
        ):
            yield scheduling_v1.PriorityClass(
                metadata=meta_v1.ObjectMeta(name=name), value=value, description=description
            )
        yield self._service_cidr()
        yield self._service()

    def _service_cidr(self) -> networking_v1.ServiceCIDR:
        return networking_v1.ServiceCIDR(
            metadata=meta_v1.ObjectMeta(name=_SERVICE),
            spec=networking_v1.ServiceCIDRSpec(cidrs=(self._config.service_cidr,)),
        )

    def _service(self) -> core_v1.Service:
        port = core_v1.ServicePort(name=_PORT_NAME, protocol="TCP", port=443, target_port=self._config.port)
        address = str(IPv4Network(self._config.service_cidr)[1])
        return core_v1.Service(
            metadata=meta_v1.ObjectMeta(
                name=_SERVICE, namespace="default", labels={"component": "apiserver", "provider": "kubernetes"}
            ),
            spec=core_v1.ServiceSpec(
                cluster_ip=address,
                cluster_ips=(address,),
                ip_families=("IPv4",),
                ip_family_policy="SingleStack",
                ports=(port,),
                session_affinity="None",
                type="ClusterIP",
            ),
        )

    async def _ensure(self, obj: Any) -> None:
        resource = resource_of(type(obj))
        endpoint = self._registry.of(resource)
        meta = obj.metadata
        key = f"{meta.namespace}/{meta.name}" if resource.namespaced else meta.name
        if key in endpoint.cache.objects:
            return
        info = info_of("create", obj)
        try:
            await endpoint.creator.create_object(obj, info, BOOTSTRAP_OPTIONS, self._user, [])
        except errors.ApiError as error:
            if error.reason != "AlreadyExists":
                raise

    async def _mark(self, obj: Any, status: Callable[[Any], Any]) -> None:
        """Give an object the status its controller would, unless it has one."""
        endpoint = self._registry.of(resource_of(type(obj)))

        def change(stored: Stored) -> Changed:
            new = codec.decode(type(obj), stored.value)
            if not new.status.conditions:
                new.status = status(new)
            return Changed(new, raw=True)

        info = info_of("update", obj)
        info.subresource = "status"
        await endpoint.updater.change(info, change, BOOTSTRAP_OPTIONS, self._user, [])

    async def _follow_settings(self, published: core_v1.ConfigMap) -> None:
        """Make the ConfigMap, and keep its data what the settings say."""
        await self._ensure(published)
        endpoint = self._registry.of(resource_of(core_v1.ConfigMap))

        def change(stored: Stored) -> Changed:
            new = codec.decode(core_v1.ConfigMap, stored.value)
            new.data = front_proxy.merged(new.data, published.data)
            return Changed(new)

        await endpoint.updater.change(info_of("update", published), change, BOOTSTRAP_OPTIONS, self._user, [])

    async def _follow_address(self, obj: Any) -> None:
        await self._ensure(obj)
        endpoint = self._registry.of(resource_of(type(obj)))

        def change(stored: Stored) -> Changed:
            obj.metadata.uid = obj.metadata.resource_version = None
            return Changed(obj)

        await endpoint.updater.change(info_of("update", obj), change, BOOTSTRAP_OPTIONS, self._user, [])


def endpoints(addresses: tuple[str, ...], port: int) -> core_v1.Endpoints:
    """The Endpoints of the Service `kubernetes`: the apiservers at these addresses."""
    ports = (core_v1.EndpointPort(name=_PORT_NAME, port=port, protocol="TCP"),)
    found = tuple(core_v1.EndpointAddress(ip=address) for address in addresses)
    return core_v1.Endpoints(
        metadata=meta_v1.ObjectMeta(
            name=_SERVICE, namespace="default", labels={"endpointslice.kubernetes.io/skip-mirror": "true"}
        ),
        subsets=(core_v1.EndpointSubset(addresses=found, ports=ports),),
    )


def endpoint_slice(addresses: tuple[str, ...], port: int) -> discovery_v1.EndpointSlice:
    """As `endpoints`, as an EndpointSlice."""
    ready = discovery_v1.EndpointConditions(ready=True)
    return discovery_v1.EndpointSlice(
        metadata=meta_v1.ObjectMeta(
            name=_SERVICE, namespace="default", labels={"kubernetes.io/service-name": _SERVICE}
        ),
        address_type="IPv4",
        endpoints=tuple(discovery_v1.Endpoint(addresses=(address,), conditions=ready) for address in addresses),
        ports=(discovery_v1.EndpointPort(name=_PORT_NAME, port=port, protocol="TCP"),),
    )


def _ready(obj: networking_v1.ServiceCIDR) -> networking_v1.ServiceCIDRStatus:
    """The default range is usable from the start."""
    condition = meta_v1.Condition(
        type="Ready",
        status="True",
        message="Kubernetes default Service CIDR is ready",
        last_transition_time=obj.metadata.creation_timestamp,
    )
    return networking_v1.ServiceCIDRStatus(conditions=(condition,))


def _found(obj: flowcontrol_v1.FlowSchema) -> flowcontrol_v1.FlowSchemaStatus:
    condition = flow_control.dangling(obj, exists=True, since=obj.metadata.creation_timestamp)
    return flowcontrol_v1.FlowSchemaStatus(conditions=(condition,))


def info_of(verb: str, obj: Any) -> RequestInfo:
    """The request that does this to the object."""
    resource, meta = resource_of(type(obj)), obj.metadata
    return RequestInfo(
        resource.path(meta.namespace or "", meta.name or ""),
        verb,
        resource.group,
        resource.version,
        resource.plural,
        meta.namespace or "",
        meta.name or "",
        target=resource,
    )

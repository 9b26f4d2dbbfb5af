"""Which addresses a Service of type LoadBalancer has: one of a pool, or its nodes' own. Pure."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Mapping, Set
from typing import Final

from tiphys.api.types.core_v1 import LoadBalancerIngress, Node, Service
from tiphys.api.types.discovery_v1 import EndpointSlice
from tiphys.base.address_ranges import AddressRanges

FINALIZER: Final = "service.kubernetes.io/load-balancer-cleanup"
CLASS: Final = "tiphys.io/load-balancer"
"""The ``loadBalancerClass`` that means this controller; a Service without any is ours too."""
EXCLUDED_LABEL: Final = "node.kubernetes.io/exclude-from-external-load-balancers"
NODES: Final = "nodes"
NONE: Final = "none"
Owner = tuple[str, str]
"""(namespace, name) of a Service."""


class AddressError(ValueError):
    """No address for a Service; the text says why, for the user."""


def is_ours(service: Service) -> bool:
    """Whether its class, if it has one, is this controller's."""
    return service.spec.load_balancer_class in (None, "", CLASS)


def wants_address(service: Service) -> bool:
    """Whether it is to have an address now."""
    return service.spec.type == "LoadBalancer" and is_ours(service) and service.metadata.deletion_timestamp is None


class Pool:
    """Addresses to give, each to one Service at a time. ``text`` as AddressRanges has it; raises ValueError."""

    def __init__(self, text: str) -> None:
        self._ranges = AddressRanges(text)
        self._owners: dict[str, Owner] = {}
        self._by_owner: dict[Owner, str] = {}

    def of(self, owner: Owner) -> str:
        """The address the owner has; "" for none."""
        return self._by_owner.get(owner, "")

    def occupy(self, owner: Owner, address: str) -> bool:
        """The owner has it already, as its status says; False when it cannot: not ours to give, or another's."""
        if address not in self._ranges or self._owners.get(address, owner) != owner:
            return False
        self.release(owner)
        self._owners[address] = owner
        self._by_owner[owner] = address
        return True

    def release(self, owner: Owner) -> bool:
        """The owner needs none any more; whether it had one."""
        address = self._by_owner.pop(owner, "")
        if address:
            del self._owners[address]
        return bool(address)

    def assign(self, owner: Owner, asked: str = "") -> str:
        """The address the owner has or gets: the one it asked for, else the one it has, else the first free one.

        Raises AddressError.
        """
        if asked:
            if asked not in self._ranges:
                raise AddressError(f"spec.loadBalancerIP {asked} is not in the cluster's range for load balancers")
            if not self.occupy(owner, asked):
                raise AddressError(f"spec.loadBalancerIP {asked} is in use by {'/'.join(self._owners[asked])}")
            return asked
        if owner in self._by_owner:
            return self.of(owner)
        for address in self._ranges:
            if address not in self._owners:
                self.occupy(owner, address)
                return address
        raise AddressError("every address of the cluster's range for load balancers is in use")


def is_eligible(node: Node) -> bool:
    """Whether traffic from outside may be sent to the node."""
    ready = any(c.type == "Ready" and c.status == "True" for c in node.status.conditions)
    return ready and node.metadata.deletion_timestamp is None and EXCLUDED_LABEL not in node.metadata.labels


def node_address(node: Node) -> str:
    """Where the node is reached from outside: its ExternalIP, else its InternalIP; "" before it has told."""
    by_type = {a.type: a.address for a in reversed(node.status.addresses) if ":" not in a.address}
    return by_type.get("ExternalIP") or by_type.get("InternalIP") or ""


def node_addresses(service: Service, nodes: Iterable[Node], slices: Iterable[EndpointSlice]) -> list[str]:
    """The addresses of the nodes that take the Service's traffic, sorted: with ``Local`` those with endpoints."""
    eligible = {node.metadata.name or "": node for node in nodes if is_eligible(node)}
    if service.spec.external_traffic_policy == "Local":
        with_endpoints = {
            endpoint.node_name
            for slice_ in slices
            for endpoint in slice_.endpoints
            if endpoint.conditions.ready is not False
        }
        eligible = {name: node for name, node in eligible.items() if name in with_endpoints}
    found = {node_address(node) for node in eligible.values()} - {""}
    return sorted(found, key=lambda address: int(ipaddress.IPv4Address(address)))


def ports_of(service: Service) -> set[tuple[str, int]]:
    return {(port.protocol or "TCP", port.port) for port in service.spec.ports}


def port_conflict(service: Service, others: Iterable[Service], reserved: Set[int]) -> str:
    """Why the Service cannot have its ports on the nodes' own addresses; "" when it can.

    Of two Services that want a port the older has it. ``reserved`` are TCP ports of the node's own servers.
    """
    wanted = ports_of(service)
    for protocol, port in sorted(wanted):
        if protocol == "TCP" and port in reserved:
            return f"port {port} of the nodes is in use by the cluster itself"
    mine = _age(service)
    for other in others:
        shared = wanted & ports_of(other)
        if shared and _age(other) < mine:
            protocol, port = min(shared)
            name = f"{other.metadata.namespace}/{other.metadata.name}"
            return f"port {port}/{protocol} of the nodes is in use by {name}"
    return ""


def _age(service: Service) -> tuple[str, str, str]:
    meta = service.metadata
    return (meta.creation_timestamp or "", meta.namespace or "", meta.name or "")


def ingress_of(addresses: Iterable[str]) -> tuple[LoadBalancerIngress, ...]:
    return tuple(LoadBalancerIngress(ip=address, ip_mode="VIP") for address in addresses)


def finalizers_with(service: Service, *, held: bool) -> list[str] | None:
    """The Service's finalizers with ours, or without it; None when they are so already."""
    present = FINALIZER in service.metadata.finalizers
    if present == held:
        return None
    others = [name for name in service.metadata.finalizers if name != FINALIZER]
    return [*others, FINALIZER] if held else others


def eligibility(node: Node) -> Mapping[str, object]:
    """What of a node matters here; an update that leaves it alone needs no look."""
    return {"eligible": is_eligible(node), "address": node_address(node)}

"""What one Service wants in the nft table: a pure function of it and its endpoints."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from tiphys.api.types.core_v1 import Service, ServicePort
from tiphys.api.types.discovery_v1 import EndpointSlice
from tiphys.base.address_ranges import AddressRanges
from tiphys.proxy.config import ProxyConfig
from tiphys.proxy.endpoints import Endpoints, Target, candidates, choose
from tiphys.proxy.ruleset import CHAIN, ELEMENT, MAP, SET, Item, mark_for_masquerade

DEFAULT_AFFINITY_SECONDS = 10800
REFUSE, DROP = "goto refuse", "drop"

Items = dict[Item, str]


class Front(NamedTuple):
    """One place where a Service is reached: an address and port, or (address "") a port of the node."""

    address: str
    protocol: str
    port: int
    external: bool

    @property
    def key(self) -> str:
        head = f"{self.address} . " if self.address else ""
        return f"{head}{self.protocol} . {self.port}"

    def kind(self, local: bool) -> str:
        """Which of the four families of slots its endpoints are in, as the beginning of their names."""
        return ("local-" if local else "") + ("" if self.address else "node-port-")


def is_proxied(service: Service) -> bool:
    """Whether it has an address of its own: neither headless nor ExternalName."""
    return service.spec.type != "ExternalName" and service.spec.cluster_ip not in (None, "", "None")


def load_balancer_addresses(service: Service) -> list[str]:
    """The balancer's addresses whose packets arrive here as they were sent (ipMode VIP)."""
    ingress = service.status.load_balancer.ingress
    return [i.ip for i in ingress if i.ip and ":" not in i.ip and i.ip_mode in (None, "VIP")]


def fronts(service: Service, port: ServicePort) -> Iterator[Front]:
    spec, protocol = service.spec, (port.protocol or "TCP").lower()
    for address in spec.cluster_ips or (spec.cluster_ip or "",):
        if address and ":" not in address:
            yield Front(address, protocol, port.port, external=False)
    for address in spec.external_ips:
        if ":" not in address:
            yield Front(address, protocol, port.port, external=True)
    for address in load_balancer_addresses(service):
        yield Front(address, protocol, port.port, external=True)
    if port.node_port:
        yield Front("", protocol, port.node_port, external=True)


def _digest(*parts: object) -> str:
    return hashlib.sha256("/".join(map(str, parts)).encode()).hexdigest()[:12]


@functools.cache
def _ranges(text: str) -> AddressRanges:
    return AddressRanges(text)


@functools.cache
def _slot(kind: str, number: int) -> tuple[Item, Item, str, str]:
    """The map and the chain of the ``number``-th endpoint of all Services, and what they are."""
    name = f"{kind}endpoints-{number}"
    address, expression = ("", "") if "node-port" in kind else ("ipv4_addr . ", "ip daddr . ")
    definition = f"type {address}inet_proto . inet_service : ipv4_addr . inet_service;"
    rule = f"dnat ip addr . port to {expression}meta l4proto . th dport map @{name}"
    return Item(MAP, name), Item(CHAIN, f"{kind}slot-{number}"), definition, rule


@functools.cache
def _picking(kind: str, count: int) -> str:
    verdicts = ", ".join(f"{number} : goto {kind}slot-{number}" for number in range(count))
    return f"numgen random mod {count} vmap {{ {verdicts} }}" if count > 1 else f"goto {kind}slot-0"


def _pick(items: Items, front: Front, targets: tuple[Target, ...], *, local: bool, masquerade: bool) -> str:
    """Put the targets into slots; returns the chain, shared by all Services, that picks one of so many slots."""
    kind = front.kind(local)
    for number, target in enumerate(targets):
        map_, chain, definition, rule = _slot(kind, number)
        items[map_], items[chain] = definition, rule
        items[Item(ELEMENT, map_.name, front.key)] = f"{target.address} . {target.port}"
    name = f"{kind}pick-{len(targets)}"
    items[Item(CHAIN, name)] = _picking(kind, len(targets))
    if not masquerade:
        return name
    items[Item(CHAIN, f"masquerade-{name}")] = f"{mark_for_masquerade()}\ngoto {name}"
    return f"masquerade-{name}"


def _affinity(items: Items, owner: str, targets: tuple[Target, ...], seconds: int) -> str:
    """A chain that sends a client where it went before, else anywhere; each target's set remembers its clients."""
    name = f"affinity-{owner}"
    rules, verdicts = [], []
    for number, target in enumerate(targets):
        own = f"{name}-{_digest(*target)}"
        # Its timeout is part of the name: a set's definition cannot be changed.
        clients = f"{own}-{seconds}"
        items[Item(SET, clients)] = f"type ipv4_addr; flags dynamic,timeout; timeout {seconds}s;"
        items[Item(CHAIN, own)] = "\n".join(
            [
                f"update @{clients} {{ ip saddr timeout {seconds}s }}",
                # nft wants to see a protocol with ports named before it takes a port.
                f"meta l4proto {{ tcp, udp, sctp }} dnat to {target.address}:{target.port}",
            ]
        )
        rules.append(f"ip saddr @{clients} goto {own}")
        verdicts.append(f"{number} : goto {own}")
    rules.append(f"numgen random mod {len(targets)} vmap {{ {', '.join(verdicts)} }}")
    items[Item(CHAIN, name)] = "\n".join(rules)
    return name


class _Port:
    """One port of a Service being turned into items."""

    def __init__(self, service: Service, port: ServicePort, endpoints: Endpoints, config: ProxyConfig) -> None:
        self.items: Items = {}
        self._service, self._port, self._endpoints, self._config = service, port, endpoints, config
        spec = service.spec
        meta = service.metadata
        self._owner = _digest(meta.namespace, meta.name, port.protocol, port.port)
        self._external_local = spec.external_traffic_policy == "Local"
        self._internal_local = spec.internal_traffic_policy == "Local"
        self._affinity_seconds = 0
        if spec.session_affinity == "ClientIP":
            client_ip = spec.session_affinity_config.client_ip if spec.session_affinity_config else None
            self._affinity_seconds = (client_ip and client_ip.timeout_seconds) or DEFAULT_AFFINITY_SECONDS

    def _to(self, front: Front, targets: tuple[Target, ...], *, local: bool, masquerade: bool) -> str:
        """The name of a chain that sends the front's packets to these targets."""
        if not self._affinity_seconds:
            return _pick(self.items, front, targets, local=local, masquerade=masquerade)
        owner = f"{self._owner}-local" if local else self._owner
        name = _affinity(self.items, owner, targets, self._affinity_seconds)
        if not masquerade:
            return name
        self.items[Item(CHAIN, f"{name}-masquerade")] = f"{mark_for_masquerade()}\ngoto {name}"
        return f"{name}-masquerade"

    def _unserved(self, front: Front, verdict: str) -> None:
        name = "unserved" if front.address else "unserved-node-ports"
        self.items[Item(ELEMENT, name, front.key)] = verdict

    def _external_local_chain(self, front: Front) -> str:
        """Traffic from outside goes to this node's endpoints and keeps its address; from inside, to any endpoint."""
        cluster, local = self._endpoints.cluster, self._endpoints.local
        inside = self._to(front, cluster, local=False, masquerade=False)
        own = self._to(front, cluster, local=False, masquerade=True)
        outside = f"goto {self._to(front, local, local=True, masquerade=False)}" if local else DROP
        name = f"outside-{_digest(inside, own, outside)}"
        self.items[Item(CHAIN, name)] = "\n".join(
            [f"ip saddr {self._config.cluster_cidr} goto {inside}", f"fib saddr type local goto {own}", outside]
        )
        return name

    def _restricted(self, front: Front, chain: str) -> str:
        """For a balancer's address: only clients in loadBalancerSourceRanges."""
        ranges = [r.strip() for r in self._service.spec.load_balancer_source_ranges if ":" not in r]
        if not ranges or front.address not in load_balancer_addresses(self._service):
            return chain
        name = f"firewall-{_digest(self._owner, chain, *ranges)}"
        self.items[Item(CHAIN, name)] = f"ip saddr != {{ {', '.join(sorted(set(ranges)))} }} drop\ngoto {chain}"
        return name

    def add(self, front: Front) -> None:
        cluster, local = self._endpoints.cluster, self._endpoints.local
        if front.external and self._external_local:
            if not cluster:
                self._unserved(front, REFUSE)
                return
            chain = self._external_local_chain(front)
        elif not front.external and self._internal_local:
            if not local:
                self._unserved(front, DROP if self._endpoints.any else REFUSE)
                return
            chain = self._to(front, local, local=False, masquerade=False)
        elif not cluster:
            self._unserved(front, REFUSE)
            return
        else:
            chain = self._to(front, cluster, local=False, masquerade=front.external)
        chain = self._restricted(front, chain) if front.external else chain
        self.items[Item(ELEMENT, "services" if front.address else "node-ports", front.key)] = f"goto {chain}"


def items_of(service: Service | None, slices: Iterable[EndpointSlice], config: ProxyConfig) -> Items:
    """Everything the Service wants in the table; empty for one that is gone, headless or an ExternalName."""
    items: Items = {}
    if service is None or not is_proxied(service):
        return items
    slices = list(slices)
    for address in service.spec.cluster_ips or (service.spec.cluster_ip or "",):
        if address and ":" not in address:
            items[Item(ELEMENT, "cluster-ips", address)] = ""
    for address in load_balancer_addresses(service):
        # An address of the pool is the Service's alone: its other ports are refused like a ClusterIP's.
        if address in _ranges(config.load_balancer_cidr):
            items[Item(ELEMENT, "cluster-ips", address)] = ""
    for port in service.spec.ports:
        found = candidates(port, slices, config.node_name)
        made = _Port(service, port, choose(found, config.node_name, config.zone), config)
        for front in fronts(service, port):
            made.add(front)
        items |= made.items
        for candidate in found:
            if candidate.local:
                address = candidate.target.address
                items[Item(ELEMENT, "hairpin", f"{address} . {address}")] = ""
    return items


def local_endpoint_count(service: Service, slices: Iterable[EndpointSlice], config: ProxyConfig) -> int:
    """How many endpoints this node has for it, each address counted once: what its health check reports."""
    slices = list(slices)
    addresses = {
        target.address
        for port in service.spec.ports
        for target in choose(candidates(port, slices, config.node_name), config.node_name, config.zone).local
    }
    return len(addresses)

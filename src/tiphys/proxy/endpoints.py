"""Which endpoints a Service's traffic goes to: pure functions of its EndpointSlices."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from tiphys.api.types.core_v1 import ServicePort
from tiphys.api.types.discovery_v1 import Endpoint, EndpointSlice


class Target(NamedTuple):
    """Where a connection goes."""

    address: str
    port: int


class Candidate(NamedTuple):
    target: Target
    ready: bool
    serving: bool
    terminating: bool
    local: bool
    zones: tuple[str, ...]
    nodes: tuple[str, ...]


class Endpoints(NamedTuple):
    """The targets by traffic policy, sorted. ``any`` is whether there is an endpoint somewhere, usable here or not."""

    cluster: tuple[Target, ...]
    local: tuple[Target, ...]
    any: bool


def _candidate(endpoint: Endpoint, port: int, node_name: str) -> Iterator[Candidate]:
    conditions, hints = endpoint.conditions, endpoint.hints
    ready = conditions.ready is not False
    for address in endpoint.addresses[:1]:  # the rest, where there are any, name the same endpoint
        yield Candidate(
            target=Target(address, port),
            ready=ready,
            serving=ready if conditions.serving is None else conditions.serving,
            terminating=bool(conditions.terminating),
            local=endpoint.node_name == node_name,
            zones=tuple(zone.name for zone in hints.for_zones) if hints else (),
            nodes=tuple(node.name for node in hints.for_nodes) if hints else (),
        )


def candidates(port: ServicePort, slices: Iterable[EndpointSlice], node_name: str) -> list[Candidate]:
    """Every endpoint of one Service port, each once, usable or not."""
    found: dict[Target, Candidate] = {}
    for slice_ in slices:
        if slice_.address_type != "IPv4":
            continue
        for slice_port in slice_.ports:
            same = (slice_port.name or "") == (port.name or "")
            if not same or (slice_port.protocol or "TCP") != (port.protocol or "TCP") or slice_port.port is None:
                continue
            for endpoint in slice_.endpoints:
                for candidate in _candidate(endpoint, slice_port.port, node_name):
                    earlier = found.get(candidate.target)
                    if earlier is None or (candidate.ready and not earlier.ready):
                        found[candidate.target] = candidate
    return list(found.values())


def _usable(all_: list[Candidate]) -> list[Candidate]:
    """The ready ones; when there are none, those that still serve while they terminate."""
    return [c for c in all_ if c.ready] or [c for c in all_ if c.serving and c.terminating]


def _near(usable: list[Candidate], node_name: str, zone: str) -> list[Candidate]:
    """As the hints say, if every endpoint has them and they leave one: half a cluster's hints mislead."""
    if usable and all(c.nodes for c in usable):
        near = [c for c in usable if node_name in c.nodes]
        if near:
            return near
    if zone and usable and all(c.zones for c in usable):
        near = [c for c in usable if zone in c.zones]
        if near:
            return near
    return usable


def choose(all_: list[Candidate], node_name: str, zone: str) -> Endpoints:
    """Decide the targets of cluster-wide and of node-local traffic."""
    usable = _usable(all_)
    return Endpoints(
        cluster=tuple(sorted(c.target for c in _near(usable, node_name, zone))),
        local=tuple(sorted(c.target for c in _usable([c for c in all_ if c.local]))),
        any=bool(usable),
    )

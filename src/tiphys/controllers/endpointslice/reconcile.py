"""Slices as they should be, with as few writes as possible. Pure.

Endpoints with the same ports and address family share slices of at most 100. An endpoint stays in the slice it is in;
new ones fill slices that change anyway, then slices with room, then new slices.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import msgspec

from tiphys.api.types.core_v1 import Node, Pod, Service
from tiphys.api.types.discovery_v1 import (
    Endpoint,
    EndpointConditions,
    EndpointHints,
    EndpointPort,
    EndpointSlice,
    ForNode,
    ForZone,
)
from tiphys.api.types.meta_v1 import ObjectMeta, OwnerReference
from tiphys.controllers import endpoints_of
from tiphys.controllers.endpointslice import topology

MAX_ENDPOINTS: Final = 100
MANAGER: Final = "endpointslice-controller.k8s.io"
_NOT_COPIED_ANNOTATIONS: Final = frozenset(
    (endpoints_of.TRIGGER_TIME, "kubectl.kubernetes.io/last-applied-configuration")
)

Ports = tuple[EndpointPort, ...]


@dataclass(frozen=True, slots=True)
class Changes:
    """Slices to write."""

    create: tuple[EndpointSlice, ...] = ()
    update: tuple[EndpointSlice, ...] = ()
    delete: tuple[EndpointSlice, ...] = ()


@dataclass(slots=True)
class _Group:
    """The endpoints of one port list and address family, by target uid."""

    family: str
    ports: Ports
    endpoints: dict[str, Endpoint] = field(default_factory=dict)


def endpoint_of(pod: Pod, service: Service, family: str, node: Node | None) -> Endpoint:
    """The endpoint of a pod that backs the Service."""
    serving = endpoints_of.serves(pod)
    terminating = pod.metadata.deletion_timestamp is not None
    tolerant = endpoints_of.tolerates_unready(service)
    ready = tolerant or (serving and not terminating)
    zone = node.metadata.labels.get(topology.ZONE_LABEL) if node else None
    return Endpoint(
        addresses=(endpoints_of.address_of(pod, family),),
        conditions=EndpointConditions(ready=ready, serving=serving, terminating=terminating),
        hostname=endpoints_of.host_name(pod, service),
        node_name=pod.spec.node_name,
        zone=zone,
        target_ref=endpoints_of.target_reference(pod),
        hints=_hints(service.spec.traffic_distribution, zone, pod.spec.node_name) if ready else None,
    )


def _hints(distribution: str | None, zone: str | None, node_name: str | None) -> EndpointHints | None:
    """For whom an endpoint is, as spec.trafficDistribution has it; None where nothing is preferred or known."""
    if distribution not in ("PreferClose", "PreferSameZone", "PreferSameNode"):
        return None
    zones = (ForZone(name=zone),) if zone else ()
    nodes = (ForNode(name=node_name),) if node_name and distribution == "PreferSameNode" else ()
    return EndpointHints(for_zones=zones, for_nodes=nodes) if zones or nodes else None


def ports_of(service: Service, pod: Pod) -> Ports:
    """The ports at which the pod serves the Service."""
    found = []
    for port in service.spec.ports:
        number = endpoints_of.port_number(port, pod)
        if number is not None:
            found.append(
                EndpointPort(
                    name=port.name or "",
                    port=number,
                    protocol=port.protocol or "TCP",
                    app_protocol=port.app_protocol,
                )
            )
    return tuple(found)


def _groups(service: Service, pods: Iterable[Pod], nodes: Mapping[str, Node]) -> dict[tuple[str, bytes], _Group]:
    groups: dict[tuple[str, bytes], _Group] = {}
    families = endpoints_of.families(service)
    for pod in pods:
        if not endpoints_of.counts(pod, include_terminating=True):
            continue
        ports = ports_of(service, pod)
        for family in families:
            if not endpoints_of.address_of(pod, family):
                continue
            group = groups.setdefault((family, _port_key(ports)), _Group(family, ports))
            endpoint = endpoint_of(pod, service, family, nodes.get(pod.spec.node_name or ""))
            group.endpoints[pod.metadata.uid or ""] = endpoint
    for family in families:
        # A Service nobody backs has one empty slice a family: its consumers know it was looked at.
        if not any(key[0] == family for key in groups):
            groups[family, b""] = _Group(family, ())
    return groups


def _spread_over_zones(groups: Iterable[_Group], cpus: Mapping[str, int]) -> None:
    for group in groups:
        ready = {uid: e.zone or "" for uid, e in group.endpoints.items() if e.conditions.ready}
        zones = topology.allocate(cpus, ready)
        for uid, endpoint in group.endpoints.items():
            hints = EndpointHints(for_zones=(ForZone(name=zones[uid]),)) if uid in zones else None
            group.endpoints[uid] = msgspec.structs.replace(endpoint, hints=hints)


def _port_key(ports: Ports) -> bytes:
    return b"|".join(sorted(msgspec.json.encode(port) for port in ports))


def decide(
    service: Service,
    pods: Iterable[Pod],
    nodes: Mapping[str, Node],
    existing: Sequence[EndpointSlice],
    *,
    trigger_time: str | None,
    cpus: Mapping[str, int] | None = None,
) -> Changes:
    """What makes `existing`, the Service's slices, show `pods`, those its selector matches.

    `trigger_time`: when the change that led here happened (RFC 3339), noted on each slice written. `cpus`: of each
    zone, where the Service wants endpoints to be spread by them.
    """
    groups = _groups(service, pods, nodes)
    if cpus is not None:
        _spread_over_zones(groups.values(), cpus)
    by_group: dict[tuple[str, bytes], list[EndpointSlice]] = {}
    delete: list[EndpointSlice] = []
    for piece in existing:
        key = (piece.address_type, _port_key(piece.ports))
        if key in groups:
            by_group.setdefault(key, []).append(piece)
        else:
            delete.append(piece)
    create: list[EndpointSlice] = []
    update: list[EndpointSlice] = []
    for key, group in groups.items():
        changes = _pack(service, group, by_group.get(key, []), trigger_time)
        create += changes.create
        update += changes.update
        delete += changes.delete
    return Changes(tuple(create), tuple(update), tuple(delete))


def _pack(service: Service, group: _Group, existing: Sequence[EndpointSlice], trigger_time: str | None) -> Changes:
    missing = dict(group.endpoints)
    kept: list[tuple[EndpointSlice, list[Endpoint]]] = []
    for piece in sorted(existing, key=lambda p: p.metadata.name or ""):
        uids = [endpoint.target_ref.uid or "" if endpoint.target_ref else "" for endpoint in piece.endpoints]
        kept.append((piece, [missing.pop(uid) for uid in uids if uid in missing]))
    # Slices that are written anyway come first, then the fullest: few writes, few slices.
    kept.sort(key=lambda pair: (tuple(pair[1]) == pair[0].endpoints, -len(pair[1])))
    waiting = list(missing.values())
    for _, endpoints in kept:
        room = MAX_ENDPOINTS - len(endpoints)
        endpoints += waiting[:room]
        waiting = waiting[room:]
    create = [
        _made(service, group, tuple(waiting[start : start + MAX_ENDPOINTS]), trigger_time)
        for start in range(0, len(waiting), MAX_ENDPOINTS)
    ]
    empty = [piece for piece, endpoints in kept if not endpoints]
    # An empty slice stays only if it would be the last one.
    delete = empty if create or len(empty) < len(kept) else empty[1:]
    update = [
        changed
        for piece, endpoints in kept
        if piece not in delete and (changed := _updated(service, piece, tuple(endpoints), trigger_time)) is not None
    ]
    if not kept and not create:
        create = [_made(service, group, (), trigger_time)]
    return Changes(tuple(create), tuple(update), tuple(delete))


def labels_of(service: Service, current: Mapping[str, str]) -> dict[str, str]:
    """A slice's labels: the Service's own and those that say whose slice it is."""
    labels = {k: v for k, v in service.metadata.labels.items() if k != endpoints_of.HEADLESS_LABEL}
    if endpoints_of.is_headless(service):
        labels[endpoints_of.HEADLESS_LABEL] = ""
    labels[endpoints_of.SERVICE_NAME_LABEL] = service.metadata.name or ""
    labels[endpoints_of.MANAGED_BY_LABEL] = MANAGER
    return labels


def annotations_of(service: Service, trigger_time: str | None) -> dict[str, str]:
    """A slice's annotations: the Service's own and when the change happened."""
    copied = {k: v for k, v in service.metadata.annotations.items() if k not in _NOT_COPIED_ANNOTATIONS}
    return {**copied, endpoints_of.TRIGGER_TIME: trigger_time} if trigger_time else copied


def _made(service: Service, group: _Group, endpoints: tuple[Endpoint, ...], trigger_time: str | None) -> EndpointSlice:
    owner = OwnerReference(
        api_version="v1",
        kind="Service",
        name=service.metadata.name or "",
        uid=service.metadata.uid or "",
        controller=True,
        block_owner_deletion=True,
    )
    return EndpointSlice(
        metadata=ObjectMeta(
            generate_name=f"{service.metadata.name}-",
            namespace=service.metadata.namespace,
            labels=labels_of(service, {}),
            annotations=annotations_of(service, trigger_time),
            owner_references=(owner,),
        ),
        address_type=group.family,
        ports=group.ports,
        endpoints=endpoints,
    )


def _updated(
    service: Service, piece: EndpointSlice, endpoints: tuple[Endpoint, ...], trigger_time: str | None
) -> EndpointSlice | None:
    labels = labels_of(service, piece.metadata.labels)
    before = piece.metadata.annotations
    wanted = annotations_of(service, None)
    unmoved = {k: v for k, v in before.items() if k != endpoints_of.TRIGGER_TIME} == wanted
    if endpoints == piece.endpoints and labels == piece.metadata.labels and unmoved:
        return None
    annotations = annotations_of(service, trigger_time or before.get(endpoints_of.TRIGGER_TIME))
    meta = msgspec.structs.replace(piece.metadata, labels=labels, annotations=annotations)
    return msgspec.structs.replace(piece, metadata=meta, endpoints=endpoints)

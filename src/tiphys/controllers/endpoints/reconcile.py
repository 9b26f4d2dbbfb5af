"""The subsets of a Service's Endpoints object. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

import msgspec

from tiphys.api.types.core_v1 import EndpointAddress, EndpointPort, Endpoints, EndpointSubset, Pod, Service
from tiphys.api.types.meta_v1 import ObjectMeta
from tiphys.controllers import endpoints_of
from tiphys.controllers.pods import is_terminating

MAX_ADDRESSES: Final = 1000
OVER_CAPACITY: Final = "endpoints.kubernetes.io/over-capacity"
MANAGED_BY: Final = "endpoints.kubernetes.io/managed-by"
MANAGER: Final = "endpoint-controller"

Addressed = tuple[EndpointAddress, bool, tuple[EndpointPort, ...]]
"""An address, whether it is ready, and its ports."""


def subsets(service: Service, pods: Iterable[Pod]) -> tuple[EndpointSubset, ...]:
    """The addresses of `pods`, those the selector matches, grouped by their ports and ordered."""
    family = endpoints_of.families(service)[0]
    groups: dict[bytes, _Group] = {}
    for address, ready, ports in _addressed(service, pods, family):
        ordered = tuple(sorted(ports, key=msgspec.json.encode))
        group = groups.setdefault(msgspec.json.encode(ordered), _Group(ordered))
        (group.ready if ready else group.unready)[_identity(address)] = address
    found = [_subset(group) for group in groups.values()]
    return tuple(sorted(found, key=msgspec.json.encode))


@dataclass(slots=True)
class _Group:
    """The addresses that have the same ports, by ip and pod."""

    ports: tuple[EndpointPort, ...]
    ready: dict[str, EndpointAddress] = field(default_factory=dict)
    unready: dict[str, EndpointAddress] = field(default_factory=dict)


def _identity(address: EndpointAddress) -> str:
    return f"{address.ip}/{address.target_ref.uid if address.target_ref else ''}"


def _subset(group: _Group) -> EndpointSubset:
    return EndpointSubset(
        addresses=tuple(group.ready[key] for key in sorted(group.ready)),
        not_ready_addresses=tuple(group.unready[key] for key in sorted(group.unready) if key not in group.ready),
        ports=group.ports,
    )


def _addressed(service: Service, pods: Iterable[Pod], family: str) -> Iterable[Addressed]:
    tolerant = endpoints_of.tolerates_unready(service)
    for pod in pods:
        address = endpoints_of.address_of(pod, family)
        if not address or not endpoints_of.counts(pod, include_terminating=tolerant):
            continue
        entry = EndpointAddress(
            ip=address,
            node_name=pod.spec.node_name,
            hostname=endpoints_of.host_name(pod, service),
            target_ref=endpoints_of.target_reference(pod),
        )
        ready = tolerant or (endpoints_of.serves(pod) and not is_terminating(pod))
        ports = []
        for port in service.spec.ports:
            number = endpoints_of.port_number(port, pod)
            if number is not None:
                ports.append(
                    EndpointPort(
                        name=port.name, port=number, protocol=port.protocol or "TCP", app_protocol=port.app_protocol
                    )
                )
        if ports or endpoints_of.is_headless(service):
            yield entry, ready, tuple(ports)


def truncated(found: tuple[EndpointSubset, ...]) -> tuple[tuple[EndpointSubset, ...], bool]:
    """At most `MAX_ADDRESSES` addresses, ready ones first; whether any were left out."""
    ready = sum(len(subset.addresses) for subset in found)
    if ready + sum(len(subset.not_ready_addresses) for subset in found) <= MAX_ADDRESSES:
        return found, False
    left_ready, left_unready = MAX_ADDRESSES, max(0, MAX_ADDRESSES - ready)
    kept = []
    for subset in found:
        good, bad = subset.addresses[:left_ready], subset.not_ready_addresses[:left_unready]
        left_ready -= len(good)
        left_unready -= len(bad)
        if good or bad:
            kept.append(msgspec.structs.replace(subset, addresses=good, not_ready_addresses=bad))
    return tuple(kept), True


def decide(
    service: Service, pods: Iterable[Pod], current: Endpoints | None, *, trigger_time: str | None
) -> Endpoints | None:
    """The Endpoints object to write, or None if `current` is as it should be."""
    found, over = truncated(subsets(service, pods))
    labels = {**service.metadata.labels, MANAGED_BY: MANAGER}
    labels.pop(endpoints_of.HEADLESS_LABEL, None)
    if endpoints_of.is_headless(service):
        labels[endpoints_of.HEADLESS_LABEL] = ""
    before = current.metadata.annotations if current else {}
    annotations = {k: v for k, v in before.items() if k not in (endpoints_of.TRIGGER_TIME, OVER_CAPACITY)}
    if over:
        annotations[OVER_CAPACITY] = "truncated"
    unmoved = {k: v for k, v in before.items() if k != endpoints_of.TRIGGER_TIME} == annotations
    if current is not None and current.subsets == found and current.metadata.labels == labels and unmoved:
        return None
    moment = trigger_time or before.get(endpoints_of.TRIGGER_TIME)
    if moment:
        annotations[endpoints_of.TRIGGER_TIME] = moment
    if current is None:
        meta = ObjectMeta(
            name=service.metadata.name, namespace=service.metadata.namespace, labels=labels, annotations=annotations
        )
        return Endpoints(metadata=meta, subsets=found)
    meta = msgspec.structs.replace(current.metadata, labels=labels, annotations=annotations)
    return msgspec.structs.replace(current, metadata=meta, subsets=found)

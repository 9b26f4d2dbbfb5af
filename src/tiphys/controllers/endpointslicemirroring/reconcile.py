"""The slices that mirror an Endpoints object. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import msgspec

from tiphys.api.types.core_v1 import EndpointAddress, Endpoints, EndpointSubset, Service
from tiphys.api.types.discovery_v1 import Endpoint, EndpointConditions, EndpointPort, EndpointSlice
from tiphys.api.types.meta_v1 import ObjectMeta
from tiphys.client.ownership import controller_ref
from tiphys.controllers import endpoints_of
from tiphys.controllers.hashing import short_hash

MANAGER: Final = "endpointslicemirroring-controller.k8s.io"
MAX_PER_SUBSET: Final = 1000
_LEADER: Final = "control-plane.alpha.kubernetes.io/leader"
_LAST_APPLIED: Final = "kubectl.kubernetes.io/last-applied-configuration"


@dataclass(frozen=True, slots=True)
class Changes:
    """Slices to write."""

    create: tuple[EndpointSlice, ...] = ()
    update: tuple[EndpointSlice, ...] = ()
    delete: tuple[EndpointSlice, ...] = ()


def is_mirrored(endpoints: Endpoints | None, service: Service | None) -> bool:
    """Whether slices should exist: for a Service without selector, unless its Endpoints say not to."""
    if endpoints is None or service is None or endpoints.metadata.deletion_timestamp is not None:
        return False
    if endpoints_of.has_selector(service) or service.spec.selector:
        return False
    skipped = endpoints.metadata.labels.get(endpoints_of.SKIP_MIRROR_LABEL) == "true"
    return not skipped and _LEADER not in endpoints.metadata.annotations


def wanted(endpoints: Endpoints) -> list[EndpointSlice]:
    """One slice for each subset and address family; its name is derived from the ports and the family."""
    slices: dict[str, EndpointSlice] = {}
    for subset in endpoints.subsets:
        for family in ("IPv4", "IPv6"):
            found = _endpoints(subset, family)
            if not found:
                continue
            ports = tuple(
                EndpointPort(name=p.name or "", port=p.port, protocol=p.protocol or "TCP", app_protocol=p.app_protocol)
                for p in subset.ports
            )
            made = EndpointSlice(address_type=family, ports=ports, endpoints=found[:MAX_PER_SUBSET])
            name = f"{endpoints.metadata.name}-{short_hash(EndpointSlice(address_type=family, ports=ports))}"
            slices[name] = msgspec.structs.replace(made, metadata=_meta(endpoints, name))
    return list(slices.values())


def _meta(endpoints: Endpoints, name: str) -> ObjectMeta:
    labels = {
        **endpoints.metadata.labels,
        endpoints_of.SERVICE_NAME_LABEL: endpoints.metadata.name or "",
        endpoints_of.MANAGED_BY_LABEL: MANAGER,
    }
    annotations = {k: v for k, v in endpoints.metadata.annotations.items() if k != _LAST_APPLIED}
    return ObjectMeta(
        name=name,
        namespace=endpoints.metadata.namespace,
        labels=labels,
        annotations=annotations,
        owner_references=(controller_ref(endpoints),),
    )


def _endpoints(subset: EndpointSubset, family: str) -> tuple[Endpoint, ...]:
    return tuple(
        _endpoint(address, ready)
        for addresses, ready in ((subset.addresses, True), (subset.not_ready_addresses, False))
        for address in addresses
        if (":" in address.ip) == (family == "IPv6")
    )


def _endpoint(address: EndpointAddress, ready: bool) -> Endpoint:
    return Endpoint(
        addresses=(address.ip,),
        conditions=EndpointConditions(ready=ready),
        hostname=address.hostname,
        node_name=address.node_name,
        target_ref=address.target_ref,
    )


def decide(endpoints: Endpoints | None, service: Service | None, existing: Sequence[EndpointSlice]) -> Changes:
    """What makes `existing`, this controller's slices of the Service, mirror the Endpoints."""
    if endpoints is None or not is_mirrored(endpoints, service):
        return Changes(delete=tuple(existing))
    present = {piece.metadata.name: piece for piece in existing}
    create: list[EndpointSlice] = []
    update: list[EndpointSlice] = []
    for piece in wanted(endpoints):
        current = present.pop(piece.metadata.name, None)
        if current is None:
            create.append(piece)
            continue
        same_meta = (current.metadata.labels, current.metadata.annotations) == (
            piece.metadata.labels,
            piece.metadata.annotations,
        )
        if not same_meta or current.endpoints != piece.endpoints or current.ports != piece.ports:
            meta = msgspec.structs.replace(
                current.metadata, labels=piece.metadata.labels, annotations=piece.metadata.annotations
            )
            update.append(msgspec.structs.replace(piece, metadata=meta))
    return Changes(tuple(create), tuple(update), tuple(present.values()))

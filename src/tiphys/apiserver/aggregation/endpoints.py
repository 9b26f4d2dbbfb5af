"""Where a Service's servers are: addresses from its EndpointSlices, since a control plane need not be on a node."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from tiphys.api.types.core_v1 import Service, ServicePort
from tiphys.api.types.discovery_v1 import EndpointSlice

SERVICE_LABEL = "kubernetes.io/service-name"


class Unresolved(Exception):
    """There is nobody to send requests to; `reason` and the text are those of the APIService's condition."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


class Address(NamedTuple):
    """Where a server listens. `host` is a name only for Services of type ExternalName."""

    host: str
    port: int

    @property
    def url(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"https://{host}:{self.port}"


def resolve(
    name: str, namespace: str, port: int, service: Service | None, slices: Iterable[EndpointSlice]
) -> tuple[Address, ...]:
    """The ready servers behind `port` of a Service, in a steady order. Raises Unresolved in upstream's words."""
    if service is None:
        raise Unresolved("ServiceNotFound", f'service/{name} in "{namespace}" is not present')
    if service.spec.type == "ExternalName":
        return (Address(service.spec.external_name or "", port),)
    found = _port(service, port)
    if found is None:
        message = f'service/{name} in "{namespace}" is not listening on port {port}'
        raise Unresolved("ServicePortError", message)
    own = [s for s in slices if s.metadata.labels.get(SERVICE_LABEL) == name and s.address_type != "FQDN"]
    if not own:
        message = f'cannot find endpointslices for service/{name} in "{namespace}"'
        raise Unresolved("EndpointsNotFound", message)
    addresses = {
        Address(endpoint.addresses[0], number)
        for slice_ in own
        for number in (p.port for p in slice_.ports if (p.name or "") == (found.name or "") and p.port)
        for endpoint in slice_.endpoints
        if endpoint.addresses and (endpoint.conditions is None or endpoint.conditions.ready is not False)
    }
    if not addresses:
        message = (
            f'endpointslices for service/{name} in "{namespace}" have no addresses with port name "{found.name or ""}"'
        )
        raise Unresolved("MissingEndpoints", message)
    return tuple(sorted(addresses))


def _port(service: Service, number: int) -> ServicePort | None:
    return next((p for p in service.spec.ports if p.port == number), None)

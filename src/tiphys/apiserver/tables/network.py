"""Tables of what connects pods: Services, endpoints, ingresses, policies."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from tiphys.api.types.core_v1 import Endpoints, Service, ServicePort
from tiphys.api.types.discovery_v1 import EndpointSlice
from tiphys.api.types.networking_v1 import Ingress, IngressClass, IPAddress, NetworkPolicy, ServiceCIDR
from tiphys.apiserver.tables import text
from tiphys.apiserver.tables.ages import age
from tiphys.apiserver.tables.text import NONE, UNSET


def service(obj: Service, now: float) -> list[Any]:
    spec = obj.spec
    return [
        obj.metadata.name,
        spec.type or "",
        spec.cluster_ips[0] if spec.cluster_ips else NONE,
        _external_address(obj),
        ",".join(map(_port, spec.ports)) or NONE,
        age(obj.metadata.creation_timestamp, now),
        text.labels(spec.selector),
    ]


def _port(port: ServicePort) -> str:
    number = f"{port.port}:{port.node_port}" if port.node_port else str(port.port)
    return f"{number}/{port.protocol}"


def _external_address(obj: Service) -> str:
    spec = obj.spec
    if spec.type in ("ClusterIP", "NodePort"):
        return ",".join(spec.external_ips) or NONE
    if spec.type == "LoadBalancer":
        given = _ingress_addresses((item.ip, item.hostname) for item in obj.status.load_balancer.ingress)
        return ",".join((*given, *spec.external_ips)) or "<pending>"
    return spec.external_name or "" if spec.type == "ExternalName" else "<unknown>"


def _ingress_addresses(pairs: Iterable[tuple[str | None, str | None]]) -> list[str]:
    return sorted({ip or hostname or "" for ip, hostname in pairs} - {""})


def endpoints(obj: Endpoints, now: float) -> list[Any]:
    listed: list[str] = []
    for subset in obj.subsets:
        if not subset.ports:
            listed.extend(address.ip for address in subset.addresses)
        for port in subset.ports:
            listed.extend(_host_port(address.ip, port.port) for address in subset.addresses)
    return [obj.metadata.name, text.some(listed, NONE), age(obj.metadata.creation_timestamp, now)]


def _host_port(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def endpoint_slice(obj: EndpointSlice, now: float) -> list[Any]:
    ports = ("*" if port.port is None and not port.name else str(port.port or port.name) for port in obj.ports)
    addresses = (address for endpoint in obj.endpoints for address in endpoint.addresses)
    return [
        obj.metadata.name,
        obj.address_type,
        text.some(ports, UNSET),
        text.some(addresses, UNSET),
        age(obj.metadata.creation_timestamp, now),
    ]


def ingress(obj: Ingress, now: float) -> list[Any]:
    spec = obj.spec
    given = _ingress_addresses((item.ip, item.hostname) for item in obj.status.load_balancer.ingress)
    hosts = [rule.host for rule in spec.rules if rule.host]
    return [
        obj.metadata.name,
        spec.ingress_class_name or NONE,
        text.some(hosts, "*"),
        ",".join(given),
        "80, 443" if spec.tls else "80",
        age(obj.metadata.creation_timestamp, now),
    ]


def ingress_class(obj: IngressClass, now: float) -> list[Any]:
    parameters = NONE
    reference = obj.spec.parameters
    if reference is not None:
        kind = f"{reference.kind}.{reference.api_group}" if reference.api_group else reference.kind
        parameters = f"{kind}/{reference.name}"
    return [obj.metadata.name, obj.spec.controller or "", parameters, age(obj.metadata.creation_timestamp, now)]


def ip_address(obj: IPAddress, now: float) -> list[Any]:
    reference = obj.spec.parent_ref
    kind = f"{reference.resource}.{reference.group}" if reference.group else reference.resource
    parts = (kind, reference.namespace or "", reference.name)
    return [obj.metadata.name, "/".join(part for part in parts if part)]


def network_policy(obj: NetworkPolicy, now: float) -> list[Any]:
    chosen = text.selector(obj.spec.pod_selector)
    return [obj.metadata.name, chosen, age(obj.metadata.creation_timestamp, now)]


def service_cidr(obj: ServiceCIDR, now: float) -> list[Any]:
    return [obj.metadata.name, ",".join(obj.spec.cidrs), age(obj.metadata.creation_timestamp, now)]


PRINTERS: Final = {
    ("", "endpoints"): ("Name|Endpoints|Age", endpoints),
    ("", "services"): ("Name|Type|Cluster-IP|External-IP|Port(s)|Age|Selector*1", service),
    ("discovery.k8s.io", "endpointslices"): ("Name|AddressType|Ports|Endpoints|Age", endpoint_slice),
    ("networking.k8s.io", "ingressclasses"): ("Name|Controller|Parameters|Age", ingress_class),
    ("networking.k8s.io", "ingresses"): ("Name|Class|Hosts|Address|Ports|Age", ingress),
    ("networking.k8s.io", "ipaddresses"): ("Name|ParentRef", ip_address),
    ("networking.k8s.io", "networkpolicies"): ("Name|Pod-Selector|Age", network_policy),
    ("networking.k8s.io", "servicecidrs"): ("Name|CIDRs|Age", service_cidr),
}

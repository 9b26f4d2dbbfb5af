"""Services: addresses, node ports and families that an update keeps, and what a change of type gives up.

Allocation itself needs the cluster's pools and is the registry's; everything here is a function of the two objects.
"""

from __future__ import annotations

from typing import Final

from tiphys.api import field_errors
from tiphys.api.field_errors import FieldError
from tiphys.api.types.core_v1 import Service, ServicePort, ServiceSpec

HEADLESS: Final = "None"
_WITH_ADDRESS: Final = ("ClusterIP", "NodePort", "LoadBalancer")


def needs_cluster_ip(spec: ServiceSpec) -> bool:
    """Whether the type has an address at all (headless counts)."""
    return spec.type in _WITH_ADDRESS


def needs_node_ports(spec: ServiceSpec) -> bool:
    """Whether node ports are to be allocated."""
    return spec.type == "NodePort" or (
        spec.type == "LoadBalancer" and spec.allocate_load_balancer_node_ports is not False
    )


def needs_health_check_port(spec: ServiceSpec) -> bool:
    """Whether a load balancer must be able to ask nodes for local endpoints."""
    return spec.type == "LoadBalancer" and spec.external_traffic_policy == "Local"


def is_externally_accessible(spec: ServiceSpec) -> bool:
    """Whether traffic can come from outside the cluster."""
    return spec.type in ("NodePort", "LoadBalancer") or (spec.type == "ClusterIP" and bool(spec.external_ips))


def create(new: Service, now: str) -> None:
    """A singular clusterIP also names the plural."""
    if new.spec.cluster_ip and not new.spec.cluster_ips:
        new.spec.cluster_ips = (new.spec.cluster_ip,)


def update(new: Service, old: Service) -> None:
    """Keep what was allocated if the client does not say otherwise; give up what the new type has no use for."""
    _keep_allocated(new.spec, old.spec)
    _agree_on_addresses(new.spec, old.spec)
    _drop_by_type(new.spec, old.spec)


def _keep_allocated(new: ServiceSpec, old: ServiceSpec) -> None:
    if needs_cluster_ip(old) and needs_cluster_ip(new):
        if not new.cluster_ip:
            new.cluster_ip = old.cluster_ip
        if not new.cluster_ips and new.cluster_ip == old.cluster_ip:
            new.cluster_ips = old.cluster_ips
        if not new.ip_families and new.cluster_ips == old.cluster_ips:
            new.ip_families = old.ip_families
        if new.ip_family_policy is None:
            new.ip_family_policy = old.ip_family_policy
    if needs_node_ports(old) and needs_node_ports(new):
        allocated = {_port_key(port): port.node_port for port in old.ports}
        taken = {port.node_port for port in new.ports if port.node_port}
        for port in new.ports:
            if not port.node_port:
                known = allocated.get(_port_key(port))
                if known and known not in taken:
                    port.node_port = known
                    taken.add(known)
    if needs_health_check_port(old) and needs_health_check_port(new) and not new.health_check_node_port:
        new.health_check_node_port = old.health_check_node_port


def _port_key(port: ServicePort) -> tuple[str | None, int]:
    return port.protocol, port.port


def _agree_on_addresses(new: ServiceSpec, old: ServiceSpec) -> None:
    """Clients that know only clusterIP change the first of clusterIPs with it."""
    if new.cluster_ip != old.cluster_ip and new.cluster_ips == old.cluster_ips:
        new.cluster_ips = () if not new.cluster_ip else (new.cluster_ip, *new.cluster_ips[1:])


def _drop_by_type(new: ServiceSpec, old: ServiceSpec) -> None:
    if needs_cluster_ip(old) and not needs_cluster_ip(new):
        if new.cluster_ip == old.cluster_ip and new.cluster_ips == old.cluster_ips:
            new.cluster_ip, new.cluster_ips = None, ()
        if new.ip_families == old.ip_families:
            new.ip_families = ()
        if new.ip_family_policy == old.ip_family_policy:
            new.ip_family_policy = None
    if needs_node_ports(old) and not needs_node_ports(new):
        before = [port.node_port for port in old.ports]
        if [port.node_port for port in new.ports] == before:
            for port in new.ports:
                port.node_port = None
    if (
        needs_health_check_port(old)
        and not needs_health_check_port(new)
        and new.health_check_node_port == old.health_check_node_port
    ):
        new.health_check_node_port = None
    if old.type == "LoadBalancer" and new.type != "LoadBalancer":
        if new.allocate_load_balancer_node_ports == old.allocate_load_balancer_node_ports:
            new.allocate_load_balancer_node_ports = None
        if new.load_balancer_class == old.load_balancer_class:
            new.load_balancer_class = None
    if old.type == "ExternalName" and new.type != "ExternalName" and new.external_name == old.external_name:
        new.external_name = None
    if (
        is_externally_accessible(old)
        and not is_externally_accessible(new)
        and new.external_traffic_policy == old.external_traffic_policy
    ):
        new.external_traffic_policy = None
    if new.type == "ExternalName" and new.internal_traffic_policy == old.internal_traffic_policy:
        new.internal_traffic_policy = None


def init_ip_families(new: Service, *, configured: tuple[str, ...] = ("IPv4",)) -> list[FieldError]:
    """Choose the families of a Service with addresses, `configured` being the cluster's, primary first.

    Families follow, in this order: what the client says, the addresses it names, the cluster's.
    """
    spec = new.spec
    if not needs_cluster_ip(spec):
        return []
    for index, family in enumerate(spec.ip_families):
        if family in ("IPv4", "IPv6") and family not in configured:
            path = f"spec.ipFamilies[{index}]"
            return [field_errors.invalid(path, family, "not configured on this cluster")]
    families = spec.ip_families or tuple(
        "IPv6" if ":" in address else "IPv4" for address in spec.cluster_ips if address != HEADLESS
    )
    if not families:
        families = configured[:1]
    if spec.ip_family_policy is None:
        spec.ip_family_policy = "SingleStack" if len(families) < 2 else "RequireDualStack"
    if spec.ip_family_policy == "RequireDualStack" and len(configured) < 2:
        detail = "this cluster is not configured for dual-stack services"
        return [field_errors.invalid("spec.ipFamilyPolicy", spec.ip_family_policy, detail)]
    if spec.ip_family_policy != "SingleStack" and len(families) < 2:
        families = (*families, *(family for family in configured if family not in families))[:2]
    spec.ip_families = families
    return []

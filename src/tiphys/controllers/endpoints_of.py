"""Which pods back a Service, at which addresses and ports: what Endpoints and EndpointSlices have in common. Pure."""

from __future__ import annotations

from typing import Final

from tiphys.api.types.core_v1 import ObjectReference, Pod, Service, ServicePort
from tiphys.controllers.pods import is_ready, is_terminal

TRIGGER_TIME: Final = "endpoints.kubernetes.io/last-change-trigger-time"
HEADLESS_LABEL: Final = "service.kubernetes.io/headless"
SERVICE_NAME_LABEL: Final = "kubernetes.io/service-name"
MANAGED_BY_LABEL: Final = "endpointslice.kubernetes.io/managed-by"
SKIP_MIRROR_LABEL: Final = "endpointslice.kubernetes.io/skip-mirror"


def has_selector(service: Service) -> bool:
    """Whether the control plane finds this Service's endpoints (and not its owner)."""
    return bool(service.spec.selector) and service.spec.type != "ExternalName"


def is_headless(service: Service) -> bool:
    """Whether it has no virtual address."""
    return service.spec.cluster_ip == "None"


def tolerates_unready(service: Service) -> bool:
    """Whether pods count before they are ready and while they terminate."""
    return bool(service.spec.publish_not_ready_addresses)


def families(service: Service) -> tuple[str, ...]:
    """The address families it asks for: IPv4, IPv6 or both."""
    if service.spec.ip_families:
        return service.spec.ip_families
    address = service.spec.cluster_ip or ""
    return ("IPv6",) if ":" in address else ("IPv4",)


def address_of(pod: Pod, family: str) -> str:
    """The pod's address of that family, or an empty string."""
    for entry in pod.status.pod_ips:
        if entry.ip and (":" in entry.ip) == (family == "IPv6"):
            return entry.ip
    single = pod.status.pod_ip or ""
    return single if single and (":" in single) == (family == "IPv6") else ""


def counts(pod: Pod, *, include_terminating: bool) -> bool:
    """Whether the pod may back a Service at all: it has an address and will serve (again)."""
    if is_terminal(pod) or not (pod.status.pod_ip or pod.status.pod_ips):
        return False
    return include_terminating or pod.metadata.deletion_timestamp is None


def port_number(service_port: ServicePort, pod: Pod) -> int | None:
    """The port of `pod` that a Service's port leads to; None where a named one has no match."""
    target = service_port.target_port
    if target is None or target in (0, ""):
        return service_port.port
    if isinstance(target, int):
        return target
    protocol = service_port.protocol or "TCP"
    sidecars = tuple(c for c in pod.spec.init_containers if c.restart_policy == "Always")
    for container in (*pod.spec.containers, *sidecars):
        for port in container.ports:
            if port.name == target and (port.protocol or "TCP") == protocol:
                return port.container_port
    return None


def host_name(pod: Pod, service: Service) -> str | None:
    """The name DNS gives the endpoint, where the pod asks for one in this Service's subdomain."""
    if pod.spec.hostname and pod.spec.subdomain == service.metadata.name:
        return pod.spec.hostname
    return None


def serves(pod: Pod) -> bool:
    """Whether the pod is ready, terminating or not."""
    return is_ready(pod)


def target_reference(pod: Pod) -> ObjectReference:
    """The reference an endpoint carries to its pod."""
    meta = pod.metadata
    return ObjectReference(kind="Pod", namespace=meta.namespace, name=meta.name, uid=meta.uid)


def endpoints_differ(old: Pod, new: Pod) -> bool:
    """Whether a pod changed in a way that its Services' endpoints show."""
    return (
        old.status.pod_ip != new.status.pod_ip
        or old.status.pod_ips != new.status.pod_ips
        or old.status.phase != new.status.phase
        or is_ready(old) != is_ready(new)
        or old.metadata.deletion_timestamp != new.metadata.deletion_timestamp
        or old.metadata.labels != new.metadata.labels
        or old.spec.node_name != new.spec.node_name
    )

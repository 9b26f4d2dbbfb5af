"""Defaults of the core group's kinds."""

from __future__ import annotations

import base64
from collections.abc import Callable
from typing import Any, Final

from tiphys.api.defaulting.containers import round_to_milli
from tiphys.api.defaulting.pod_spec import default_pod, default_pod_spec
from tiphys.api.defaulting.volumes import default_claim_spec, default_persistent_source
from tiphys.api.quantity import Quantity
from tiphys.api.types.core_v1 import (
    ClientIPConfig,
    ConfigMap,
    Endpoints,
    Event,
    LimitRange,
    LimitRangeItem,
    Namespace,
    Node,
    PersistentVolume,
    PersistentVolumeClaim,
    Pod,
    PodTemplate,
    ReplicationController,
    ResourceQuota,
    Secret,
    Service,
    ServicePort,
    ServiceSpec,
    SessionAffinityConfig,
)

CLIENT_IP_TIMEOUT_SECONDS: Final = 10800
METADATA_NAME_LABEL: Final = "kubernetes.io/metadata.name"


def _replication_controller(obj: ReplicationController) -> None:
    spec = obj.spec
    if spec.template is not None:
        default_pod_spec(spec.template.spec)
        labels = spec.template.metadata.labels
        if labels and not spec.selector:
            spec.selector = dict(labels)
        if labels and not obj.metadata.labels:
            obj.metadata.labels = dict(labels)
    if spec.replicas is None:
        spec.replicas = 1


def _pod_template(obj: PodTemplate) -> None:
    default_pod_spec(obj.template.spec)


def default_service(obj: Service) -> None:
    """A Service's type, affinity, ports and policies; addresses and families are allocated by the registry."""
    spec = obj.spec
    if not spec.session_affinity:
        spec.session_affinity = "None"
    if spec.session_affinity == "None":
        spec.session_affinity_config = None
    elif spec.session_affinity == "ClientIP":
        config = spec.session_affinity_config
        if config is None or config.client_ip is None or config.client_ip.timeout_seconds is None:
            spec.session_affinity_config = SessionAffinityConfig(
                client_ip=ClientIPConfig(timeout_seconds=CLIENT_IP_TIMEOUT_SECONDS)
            )
    if not spec.type:
        spec.type = "ClusterIP"
    for port in spec.ports:
        _default_service_port(port)
    external = spec.type in ("NodePort", "LoadBalancer")
    if not spec.external_traffic_policy:
        spec.external_traffic_policy = "Cluster" if external or _has_external_address(spec) else None
    if spec.internal_traffic_policy is None and (external or spec.type == "ClusterIP"):
        spec.internal_traffic_policy = "Cluster"
    if spec.type == "LoadBalancer":
        if spec.allocate_load_balancer_node_ports is None:
            spec.allocate_load_balancer_node_ports = True
        for ingress in obj.status.load_balancer.ingress:
            if ingress.ip and ingress.ip_mode is None:
                ingress.ip_mode = "VIP"


def _has_external_address(spec: ServiceSpec) -> bool:
    return spec.type == "ClusterIP" and bool(spec.external_ips)


def _default_service_port(port: ServicePort) -> None:
    if not port.protocol:
        port.protocol = "TCP"
    if port.target_port is None or port.target_port in (0, ""):
        port.target_port = port.port


def _endpoints(obj: Endpoints) -> None:
    for subset in obj.subsets:
        for port in subset.ports:
            if not port.protocol:
                port.protocol = "TCP"


def _persistent_volume(obj: PersistentVolume) -> None:
    spec = obj.spec
    if not obj.status.phase:
        obj.status.phase = "Pending"
    if not spec.persistent_volume_reclaim_policy:
        spec.persistent_volume_reclaim_policy = "Retain"
    if spec.volume_mode is None:
        spec.volume_mode = "Filesystem"
    if spec.capacity:
        round_to_milli(spec.capacity)
    default_persistent_source(spec)


def default_persistent_volume_claim(obj: PersistentVolumeClaim) -> None:
    """A claim, alone or as a StatefulSet's template."""
    if not obj.status.phase:
        obj.status.phase = "Pending"
    default_claim_spec(obj.spec)


def _secret(obj: Secret) -> None:
    if obj.string_data:
        for key, text in obj.string_data.items():
            obj.data[key] = base64.b64encode(text.encode()).decode()
        obj.string_data = {}
    if not obj.type:
        obj.type = "Opaque"


def _config_map(obj: ConfigMap) -> None:
    """Nothing to fill in; listed so that the hot kinds need no lookup by module."""


def _node(obj: Node) -> None:
    spec, status = obj.spec, obj.status
    if spec.pod_cidr and not spec.pod_cidrs:
        spec.pod_cidrs = (spec.pod_cidr,)
    elif spec.pod_cidrs and not spec.pod_cidr:
        spec.pod_cidr = spec.pod_cidrs[0]
    if status.capacity:
        round_to_milli(status.capacity)
    if status.allocatable:
        round_to_milli(status.allocatable)
    elif status.capacity:
        status.allocatable = dict(status.capacity)


def _namespace(obj: Namespace) -> None:
    if not obj.status.phase:
        obj.status.phase = "Active"
    if obj.metadata.name and obj.metadata.labels.get(METADATA_NAME_LABEL) != obj.metadata.name:
        obj.metadata.labels[METADATA_NAME_LABEL] = obj.metadata.name


def _limit_range(obj: LimitRange) -> None:
    for item in obj.spec.limits:
        if item.type == "Container":
            _default_limits(item)


def _default_limits(item: LimitRangeItem) -> None:
    for name, quantity in item.max.items():
        item.default.setdefault(name, quantity)
    for name, quantity in item.default.items():
        item.default_request.setdefault(name, quantity)
    for name, quantity in item.min.items():
        item.default_request.setdefault(name, quantity)
    for quantities in (item.default, item.default_request, item.max, item.min, item.max_limit_request_ratio):
        _round(quantities)


def _round(quantities: dict[str, Quantity]) -> None:
    if quantities:
        round_to_milli(quantities)


def _resource_quota(obj: ResourceQuota) -> None:
    _round(obj.spec.hard)


def _event(obj: Event) -> None:
    if obj.reporting_component is None:
        obj.reporting_component = ""
    if obj.reporting_instance is None:
        obj.reporting_instance = ""


DEFAULTS: Final[dict[type, Callable[[Any], None]]] = {
    ConfigMap: _config_map,
    Endpoints: _endpoints,
    Event: _event,
    LimitRange: _limit_range,
    Namespace: _namespace,
    Node: _node,
    PersistentVolume: _persistent_volume,
    PersistentVolumeClaim: default_persistent_volume_claim,
    Pod: default_pod,
    PodTemplate: _pod_template,
    ReplicationController: _replication_controller,
    ResourceQuota: _resource_quota,
    Secret: _secret,
    Service: default_service,
}

"""Checks of Services."""

from __future__ import annotations

from typing import Final

from tiphys.api import names
from tiphys.api.field_errors import (
    FieldError,
    duplicate,
    forbidden,
    invalid,
    not_supported,
    refuse,
    required,
)
from tiphys.api.strategy.services import (
    HEADLESS,
    is_externally_accessible,
    needs_cluster_ip,
    needs_health_check_port,
    needs_node_ports,
)
from tiphys.api.types.core_v1 import LoadBalancerStatus, Service, ServicePort, ServiceSpec
from tiphys.api.validation.formats import (
    check_cidr,
    check_ip,
    check_port,
    check_port_or_name,
    check_special_ip,
    parse_ip,
)
from tiphys.api.validation.metadata import check_labels, check_metadata, check_metadata_update

TYPES: Final = ("ClusterIP", "ExternalName", "LoadBalancer", "NodePort")
_PROTOCOLS: Final = ("SCTP", "TCP", "UDP")
_FAMILIES: Final = ("IPv4", "IPv6")
_FAMILY_POLICIES: Final = ("PreferDualStack", "RequireDualStack", "SingleStack")
_DISTRIBUTIONS: Final = ("PreferClose", "PreferSameNode", "PreferSameZone")
AFFINITY_MAXIMUM_SECONDS: Final = 86400
_ONLY_LOAD_BALANCER: Final = "may only be used when `type` is 'LoadBalancer'"


def validate_service(obj: Service) -> list[FieldError]:
    """A new Service."""
    errors: list[FieldError] = []
    check_metadata(obj.metadata, True, names.dns_1035_label, "metadata", errors)
    _check_spec(obj, errors)
    return errors


def _check_spec(obj: Service, errors: list[FieldError]) -> None:
    spec = obj.spec
    if not spec.ports and not _is_headless(spec) and spec.type != "ExternalName":
        errors.append(required("spec.ports"))
    _check_type(spec, errors)
    if spec.type == "ExternalName":
        _check_external_name(spec, errors)
    _check_ports(spec, errors)
    if spec.selector:
        check_labels(spec.selector, "spec.selector", errors)
    _check_affinity(spec, errors)
    _check_cluster_ips(spec, errors)
    for index, address in enumerate(spec.external_ips):
        parsed = check_ip(address, f"spec.externalIPs[{index}]", errors)
        if parsed is not None:
            check_special_ip(address, parsed, f"spec.externalIPs[{index}]", errors)
    if not spec.type:
        errors.append(required("spec.type"))
    elif spec.type not in TYPES:
        errors.append(not_supported("spec.type", spec.type, TYPES))
    _check_conflicts(spec, errors)
    _check_load_balancer(spec, errors)
    _check_policies(spec, errors)


def _is_headless(spec: ServiceSpec) -> bool:
    return spec.cluster_ip == HEADLESS or (len(spec.cluster_ips) == 1 and spec.cluster_ips[0] == HEADLESS)


def _check_type(spec: ServiceSpec, errors: list[FieldError]) -> None:
    if spec.type == "LoadBalancer":
        # Port 10250 of a node is its kubelet's, which a cloud would open to the world.
        for index, port in enumerate(spec.ports):
            if port.port == 10250:
                detail = "may not expose port 10250 externally since it is used by kubelet"
                errors.append(invalid(f"spec.ports[{index}]", port.port, detail))
    if spec.type in ("LoadBalancer", "NodePort") and _is_headless(spec):
        detail = f"may not be set to 'None' for {spec.type} services"
        errors.append(invalid("spec.clusterIPs[0]", HEADLESS, detail))


def _check_external_name(spec: ServiceSpec, errors: list[FieldError]) -> None:
    for value, name in (
        (spec.cluster_ips, "clusterIPs"),
        (spec.ip_families, "ipFamilies"),
        (spec.ip_family_policy, "ipFamilyPolicy"),
    ):
        if value:
            errors.append(forbidden(f"spec.{name}", "may not be set for ExternalName services"))
    host = (spec.external_name or "").removesuffix(".")
    if not host:
        errors.append(required("spec.externalName"))
    else:
        refuse(names.dns_subdomain(host), host, "spec.externalName", errors)


def _check_ports(spec: ServiceSpec, errors: list[FieldError]) -> None:
    seen: set[str] = set()
    pairs: set[tuple[str | None, int]] = set()
    node_ports: set[tuple[str | None, int]] = set()
    several = len(spec.ports) > 1
    for index, port in enumerate(spec.ports):
        where = f"spec.ports[{index}]"
        _check_port(port, several, seen, where, errors)
        if (port.protocol, port.port) in pairs:
            errors.append(duplicate(where, _as_key(port)))
        pairs.add((port.protocol, port.port))
        if port.node_port:
            if not needs_node_ports(spec) and spec.type != "LoadBalancer":
                detail = f"may not be used when `type` is '{spec.type}'"
                errors.append(forbidden(f"{where}.nodePort", detail))
            elif (port.protocol, port.node_port) in node_ports:
                errors.append(duplicate(f"{where}.nodePort", port.node_port))
            node_ports.add((port.protocol, port.node_port))


def _as_key(port: ServicePort) -> dict[str, object]:
    """What of a port must be unique, as upstream prints it."""
    return {
        "Name": "",
        "Protocol": port.protocol,
        "AppProtocol": None,
        "Port": port.port,
        "TargetPort": 0,
        "NodePort": 0,
    }


def _check_port(port: ServicePort, named: bool, seen: set[str], path: str, errors: list[FieldError]) -> None:
    if named and not port.name:
        errors.append(required(f"{path}.name"))
    elif port.name:
        refuse(names.dns_label(port.name), port.name, f"{path}.name", errors)
        if port.name in seen:
            errors.append(duplicate(f"{path}.name", port.name))
        seen.add(port.name)
    check_port(port.port, f"{path}.port", errors)
    if not port.protocol:
        errors.append(required(f"{path}.protocol"))
    elif port.protocol not in _PROTOCOLS:
        errors.append(not_supported(f"{path}.protocol", port.protocol, _PROTOCOLS))
    check_port_or_name(port.target_port, f"{path}.targetPort", errors)
    if port.app_protocol is not None:
        refuse(names.qualified_name(port.app_protocol), port.app_protocol, f"{path}.appProtocol", errors)


def _check_affinity(spec: ServiceSpec, errors: list[FieldError]) -> None:
    if spec.session_affinity not in ("ClientIP", "None"):
        errors.append(not_supported("spec.sessionAffinity", spec.session_affinity or "", ("ClientIP", "None")))
    config = spec.session_affinity_config
    where = "spec.sessionAffinityConfig"
    if spec.session_affinity == "ClientIP":
        if config is None or config.client_ip is None or config.client_ip.timeout_seconds is None:
            errors.append(required(where, "when session affinity type is ClientIP"))
        elif not 0 < config.client_ip.timeout_seconds <= AFFINITY_MAXIMUM_SECONDS:
            detail = f"must be greater than 0 and less than {AFFINITY_MAXIMUM_SECONDS}"
            errors.append(invalid(f"{where}.clientIP.timeoutSeconds", config.client_ip.timeout_seconds, detail))
    elif config is not None:
        detail = f"must not be set when session affinity is {spec.session_affinity}"
        errors.append(forbidden(where, detail))


def _check_cluster_ips(spec: ServiceSpec, errors: list[FieldError]) -> None:
    if not needs_cluster_ip(spec):
        return
    addresses = spec.cluster_ips
    families = spec.ip_families
    policy = spec.ip_family_policy
    if policy is not None and policy not in _FAMILY_POLICIES:
        errors.append(not_supported("spec.ipFamilyPolicy", policy, _FAMILY_POLICIES))
    if spec.cluster_ip and addresses and addresses[0] != spec.cluster_ip:
        errors.append(invalid("spec.clusterIPs[0]", list(addresses), "first value must match `clusterIP`"))
    if addresses and not spec.cluster_ip:
        errors.append(required("spec.clusterIP", "must be set when `clusterIPs` is specified"))
    if len(addresses) > 2:
        errors.append(invalid("spec.clusterIPs", list(addresses), "may only hold up to 2 values"))
    for index, family in enumerate(families):
        if family not in _FAMILIES:
            errors.append(not_supported(f"spec.ipFamilies[{index}]", family, _FAMILIES))
        elif family in families[:index]:
            errors.append(duplicate(f"spec.ipFamilies[{index}]", family))
    if len(families) > 2:
        errors.append(invalid("spec.ipFamilies", list(families), "may only hold up to 2 values"))
    _check_addresses(addresses, families, errors)


def _check_addresses(addresses: tuple[str, ...], families: tuple[str, ...], errors: list[FieldError]) -> None:
    if addresses and addresses[0] == HEADLESS:
        if len(addresses) > 1:
            detail = "'None' must be the first and only value"
            errors.append(invalid("spec.clusterIPs", list(addresses), detail))
        return
    versions: list[str] = []
    for index, address in enumerate(addresses):
        where = f"spec.clusterIPs[{index}]"
        if not address:
            continue
        if address == HEADLESS:
            errors.append(invalid(where, address, "must be empty, 'None', or a valid IP address"))
            continue
        parsed = check_ip(address, where, errors)
        if parsed is None:
            continue
        family = f"IPv{parsed.version}"
        if family in versions:
            errors.append(
                invalid("spec.clusterIPs", list(addresses), "may specify no more than one IP for each IP family")
            )
        versions.append(family)
        if index < len(families) and families[index] in _FAMILIES and families[index] != family:
            detail = f"expected an {families[index]} value as indicated by `ipFamilies[{index}]`"
            errors.append(invalid(where, address, detail))


def _check_conflicts(spec: ServiceSpec, errors: list[FieldError]) -> None:
    # Upstream spells these paths with a capital.
    if spec.load_balancer_source_ranges:
        where = "spec.LoadBalancerSourceRanges"
        if spec.type != "LoadBalancer":
            errors.append(forbidden(where, _ONLY_LOAD_BALANCER))
        for index, text in enumerate(spec.load_balancer_source_ranges):
            check_cidr(text.strip(), f"{where}[{index}]", errors)


def _check_load_balancer(spec: ServiceSpec, errors: list[FieldError]) -> None:
    if spec.type == "LoadBalancer":
        if spec.allocate_load_balancer_node_ports is None:
            errors.append(required("spec.allocateLoadBalancerNodePorts"))
    elif spec.allocate_load_balancer_node_ports is not None:
        errors.append(forbidden("spec.allocateLoadBalancerNodePorts", _ONLY_LOAD_BALANCER))
    if spec.load_balancer_class is not None:
        if spec.type != "LoadBalancer":
            errors.append(forbidden("spec.loadBalancerClass", _ONLY_LOAD_BALANCER))
        refuse(
            names.qualified_name(spec.load_balancer_class), spec.load_balancer_class, "spec.loadBalancerClass", errors
        )


def _check_policies(spec: ServiceSpec, errors: list[FieldError]) -> None:
    policy = spec.external_traffic_policy
    if not is_externally_accessible(spec):
        if policy:
            detail = "may only be set for externally-accessible services"
            errors.append(invalid("spec.externalTrafficPolicy", policy, detail))
    elif not policy:
        errors.append(required("spec.externalTrafficPolicy", "External traffic policy is required"))
    elif policy not in ("Cluster", "Local"):
        errors.append(not_supported("spec.externalTrafficPolicy", policy, ("Cluster", "Local")))
    port = spec.health_check_node_port
    if needs_health_check_port(spec):
        if port is not None and port < 0:
            errors.append(invalid("spec.healthCheckNodePort", port, names.range_message(1, 65535)))
    elif port:
        detail = "may only be set when `type` is 'LoadBalancer' and `externalTrafficPolicy` is 'Local'"
        errors.append(invalid("spec.healthCheckNodePort", port, detail))
    internal = spec.internal_traffic_policy
    if spec.type in ("NodePort", "ClusterIP", "LoadBalancer"):
        if internal is None:
            errors.append(required("spec.internalTrafficPolicy"))
        elif internal not in ("Cluster", "Local"):
            errors.append(not_supported("spec.internalTrafficPolicy", internal, ("Cluster", "Local")))
    if spec.traffic_distribution is not None and spec.traffic_distribution not in _DISTRIBUTIONS:
        errors.append(not_supported("spec.trafficDistribution", spec.traffic_distribution, _DISTRIBUTIONS))


def validate_service_update(new: Service, old: Service) -> list[FieldError]:
    """A Service that replaces `old`: addresses stay, families and the load balancer's class too."""
    errors: list[FieldError] = []
    check_metadata_update(new.metadata, old.metadata, errors)
    after, before = new.spec, old.spec
    if needs_cluster_ip(before) and needs_cluster_ip(after):
        for index, address in enumerate(before.cluster_ips):
            if index >= len(after.cluster_ips):
                if index == 0:
                    detail = "may not change once set"
                    errors.append(invalid("spec.clusterIPs[0]", list(after.cluster_ips), detail))
            elif after.cluster_ips[index] != address:
                detail = "may not change once set"
                errors.append(invalid(f"spec.clusterIPs[{index}]", list(after.cluster_ips), detail))
                break
        if before.ip_families and after.ip_families and before.ip_families[0] != after.ip_families[0]:
            detail = "may not change once set"
            errors.append(invalid("spec.ipFamilies[0]", list(after.ip_families), detail))
    if (
        before.type == "LoadBalancer"
        and after.type == "LoadBalancer"
        and before.load_balancer_class != after.load_balancer_class
    ):
        errors.append(invalid("spec.loadBalancerClass", after.load_balancer_class, "may not change once set"))
    _check_spec(new, errors)
    return errors


def validate_service_status(new: Service, old: Service) -> list[FieldError]:
    """What a load balancer reports."""
    errors: list[FieldError] = []
    check_metadata_update(new.metadata, old.metadata, errors)
    _check_load_balancer_status(new.status.load_balancer, old.spec, errors)
    return errors


def _check_load_balancer_status(status: LoadBalancerStatus, spec: ServiceSpec, errors: list[FieldError]) -> None:
    path = "status.loadBalancer.ingress"
    if spec.type != "LoadBalancer" and status.ingress:
        errors.append(forbidden(path, "may only be used when `spec.type` is 'LoadBalancer'"))
        return
    for index, ingress in enumerate(status.ingress):
        where = f"{path}[{index}]"
        if ingress.ip:
            check_ip(ingress.ip, f"{where}.ip", errors)
            if ingress.ip_mode is None:
                errors.append(required(f"{where}.ipMode", "must be specified when `ip` is set"))
        elif ingress.ip_mode is not None:
            errors.append(forbidden(f"{where}.ipMode", "may not be specified when `ip` is not set"))
        if ingress.ip_mode is not None and ingress.ip_mode not in ("Proxy", "VIP"):
            errors.append(not_supported(f"{where}.ipMode", ingress.ip_mode, ("Proxy", "VIP")))
        if ingress.hostname:
            refuse(names.dns_subdomain(ingress.hostname), ingress.hostname, f"{where}.hostname", errors)
            if parse_ip(ingress.hostname) is not None:
                detail = "must be a DNS name, not an IP address"
                errors.append(invalid(f"{where}.hostname", ingress.hostname, detail))

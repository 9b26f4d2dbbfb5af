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
    needs_health_check_port,
)
from tiphys.api.types.core_v1 import Service, ServicePort, ServiceSpec
from tiphys.api.validation.formats import (
    check_cidr,
    check_ip,
    check_port,
    check_port_or_name,
    check_special_ip,
)
from tiphys.api.validation.metadata import check_labels, check_metadata, check_metadata_update

TYPES: Final = ("ClusterIP", "ExternalName", "LoadBalancer", "NodePort")
_PROTOCOLS: Final = ("SCTP", "TCP", "UDP")
_FAMILIES: Final = ("IPv4", "IPv6")
_FAMILY_POLICIES: Final = ("PreferDualStack", "RequireDualStack", "SingleStack")
_DISTRIBUTIONS: Final = ("PreferClose", "PreferSameZone", "PreferSameNode")
AFFINITY_MAXIMUM_SECONDS: Final = 86400
_TOPOLOGY_HINTS: Final = "service.kubernetes.io/topology-aware-hints"
_TOPOLOGY_MODE: Final = "service.kubernetes.io/topology-mode"
_SOURCE_RANGES: Final = "service.beta.kubernetes.io/load-balancer-source-ranges"
_NOT_AGAIN: Final = "may not change once set"
_ONLY_LOAD_BALANCER: Final = "may only be used when `type` is 'LoadBalancer'"


def validate_service(obj: Service) -> list[FieldError]:
    """A new Service."""
    errors: list[FieldError] = []
    check_metadata(obj.metadata, True, names.dns_1035_label, "metadata", errors)
    _check_spec(obj, errors)
    return errors


def _check_spec(obj: Service, errors: list[FieldError], old: Service | None = None) -> None:
    spec = obj.spec
    before = old.spec if old is not None else ServiceSpec()
    if obj.metadata.annotations:
        _check_topology(obj.metadata.annotations, errors)
    if not spec.ports and not _is_headless(spec) and spec.type != "ExternalName":
        errors.append(required("spec.ports"))
    _check_type(spec, errors)
    if spec.type == "ExternalName":
        _check_external_name(spec, errors)
    _check_ports(spec, errors)
    if spec.selector:
        check_labels(spec.selector, "spec.selector", errors)
    _check_affinity(spec, errors)
    _check_cluster_ips(spec, before.cluster_ips, errors)
    for index, address in enumerate(spec.external_ips):
        where = f"spec.externalIPs[{index}]"
        problems = len(errors)
        parsed = check_ip(address, where, errors, before.external_ips)
        if parsed is not None and len(errors) == problems:
            check_special_ip(address, parsed, where, errors)
    if not spec.type:
        errors.append(required("spec.type"))
    elif spec.type not in TYPES:
        errors.append(not_supported("spec.type", spec.type, TYPES))
    _check_node_ports(spec, errors)
    _check_ranges(obj, old, errors)
    _check_load_balancer(spec, errors)
    _check_policies(spec, errors)


def _check_topology(annotations: dict[str, str], errors: list[FieldError]) -> None:
    hints, mode = annotations.get(_TOPOLOGY_HINTS), annotations.get(_TOPOLOGY_MODE)
    if hints is not None and mode is not None and hints != mode:
        detail = f"must match annotations[{_TOPOLOGY_HINTS}] when both are specified"
        errors.append(invalid(f"metadata.annotations[{_TOPOLOGY_MODE}]", mode, detail))


def _is_headless(spec: ServiceSpec) -> bool:
    return spec.cluster_ip == HEADLESS or (len(spec.cluster_ips) == 1 and spec.cluster_ips[0] == HEADLESS)


def _check_type(spec: ServiceSpec, errors: list[FieldError]) -> None:
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
    several = len(spec.ports) > 1
    for index, port in enumerate(spec.ports):
        _check_port(port, several, seen, f"spec.ports[{index}]", errors)


def _check_node_ports(spec: ServiceSpec, errors: list[FieldError]) -> None:
    """No port twice, on the Service or on the nodes."""
    if spec.type == "ClusterIP":
        for index, port in enumerate(spec.ports):
            if port.node_port:
                detail = "may not be used when `type` is 'ClusterIP'"
                errors.append(forbidden(f"spec.ports[{index}].nodePort", detail))
    node_ports: set[tuple[str | None, int]] = set()
    for index, port in enumerate(spec.ports):
        if port.node_port:
            if (port.protocol, port.node_port) in node_ports:
                errors.append(duplicate(f"spec.ports[{index}].nodePort", port.node_port))
            node_ports.add((port.protocol, port.node_port))
    pairs: set[tuple[str | None, int]] = set()
    for index, port in enumerate(spec.ports):
        if (port.protocol, port.port) in pairs:
            errors.append(duplicate(f"spec.ports[{index}]", _as_key(port)))
        pairs.add((port.protocol, port.port))


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
        detail = "when session affinity type is ClientIP"
        if config is None:
            errors.append(required(where, detail))
        elif config.client_ip is None:
            errors.append(required(f"{where}.clientIP", detail))
        elif config.client_ip.timeout_seconds is None:
            errors.append(required(f"{where}.clientIP.timeoutSeconds", detail))
        elif not 0 < config.client_ip.timeout_seconds <= AFFINITY_MAXIMUM_SECONDS:
            detail = f"must be greater than 0 and less than {AFFINITY_MAXIMUM_SECONDS}"
            errors.append(invalid(f"{where}.clientIP.timeoutSeconds", config.client_ip.timeout_seconds, detail))
    elif spec.session_affinity == "None" and config is not None:
        errors.append(forbidden(where, "must not be set when session affinity is None"))


def _check_cluster_ips(spec: ServiceSpec, known: tuple[str, ...], errors: list[FieldError]) -> None:
    if spec.type == "ExternalName":
        return
    addresses, policy = list(spec.cluster_ips), spec.ip_family_policy
    if spec.cluster_ip:
        if not addresses:
            errors.append(required("spec.clusterIPs"))
        elif addresses[0] != spec.cluster_ip:
            errors.append(invalid("spec.clusterIPs", addresses, "first value must match `clusterIP`"))
    elif addresses:
        errors.append(invalid("spec.clusterIPs", addresses, "must be empty when `clusterIP` is not specified"))
    for index, family in enumerate(spec.ip_families):
        if family not in _FAMILIES:
            errors.append(not_supported(f"spec.ipFamilies[{index}]", family, _FAMILIES))
        if family in spec.ip_families[:index]:
            errors.append(duplicate(f"spec.ipFamilies[{index}]", family))
    if policy is not None and policy not in _FAMILY_POLICIES:
        errors.append(not_supported("spec.ipFamilyPolicy", policy, _FAMILY_POLICIES))
    _check_addresses(spec, known, errors)


def _check_addresses(spec: ServiceSpec, known: tuple[str, ...], errors: list[FieldError]) -> None:
    addresses = list(spec.cluster_ips)
    before = len(errors)
    versions: list[int] = []
    for index, address in enumerate(addresses):
        if index == 0 and address == HEADLESS:
            if len(addresses) > 1:
                errors.append(invalid("spec.clusterIPs", addresses, "'None' must be the first and only value"))
            continue
        parsed = check_ip(address, f"spec.clusterIPs[{index}]", errors, known)
        if parsed is not None:
            versions.append(parsed.version)
    bad = len(errors) > before
    if len(addresses) > 2:
        errors.append(invalid("spec.clusterIPs", addresses, "may only hold up to 2 values"))
    if bad:
        # What is said of addresses that are none would be misleading.
        return
    if len(addresses) > 1 and len(set(versions)) < 2:
        detail = "may specify no more than one IP for each IP family"
        errors.append(invalid("spec.clusterIPs", addresses, detail))
    for index, (version, family) in enumerate(zip(versions, spec.ip_families, strict=False)):
        if family in _FAMILIES and family != f"IPv{version}":
            detail = f"expected an {family} value as indicated by `ipFamilies[{index}]`"
            errors.append(invalid(f"spec.clusterIPs[{index}]", addresses[index], detail))


def _check_ranges(obj: Service, old: Service | None, errors: list[FieldError]) -> None:
    """Whom a load balancer lets in, in the field or in the annotation that was there before."""
    spec = obj.spec
    if spec.load_balancer_source_ranges:
        # Upstream spells this path with a capital.
        where = "spec.LoadBalancerSourceRanges"
        if spec.type != "LoadBalancer":
            errors.append(forbidden(where, _ONLY_LOAD_BALANCER))
        known = [text.strip() for text in old.spec.load_balancer_source_ranges] if old is not None else []
        for index, text in enumerate(spec.load_balancer_source_ranges):
            check_cidr(text.strip(), f"{where}[{index}]", errors, known)
        return
    value = obj.metadata.annotations.get(_SOURCE_RANGES)
    if value is None:
        return
    where = f"metadata.annotations[{_SOURCE_RANGES}]"
    if spec.type != "LoadBalancer":
        errors.append(forbidden(where, _ONLY_LOAD_BALANCER))
    if (old is None or old.metadata.annotations.get(_SOURCE_RANGES) != value) and value.strip():
        for text in value.strip().split(","):
            check_cidr(text.strip(), where, errors)


def _check_load_balancer(spec: ServiceSpec, errors: list[FieldError]) -> None:
    balanced = spec.type == "LoadBalancer"
    if spec.allocate_load_balancer_node_ports is not None:
        if not balanced:
            errors.append(forbidden("spec.allocateLoadBalancerNodePorts", _ONLY_LOAD_BALANCER))
    elif balanced:
        errors.append(required("allocateLoadBalancerNodePorts"))
    name = spec.load_balancer_class
    if name is not None:
        if balanced:
            refuse(names.qualified_name(name), name, "spec.loadBalancerClass", errors)
        else:
            errors.append(forbidden("spec.loadBalancerClass", _ONLY_LOAD_BALANCER))


def _check_policies(spec: ServiceSpec, errors: list[FieldError]) -> None:
    policy = spec.external_traffic_policy
    if not is_externally_accessible(spec):
        if policy:
            detail = "may only be set for externally-accessible services"
            errors.append(invalid("spec.externalTrafficPolicy", policy, detail))
    elif not policy:
        errors.append(required("spec.externalTrafficPolicy"))
    elif policy not in ("Cluster", "Local"):
        errors.append(not_supported("spec.externalTrafficPolicy", policy, ("Cluster", "Local")))
    port = spec.health_check_node_port
    if needs_health_check_port(spec):
        # Without one it is allocated afterwards.
        if port and not 1 <= port <= 65535:
            errors.append(invalid("spec.healthCheckNodePort", port, names.range_message(1, 65535)))
    elif port:
        detail = "may only be set when `type` is 'LoadBalancer' and `externalTrafficPolicy` is 'Local'"
        errors.append(invalid("spec.healthCheckNodePort", port, detail))
    internal = spec.internal_traffic_policy
    if internal is None:
        if spec.type in ("NodePort", "ClusterIP", "LoadBalancer"):
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
    if after.type != "ExternalName" and before.type != "ExternalName":
        _check_address_changes(after, before, errors)
        _check_family_changes(after, before, errors)
    if (
        before.type == "LoadBalancer"
        and after.type == "LoadBalancer"
        and before.load_balancer_class != after.load_balancer_class
    ):
        errors.append(invalid("spec.loadBalancerClass", after.load_balancer_class, _NOT_AGAIN))
    checked = needs_health_check_port(before) and needs_health_check_port(after)
    if checked and after.health_check_node_port != before.health_check_node_port:
        errors.append(forbidden("spec.healthCheckNodePort", "field is immutable"))
    _check_spec(new, errors, old)
    return errors


def _check_address_changes(new: ServiceSpec, old: ServiceSpec, errors: list[FieldError]) -> None:
    """The first address stays; a second may come and go."""
    if _is_headless(new) and _is_headless(old):
        return
    after, before = new.cluster_ips, old.cluster_ips
    shown = list(after) or None
    if len(after) == len(before):
        for index, address in enumerate(before):
            if after[index] != address:
                errors.append(invalid(f"spec.clusterIPs[{index}]", shown, _NOT_AGAIN))
        return
    if before and not after:
        errors.append(invalid("spec.clusterIPs[0]", shown, "primary clusterIP can not be unset"))
    if before and after and after[0] != before[0]:
        errors.append(invalid("spec.clusterIPs[0]", shown, _NOT_AGAIN))
    if len(before) > len(after) == 1 and new.ip_family_policy != "SingleStack":
        detail = "must be set to 'SingleStack' when releasing the secondary clusterIP"
        errors.append(invalid("spec.ipFamilyPolicy", new.ip_family_policy, detail))


def _check_family_changes(new: ServiceSpec, old: ServiceSpec, errors: list[FieldError]) -> None:
    """The first family stays; headless Services choose freely."""
    if _is_headless(new) or _is_headless(old):
        return
    after, before = new.ip_families, old.ip_families
    where = "spec.ipFamilies[0]"
    if len(after) == len(before):
        errors.extend(
            invalid(where, list(after), _NOT_AGAIN) for index, family in enumerate(before) if after[index] != family
        )
        return
    # What upstream shows here are the addresses.
    if len(before) > len(after) and not new.cluster_ips:
        errors.append(invalid(where, list(after) or None, "primary ipFamily can not be unset"))
    if before and after and after[0] != before[0]:
        errors.append(invalid(where, list(new.cluster_ips) or None, _NOT_AGAIN))
    if len(before) > len(after) == 1 and new.ip_family_policy != "SingleStack":
        detail = "must be set to 'SingleStack' when releasing the secondary ipFamily"
        errors.append(invalid("spec.ipFamilyPolicy", new.ip_family_policy, detail))

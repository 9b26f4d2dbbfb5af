"""Checks of network policies, ingresses and service networks."""

from __future__ import annotations

from typing import Any, Final

from tiphys.api import names
from tiphys.api.field_errors import FieldError, forbidden, invalid, not_supported, refuse, required
from tiphys.api.types.networking_v1 import (
    Ingress,
    IngressClass,
    IPAddress,
    IPBlock,
    NetworkPolicy,
    NetworkPolicyPeer,
    NetworkPolicyPort,
    ServiceCIDR,
)
from tiphys.api.validation.formats import check_cidr, check_port, check_port_or_name
from tiphys.api.validation.ingresses import check_ingress, validate_ingress_status
from tiphys.api.validation.metadata import check_immutable, check_metadata, check_metadata_update
from tiphys.api.validation.selectors import check_label_selector
from tiphys.api.validation.service_networks import (
    validate_ip_address,
    validate_ip_address_update,
    validate_service_cidr,
    validate_service_cidr_update,
)

_PROTOCOLS: Final = ("SCTP", "TCP", "UDP")
_POLICY_TYPES: Final = ("Egress", "Ingress")
_CONTROLLER_MAXIMUM: Final = 250


def _network_policy(obj: NetworkPolicy) -> list[FieldError]:
    errors: list[FieldError] = []
    check_metadata(obj.metadata, True, names.dns_subdomain, "metadata", errors)
    _check_network_policy(obj, errors)
    return errors


def _network_policy_update(new: NetworkPolicy, old: NetworkPolicy) -> list[FieldError]:
    errors: list[FieldError] = []
    check_metadata_update(new.metadata, old.metadata, errors)
    rules = [*(rule.from_ for rule in old.spec.ingress), *(rule.to for rule in old.spec.egress)]
    blocks = [peer.ip_block for peers in rules for peer in peers if peer.ip_block is not None]
    known = frozenset(text for block in blocks for text in (block.cidr, *block.except_))
    _check_network_policy(new, errors, known)
    return errors


def _check_network_policy(obj: NetworkPolicy, errors: list[FieldError], known: frozenset[str] = frozenset()) -> None:
    """`known`: networks that were written before, and may be as ambiguous as they were."""
    spec = obj.spec
    check_label_selector(spec.pod_selector, "spec.podSelector", errors)
    for index, ingress in enumerate(spec.ingress):
        _check_ports(ingress.ports, f"spec.ingress[{index}]", errors)
        _check_peers(ingress.from_, f"spec.ingress[{index}].from", errors, known)
    for index, egress in enumerate(spec.egress):
        _check_ports(egress.ports, f"spec.egress[{index}]", errors)
        _check_peers(egress.to, f"spec.egress[{index}].to", errors, known)
    if len(spec.policy_types) > 2:
        detail = "may not specify more than two policyTypes"
        errors.append(invalid("spec.policyTypes", list(spec.policy_types), detail))
        return
    for index, policy_type in enumerate(spec.policy_types):
        if policy_type not in _POLICY_TYPES:
            errors.append(not_supported(f"spec.policyTypes[{index}]", policy_type, _POLICY_TYPES))


def _check_ports(ports: tuple[NetworkPolicyPort, ...], path: str, errors: list[FieldError]) -> None:
    for index, port in enumerate(ports):
        where = f"{path}.ports[{index}]"
        if port.protocol is not None and port.protocol not in _PROTOCOLS:
            errors.append(not_supported(f"{where}.protocol", port.protocol, _PROTOCOLS))
        if port.port is not None:
            check_port_or_name(port.port, f"{where}.port", errors)
        if port.end_port is not None:
            if port.port is None:
                detail = "may not be specified when `port` is not specified"
                errors.append(invalid(f"{where}.endPort", port.end_port, detail))
            elif isinstance(port.port, str):
                detail = "may not be specified when `port` is non-numeric"
                errors.append(invalid(f"{where}.endPort", port.end_port, detail))
            else:
                if port.end_port < port.port:
                    detail = "must be greater than or equal to `port`"
                    errors.append(invalid(f"{where}.endPort", port.end_port, detail))
                check_port(port.end_port, f"{where}.endPort", errors)


def _check_peers(
    peers: tuple[NetworkPolicyPeer, ...], path: str, errors: list[FieldError], known: frozenset[str]
) -> None:
    for index, peer in enumerate(peers):
        where = f"{path}[{index}]"
        if peer.pod_selector is None and peer.namespace_selector is None and peer.ip_block is None:
            errors.append(required(where, "must specify a peer"))
        elif peer.ip_block is not None and (peer.pod_selector is not None or peer.namespace_selector is not None):
            errors.append(forbidden(where, "may not specify both ipBlock and another peer"))
        check_label_selector(peer.pod_selector, f"{where}.podSelector", errors)
        check_label_selector(peer.namespace_selector, f"{where}.namespaceSelector", errors)
        if peer.ip_block is not None:
            _check_block(peer.ip_block, f"{where}.ipBlock", errors, known)


def _check_block(block: IPBlock, path: str, errors: list[FieldError], known: frozenset[str]) -> None:
    if not block.cidr:
        errors.append(required(f"{path}.cidr"))
        return
    network = check_cidr(block.cidr, f"{path}.cidr", errors, known)
    if network is None:
        return
    for index, text in enumerate(block.except_):
        where = f"{path}.except[{index}]"
        inner = check_cidr(text, where, errors, known)
        if inner is None:
            continue
        if (
            inner.version != network.version
            or inner.network_address not in network
            or inner.prefixlen <= network.prefixlen
        ):
            errors.append(invalid(where, text, "must be a strict subset of `cidr`"))


def _ingress(obj: Ingress) -> list[FieldError]:
    errors: list[FieldError] = []
    check_metadata(obj.metadata, True, names.dns_subdomain, "metadata", errors)
    check_ingress(obj, errors, is_new=True)
    return errors


def _ingress_update(new: Ingress, old: Ingress) -> list[FieldError]:
    errors: list[FieldError] = []
    check_metadata_update(new.metadata, old.metadata, errors)
    check_ingress(new, errors, is_new=False)
    return errors


def _ingress_class(obj: IngressClass) -> list[FieldError]:
    errors: list[FieldError] = []
    check_metadata(obj.metadata, False, names.dns_subdomain, "metadata", errors)
    _check_ingress_class(obj, errors)
    return errors


def _check_ingress_class(obj: IngressClass, errors: list[FieldError]) -> None:
    controller = obj.spec.controller or ""
    if len(controller) > _CONTROLLER_MAXIMUM:
        errors.append(FieldError("FieldValueTooLong", "spec.controller", "Too long: may not be more than 250 bytes"))
    if not controller:
        errors.append(required("spec.controller"))
    else:
        refuse(names.domain_prefixed_path(controller), controller, "spec.controller", errors)
    parameters = obj.spec.parameters
    if parameters is None:
        return
    path = "spec.parameters"
    if parameters.api_group:
        refuse(names.dns_subdomain(parameters.api_group), parameters.api_group, f"{path}.apiGroup", errors)
    for value, name in ((parameters.kind, "kind"), (parameters.name, "name")):
        if not value:
            errors.append(required(f"{path}.{name}"))
        else:
            refuse(names.path_segment(value), value, f"{path}.{name}", errors)
    if parameters.scope is None:
        errors.append(required(f"{path}.scope"))
    elif parameters.scope not in ("Cluster", "Namespace"):
        errors.append(not_supported(f"{path}.scope", parameters.scope, ("Cluster", "Namespace")))
    elif parameters.scope == "Namespace" and parameters.namespace is None:
        errors.append(required(f"{path}.namespace", "`parameters.scope` is set to 'Namespace'"))
    elif parameters.scope == "Cluster" and parameters.namespace is not None:
        errors.append(forbidden(f"{path}.namespace", "`parameters.scope` is set to 'Cluster'"))


def _ingress_class_update(new: IngressClass, old: IngressClass) -> list[FieldError]:
    errors: list[FieldError] = []
    check_metadata_update(new.metadata, old.metadata, errors)
    _check_ingress_class(new, errors)
    check_immutable(new.spec.controller, old.spec.controller, "spec.controller", errors)
    return errors


CREATE: Final[dict[type, Any]] = {
    IPAddress: validate_ip_address,
    Ingress: _ingress,
    IngressClass: _ingress_class,
    NetworkPolicy: _network_policy,
    ServiceCIDR: validate_service_cidr,
}
UPDATE: Final[dict[type, Any]] = {
    IPAddress: validate_ip_address_update,
    Ingress: _ingress_update,
    IngressClass: _ingress_class_update,
    NetworkPolicy: _network_policy_update,
    ServiceCIDR: validate_service_cidr_update,
}
STATUS: Final[dict[type, Any]] = {Ingress: validate_ingress_status}

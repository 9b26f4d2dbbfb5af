"""Checks of EndpointSlices."""

from __future__ import annotations

from typing import Any, Final

from tiphys.api import names
from tiphys.api.field_errors import (
    FieldError,
    duplicate,
    invalid,
    not_supported,
    refuse,
    required,
    too_many,
)
from tiphys.api.types.discovery_v1 import Endpoint, EndpointHints, EndpointPort, EndpointSlice
from tiphys.api.validation.formats import check_ip, check_special_ip
from tiphys.api.validation.metadata import check_immutable, check_labels, check_metadata, check_metadata_update

ADDRESS_TYPES: Final = ("FQDN", "IPv4", "IPv6")
_PROTOCOLS: Final = ("SCTP", "TCP", "UDP")
_ADDRESSES_MAXIMUM: Final = 100
_ENDPOINTS_MAXIMUM: Final = 1000
_PORTS_MAXIMUM: Final = 20000
_HINTS_MAXIMUM: Final = 8


def _endpoint_slice(obj: EndpointSlice) -> list[FieldError]:
    errors: list[FieldError] = []
    check_metadata(obj.metadata, True, names.dns_subdomain, "metadata", errors)
    if not obj.address_type:
        errors.append(required("addressType"))
    elif obj.address_type not in ADDRESS_TYPES:
        errors.append(not_supported("addressType", obj.address_type, ADDRESS_TYPES))
    _check(obj, errors)
    return errors


def _endpoint_slice_update(new: EndpointSlice, old: EndpointSlice) -> list[FieldError]:
    errors: list[FieldError] = []
    check_metadata_update(new.metadata, old.metadata, errors)
    if new.endpoints != old.endpoints or new.ports != old.ports:
        _check(new, errors)
    check_immutable(new.address_type, old.address_type, "addressType", errors)
    return errors


def _check(obj: EndpointSlice, errors: list[FieldError]) -> None:
    if len(obj.endpoints) > _ENDPOINTS_MAXIMUM:
        errors.append(too_many("endpoints", len(obj.endpoints), _ENDPOINTS_MAXIMUM))
    else:
        for index, endpoint in enumerate(obj.endpoints):
            _check_endpoint(endpoint, obj.address_type, f"endpoints[{index}]", errors)
    if len(obj.ports) > _PORTS_MAXIMUM:
        errors.append(too_many("ports", len(obj.ports), _PORTS_MAXIMUM))
    else:
        _check_ports(obj.ports, errors)


def _check_endpoint(endpoint: Endpoint, address_type: str, path: str, errors: list[FieldError]) -> None:
    if not endpoint.addresses:
        errors.append(required(f"{path}.addresses", "must contain at least 1 address"))
    elif len(endpoint.addresses) > _ADDRESSES_MAXIMUM:
        errors.append(too_many(f"{path}.addresses", len(endpoint.addresses), _ADDRESSES_MAXIMUM))
    for index, address in enumerate(endpoint.addresses):
        where = f"{path}.addresses[{index}]"
        if address_type == "FQDN":
            refuse(names.dns_subdomain(address), address, where, errors)
            continue
        parsed = check_ip(address, where, errors)
        if parsed is not None:
            if address_type in ("IPv4", "IPv6") and address_type != f"IPv{parsed.version}":
                errors.append(invalid(where, address, f"must be an {address_type} address"))
            check_special_ip(address, parsed, where, errors)
    if endpoint.node_name is not None:
        refuse(names.dns_subdomain(endpoint.node_name), endpoint.node_name, f"{path}.nodeName", errors)
    if endpoint.deprecated_topology:
        check_labels(endpoint.deprecated_topology, f"{path}.deprecatedTopology", errors)
    if endpoint.hostname is not None:
        refuse(names.dns_label(endpoint.hostname), endpoint.hostname, f"{path}.hostname", errors)
    if endpoint.hints is not None:
        _check_hints(endpoint.hints, f"{path}.hints", errors)


def _check_hints(hints: EndpointHints, path: str, errors: list[FieldError]) -> None:
    zones, nodes = [zone.name for zone in hints.for_zones], [node.name for node in hints.for_nodes]
    for items, name in ((zones, "forZones"), (nodes, "forNodes")):
        if len(items) > _HINTS_MAXIMUM:
            errors.append(too_many(f"{path}.{name}", len(items), _HINTS_MAXIMUM))
            continue
        seen: set[str] = set()
        for index, item in enumerate(items):
            where = f"{path}.{name}[{index}].name"
            if not item:
                errors.append(required(where))
            elif item in seen:
                errors.append(duplicate(where, item))
            else:
                refuse(names.label_value(item), item, where, errors)
            seen.add(item)


def _check_ports(ports: tuple[EndpointPort, ...], errors: list[FieldError]) -> None:
    seen: set[str] = set()
    for index, port in enumerate(ports):
        path = f"ports[{index}]"
        name = port.name or ""
        if name:
            refuse(names.dns_label(name), name, f"{path}.name", errors)
        if name in seen:
            errors.append(duplicate(f"{path}.name", port.name))
        seen.add(name)
        if port.protocol is None:
            errors.append(required(f"{path}.protocol"))
        elif port.protocol not in _PROTOCOLS:
            errors.append(not_supported(f"{path}.protocol", port.protocol, _PROTOCOLS))
        if port.port is not None:
            refuse(names.port_number(port.port), port.port, f"{path}.port", errors)
        if port.app_protocol is not None:
            refuse(names.qualified_name(port.app_protocol), port.app_protocol, f"{path}.appProtocol", errors)


CREATE: Final[dict[type, Any]] = {EndpointSlice: _endpoint_slice}
UPDATE: Final[dict[type, Any]] = {EndpointSlice: _endpoint_slice_update}

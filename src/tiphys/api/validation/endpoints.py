"""Checks of Endpoints, and of the addresses EndpointSlices share with them."""

from __future__ import annotations

from typing import Final

from tiphys.api import names
from tiphys.api.field_errors import FieldError, not_supported, refuse, required
from tiphys.api.types.core_v1 import EndpointAddress, EndpointPort, Endpoints, EndpointSubset
from tiphys.api.validation.formats import check_ip, check_port, check_special_ip
from tiphys.api.validation.metadata import check_metadata, check_metadata_update

_PROTOCOLS: Final = ("SCTP", "TCP", "UDP")


def validate_endpoints(obj: Endpoints) -> list[FieldError]:
    """New Endpoints."""
    errors: list[FieldError] = []
    check_metadata(obj.metadata, True, names.dns_subdomain, "metadata", errors)
    _check_subsets(obj.subsets, errors)
    return errors


def validate_endpoints_update(new: Endpoints, old: Endpoints) -> list[FieldError]:
    """Endpoints that replace `old`; subsets that stayed are not looked at again."""
    errors: list[FieldError] = []
    check_metadata_update(new.metadata, old.metadata, errors)
    if new.subsets != old.subsets:
        _check_subsets(new.subsets, errors)
    return errors


def _check_subsets(subsets: tuple[EndpointSubset, ...], errors: list[FieldError]) -> None:
    for index, subset in enumerate(subsets):
        path = f"subsets[{index}]"
        if not subset.addresses and not subset.not_ready_addresses:
            errors.append(required(path, "must specify `addresses` or `notReadyAddresses`"))
        for position, address in enumerate(subset.addresses):
            _check_address(address, f"{path}.addresses[{position}]", errors)
        for position, address in enumerate(subset.not_ready_addresses):
            _check_address(address, f"{path}.notReadyAddresses[{position}]", errors)
        for position, port in enumerate(subset.ports):
            _check_port(port, len(subset.ports) > 1, f"{path}.ports[{position}]", errors)


def _check_address(address: EndpointAddress, path: str, errors: list[FieldError]) -> None:
    parsed = check_ip(address.ip, f"{path}.ip", errors)
    if address.hostname:
        refuse(names.dns_label(address.hostname), address.hostname, f"{path}.hostname", errors)
    if address.node_name is not None:
        refuse(names.dns_subdomain(address.node_name), address.node_name, f"{path}.nodeName", errors)
    if parsed is not None:
        check_special_ip(address.ip, parsed, f"{path}.ip", errors)


def _check_port(port: EndpointPort, named: bool, path: str, errors: list[FieldError]) -> None:
    if named and not port.name:
        errors.append(required(f"{path}.name"))
    elif port.name:
        refuse(names.dns_label(port.name), port.name, f"{path}.name", errors)
    check_port(port.port, f"{path}.port", errors)
    if not port.protocol:
        errors.append(required(f"{path}.protocol"))
    elif port.protocol not in _PROTOCOLS:
        errors.append(not_supported(f"{path}.protocol", port.protocol, _PROTOCOLS))
    if port.app_protocol is not None:
        refuse(names.qualified_name(port.app_protocol), port.app_protocol, f"{path}.appProtocol", errors)

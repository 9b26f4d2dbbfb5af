"""Checks of the networks Services have their addresses from, and of the addresses."""

from __future__ import annotations

from tiphys.api import names
from tiphys.api.field_errors import FieldError, invalid, refuse, required
from tiphys.api.types.networking_v1 import IPAddress, ServiceCIDR
from tiphys.api.validation.formats import check_cidr, check_ip, parse_cidr, parse_ip
from tiphys.api.validation.metadata import IMMUTABLE, check_immutable, check_metadata, check_metadata_update

_PATH = "spec.cidrs"


def validate_service_cidr(obj: ServiceCIDR) -> list[FieldError]:
    """A new network."""
    errors: list[FieldError] = []
    check_metadata(obj.metadata, False, names.dns_subdomain, "metadata", errors)
    _check_networks(obj, errors)
    return errors


def _check_networks(obj: ServiceCIDR, errors: list[FieldError]) -> None:
    cidrs = obj.spec.cidrs
    if not cidrs:
        errors.append(required(_PATH, "at least one CIDR required"))
        return
    if len(cidrs) > 2:
        errors.append(invalid(_PATH, {"CIDRs": list(cidrs)}, "may only hold up to 2 values"))
        return
    for index, text in enumerate(cidrs):
        path = f"{_PATH}[{index}]"
        before = len(errors)
        network = check_cidr(text, path, errors)
        if network is not None and len(errors) == before and str(network) != text:
            errors.append(invalid(path, text, f'must be in canonical form ("{network}")'))
    versions = [network.version for network in map(parse_cidr, cidrs) if network is not None]
    if len(versions) == 2 and versions[0] == versions[1]:
        detail = "may specify no more than one IP for each IP family, i.e 192.168.0.0/24 and 2001:db8::/64"
        errors.append(invalid(_PATH, list(cidrs), detail))


def validate_service_cidr_update(new: ServiceCIDR, old: ServiceCIDR) -> list[FieldError]:
    """Nothing changes, but that a network of the other family may join the first."""
    errors: list[FieldError] = []
    check_metadata_update(new.metadata, old.metadata, errors)
    before, after = old.spec.cidrs, new.spec.cidrs
    grows = (len(before), len(after)) == (1, 2)
    if len(before) == len(after) or grows:
        pairs = enumerate(zip(before, after, strict=False))
        errors.extend(invalid(f"{_PATH}[{i}]", text, IMMUTABLE) for i, (was, text) in pairs if was != text)
        if grows:
            _check_networks(new, errors)
    else:
        errors.append(invalid(_PATH, list(after), IMMUTABLE))
    return errors


def _address_name(name: str) -> names.Messages:
    errors: list[FieldError] = []
    check_ip(name, "", errors)
    if errors:
        return tuple(error.message.partition(f'{name}": ')[2] or error.message for error in errors)
    canonical = str(parse_ip(name))
    return () if canonical == name else (f'must be in canonical form ("{canonical}")',)


def validate_ip_address(obj: IPAddress) -> list[FieldError]:
    """A new address."""
    errors: list[FieldError] = []
    check_metadata(obj.metadata, False, _address_name, "metadata", errors)
    parent, path = obj.spec.parent_ref, "spec.parentRef"
    if not (parent.resource or parent.name):
        errors.append(required(path))
        return errors
    if parent.group:
        refuse(names.dns_subdomain(parent.group), parent.group, f"{path}.group", errors)
    for value, name in ((parent.resource, "resource"), (parent.name, "name")):
        if not value:
            errors.append(required(f"{path}.{name}"))
        else:
            refuse(names.path_segment(value), value, f"{path}.{name}", errors)
    if parent.namespace:
        refuse(names.path_segment(parent.namespace), parent.namespace, f"{path}.namespace", errors)
    return errors


def validate_ip_address_update(new: IPAddress, old: IPAddress) -> list[FieldError]:
    """An address stays its owner's."""
    errors: list[FieldError] = []
    check_metadata_update(new.metadata, old.metadata, errors)
    check_immutable(new.spec.parent_ref, old.spec.parent_ref, "spec.parentRef", errors)
    return errors

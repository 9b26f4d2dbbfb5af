"""Checks that claims, classes and slices of devices share: names, lists, configurations, taints, binding conditions."""

from __future__ import annotations

import re
from collections.abc import Callable, Hashable, Sequence
from ipaddress import ip_interface
from typing import Any, Final, TypeVar

import msgspec

from tiphys.api import names
from tiphys.api.field_errors import (
    FieldError,
    duplicate,
    invalid,
    not_supported,
    refuse,
    required,
    too_long,
    too_many,
)
from tiphys.api.types.resource_v1 import DeviceTaint, DeviceToleration, OpaqueDeviceConfiguration
from tiphys.api.validation.expressions import check_selector
from tiphys.api.validation.formats import parse_ip
from tiphys.api.validation.legacy_volumes import check_csi_driver
from tiphys.api.validation.metadata import check_label_name

SELECTORS_MAXIMUM: Final = 32
CONFIGURATIONS_MAXIMUM: Final = 32
_POOL_MAXIMUM: Final = 253
_ID_MAXIMUM: Final = 32
_PARAMETERS_MAXIMUM_BYTES: Final = 10 * 1024
_EFFECTS: Final = ("NoExecute", "NoSchedule", "None")
_OPERATORS: Final = ("Equal", "Exists")
_CONDITIONS_MAXIMUM: Final = 4
_uuid: Final = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}").fullmatch

T = TypeVar("T")
Check = Callable[[T, str, list[FieldError]], None]

check_driver = check_csi_driver


def check_slice(items: Sequence[T], maximum: int, check: Check[T], path: str, errors: list[FieldError]) -> bool:
    """Check each item, unless there are too many. Returns whether they were looked at."""
    if 0 <= maximum < len(items):
        errors.append(too_many(path, len(items), maximum))
        return False
    for index, item in enumerate(items):
        check(item, f"{path}[{index}]", errors)
    return True


def check_set(
    items: Sequence[T],
    maximum: int,
    check: Check[T],
    key: Callable[[T], Hashable],
    path: str,
    errors: list[FieldError],
) -> None:
    """As `check_slice`; no two items may have one key."""
    if not check_slice(items, maximum, check, path, errors):
        return
    seen: set[Hashable] = set()
    for index, item in enumerate(items):
        found = key(item)
        if found in seen:
            errors.append(duplicate(f"{path}[{index}]", found))
        seen.add(found)


def check_label(name: str, path: str, errors: list[FieldError]) -> None:
    """Names of requests, devices, counters."""
    refuse(names.dns_label(name), name, path, errors)


def check_pool_name(name: str, path: str, errors: list[FieldError]) -> None:
    """One or more subdomains with slashes between."""
    if not name:
        errors.append(required(path))
        return
    if len(name) > _POOL_MAXIMUM:
        errors.append(too_long(path, _POOL_MAXIMUM))
    for part in name.split("/"):
        refuse(names.dns_subdomain(part), part, path, errors)


def check_share_id(value: str, path: str, errors: list[FieldError]) -> None:
    """A UUID in lower case."""
    if not _uuid(value.lower()):
        detail = f"error validating uid: invalid UUID length: {len(value)}"
        errors.append(invalid(path, value, detail if len(value) != 36 else "error validating uid: invalid UUID format"))
    elif not _uuid(value):
        detail = (
            "uid must be in RFC 4122 normalized form, `xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx` with lowercase "
            "hexadecimal characters"
        )
        errors.append(invalid(path, value, detail))


def check_qualified(name: str, path: str, errors: list[FieldError]) -> None:
    """An identifier, which a domain may precede."""
    domain, slash, rest = name.partition("/")
    if "/" in rest:
        errors.append(invalid(path, name, "must not contain more than one slash"))
        return
    if slash:
        if domain:
            check_driver(domain, path, errors)
        else:
            errors.append(invalid(path, "", "the domain must not be empty"))
        if not rest:
            errors.append(invalid(path, "", "the name must not be empty"))
            return
    identifier = rest if slash else domain
    if len(identifier) > _ID_MAXIMUM:
        errors.append(too_long(path, _ID_MAXIMUM))
    refuse(names.c_identifier(identifier), identifier, path, errors)


def check_fully_qualified(name: str, path: str, errors: list[FieldError]) -> None:
    """An identifier in a domain."""
    check_qualified(name, path, errors)
    if "/" not in name:
        errors.append(invalid(path, name, "a fully qualified name must be a domain and a name separated by a slash"))


def check_selectors(selectors: Sequence[Any], path: str, errors: list[FieldError]) -> None:
    """Expressions that select devices."""
    check_slice(selectors, SELECTORS_MAXIMUM, _check_selector, path, errors)


def _check_selector(selector: Any, path: str, errors: list[FieldError]) -> None:
    if selector.cel is None:
        errors.append(required(f"{path}.cel"))
    else:
        check_selector(selector.cel.expression, f"{path}.cel.expression", errors)


def check_opaque(opaque: OpaqueDeviceConfiguration | None, path: str, errors: list[FieldError]) -> None:
    """What a driver is told; `path` is the configuration's, the only form of which is opaque."""
    if opaque is None:
        errors.append(required(f"{path}.opaque"))
        return
    check_driver(opaque.driver, f"{path}.opaque.driver", errors)
    check_object(opaque.parameters, f"{path}.opaque.parameters", _PARAMETERS_MAXIMUM_BYTES, errors)


def check_object(value: Any, path: str, maximum_bytes: int, errors: list[FieldError]) -> None:
    """Any JSON object that is not too large."""
    if value is None:
        errors.append(required(path))
    elif len(msgspec.json.encode(value)) > maximum_bytes:
        errors.append(too_long(path, maximum_bytes))
    elif not isinstance(value, dict):
        errors.append(invalid(path, "<value omitted>", "must be a valid JSON object"))


def check_toleration(toleration: DeviceToleration, path: str, errors: list[FieldError]) -> None:
    """Which taints are put up with."""
    if toleration.key:
        check_label_name(toleration.key, f"{path}.key", errors)
    value = toleration.value or ""
    if toleration.operator == "Exists":
        if value:
            errors.append(invalid(f"{path}.value", value, "must be empty for operator `Exists`"))
    elif toleration.operator == "Equal":
        refuse(names.label_value(value), value, f"{path}.value", errors)
    elif not toleration.operator:
        errors.append(required(f"{path}.operator"))
    else:
        errors.append(not_supported(f"{path}.operator", toleration.operator, _OPERATORS))
    if toleration.effect and toleration.effect not in _EFFECTS:
        errors.append(not_supported(f"{path}.effect", toleration.effect, _EFFECTS))


def check_taint(taint: DeviceTaint, path: str, errors: list[FieldError]) -> None:
    """What keeps claims off a device."""
    check_label_name(taint.key, f"{path}.key", errors)
    if taint.value:
        refuse(names.label_value(taint.value), taint.value, f"{path}.value", errors)
    if not taint.effect:
        errors.append(required(f"{path}.effect"))
    elif taint.effect not in _EFFECTS:
        errors.append(not_supported(f"{path}.effect", taint.effect, _EFFECTS))


def check_binding(device: Any, path: str, errors: list[FieldError]) -> None:
    """Conditions that binding waits for, and those that end the waiting: both or neither, none in both."""
    good, bad = device.binding_conditions, device.binding_failure_conditions
    good_path, bad_path = f"{path}.bindingConditions", f"{path}.bindingFailureConditions"
    check_slice(good, _CONDITIONS_MAXIMUM, check_label_name, good_path, errors)
    check_slice(bad, _CONDITIONS_MAXIMUM, check_label_name, bad_path, errors)
    for index, condition in enumerate(good):
        if condition in good[:index]:
            errors.append(duplicate(f"{good_path}[{index}]", condition))
    for index, condition in enumerate(bad):
        if condition in bad[:index]:
            errors.append(duplicate(f"{bad_path}[{index}]", condition))
        if condition in good:
            detail = "bindingFailureConditions must not overlap with bindingConditions"
            errors.append(invalid(f"{bad_path}[{index}]", condition, detail))
    if bad and not good:
        errors.append(invalid(good_path, [], "bindingConditions are required to use bindingFailureConditions"))
    if good and not bad:
        errors.append(invalid(bad_path, [], "bindingFailureConditions are required to use bindingConditions"))


def check_interface_address(text: str, path: str, errors: list[FieldError]) -> None:
    """An address with the size of its network, as interfaces have it."""
    address, slash, length = text.partition("/")
    try:
        found = ip_interface(text) if slash and length.isdecimal() and parse_ip(address) is not None else None
    except ValueError:
        found = None
    if found is None:
        detail = "must be a valid address in CIDR form, (e.g. 10.9.8.7/24 or 2001:db8::1/64)"
        errors.append(invalid(path, text, detail))
    elif found.with_prefixlen != text:
        errors.append(invalid(path, text, f'must be in canonical form ("{found.with_prefixlen}")'))

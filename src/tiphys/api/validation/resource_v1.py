"""Checks of device claims and classes."""

from __future__ import annotations

from typing import Any, Final

from tiphys.api import names
from tiphys.api.field_errors import FieldError, duplicate, invalid, not_supported, refuse, required, too_many
from tiphys.api.types.resource_v1 import DeviceClaim, DeviceClass, ResourceClaim, ResourceClaimTemplate
from tiphys.api.validation.expressions import check_selector
from tiphys.api.validation.metadata import check_immutable, check_metadata, check_metadata_update

_MODES: Final = ("All", "ExactCount")
_REQUESTS_MAXIMUM: Final = 32


def _device_class(obj: DeviceClass) -> list[FieldError]:
    errors: list[FieldError] = []
    check_metadata(obj.metadata, False, names.dns_subdomain, "metadata", errors)
    _check_selectors(obj.spec.selectors, "spec.selectors", errors)
    return errors


def _device_class_update(new: DeviceClass, old: DeviceClass) -> list[FieldError]:
    errors: list[FieldError] = []
    check_metadata_update(new.metadata, old.metadata, errors)
    _check_selectors(new.spec.selectors, "spec.selectors", errors)
    return errors


def _check_selectors(selectors: Any, path: str, errors: list[FieldError]) -> None:
    if len(selectors) > _REQUESTS_MAXIMUM:
        errors.append(too_many(path, len(selectors), _REQUESTS_MAXIMUM))
    for index, selector in enumerate(selectors):
        if selector.cel is None:
            errors.append(required(f"{path}[{index}].cel"))
        elif not selector.cel.expression:
            errors.append(required(f"{path}[{index}].cel.expression"))
        else:
            check_selector(selector.cel.expression, f"{path}[{index}].cel.expression", errors)


def _claim(obj: ResourceClaim) -> list[FieldError]:
    errors: list[FieldError] = []
    check_metadata(obj.metadata, True, names.dns_subdomain, "metadata", errors)
    _check_devices(obj.spec.devices, "spec.devices", errors)
    return errors


def _claim_update(new: ResourceClaim, old: ResourceClaim) -> list[FieldError]:
    errors: list[FieldError] = []
    check_metadata_update(new.metadata, old.metadata, errors)
    check_immutable(new.spec, old.spec, "spec", errors)
    return errors


def _claim_template(obj: ResourceClaimTemplate) -> list[FieldError]:
    errors: list[FieldError] = []
    check_metadata(obj.metadata, True, names.dns_subdomain, "metadata", errors)
    _check_devices(obj.spec.spec.devices, "spec.spec.devices", errors)
    return errors


def _claim_template_update(new: ResourceClaimTemplate, old: ResourceClaimTemplate) -> list[FieldError]:
    errors: list[FieldError] = []
    check_metadata_update(new.metadata, old.metadata, errors)
    check_immutable(new.spec, old.spec, "spec", errors)
    return errors


def _check_devices(devices: DeviceClaim | None, path: str, errors: list[FieldError]) -> None:
    if devices is None:
        return
    seen: set[str] = set()
    if len(devices.requests) > _REQUESTS_MAXIMUM:
        errors.append(too_many(f"{path}.requests", len(devices.requests), _REQUESTS_MAXIMUM))
    for index, request in enumerate(devices.requests):
        where = f"{path}.requests[{index}]"
        if not request.name:
            errors.append(required(f"{where}.name"))
        else:
            refuse(names.dns_label(request.name), request.name, f"{where}.name", errors)
        if request.name in seen:
            errors.append(duplicate(f"{where}.name", request.name))
        seen.add(request.name)
        if request.exactly is None and not request.first_available:
            errors.append(required(where, "exactly one of `exactly` or `firstAvailable` is required"))
        elif request.exactly is not None and request.first_available:
            detail = "exactly one of `exactly` or `firstAvailable` is required, but multiple fields are set"
            errors.append(invalid(where, None, detail))
        if request.exactly is not None:
            _check_request(request.exactly, f"{where}.exactly", errors)
        for position, alternative in enumerate(request.first_available):
            place = f"{where}.firstAvailable[{position}]"
            refuse(names.dns_label(alternative.name), alternative.name, f"{place}.name", errors)
            _check_request(alternative, place, errors)


def _check_request(request: Any, path: str, errors: list[FieldError]) -> None:
    if not request.device_class_name:
        errors.append(required(f"{path}.deviceClassName"))
    else:
        name = request.device_class_name
        refuse(names.dns_subdomain(name), name, f"{path}.deviceClassName", errors)
    _check_selectors(request.selectors, f"{path}.selectors", errors)
    if request.allocation_mode == "All":
        if request.count:
            detail = "must not be specified when allocationMode is 'All'"
            errors.append(invalid(f"{path}.count", request.count, detail))
    elif request.allocation_mode == "ExactCount":
        if (request.count or 0) <= 0:
            errors.append(invalid(f"{path}.count", request.count or 0, "must be greater than zero"))
    else:
        errors.append(not_supported(f"{path}.allocationMode", request.allocation_mode or "", _MODES))


CREATE: Final[dict[type, Any]] = {
    DeviceClass: _device_class,
    ResourceClaim: _claim,
    ResourceClaimTemplate: _claim_template,
}
UPDATE: Final[dict[type, Any]] = {
    DeviceClass: _device_class_update,
    ResourceClaim: _claim_update,
    ResourceClaimTemplate: _claim_template_update,
}

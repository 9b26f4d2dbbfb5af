"""Checks of what claims ask for, and of what they were given."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from tiphys.api import names
from tiphys.api.field_errors import FieldError, forbidden, invalid, not_supported, refuse, required, too_long, too_many
from tiphys.api.resource_claims import MAXIMUM_USERS
from tiphys.api.types.resource_v1 import (
    AllocatedDeviceStatus,
    AllocationResult,
    DeviceAllocationConfiguration,
    DeviceClaim,
    DeviceClaimConfiguration,
    DeviceConstraint,
    DeviceRequest,
    DeviceRequestAllocationResult,
    NetworkDeviceData,
    ResourceClaim,
    ResourceClaimConsumerReference,
)
from tiphys.api.validation import device_parts as parts
from tiphys.api.validation.metadata import check_immutable
from tiphys.api.validation.selectors import check_node_selector

_MODES: Final = ("All", "ExactCount")
_REQUESTS_MAXIMUM: Final = 32
_ALTERNATIVES_MAXIMUM: Final = 8
_RESULTS_MAXIMUM: Final = 32
_CONDITIONS_MAXIMUM: Final = 8
_DATA_MAXIMUM_BYTES: Final = 10 * 1024
_INTERFACE_NAME_MAXIMUM: Final = 256
_HARDWARE_ADDRESS_MAXIMUM: Final = 128
_ADDRESSES_MAXIMUM: Final = 16
_SOURCES: Final = ("FromClaim", "FromClass")
_REFERENCE: Final = (
    "must be the name of a request in the claim or the name of a request and a subrequest separated by '/'"
)
Requests = Mapping[str, frozenset[str]]


def check_devices(devices: DeviceClaim | None, path: str, errors: list[FieldError]) -> None:
    """Requests, constraints and configurations of a claim."""
    if devices is None:
        return
    requests = _request_names(devices)
    parts.check_set(devices.requests, _REQUESTS_MAXIMUM, _check_request, lambda r: r.name, f"{path}.requests", errors)

    def constraint(item: DeviceConstraint, where: str, found: list[FieldError]) -> None:
        _check_references(item.requests, requests, where, found)
        if item.match_attribute is not None:
            parts.check_fully_qualified(item.match_attribute, f"{where}.matchAttribute", found)
        elif item.distinct_attribute is not None:
            parts.check_fully_qualified(item.distinct_attribute, f"{where}.distinctAttribute", found)
        else:
            detail = 'exactly one of "matchAttribute" or "distinctAttribute" is required, but multiple fields are set'
            found.append(required(where, detail))

    def configuration(item: DeviceClaimConfiguration, where: str, found: list[FieldError]) -> None:
        _check_references(item.requests, requests, where, found)
        parts.check_opaque(item.opaque, where, found)

    parts.check_slice(devices.constraints, _REQUESTS_MAXIMUM, constraint, f"{path}.constraints", errors)
    parts.check_slice(devices.config, parts.CONFIGURATIONS_MAXIMUM, configuration, f"{path}.config", errors)


def _request_names(devices: DeviceClaim | None) -> Requests:
    if devices is None:
        return {}
    return {request.name: frozenset(one.name for one in request.first_available) for request in devices.requests}


def _check_references(references: tuple[str, ...], requests: Requests, path: str, errors: list[FieldError]) -> None:
    def check(name: str, where: str, found: list[FieldError]) -> None:
        _check_reference(name, requests, where, found)

    parts.check_set(references, _REQUESTS_MAXIMUM, check, lambda name: name, f"{path}.requests", errors)


def _check_reference(name: str, requests: Requests, path: str, errors: list[FieldError]) -> None:
    segments = name.split("/")
    if len(segments) > 2:
        errors.append(invalid(path, name, _REFERENCE))
        return
    for segment in segments:
        parts.check_label(segment, path, errors)
    known = segments[0] in requests and (len(segments) == 1 or segments[1] in requests[segments[0]])
    if not known:
        errors.append(invalid(path, name, _REFERENCE))


def _check_request(request: DeviceRequest, path: str, errors: list[FieldError]) -> None:
    parts.check_label(request.name, f"{path}.name", errors)
    if request.exactly is None and not request.first_available:
        errors.append(required(path, "exactly one of `exactly` or `firstAvailable` is required"))
    elif request.exactly is not None and request.first_available:
        detail = "exactly one of `exactly` or `firstAvailable` is required, but multiple fields are set"
        errors.append(invalid(path, None, detail))
    elif request.exactly is not None:
        _check_exact(request.exactly, f"{path}.exactly", errors)
    else:
        where = f"{path}.firstAvailable"
        parts.check_set(
            request.first_available, _ALTERNATIVES_MAXIMUM, _check_alternative, lambda r: r.name, where, errors
        )


def _check_alternative(request: Any, path: str, errors: list[FieldError]) -> None:
    parts.check_label(request.name, f"{path}.name", errors)
    _check_exact(request, path, errors)


def _check_exact(request: Any, path: str, errors: list[FieldError]) -> None:
    name = request.device_class_name
    if not name:
        errors.append(required(f"{path}.deviceClassName"))
    else:
        refuse(names.dns_subdomain(name), name, f"{path}.deviceClassName", errors)
    parts.check_selectors(request.selectors, f"{path}.selectors", errors)
    count = request.count or 0
    if request.allocation_mode == "All":
        if count:
            errors.append(invalid(f"{path}.count", count, "must not be specified when allocationMode is 'All'"))
    elif request.allocation_mode == "ExactCount":
        if count <= 0:
            errors.append(invalid(f"{path}.count", count, "must be greater than zero"))
    else:
        errors.append(not_supported(f"{path}.allocationMode", request.allocation_mode or "", _MODES))
    for index, toleration in enumerate(request.tolerations):
        parts.check_toleration(toleration, f"{path}.tolerations[{index}]", errors)


def check_status(new: ResourceClaim, old: ResourceClaim, errors: list[FieldError]) -> None:
    """What a scheduler and drivers write: who uses the claim, what it was given, how the devices are."""
    status, before = new.status, old.status
    parts.check_set(status.reserved_for, MAXIMUM_USERS, _check_consumer, lambda c: c.uid, "status.reservedFor", errors)
    results = status.allocation.devices.results if status.allocation and status.allocation.devices else ()
    allocated = frozenset(map(_device_id, results))

    def device(item: AllocatedDeviceStatus, where: str, found: list[FieldError]) -> None:
        _check_device(item, allocated, where, found)

    parts.check_set(status.devices, -1, device, _device_id, "status.devices", errors)
    if status.reserved_for:
        if status.allocation is None:
            errors.append(forbidden("status.reservedFor", "may not be specified when `allocated` is not set"))
        elif new.metadata.deletion_timestamp is not None and any(
            consumer not in before.reserved_for for consumer in status.reserved_for
        ):
            detail = "new entries may not be added while `deallocationRequested` or `deletionTimestamp` are set"
            errors.append(forbidden("status.reservedFor", detail))
    if status.allocation is not None:
        if before.allocation is not None:
            check_immutable(status.allocation, before.allocation, "status.allocation", errors)
        else:
            _check_allocation(status.allocation, _request_names(new.spec.devices), "status.allocation", errors)


def _device_id(device: AllocatedDeviceStatus | DeviceRequestAllocationResult) -> str:
    name = f"{device.driver}/{device.pool}/{device.device}"
    return f"{name}/{device.share_id}" if device.share_id is not None else name


def _check_consumer(consumer: ResourceClaimConsumerReference, path: str, errors: list[FieldError]) -> None:
    for value, name in ((consumer.resource, "resource"), (consumer.name, "name"), (consumer.uid, "uid")):
        if not value:
            errors.append(required(f"{path}.{name}"))


def _check_allocation(allocation: AllocationResult, requests: Requests, path: str, errors: list[FieldError]) -> None:
    def result(item: DeviceRequestAllocationResult, where: str, found: list[FieldError]) -> None:
        _check_reference(item.request, requests, f"{where}.request", found)
        _check_names(item, where, found)
        parts.check_binding(item, where, found)
        for index, toleration in enumerate(item.tolerations):
            parts.check_toleration(toleration, f"{where}.tolerations[{index}]", found)
        if item.share_id is not None:
            parts.check_share_id(item.share_id, f"{where}.shareID", found)

    def configuration(item: DeviceAllocationConfiguration, where: str, found: list[FieldError]) -> None:
        if not item.source:
            found.append(required(f"{where}.source"))
        elif item.source not in _SOURCES:
            found.append(not_supported(f"{where}.source", item.source, _SOURCES))
        _check_references(item.requests, requests, where, found)
        parts.check_opaque(item.opaque, where, found)

    if allocation.devices is not None:
        devices, limit = allocation.devices, 2 * parts.CONFIGURATIONS_MAXIMUM
        parts.check_slice(devices.results, _RESULTS_MAXIMUM, result, f"{path}.devices.results", errors)
        parts.check_slice(devices.config, limit, configuration, f"{path}.devices.config", errors)
    if allocation.node_selector is not None:
        check_node_selector(allocation.node_selector, f"{path}.nodeSelector", errors)


def _check_names(device: Any, path: str, errors: list[FieldError]) -> None:
    parts.check_driver(device.driver, f"{path}.driver", errors)
    parts.check_pool_name(device.pool, f"{path}.pool", errors)
    parts.check_label(device.device, f"{path}.device", errors)


def _check_device(
    device: AllocatedDeviceStatus, allocated: frozenset[str], path: str, errors: list[FieldError]
) -> None:
    _check_names(device, path, errors)
    if device.share_id is not None:
        parts.check_share_id(device.share_id, f"{path}.shareID", errors)
    if _device_id(device) not in allocated:
        errors.append(invalid(path, _device_id(device), "must be an allocated device in the claim"))
    if len(device.conditions) > _CONDITIONS_MAXIMUM:
        errors.append(too_many(f"{path}.conditions", len(device.conditions), _CONDITIONS_MAXIMUM))
    if device.data is not None:
        parts.check_object(device.data, f"{path}.data", _DATA_MAXIMUM_BYTES, errors)
    if device.network_data is not None:
        _check_network(device.network_data, f"{path}.networkData", errors)


def _check_network(data: NetworkDeviceData, path: str, errors: list[FieldError]) -> None:
    for value, name, maximum in (
        (data.interface_name, "interfaceName", _INTERFACE_NAME_MAXIMUM),
        (data.hardware_address, "hardwareAddress", _HARDWARE_ADDRESS_MAXIMUM),
    ):
        if value is not None and len(value.encode()) > maximum:
            errors.append(too_long(f"{path}.{name}", maximum))
    parts.check_set(data.ips, _ADDRESSES_MAXIMUM, parts.check_interface_address, str, f"{path}.ips", errors)

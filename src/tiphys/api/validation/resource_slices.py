"""Checks of ResourceSlices: the devices a driver has, and where."""

from __future__ import annotations

import re
from typing import Any, Final

from tiphys.api import names
from tiphys.api.field_errors import FieldError, forbidden, invalid, refuse, required, too_long, too_many
from tiphys.api.types.resource_v1 import (
    CapacityRequestPolicy,
    CounterSet,
    Device,
    DeviceAttribute,
    DeviceCapacity,
    DeviceCounterConsumption,
    ResourceSliceSpec,
)
from tiphys.api.validation import device_parts as parts
from tiphys.api.validation.metadata import check_immutable
from tiphys.api.validation.resources import compare
from tiphys.api.validation.selectors import check_node_selector

_DEVICES_MAXIMUM: Final = 128
_ADVANCED_DEVICES_MAXIMUM: Final = 64
_COUNTER_SETS_MAXIMUM: Final = 8
_COUNTERS_MAXIMUM: Final = 32
_CONSUMPTIONS_MAXIMUM: Final = 2
_PROPERTIES_MAXIMUM: Final = 32
_VALUES_MAXIMUM: Final = 48
_TAINTS_MAXIMUM: Final = 16
_VALUE_MAXIMUM_BYTES: Final = 64
_OPTIONS_MAXIMUM: Final = 10
_ONE_OF: Final = "exactly one of `nodeName`, `nodeSelector`, `allNodes`, `perDeviceNodeSelection` is required"
_ONE_OF_DEVICE: Final = (
    "exactly one of `nodeName`, `nodeSelector`, or `allNodes` is required when `perDeviceNodeSelection` is set to true "
    "in the ResourceSlice spec"
)
_UNSET_OR_TRUE: Final = "must be either unset or set to true"
_pre: Final = r"(0|[1-9]\d*|\d*[a-zA-Z-][0-9a-zA-Z-]*)"
_semantic_version: Final = re.compile(
    rf"(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)(-{_pre}(\.{_pre})*)?(\+[0-9a-zA-Z-]+(\.[0-9a-zA-Z-]+)*)?", re.ASCII
).fullmatch


def check_slice_spec(spec: ResourceSliceSpec, old: ResourceSliceSpec | None, errors: list[FieldError]) -> None:
    """A slice; with `old`, one that replaces it."""
    parts.check_driver(spec.driver, "spec.driver", errors)
    _check_pool(spec, errors)
    if old is not None:
        check_immutable(spec.pool.name, old.pool.name, "spec.pool.name", errors)
        check_immutable(spec.driver, old.driver, "spec.driver", errors)
        check_immutable(spec.node_name, old.node_name, "spec.nodeName", errors)
    _check_place(spec, errors)
    if spec.shared_counters and spec.devices:
        errors.append(invalid("spec", "", "only one of `sharedCounters` or `devices` is allowed"))
    is_advanced = any(d.taints or d.consumes_counters or _has_lists(d) for d in spec.devices)
    before = {device.name: device for device in old.devices} if old is not None else {}

    def check(device: Device, path: str, found: list[FieldError]) -> None:
        _check_device(device, before.get(device.name), spec.per_device_node_selection is True, path, found)

    limit = _ADVANCED_DEVICES_MAXIMUM if is_advanced else _DEVICES_MAXIMUM
    parts.check_set(spec.devices, limit, check, lambda d: d.name, "spec.devices", errors)
    parts.check_set(
        spec.shared_counters,
        _COUNTER_SETS_MAXIMUM,
        _check_counter_set,
        lambda counters: counters.name,
        "spec.sharedCounters",
        errors,
    )


def _check_pool(spec: ResourceSliceSpec, errors: list[FieldError]) -> None:
    pool = spec.pool
    parts.check_pool_name(pool.name, "spec.pool.name", errors)
    if pool.resource_slice_count <= 0:
        where = "spec.pool.resourceSliceCount"
        errors.append(invalid(where, pool.resource_slice_count, "must be greater than zero"))
    if pool.generation < 0:
        errors.append(invalid("spec.pool.generation", pool.generation, "must be greater than or equal to zero"))


def _check_place(spec: ResourceSliceSpec, errors: list[FieldError]) -> None:
    chosen: list[str] = []
    if spec.node_name is not None:
        if spec.node_name:
            chosen.append("`nodeName`")
            refuse(names.dns_subdomain(spec.node_name), spec.node_name, "spec.nodeName", errors)
        else:
            errors.append(invalid("spec.nodeName", "", "must be either unset or set to a non-empty string"))
    if spec.node_selector is not None:
        chosen.append("`nodeSelector`")
        check_node_selector(spec.node_selector, "spec.nodeSelector", errors)
        terms = spec.node_selector.node_selector_terms
        if len(terms) != 1:
            where = "spec.nodeSelector.nodeSelectorTerms"
            errors.append(invalid(where, terms, "must have exactly one node selector term"))
    for flag, name in ((spec.all_nodes, "allNodes"), (spec.per_device_node_selection, "perDeviceNodeSelection")):
        if flag:
            chosen.append(f"`{name}`")
        elif flag is not None:
            errors.append(invalid(f"spec.{name}", False, _UNSET_OR_TRUE))
    if not chosen:
        errors.append(required("spec", _ONE_OF))
    elif len(chosen) > 1:
        detail = f"{_ONE_OF}, but multiple fields are set"
        errors.append(invalid("spec", f"{{{', '.join(chosen)}}}", detail))


def _check_counter_set(counters: CounterSet, path: str, errors: list[FieldError]) -> None:
    if not counters.name:
        errors.append(required(f"{path}.name"))
    else:
        parts.check_label(counters.name, f"{path}.name", errors)
    _check_counters(counters, path, errors)


def _check_consumption(consumption: DeviceCounterConsumption, path: str, errors: list[FieldError]) -> None:
    if not consumption.counter_set:
        errors.append(required(f"{path}.counterSet"))
    else:
        parts.check_label(consumption.counter_set, f"{path}.counterSet", errors)
    _check_counters(consumption, path, errors)


def _check_counters(holder: CounterSet | DeviceCounterConsumption, path: str, errors: list[FieldError]) -> None:
    if not holder.counters:
        errors.append(required(f"{path}.counters"))
    elif len(holder.counters) > _COUNTERS_MAXIMUM:
        errors.append(too_many(f"{path}.counters", len(holder.counters), _COUNTERS_MAXIMUM))
    else:
        for name in holder.counters:
            parts.check_label(name, f"{path}.counters", errors)


def _has_lists(device: Device) -> bool:
    return any(a.bools or a.ints or a.strings or a.versions for a in device.attributes.values())


def _check_device(device: Device, old: Device | None, own_place: bool, path: str, errors: list[FieldError]) -> None:
    parts.check_label(device.name, f"{path}.name", errors)
    properties = len(device.attributes) + len(device.capacity)
    if properties > _PROPERTIES_MAXIMUM:
        detail = f"the total number of attributes and capacities must not exceed {_PROPERTIES_MAXIMUM}"
        errors.append(invalid(path, properties, detail))
    values = sum(len(a.bools) + len(a.ints) + len(a.strings) + len(a.versions) or 1 for a in device.attributes.values())
    if values > _VALUES_MAXIMUM:
        detail = f"the total number of attribute values must not exceed {_VALUES_MAXIMUM}"
        errors.append(invalid(path, values, detail))
    for name, attribute in device.attributes.items():
        parts.check_qualified(name, f"{path}.attributes", errors)
        _check_attribute(attribute, f"{path}.attributes[{name}]", errors)
    if old is None or old.capacity != device.capacity:
        for name, capacity in device.capacity.items():
            parts.check_qualified(name, f"{path}.capacity", errors)
            _check_capacity(capacity, device.allow_multiple_allocations is True, f"{path}.capacity[{name}]", errors)
    if old is None or old.taints != device.taints:
        parts.check_slice(device.taints, _TAINTS_MAXIMUM, parts.check_taint, f"{path}.taints", errors)
    where = f"{path}.consumesCounters"
    consumed = device.consumes_counters
    parts.check_set(consumed, _CONSUMPTIONS_MAXIMUM, _check_consumption, lambda c: c.counter_set, where, errors)
    _check_device_place(device, own_place, path, errors)
    parts.check_binding(device, path, errors)


def _check_device_place(device: Device, own_place: bool, path: str, errors: list[FieldError]) -> None:
    if not own_place:
        if device.node_name is not None or device.node_selector is not None or device.all_nodes is not None:
            detail = (
                "`nodeName`, `nodeSelector` and `allNodes` can only be set if `perDeviceNodeSelection` is set to true "
                "in the ResourceSlice spec"
            )
            errors.append(invalid(path, None, detail))
        return
    chosen: list[str] = []
    if device.node_name is not None:
        if device.node_name:
            chosen.append("`nodeName`")
            refuse(names.dns_subdomain(device.node_name), device.node_name, f"{path}.nodeName", errors)
        else:
            errors.append(invalid(f"{path}.nodeName", "", "must not be empty"))
    if device.node_selector is not None:
        chosen.append("`nodeSelector`")
        check_node_selector(device.node_selector, f"{path}.nodeSelector", errors)
    if device.all_nodes:
        chosen.append("`allNodes`")
    elif device.all_nodes is not None:
        errors.append(invalid(f"{path}.allNodes", False, _UNSET_OR_TRUE))
    if not chosen:
        errors.append(required(path, _ONE_OF_DEVICE))
    elif len(chosen) > 1:
        errors.append(invalid(path, f"{{{', '.join(chosen)}}}", _ONE_OF_DEVICE))


def _check_attribute(attribute: DeviceAttribute, path: str, errors: list[FieldError]) -> None:
    given = sum(value is not None for value in (attribute.bool_, attribute.int_, attribute.string, attribute.version))
    given += sum(bool(values) for values in (attribute.bools, attribute.ints, attribute.strings, attribute.versions))
    if attribute.string is not None:
        _check_text(attribute.string, f"{path}.string", errors)
    if attribute.version is not None:
        _check_version(attribute.version, f"{path}.version", errors)
    for index, text in enumerate(attribute.strings):
        _check_text(text, f"{path}.strings[{index}]", errors)
    for index, text in enumerate(attribute.versions):
        _check_version(text, f"{path}.versions[{index}]", errors)
    if given != 1:
        errors.append(invalid(path, attribute if given else "", "exactly one value must be specified"))


def _check_text(text: str, path: str, errors: list[FieldError]) -> None:
    if len(text.encode()) > _VALUE_MAXIMUM_BYTES:
        errors.append(too_long(path, _VALUE_MAXIMUM_BYTES))


def _check_version(text: str, path: str, errors: list[FieldError]) -> None:
    if not _semantic_version(text):
        errors.append(invalid(path, text, "must be a string compatible with semver.org spec 2.0.0"))
    _check_text(text, path, errors)


def _check_capacity(capacity: DeviceCapacity, is_shared: bool, path: str, errors: list[FieldError]) -> None:
    policy = capacity.request_policy
    if policy is None:
        return
    path = f"{path}.requestPolicy"
    if not is_shared:
        errors.append(forbidden(path, "allowMultipleAllocations must be true"))
    elif policy.valid_values and policy.valid_range is not None:
        detail = 'exactly one policy can be specified, cannot specify "validValues" and "validRange" at the same time'
        errors.append(forbidden(path, detail))
    elif policy.valid_values or policy.valid_range is not None:
        name = "validValues" if policy.valid_values else "validRange"
        if policy.default is None:
            errors.append(required(f"{path}.default", f"required when {name} is defined"))
        elif policy.valid_values:
            _check_options(capacity, policy, f"{path}.validValues", errors)
        else:
            _check_range(capacity, policy, f"{path}.validRange", errors)


def _check_options(
    capacity: DeviceCapacity, policy: CapacityRequestPolicy, path: str, errors: list[FieldError]
) -> None:
    options, default = policy.valid_values, policy.default
    assert default is not None
    errors.extend(
        invalid(f"{path}[{index}]", options[index], "values must be sorted in ascending order")
        for index in range(1, len(options))
        if compare(options[index - 1], options[index]) > 0
    )

    def check(option: Any, where: str, found: list[FieldError]) -> None:
        if compare(option, capacity.value) > 0:
            found.append(invalid(where, option, f"option is larger than capacity value: {capacity.value}"))

    parts.check_set(options, _OPTIONS_MAXIMUM, check, lambda option: str(option.value), path, errors)
    if len(options) > _OPTIONS_MAXIMUM or all(compare(option, default) for option in options):
        errors.append(invalid(path, default, "default value is not valid according to the requestPolicy"))


def _check_range(capacity: DeviceCapacity, policy: CapacityRequestPolicy, path: str, errors: list[FieldError]) -> None:
    span, default, limit = policy.valid_range, policy.default, capacity.value
    assert span is not None
    assert default is not None
    if not span.min:
        errors.append(required(f"{path}.min", "required when validRange is defined"))
        return
    if compare(span.min, limit) > 0:
        errors.append(invalid(f"{path}.min", span.min, f"min is larger than capacity value: {limit}"))
    if compare(default, span.min) < 0:
        errors.append(invalid(f"{path}.default", default, f"default is less than min: {span.min}"))
    if span.max is not None:
        if compare(span.min, span.max) > 0:
            errors.append(invalid(f"{path}.max", span.min, f"min is larger than max: {span.max}"))
        if compare(span.max, limit) > 0:
            errors.append(invalid(f"{path}.max", span.max, f"max is larger than capacity value: {limit}"))
        if compare(default, span.max) > 0:
            errors.append(invalid(f"{path}.default", default, f"default is more than max: {span.max}"))
    if span.step is None:
        return
    step, low = span.step.value, span.min.value
    if step <= 0:
        errors.append(invalid(f"{path}.step", span.step, "must be greater than zero"))
        return
    if low + step > limit.value:
        detail = f"one step {low + step} is larger than capacity value: {limit}"
        errors.append(invalid(f"{path}.step", span.step, detail))
    for value in (default, span.max):
        if value is not None and (value.value - low) % step:
            detail = f"value is not a multiple of a given step ({span.step}) from ({span.min})"
            errors.append(invalid(f"{path}.step", value, detail))

"""Checks of persistent volume claims, alone and inside pods and StatefulSets."""

from __future__ import annotations

from typing import Final

from msgspec.structs import replace

from tiphys.api import names
from tiphys.api.field_errors import FieldError, forbidden, invalid, not_supported, refuse, required
from tiphys.api.quantity import Quantity
from tiphys.api.types.core_v1 import (
    PersistentVolumeClaim,
    PersistentVolumeClaimSpec,
    TypedLocalObjectReference,
    TypedObjectReference,
    VolumeResourceRequirements,
)
from tiphys.api.validation.differences import describe_difference
from tiphys.api.validation.metadata import check_metadata, check_metadata_update
from tiphys.api.validation.resources import is_native
from tiphys.api.validation.selectors import check_label_selector

ACCESS_MODES: Final = ("ReadOnlyMany", "ReadWriteMany", "ReadWriteOnce", "ReadWriteOncePod")
VOLUME_MODES: Final = ("Block", "Filesystem")
_POSITIVE: Final = "must be greater than zero"
_CLAIM_IMMUTABLE: Final = (
    "spec is immutable after creation except resources.requests and volumeAttributesClassName for bound claims"
)
_RESIZE_STATUSES: Final = (
    "ControllerResizeInProgress",
    "ControllerResizeInfeasible",
    "NodeResizeInProgress",
    "NodeResizeInfeasible",
    "NodeResizePending",
)


def validate_claim(obj: PersistentVolumeClaim) -> list[FieldError]:
    """A new claim."""
    errors: list[FieldError] = []
    check_metadata(obj.metadata, True, names.dns_subdomain, "metadata", errors)
    check_claim_spec(obj.spec, "spec", errors)
    return errors


def check_claim_spec(spec: PersistentVolumeClaimSpec, path: str, errors: list[FieldError]) -> None:
    """What a claim asks for."""
    if not spec.access_modes:
        errors.append(required(f"{path}.accessModes", "at least 1 access mode is required"))
    if spec.selector is not None:
        check_label_selector(spec.selector, f"{path}.selector", errors)
    check_access_modes(spec.access_modes, f"{path}.accessModes", errors)
    storage = spec.resources.requests.get("storage")
    if storage is None:
        errors.append(required(f"{path}.resources[storage]"))
    elif storage.milli <= 0:
        errors.append(invalid(f"{path}.resources[storage]", storage, _POSITIVE))
    if spec.storage_class_name:
        refuse(
            names.dns_subdomain(spec.storage_class_name), spec.storage_class_name, f"{path}.storageClassName", errors
        )
    if spec.volume_mode is not None and spec.volume_mode not in VOLUME_MODES:
        errors.append(not_supported(f"{path}.volumeMode", spec.volume_mode, VOLUME_MODES))
    _check_sources(spec, path, errors)
    if spec.volume_attributes_class_name:
        name = spec.volume_attributes_class_name
        refuse(names.dns_subdomain(name), name, f"{path}.volumeAttributesClassName", errors)


def check_access_modes(modes: tuple[str, ...], path: str, errors: list[FieldError]) -> None:
    """Each known, and ReadWriteOncePod alone."""
    errors.extend(not_supported(path, mode, ACCESS_MODES) for mode in modes if mode not in ACCESS_MODES)
    if "ReadWriteOncePod" in modes and len(set(modes) & set(ACCESS_MODES)) > 1:
        errors.append(forbidden(path, "may not use ReadWriteOncePod with other access modes"))


def _check_sources(spec: PersistentVolumeClaimSpec, path: str, errors: list[FieldError]) -> None:
    if spec.data_source is not None:
        _check_source(spec.data_source, f"{path}.dataSource", errors)
    if spec.data_source_ref is not None:
        _check_source(spec.data_source_ref, f"{path}.dataSourceRef", errors)
        if spec.data_source_ref.namespace and spec.data_source is not None:
            detail = "may not be specified when dataSourceRef.namespace is specified"
            errors.append(invalid(path, {"dataSource": spec.data_source}, detail))
    if spec.data_source is not None and spec.data_source_ref is not None and not spec.data_source_ref.namespace:
        first, second = spec.data_source, spec.data_source_ref
        if (first.kind, first.name, first.api_group or "") != (second.kind, second.name, second.api_group or ""):
            errors.append(invalid(path, {"dataSource": first}, "must match dataSourceRef"))


def _check_source(
    source: TypedLocalObjectReference | TypedObjectReference, path: str, errors: list[FieldError]
) -> None:
    if not source.name:
        errors.append(required(f"{path}.name"))
    if not source.kind:
        errors.append(required(f"{path}.kind"))
    if not source.api_group and source.kind != "PersistentVolumeClaim":
        errors.append(
            invalid(path, source.kind, "must be 'PersistentVolumeClaim' when referencing the default apiGroup")
        )
    if source.api_group:
        refuse(names.dns_subdomain(source.api_group), source.api_group, f"{path}.apiGroup", errors)


def validate_claim_update(new: PersistentVolumeClaim, old: PersistentVolumeClaim) -> list[FieldError]:
    """A claim changes little: it may be bound, and grow when bound."""
    errors: list[FieldError] = []
    check_metadata_update(new.metadata, old.metadata, errors)
    check_claim_spec(new.spec, "spec", errors)
    comparable = new.spec
    if not old.spec.volume_name:
        # Binding is the controller's single write of a volume's name.
        comparable = replace(comparable, volume_name=None)
    expanded = old.status.phase == "Bound"
    if expanded:
        comparable = replace(comparable, resources=_with_storage_of(new.spec, old.spec))
        comparable = replace(comparable, volume_attributes_class_name=old.spec.volume_attributes_class_name)
    if comparable.storage_class_name is not None and old.spec.storage_class_name is None:
        # Once, to the class that was meant: by the old annotation, or the default there is by now.
        comparable = replace(comparable, storage_class_name=old.spec.storage_class_name)
    if comparable != old.spec:
        errors.append(forbidden("spec", f"{_CLAIM_IMMUTABLE}\n{describe_difference(comparable, old.spec)}"))
    _check_attributes_class_update(new, old, errors)
    before, after = old.spec.resources.requests.get("storage"), new.spec.resources.requests.get("storage")
    if before is not None and after is not None and after.exact < before.exact and expanded:
        capacity = old.status.capacity.get("storage")
        if capacity is None or after.exact <= capacity.exact:
            detail = "field can not be less than status.capacity"
            errors.append(forbidden("spec.resources.requests.storage", detail))
    if new.spec.volume_mode != old.spec.volume_mode:
        errors.append(invalid("volumeMode", new.spec.volume_mode, "field is immutable"))
    return errors


def _check_attributes_class_update(
    new: PersistentVolumeClaim, old: PersistentVolumeClaim, errors: list[FieldError]
) -> None:
    """Once a class was applied there is always one."""
    name = new.spec.volume_attributes_class_name
    if name == old.spec.volume_attributes_class_name or old.status.current_volume_attributes_class_name is None:
        return
    where = "spec.volumeAttributesClassName"
    what = "when status.currentVolumeAttributesClassName is not nil"
    if name is None:
        errors.append(forbidden(where, f"update to nil is forbidden {what}"))
    elif not name:
        errors.append(forbidden(where, f"update to empty string is forbidden {what}"))


def _with_storage_of(new: PersistentVolumeClaimSpec, old: PersistentVolumeClaimSpec) -> VolumeResourceRequirements:
    if "storage" not in old.resources.requests:
        return new.resources
    return replace(new.resources, requests={**new.resources.requests, "storage": old.resources.requests["storage"]})


def validate_claim_status(new: PersistentVolumeClaim, old: PersistentVolumeClaim) -> list[FieldError]:
    """What the binder and resizer report."""
    errors: list[FieldError] = []
    check_metadata_update(new.metadata, old.metadata, errors)
    for name, quantity in new.status.capacity.items():
        _check_amount(quantity, f"status.capacity[{name}]", errors)
    where = "status.allocatedResourceStatuses"
    for name, state in new.status.allocated_resource_statuses.items():
        _check_resource_key(name, where, errors)
        if state not in _RESIZE_STATUSES:
            errors.append(not_supported(where, name, _RESIZE_STATUSES))
    where = "status.allocatedResources"
    for name, quantity in new.status.allocated_resources.items():
        before = len(errors)
        _check_resource_key(name, where, errors)
        if len(errors) == before:
            _check_amount(quantity, f"{where}[{name}]", errors)
    return errors


def _check_amount(quantity: Quantity, path: str, errors: list[FieldError]) -> None:
    if quantity.value < 0:
        errors.append(invalid(path, quantity.value, "must be a valid resource quantity"))


def _check_resource_key(name: str, path: str, errors: list[FieldError]) -> None:
    messages = names.qualified_name(name)
    refuse(messages, name, path, errors)
    if not messages and is_native(name) and name != "storage":
        errors.append(not_supported(path, name, ("storage",)))

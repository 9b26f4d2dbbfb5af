"""Checks of device claims, classes and slices."""

from __future__ import annotations

from typing import Any, Final

from tiphys.api import names
from tiphys.api.field_errors import FieldError, invalid
from tiphys.api.types.resource_v1 import (
    DeviceClass,
    DeviceClassConfiguration,
    DeviceClassSpec,
    ResourceClaim,
    ResourceClaimTemplate,
    ResourceSlice,
)
from tiphys.api.validation import device_parts as parts
from tiphys.api.validation.device_claims import check_devices, check_status
from tiphys.api.validation.metadata import (
    check_annotations,
    check_immutable,
    check_labels,
    check_metadata,
    check_metadata_update,
)
from tiphys.api.validation.resource_slices import check_slice_spec
from tiphys.api.validation.resources import is_extended


def _device_class(obj: DeviceClass) -> list[FieldError]:
    errors: list[FieldError] = []
    check_metadata(obj.metadata, False, names.dns_subdomain, "metadata", errors)
    _check_class(obj.spec, None, errors)
    return errors


def _device_class_update(new: DeviceClass, old: DeviceClass) -> list[FieldError]:
    errors: list[FieldError] = []
    check_metadata(new.metadata, False, names.dns_subdomain, "metadata", errors)
    check_metadata_update(new.metadata, old.metadata, errors)
    _check_class(new.spec, old.spec, errors)
    return errors


def _check_class(spec: DeviceClassSpec, old: DeviceClassSpec | None, errors: list[FieldError]) -> None:
    """Expressions that are stored already stay good, whatever is thought of them today."""
    if old is None or spec.selectors != old.selectors:
        parts.check_selectors(spec.selectors, "spec.selectors", errors)
    parts.check_slice(spec.config, parts.CONFIGURATIONS_MAXIMUM, _check_configuration, "spec.config", errors)
    name = spec.extended_resource_name
    if name is not None and not is_extended(name):
        errors.append(invalid("spec.extendedResourceName", name, "must be a valid extended resource name"))


def _check_configuration(config: DeviceClassConfiguration, path: str, errors: list[FieldError]) -> None:
    parts.check_opaque(config.opaque, path, errors)


def _claim(obj: ResourceClaim) -> list[FieldError]:
    errors: list[FieldError] = []
    check_metadata(obj.metadata, True, names.dns_subdomain, "metadata", errors)
    check_devices(obj.spec.devices, "spec.devices", errors)
    return errors


def _claim_update(new: ResourceClaim, old: ResourceClaim) -> list[FieldError]:
    errors: list[FieldError] = []
    check_metadata(new.metadata, True, names.dns_subdomain, "metadata", errors)
    check_metadata_update(new.metadata, old.metadata, errors)
    check_immutable(new.spec, old.spec, "spec", errors)
    return errors


def _claim_status(new: ResourceClaim, old: ResourceClaim) -> list[FieldError]:
    errors: list[FieldError] = []
    check_metadata_update(new.metadata, old.metadata, errors)
    check_status(new, old, errors)
    return errors


def _claim_template(obj: ResourceClaimTemplate) -> list[FieldError]:
    errors: list[FieldError] = []
    check_metadata(obj.metadata, True, names.dns_subdomain, "metadata", errors)
    meta = obj.spec.metadata
    if meta is not None:
        check_annotations(meta.annotations, "spec.metadata.annotations", errors)
        check_labels(meta.labels, "spec.metadata.labels", errors)
    check_devices(obj.spec.spec.devices, "spec.spec.devices", errors)
    return errors


def _claim_template_update(new: ResourceClaimTemplate, old: ResourceClaimTemplate) -> list[FieldError]:
    errors: list[FieldError] = []
    check_metadata_update(new.metadata, old.metadata, errors)
    check_immutable(new.spec, old.spec, "spec", errors)
    return errors


def _slice(obj: ResourceSlice) -> list[FieldError]:
    errors: list[FieldError] = []
    check_metadata(obj.metadata, False, names.dns_subdomain, "metadata", errors)
    check_slice_spec(obj.spec, None, errors)
    return errors


def _slice_update(new: ResourceSlice, old: ResourceSlice) -> list[FieldError]:
    errors: list[FieldError] = []
    check_metadata_update(new.metadata, old.metadata, errors)
    check_slice_spec(new.spec, old.spec, errors)
    return errors


CREATE: Final[dict[type, Any]] = {
    DeviceClass: _device_class,
    ResourceClaim: _claim,
    ResourceClaimTemplate: _claim_template,
    ResourceSlice: _slice,
}
UPDATE: Final[dict[type, Any]] = {
    DeviceClass: _device_class_update,
    ResourceClaim: _claim_update,
    ResourceClaimTemplate: _claim_template_update,
    ResourceSlice: _slice_update,
}
STATUS: Final[dict[type, Any]] = {ResourceClaim: _claim_status}

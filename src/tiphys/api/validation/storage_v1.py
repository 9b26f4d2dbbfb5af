"""Checks of storage classes, CSI objects and attachments."""

from __future__ import annotations

from typing import Any, Final

from tiphys.api import names
from tiphys.api.field_errors import FieldError, duplicate, forbidden, invalid, not_supported, refuse, required, too_long
from tiphys.api.types.core_v1 import TopologySelectorTerm
from tiphys.api.types.storage_v1 import (
    CSIDriver,
    CSINode,
    CSINodeSpec,
    CSIStorageCapacity,
    StorageClass,
    VolumeAttachment,
    VolumeAttributesClass,
)
from tiphys.api.validation.legacy_volumes import check_csi_driver
from tiphys.api.validation.metadata import check_immutable, check_label_name, check_metadata, check_metadata_update
from tiphys.api.validation.persistent_volumes import check_volume_spec
from tiphys.api.validation.selectors import check_label_selector

_RECLAIM: Final = ("Delete", "Retain")
_BINDING: Final = ("Immediate", "WaitForFirstConsumer")
_PARAMETERS_MAXIMUM: Final = 512
_PARAMETERS_MAXIMUM_BYTES: Final = 256 * 1024
_FS_GROUP: Final = ("File", "None", "ReadWriteOnceWithFSType")
_LIFECYCLE: Final = ("Ephemeral", "Persistent")
_NODE_ID_MAXIMUM: Final = 256
_UPDATE_PERIOD_MINIMUM_SECONDS: Final = 10


def _storage_class(obj: StorageClass) -> list[FieldError]:
    errors: list[FieldError] = []
    check_metadata(obj.metadata, False, names.dns_subdomain, "metadata", errors)
    if not obj.provisioner:
        errors.append(required("provisioner"))
    else:
        refuse(names.qualified_name(obj.provisioner.lower()), obj.provisioner, "provisioner", errors)
    _check_parameters(obj.parameters, True, errors)
    if obj.reclaim_policy and obj.reclaim_policy not in _RECLAIM:
        errors.append(not_supported("reclaimPolicy", obj.reclaim_policy, _RECLAIM))
    if obj.volume_binding_mode is None:
        errors.append(required("volumeBindingMode"))
    elif obj.volume_binding_mode not in _BINDING:
        errors.append(not_supported("volumeBindingMode", obj.volume_binding_mode, _BINDING))
    _check_topologies(obj.allowed_topologies, errors)
    return errors


def _check_topologies(terms: tuple[TopologySelectorTerm, ...], errors: list[FieldError]) -> None:
    """Alternatives, no two alike; each says of some labels, once each, which values will do."""
    known: list[dict[str, frozenset[str]]] = []
    for index, term in enumerate(terms):
        path = f"allowedTopologies[{index}]"
        here: dict[str, frozenset[str]] = {}
        for position, requirement in enumerate(term.match_label_expressions):
            where = f"{path}.matchLabelExpressions[{position}]"
            if not requirement.values:
                errors.append(required(f"{where}.values"))
            seen: set[str] = set()
            for number, value in enumerate(requirement.values):
                if value in seen:
                    errors.append(duplicate(f"{where}.values[{number}]", value))
                seen.add(value)
            check_label_name(requirement.key, f"{where}.key", errors)
            if requirement.key in here:
                errors.append(duplicate(f"{where}.key", requirement.key))
            here[requirement.key] = frozenset(seen)
        if here in known:
            errors.append(duplicate(f"{path}.matchLabelExpressions", ""))
        known.append(here)


def _check_parameters(parameters: dict[str, str], may_be_empty: bool, errors: list[FieldError]) -> None:
    if len(parameters) > _PARAMETERS_MAXIMUM:
        errors.append(too_long("parameters", _PARAMETERS_MAXIMUM))
        return
    if not parameters and not may_be_empty:
        errors.append(required("parameters", "must contain at least one key/value pair"))
    size = 0
    for key, value in parameters.items():
        if not key:
            errors.append(invalid("parameters", key, "field can not be empty."))
        size += len(key) + len(value)
    if size > _PARAMETERS_MAXIMUM_BYTES:
        errors.append(too_long("parameters", _PARAMETERS_MAXIMUM_BYTES))


def _storage_class_update(new: StorageClass, old: StorageClass) -> list[FieldError]:
    errors: list[FieldError] = []
    check_metadata_update(new.metadata, old.metadata, errors)
    if new.parameters != old.parameters:
        errors.append(forbidden("parameters", "updates to parameters are forbidden."))
    if new.provisioner != old.provisioner:
        errors.append(forbidden("provisioner", "updates to provisioner are forbidden."))
    if new.reclaim_policy != old.reclaim_policy:
        errors.append(forbidden("reclaimPolicy", "updates to reclaimPolicy are forbidden."))
    check_immutable(new.volume_binding_mode, old.volume_binding_mode, "volumeBindingMode", errors)
    return errors


def _csi_driver(obj: CSIDriver) -> list[FieldError]:
    errors: list[FieldError] = []
    check_metadata(obj.metadata, False, names.dns_subdomain, "metadata", errors)
    check_csi_driver(obj.metadata.name or "", "metadata.name", errors)
    _check_csi_driver(obj, errors)
    return errors


def _check_csi_driver(obj: CSIDriver, errors: list[FieldError]) -> None:
    spec = obj.spec
    for value, name in (
        (spec.attach_required, "attachedRequired"),
        (spec.pod_info_on_mount, "podInfoOnMount"),
        (spec.storage_capacity, "storageCapacity"),
    ):
        if value is None:
            errors.append(required(f"spec.{name}"))
    period = spec.node_allocatable_update_period_seconds
    if period is not None and period < _UPDATE_PERIOD_MINIMUM_SECONDS:
        where = "spec.nodeAllocatableUpdatePeriodSeconds"
        errors.append(
            invalid(where, period, f"must be greater than or equal to {_UPDATE_PERIOD_MINIMUM_SECONDS} seconds")
        )
    if spec.fs_group_policy is not None and spec.fs_group_policy not in _FS_GROUP:
        errors.append(not_supported("spec.fsGroupPolicy", spec.fs_group_policy, _FS_GROUP))
    seen: set[str] = set()
    for index, request in enumerate(spec.token_requests):
        path = f"spec.tokenRequests[{index}]"
        if request.audience in seen:
            errors.append(duplicate(f"{path}.audience", request.audience))
        seen.add(request.audience)
        if request.expiration_seconds is not None and request.expiration_seconds < 600:
            detail = "may not specify a duration less than 10 minutes"
            errors.append(invalid(f"{path}.expirationSeconds", request.expiration_seconds, detail))
    unknown = [mode for mode in spec.volume_lifecycle_modes if mode not in _LIFECYCLE]
    errors.extend(not_supported("spec.volumeLifecycleModes", mode, _LIFECYCLE) for mode in unknown)


def _csi_driver_update(new: CSIDriver, old: CSIDriver) -> list[FieldError]:
    errors: list[FieldError] = []
    check_metadata_update(new.metadata, old.metadata, errors)
    _check_csi_driver(new, errors)
    check_immutable(new.spec.attach_required, old.spec.attach_required, "spec.attachedRequired", errors)
    if set(new.spec.volume_lifecycle_modes) != set(old.spec.volume_lifecycle_modes):
        path = "spec.volumeLifecycleModes"
        errors.append(invalid(path, list(new.spec.volume_lifecycle_modes), "field is immutable"))
    return errors


def _csi_node(obj: CSINode) -> list[FieldError]:
    errors: list[FieldError] = []
    check_metadata(obj.metadata, False, names.dns_subdomain, "metadata", errors)
    _check_csi_node(obj.spec, errors)
    return errors


def _check_csi_node(spec: CSINodeSpec, errors: list[FieldError]) -> None:
    seen: set[str] = set()
    for index, driver in enumerate(spec.drivers):
        path = f"spec.drivers[{index}]"
        check_csi_driver(driver.name, f"{path}.name", errors)
        if not driver.node_id:
            errors.append(required(f"{path}.nodeID"))
        elif len(driver.node_id) > _NODE_ID_MAXIMUM:
            errors.append(invalid(f"{path}.nodeID", driver.node_id, f"must be {_NODE_ID_MAXIMUM} characters or less"))
        if driver.name in seen:
            errors.append(duplicate(f"{path}.name", driver.name))
        seen.add(driver.name)
        for key in driver.topology_keys:
            check_label_name(key, f"{path}.topologyKeys", errors)
        if driver.allocatable is not None and driver.allocatable.count is not None and driver.allocatable.count < 0:
            detail = "must be greater than or equal to 0"
            errors.append(invalid(f"{path}.allocatable.count", driver.allocatable.count, detail))


def _csi_node_update(new: CSINode, old: CSINode) -> list[FieldError]:
    errors: list[FieldError] = []
    check_metadata_update(new.metadata, old.metadata, errors)
    _check_csi_node(new.spec, errors)
    before = {driver.name: driver for driver in old.spec.drivers}
    for driver in new.spec.drivers:
        earlier = before.get(driver.name)
        if earlier is not None and (earlier.node_id, earlier.topology_keys) != (driver.node_id, driver.topology_keys):
            errors.append(invalid("spec.drivers", driver, "field is immutable"))
    return errors


def _attachment(obj: VolumeAttachment) -> list[FieldError]:
    errors: list[FieldError] = []
    check_metadata(obj.metadata, False, names.dns_subdomain, "metadata", errors)
    spec = obj.spec
    check_csi_driver(spec.attacher, "spec.attacher", errors)
    source = spec.source
    if source.inline_volume_spec is None and not source.persistent_volume_name:
        errors.append(required("spec.source", "must specify exactly one of inlineVolumeSpec and persistentVolumeName"))
    elif source.inline_volume_spec is not None and source.persistent_volume_name:
        detail = "must specify exactly one of inlineVolumeSpec and persistentVolumeName"
        errors.append(forbidden("spec.source", detail))
    elif source.persistent_volume_name:
        name = source.persistent_volume_name
        refuse(names.dns_subdomain(name), name, "spec.source.persistentVolumeName", errors)
    if source.inline_volume_spec is not None:
        check_volume_spec(source.inline_volume_spec, "spec.source.inlineVolumeSpec", errors, inline=True)
    refuse(names.dns_subdomain(spec.node_name), spec.node_name, "spec.nodeName", errors)
    return errors


def _attachment_update(new: VolumeAttachment, old: VolumeAttachment) -> list[FieldError]:
    errors: list[FieldError] = []
    check_metadata_update(new.metadata, old.metadata, errors)
    check_immutable(new.spec, old.spec, "spec", errors)
    return errors


def _capacity(obj: CSIStorageCapacity) -> list[FieldError]:
    errors: list[FieldError] = []
    check_metadata(obj.metadata, True, names.dns_subdomain, "metadata", errors)
    check_label_selector(obj.node_topology, "nodeTopology", errors)
    refuse(names.dns_subdomain(obj.storage_class_name), obj.storage_class_name, "storageClassName", errors)
    for quantity, name in ((obj.capacity, "capacity"), (obj.maximum_volume_size, "maximumVolumeSize")):
        if quantity is not None and quantity.milli < 0:
            errors.append(invalid(name, quantity, "must be greater than or equal to 0"))
    return errors


def _capacity_update(new: CSIStorageCapacity, old: CSIStorageCapacity) -> list[FieldError]:
    errors: list[FieldError] = []
    check_metadata_update(new.metadata, old.metadata, errors)
    check_immutable(new.node_topology, old.node_topology, "nodeTopology", errors)
    check_immutable(new.storage_class_name, old.storage_class_name, "storageClassName", errors)
    return errors


def _attributes_class(obj: VolumeAttributesClass) -> list[FieldError]:
    errors: list[FieldError] = []
    check_metadata(obj.metadata, False, names.dns_subdomain, "metadata", errors)
    if not obj.driver_name:
        errors.append(required("driverName"))
    _check_parameters(obj.parameters, False, errors)
    return errors


def _attributes_class_update(new: VolumeAttributesClass, old: VolumeAttributesClass) -> list[FieldError]:
    errors: list[FieldError] = []
    check_metadata_update(new.metadata, old.metadata, errors)
    if new.driver_name != old.driver_name:
        errors.append(forbidden("driverName", "updates to driverName are forbidden."))
    if new.parameters != old.parameters:
        errors.append(forbidden("parameters", "updates to parameters are forbidden."))
    return errors


CREATE: Final[dict[type, Any]] = {
    CSIDriver: _csi_driver,
    CSINode: _csi_node,
    CSIStorageCapacity: _capacity,
    StorageClass: _storage_class,
    VolumeAttachment: _attachment,
    VolumeAttributesClass: _attributes_class,
}
UPDATE: Final[dict[type, Any]] = {
    CSIDriver: _csi_driver_update,
    CSINode: _csi_node_update,
    CSIStorageCapacity: _capacity_update,
    StorageClass: _storage_class_update,
    VolumeAttachment: _attachment_update,
    VolumeAttributesClass: _attributes_class_update,
}

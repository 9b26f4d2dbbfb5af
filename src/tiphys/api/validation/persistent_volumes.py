"""Checks of persistent volumes."""

from __future__ import annotations

import posixpath
from collections.abc import Callable
from typing import Any, Final

from msgspec import structs

from tiphys.api import names
from tiphys.api.field_errors import FieldError, forbidden, invalid, not_supported, refuse, required
from tiphys.api.types.core_v1 import PersistentVolume, PersistentVolumeSpec
from tiphys.api.validation.claims import VOLUME_MODES, check_access_modes
from tiphys.api.validation.differences import describe_difference
from tiphys.api.validation.formats import check_no_backsteps
from tiphys.api.validation.legacy_volumes import LEGACY_SOURCES, check_csi_driver
from tiphys.api.validation.metadata import check_metadata, check_metadata_update
from tiphys.api.validation.selectors import check_node_selector
from tiphys.api.validation.volumes import (
    FIRST_NAMES,
    ISCSI_NAME_TOO_LONG,
    SECOND_NAMES,
    check_host_path,
    check_nfs,
    is_iscsi_name_too_long,
)

_ONE_TYPE: Final = "may not specify more than 1 volume type"
_RECLAIM: Final = ("Delete", "Recycle", "Retain")


def validate_persistent_volume(obj: PersistentVolume) -> list[FieldError]:
    """A new volume."""
    errors: list[FieldError] = []
    check_metadata(obj.metadata, False, names.dns_subdomain, "metadata", errors)
    check_volume_spec(obj.spec, "spec", errors, volume_name=obj.metadata.name or "")
    return errors


def check_volume_spec(
    spec: PersistentVolumeSpec, path: str, errors: list[FieldError], *, volume_name: str = "", inline: bool = False
) -> None:
    """What a volume is: modes, size, one source. `inline`: as part of an attachment, of a CSI driver, nobody's."""
    if inline:
        _check_inline(spec, path, errors)
    if not spec.access_modes:
        errors.append(required(f"{path}.accessModes"))
    check_access_modes(spec.access_modes, f"{path}.accessModes", errors)
    if not spec.capacity and not inline:
        errors.append(required(f"{path}.capacity"))
    if not inline and set(spec.capacity) != {"storage"}:
        errors.append(not_supported(f"{path}.capacity", spec.capacity or None, ("storage",)))
    for name, quantity in spec.capacity.items():
        if quantity.milli <= 0:
            errors.append(invalid(f"{path}.capacity[{name}]", quantity, "must be greater than zero"))
    policy = spec.persistent_volume_reclaim_policy
    if policy and policy not in _RECLAIM:
        errors.append(not_supported(f"{path}.persistentVolumeReclaimPolicy", policy, _RECLAIM))
    if spec.node_affinity is not None:
        if spec.node_affinity.required is None:
            errors.append(required(f"{path}.nodeAffinity.required", "must specify required node constraints"))
        else:
            check_node_selector(spec.node_affinity.required, f"{path}.nodeAffinity.required", errors)
    _check_sources(spec, volume_name, path, errors)
    if spec.host_path is not None and posixpath.normpath(spec.host_path.path) in ("/", "//") and policy == "Recycle":
        where = f"{path}.persistentVolumeReclaimPolicy"
        errors.append(forbidden(where, "may not be 'recycle' for a hostPath mount of '/'"))
    if spec.storage_class_name:
        name = spec.storage_class_name
        refuse(names.dns_subdomain(name), name, f"{path}.storageClassName", errors)
    if spec.volume_mode is not None and spec.volume_mode not in VOLUME_MODES:
        errors.append(not_supported(f"{path}.volumeMode", spec.volume_mode, VOLUME_MODES))
    if spec.volume_attributes_class_name is not None:
        _check_attributes_class(spec, path, errors)


def _check_inline(spec: PersistentVolumeSpec, path: str, errors: list[FieldError]) -> None:
    for value, name in (
        (spec.claim_ref, "claimRef"),
        (spec.capacity, "capacity"),
        (spec.persistent_volume_reclaim_policy, "persistentVolumeReclaimPolicy"),
        (spec.storage_class_name, "storageClassName"),
    ):
        if value:
            errors.append(forbidden(f"{path}.{name}", "may not be specified in the context of inline volumes"))
    if spec.csi is None:
        errors.append(required(f"{path}.csi", "must be specified in the context of inline volumes"))


def _check_attributes_class(spec: PersistentVolumeSpec, path: str, errors: list[FieldError]) -> None:
    name = spec.volume_attributes_class_name or ""
    if not name:
        errors.append(required(f"{path}.volumeAttributesClassName", "an empty string is disallowed"))
    else:
        refuse(names.dns_subdomain(name), name, f"{path}.volumeAttributesClassName", errors)
    if spec.csi is None:
        errors.append(required(f"{path}.csi", "has to be specified when using volumeAttributesClassName"))


def _check_sources(spec: PersistentVolumeSpec, volume_name: str, path: str, errors: list[FieldError]) -> None:
    found = False
    for attribute, name, check in _SOURCES:
        source = getattr(spec, attribute)
        if source is None:
            continue
        if found and attribute != "flex_volume":
            errors.append(forbidden(f"{path}.{SECOND_NAMES.get(name, name)}", _ONE_TYPE))
            continue
        found = True
        check(source, f"{path}.{FIRST_NAMES.get(name, name)}", errors)
        if attribute == "iscsi" and is_iscsi_name_too_long(volume_name, source):
            errors.append(invalid(f"{path}.iscsi.targetportal", source.target_portal, ISCSI_NAME_TOO_LONG))
        if attribute == "local" and spec.node_affinity is None:
            errors.append(required(f"{path}.nodeAffinity", "Local volume requires node affinity"))
    if not found:
        errors.append(required(path, "must specify a volume type"))


def _check_local(source: Any, path: str, errors: list[FieldError]) -> None:
    if not source.path:
        errors.append(required(f"{path}.path"))
    else:
        check_no_backsteps(source.path, f"{path}.path", errors)


def _check_csi(source: Any, path: str, errors: list[FieldError]) -> None:
    check_csi_driver(source.driver, f"{path}.driver", errors)
    if not source.volume_handle:
        errors.append(required(f"{path}.volumeHandle"))
    for reference, name in (
        (source.controller_publish_secret_ref, "controllerPublishSecretRef"),
        (source.controller_expand_secret_ref, "controllerExpandSecretRef"),
        (source.node_publish_secret_ref, "nodePublishSecretRef"),
        (source.node_expand_secret_ref, "nodeExpandSecretRef"),
    ):
        if reference is not None:
            if not reference.name:
                errors.append(required(f"{path}.{name}.name"))
            else:
                refuse(names.dns_subdomain(reference.name), reference.name, f"{path}.{name}.name", errors)
            if not reference.namespace:
                errors.append(required(f"{path}.{name}.namespace"))
            else:
                refuse(names.dns_label(reference.namespace), reference.namespace, f"{path}.{name}.namespace", errors)


_OWN_SOURCES: Final[dict[str, Callable[[Any, str, list[FieldError]], None]]] = {
    "hostPath": check_host_path,
    "nfs": check_nfs,
    "local": _check_local,
    "csi": _check_csi,
}
_ORDER: Final = (
    "host_path gce_persistent_disk aws_elastic_block_store glusterfs flocker nfs rbd quobyte cephfs iscsi cinder fc "
    "flex_volume azure_file vsphere_volume photon_persistent_disk portworx_volume azure_disk scale_io local "
    "storageos csi"
)
_WIRE: Final = {info.name: info.encode_name for info in structs.fields(PersistentVolumeSpec)}
_SOURCES: Final = tuple(
    (attribute, _WIRE[attribute], _OWN_SOURCES.get(_WIRE[attribute]) or LEGACY_SOURCES[_WIRE[attribute]])
    for attribute in _ORDER.split()
)


def validate_persistent_volume_update(new: PersistentVolume, old: PersistentVolume) -> list[FieldError]:
    """A volume that replaces `old`: the same storage."""
    errors: list[FieldError] = []
    check_metadata_update(new.metadata, old.metadata, errors)
    check_volume_spec(new.spec, "spec", errors, volume_name=new.metadata.name or "")
    if _may_get_secret(new, old):
        assert new.spec.csi is not None
        bare = structs.replace(new.spec.csi, controller_expand_secret_ref=None)
        new = structs.replace(new, spec=structs.replace(new.spec, csi=bare))
    if any(getattr(new.spec, source[0]) != getattr(old.spec, source[0]) for source in _SOURCES):
        detail = "spec.persistentvolumesource is immutable after creation"
        where = "spec.persistentvolumesource"
        errors.append(forbidden(where, f"{detail}\n{describe_difference(_source(new.spec), _source(old.spec))}"))
    if new.spec.volume_mode != old.spec.volume_mode:
        errors.append(invalid("volumeMode", new.spec.volume_mode, "field is immutable"))
    if old.spec.node_affinity is not None and new.spec.node_affinity != old.spec.node_affinity:
        detail = "field is immutable, except for updating from beta label to GA"
        errors.append(invalid("nodeAffinity", new.spec.node_affinity, detail))
    if old.spec.volume_attributes_class_name is not None and new.spec.volume_attributes_class_name is None:
        detail = "update from non-nil value to nil is forbidden"
        errors.append(forbidden("spec.volumeAttributesClassName", detail))
    return errors


def _may_get_secret(new: PersistentVolume, old: PersistentVolume) -> bool:
    """A volume made before its driver could expand it may learn how."""
    return (
        old.spec.csi is not None
        and old.spec.csi.controller_expand_secret_ref is None
        and new.spec.csi is not None
        and new.spec.csi.controller_expand_secret_ref is not None
    )


def _source(spec: PersistentVolumeSpec) -> PersistentVolumeSpec:
    """The spec with nothing but its source."""
    return PersistentVolumeSpec(**{name: getattr(spec, name) for name, _, _ in _SOURCES})


def validate_persistent_volume_status(new: PersistentVolume, old: PersistentVolume) -> list[FieldError]:
    """What the volume controller reports."""
    errors: list[FieldError] = []
    check_metadata_update(new.metadata, old.metadata, errors)
    if not new.metadata.resource_version:
        errors.append(required("resourceVersion"))
    return errors

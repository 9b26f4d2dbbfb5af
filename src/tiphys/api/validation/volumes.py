"""Checks of a pod's volumes: one source each, and what each source needs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import msgspec

from tiphys.api import names
from tiphys.api.field_errors import FieldError, duplicate, forbidden, invalid, not_supported, quote, refuse, required
from tiphys.api.types.core_v1 import (
    ConfigMapVolumeSource,
    DownwardAPIVolumeFile,
    DownwardAPIVolumeSource,
    EmptyDirVolumeSource,
    EphemeralVolumeSource,
    HostPathVolumeSource,
    ImageVolumeSource,
    ISCSIPersistentVolumeSource,
    ISCSIVolumeSource,
    KeyToPath,
    NFSVolumeSource,
    PersistentVolumeClaimVolumeSource,
    SecretVolumeSource,
    Volume,
)
from tiphys.api.validation.claims import check_claim_spec
from tiphys.api.validation.environment import VOLUME_FIELDS, check_field_reference, check_resource_reference
from tiphys.api.validation.formats import check_no_backsteps, check_non_reserved_path
from tiphys.api.validation.legacy_volumes import LEGACY_SOURCES, check_csi_driver
from tiphys.api.validation.metadata import check_annotations, check_labels
from tiphys.api.validation.projections import check_projected

ISCSI_NAME_MAXIMUM: Final = 64
ISCSI_NAME_TOO_LONG: Final = (
    "Total length of <volume name>:<iscsi.targetPortal> must be under 64 characters if iscsi.initiatorName is "
    "specified."
)
_FORBIDDEN_IN_TEMPLATE: Final = (
    ("name", "name"),
    ("generate_name", "generateName"),
    ("namespace", "namespace"),
    ("uid", "uID"),
    ("resource_version", "resourceVersion"),
    ("owner_references", "ownerReferences"),
    ("finalizers", "finalizers"),
)
_MODE: Final = "must be a number between 0 and 0777 (octal), both inclusive"
_MODE_MAXIMUM: Final = 0o777
_ONE_TYPE: Final = "may not specify more than 1 volume type"
_HOST_PATH_TYPES: Final = (
    "",
    "BlockDevice",
    "CharDevice",
    "Directory",
    "DirectoryOrCreate",
    "File",
    "FileOrCreate",
    "Socket",
)
_PULL_POLICIES: Final = ("Always", "IfNotPresent", "Never")


def check_volumes(
    volumes: tuple[Volume, ...], path: str, errors: list[FieldError], pod_name: str = ""
) -> dict[str, Volume]:
    """The volumes that are well-formed, by name: what containers may mount. Templates have no `pod_name`."""
    good: dict[str, Volume] = {}
    made = {f"{pod_name}-{v.name}" for v in volumes if v.ephemeral is not None} if pod_name else ()
    for index, volume in enumerate(volumes):
        before = len(errors)
        where = f"{path}[{index}]"
        _check_source(volume, where, errors, pod_name)
        if not volume.name:
            errors.append(required(f"{where}.name"))
        else:
            refuse(names.dns_label(volume.name), volume.name, f"{where}.name", errors)
        if volume.name in good:
            errors.append(duplicate(f"{where}.name", volume.name))
        if len(errors) == before:
            good[volume.name] = volume
        claim = volume.persistent_volume_claim
        if made and claim is not None and claim.claim_name in made:
            detail = "must not reference a PVC that gets created for an ephemeral volume"
            errors.append(invalid(f"{where}.persistentVolumeClaim.claimName", claim.claim_name, detail))
    return good


def _check_source(volume: Volume, path: str, errors: list[FieldError], pod_name: str) -> None:
    found = False
    for attribute, name, check in _SOURCES:
        source = getattr(volume, attribute)
        if source is None:
            continue
        if found:
            errors.append(forbidden(f"{path}.{SECOND_NAMES.get(name, name)}", _ONE_TYPE))
            continue
        found = True
        check(source, f"{path}.{FIRST_NAMES.get(name, name)}", errors)
        if attribute in ("ephemeral", "iscsi"):
            _check_made_names(volume, path, errors, pod_name)
    if not found:
        errors.append(required(path, "must specify a volume type"))


def _check_made_names(volume: Volume, path: str, errors: list[FieldError], pod_name: str) -> None:
    """Names that are made of the volume's and another, and may be too long."""
    if volume.ephemeral is not None and pod_name and volume.name:
        claim = f"{pod_name}-{volume.name}"
        messages = tuple(f"PVC name {quote(claim)}: {message}" for message in names.dns_subdomain(claim))
        refuse(messages, volume.name, f"{path}.name", errors)
    if volume.iscsi is not None and is_iscsi_name_too_long(volume.name, volume.iscsi):
        errors.append(invalid(f"{path}.name", volume.name, ISCSI_NAME_TOO_LONG))


def is_iscsi_name_too_long(volume_name: str, source: ISCSIVolumeSource | ISCSIPersistentVolumeSource) -> bool:
    """Whether what an initiator's interface would be called has no place in its record."""
    length = len(f"{volume_name}:{source.target_portal}")
    return source.initiator_name is not None and length > ISCSI_NAME_MAXIMUM


def check_mode(mode: int | None, path: str, errors: list[FieldError]) -> None:
    """Permission bits of a file."""
    if mode is not None and not 0 <= mode <= _MODE_MAXIMUM:
        errors.append(invalid(path, mode, _MODE))


def _check_empty_dir(source: EmptyDirVolumeSource, path: str, errors: list[FieldError]) -> None:
    if source.size_limit is not None and source.size_limit.milli < 0:
        errors.append(forbidden(f"{path}.sizeLimit", "SizeLimit field must be a valid resource quantity"))


def check_host_path(source: HostPathVolumeSource, path: str, errors: list[FieldError]) -> None:
    """A path on the host, and what must be there."""
    if not source.path:
        errors.append(required(f"{path}.path"))
        return
    check_no_backsteps(source.path, f"{path}.path", errors)
    if source.type is not None and source.type not in _HOST_PATH_TYPES:
        errors.append(not_supported(f"{path}.type", source.type, _HOST_PATH_TYPES))


def _check_secret(source: SecretVolumeSource, path: str, errors: list[FieldError]) -> None:
    if not source.secret_name:
        errors.append(required(f"{path}.secretName"))
    check_mode(source.default_mode, f"{path}.defaultMode", errors)
    check_keys(source.items, f"{path}.items", errors)


def _check_config_map(source: ConfigMapVolumeSource, path: str, errors: list[FieldError]) -> None:
    if not source.name:
        errors.append(required(f"{path}.name"))
    check_mode(source.default_mode, f"{path}.defaultMode", errors)
    check_keys(source.items, f"{path}.items", errors)


def check_keys(items: tuple[KeyToPath, ...], path: str, errors: list[FieldError]) -> None:
    """Which keys become which files."""
    for index, item in enumerate(items):
        where = f"{path}[{index}]"
        if not item.key:
            errors.append(required(f"{where}.key"))
        if not item.path:
            errors.append(required(f"{where}.path"))
        else:
            check_non_reserved_path(item.path, f"{where}.path", errors)
        check_mode(item.mode, f"{where}.mode", errors)


def _check_downward(source: DownwardAPIVolumeSource, path: str, errors: list[FieldError]) -> None:
    check_mode(source.default_mode, f"{path}.defaultMode", errors)
    for file in source.items:
        # Upstream's path names no item here.
        check_downward_file(file, path, errors)


def check_downward_file(file: DownwardAPIVolumeFile, path: str, errors: list[FieldError]) -> None:
    """A file made of a field or a resource of the pod."""
    if not file.path:
        errors.append(required(f"{path}.path"))
    else:
        check_non_reserved_path(file.path, f"{path}.path", errors)
    if file.field_ref is not None:
        check_field_reference(file.field_ref, VOLUME_FIELDS, f"{path}.fieldRef", errors)
        if file.resource_field_ref is not None:
            detail = "fieldRef and resourceFieldRef can not be specified simultaneously"
            errors.append(invalid(path, "resource", detail))
    elif file.resource_field_ref is not None:
        check_resource_reference(file.resource_field_ref, f"{path}.resourceFieldRef", errors, in_volume=True)
    else:
        errors.append(required(path, "one of fieldRef and resourceFieldRef is required"))
    check_mode(file.mode, f"{path}.mode", errors)


def _check_claim(source: PersistentVolumeClaimVolumeSource, path: str, errors: list[FieldError]) -> None:
    if not source.claim_name:
        errors.append(required(f"{path}.claimName"))


def _check_ephemeral(source: EphemeralVolumeSource, path: str, errors: list[FieldError]) -> None:
    template = source.volume_claim_template
    where = f"{path}.volumeClaimTemplate"
    if template is None:
        errors.append(required(where))
        return
    if template.metadata.annotations:
        check_annotations(template.metadata.annotations, f"{where}.metadata.annotations", errors)
    if template.metadata.labels:
        check_labels(template.metadata.labels, f"{where}.metadata.labels", errors)
    for attribute, name in _FORBIDDEN_IN_TEMPLATE:
        if getattr(template.metadata, attribute):
            errors.append(forbidden(f"{where}.metadata.{name}", "cannot be set"))
    check_claim_spec(template.spec, f"{where}.spec", errors)


def _check_image(source: ImageVolumeSource, path: str, errors: list[FieldError]) -> None:
    if not source.reference and path.startswith("spec.volumes"):
        # A template may leave it to whoever completes the Pod.
        errors.append(required(f"{path}.reference"))
    if source.pull_policy and source.pull_policy not in _PULL_POLICIES:
        errors.append(not_supported(f"{path}.pullPolicy", source.pull_policy, _PULL_POLICIES))


def check_nfs(source: NFSVolumeSource, path: str, errors: list[FieldError]) -> None:
    """A server and an absolute path on it."""
    if not source.server:
        errors.append(required(f"{path}.server"))
    if not source.path:
        errors.append(required(f"{path}.path"))
    if not source.path.startswith("/"):
        errors.append(invalid(f"{path}.path", source.path, "must be an absolute path"))


def _check_inline_csi(source: Any, path: str, errors: list[FieldError]) -> None:
    check_csi_driver(source.driver, f"{path}.driver", errors)
    secret = source.node_publish_secret_ref
    if secret is not None:
        if not secret.name:
            errors.append(required(f"{path}.nodePublishSecretRef.name"))
        else:
            refuse(names.dns_subdomain(secret.name), secret.name, f"{path}.name", errors)


def _check_projected(source: Any, path: str, errors: list[FieldError]) -> None:
    check_mode(source.default_mode, f"{path}.defaultMode", errors)
    check_projected(source, path, errors, check_keys, check_downward_file)


_OWN_SOURCES: Final[dict[str, Callable[[Any, str, list[FieldError]], None]]] = {
    "emptyDir": _check_empty_dir,
    "hostPath": check_host_path,
    "secret": _check_secret,
    "nfs": check_nfs,
    "persistentVolumeClaim": _check_claim,
    "downwardAPI": _check_downward,
    "configMap": _check_config_map,
    "projected": _check_projected,
    "csi": _check_inline_csi,
    "ephemeral": _check_ephemeral,
    "image": _check_image,
}
_ORDER: Final = (
    "empty_dir host_path git_repo gce_persistent_disk aws_elastic_block_store secret nfs iscsi glusterfs flocker "
    "persistent_volume_claim rbd cinder cephfs quobyte downward_api fc flex_volume config_map azure_file "
    "vsphere_volume photon_persistent_disk portworx_volume azure_disk storageos projected scale_io csi ephemeral image"
)
_WIRE: Final = {info.name: info.encode_name for info in msgspec.structs.fields(Volume)}
_SOURCES: Final = tuple(
    (attribute, _WIRE[attribute], _OWN_SOURCES.get(_WIRE[attribute]) or LEGACY_SOURCES[_WIRE[attribute]])
    for attribute in _ORDER.split()
)
"""Attribute, wire name and check of each source, in upstream's order: the first counts, the others are too many."""
# Upstream's paths of these are not the fields' names.
FIRST_NAMES: Final = {"gcePersistentDisk": "persistentDisk"}
SECOND_NAMES: Final = {"downwardAPI": "downwarAPI", "cephfs": "cephFS"}

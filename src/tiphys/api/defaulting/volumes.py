"""Defaults of a pod's volumes and of what persistent volumes share with them."""

from __future__ import annotations

from typing import Final

from tiphys.api.defaulting.containers import default_field_ref, pull_policy, round_to_milli
from tiphys.api.types.core_v1 import (
    AzureDiskVolumeSource,
    DownwardAPIVolumeFile,
    EmptyDirVolumeSource,
    HostPathVolumeSource,
    ISCSIPersistentVolumeSource,
    ISCSIVolumeSource,
    PersistentVolumeClaimSpec,
    PersistentVolumeSpec,
    ProjectedVolumeSource,
    RBDPersistentVolumeSource,
    RBDVolumeSource,
    ScaleIOPersistentVolumeSource,
    ScaleIOVolumeSource,
    Volume,
)

DEFAULT_MODE: Final = 0o644
TOKEN_EXPIRATION_SECONDS: Final = 3600
CERTIFICATE_EXPIRATION_SECONDS: Final = 86400
SOURCES: Final = tuple(name for name in Volume.__struct_fields__ if name != "name")
"""The attributes of Volume that are sources, of which exactly one may be set."""


def default_volume(volume: Volume) -> None:
    """Fill in one volume; one without a source is an emptyDir. The common sources come first."""
    if volume.projected is not None:
        _default_projected(volume.projected)
    elif volume.config_map is not None:
        if volume.config_map.default_mode is None:
            volume.config_map.default_mode = DEFAULT_MODE
    elif volume.secret is not None:
        if volume.secret.default_mode is None:
            volume.secret.default_mode = DEFAULT_MODE
    elif volume.host_path is not None:
        _default_host_path(volume.host_path)
    elif volume.downward_api is not None:
        if volume.downward_api.default_mode is None:
            volume.downward_api.default_mode = DEFAULT_MODE
        _default_files(volume.downward_api.items)
    elif volume.ephemeral is not None:
        if volume.ephemeral.volume_claim_template is not None:
            default_claim_spec(volume.ephemeral.volume_claim_template.spec)
    elif volume.image is not None:
        if not volume.image.pull_policy:
            volume.image.pull_policy = pull_policy(volume.image.reference)
    elif not _default_network_volume(volume) and all(getattr(volume, source) is None for source in SOURCES):
        volume.empty_dir = EmptyDirVolumeSource()


def _default_network_volume(volume: Volume) -> bool:
    if volume.iscsi is not None:
        _default_iscsi(volume.iscsi)
    elif volume.rbd is not None:
        _default_rbd(volume.rbd)
    elif volume.azure_disk is not None:
        _default_azure_disk(volume.azure_disk)
    elif volume.scale_io is not None:
        _default_scale_io(volume.scale_io)
    else:
        return False
    return True


def default_persistent_source(spec: PersistentVolumeSpec) -> None:
    """Fill in the source of a PersistentVolume."""
    if spec.host_path is not None:
        _default_host_path(spec.host_path)
    if spec.iscsi is not None:
        _default_iscsi(spec.iscsi)
    if spec.rbd is not None:
        _default_rbd(spec.rbd)
    if spec.azure_disk is not None:
        _default_azure_disk(spec.azure_disk)
    if spec.scale_io is not None:
        _default_scale_io(spec.scale_io)


def default_claim_spec(spec: PersistentVolumeClaimSpec) -> None:
    """Fill in a claim's spec, also inside ephemeral volumes and StatefulSets."""
    if spec.volume_mode is None:
        spec.volume_mode = "Filesystem"
    if spec.resources.requests:
        round_to_milli(spec.resources.requests)
    if spec.resources.limits:
        round_to_milli(spec.resources.limits)


def _default_projected(projected: ProjectedVolumeSource) -> None:
    if projected.default_mode is None:
        projected.default_mode = DEFAULT_MODE
    for source in projected.sources:
        token = source.service_account_token
        if token is not None and token.expiration_seconds is None:
            token.expiration_seconds = TOKEN_EXPIRATION_SECONDS
        if source.downward_api is not None:
            _default_files(source.downward_api.items)
        certificate = source.pod_certificate
        if certificate is not None and certificate.max_expiration_seconds is None:
            certificate.max_expiration_seconds = CERTIFICATE_EXPIRATION_SECONDS


def _default_files(files: tuple[DownwardAPIVolumeFile, ...]) -> None:
    for file in files:
        if file.field_ref is not None:
            default_field_ref(file.field_ref)


def _default_host_path(source: HostPathVolumeSource) -> None:
    if source.type is None:
        source.type = ""


def _default_iscsi(source: ISCSIVolumeSource | ISCSIPersistentVolumeSource) -> None:
    if not source.iscsi_interface:
        source.iscsi_interface = "default"


def _default_rbd(source: RBDVolumeSource | RBDPersistentVolumeSource) -> None:
    source.pool = source.pool or "rbd"
    source.user = source.user or "admin"
    source.keyring = source.keyring or "/etc/ceph/keyring"


def _default_azure_disk(source: AzureDiskVolumeSource) -> None:
    if source.caching_mode is None:
        source.caching_mode = "ReadWrite"
    if source.kind is None:
        source.kind = "Shared"
    if source.fs_type is None:
        source.fs_type = "ext4"
    if source.read_only is None:
        source.read_only = False


def _default_scale_io(source: ScaleIOVolumeSource | ScaleIOPersistentVolumeSource) -> None:
    source.storage_mode = source.storage_mode or "ThinProvisioned"
    source.fs_type = source.fs_type or "xfs"

"""Checks of the volume sources of storage systems, which pods and persistent volumes name alike."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from tiphys.api import names
from tiphys.api.field_errors import FieldError, invalid, refuse, required, too_long

CSI_DRIVER_MAXIMUM: Final = 63

Check = Callable[[Any, str, list[FieldError]], None]


def check_csi_driver(driver: str, path: str, errors: list[FieldError]) -> None:
    """The name of a CSI driver: a short domain."""
    if not driver:
        errors.append(required(path))
        return
    if len(driver) > CSI_DRIVER_MAXIMUM:
        errors.append(too_long(path, CSI_DRIVER_MAXIMUM))
    refuse(names.dns_subdomain(driver.lower()), driver, path, errors)


def _requires(*fields: tuple[str, str]) -> Check:
    """A check that the given (attribute, wire name) pairs are there."""

    def check(source: Any, path: str, errors: list[FieldError]) -> None:
        for attribute, name in fields:
            if not getattr(source, attribute):
                errors.append(required(f"{path}.{name}"))

    return check


def _check_partition(source: Any, path: str, errors: list[FieldError]) -> None:
    if source.partition is not None and not 0 <= source.partition <= 255:
        errors.append(invalid(f"{path}.partition", source.partition, names.range_message(0, 255)))


def _check_gce(source: Any, path: str, errors: list[FieldError]) -> None:
    if not source.pd_name:
        errors.append(required(f"{path}.pdName"))
    _check_partition(source, path, errors)


def _check_aws(source: Any, path: str, errors: list[FieldError]) -> None:
    if not source.volume_id:
        errors.append(required(f"{path}.volumeID"))
    _check_partition(source, path, errors)


def _check_iscsi(source: Any, path: str, errors: list[FieldError]) -> None:
    if not source.target_portal:
        errors.append(required(f"{path}.targetPortal"))
    if not source.iqn:
        errors.append(required(f"{path}.iqn"))
    elif not source.iqn.startswith(("iqn", "eui", "naa")):
        errors.append(invalid(f"{path}.iqn", source.iqn, "must be valid format starting with iqn, eui, or naa"))
    if not 0 <= source.lun <= 255:
        errors.append(invalid(f"{path}.lun", source.lun, names.range_message(0, 255)))
    if (source.chap_auth_discovery or source.chap_auth_session) and source.secret_ref is None:
        errors.append(required(f"{path}.secretRef"))


def _check_glusterfs(source: Any, path: str, errors: list[FieldError]) -> None:
    if not source.endpoints:
        errors.append(required(f"{path}.endpoints"))
    if not source.path:
        errors.append(required(f"{path}.path"))


def _check_flocker(source: Any, path: str, errors: list[FieldError]) -> None:
    if not source.dataset_name and not source.dataset_uuid:
        errors.append(required(path, "one of datasetName and datasetUUID is required"))
    elif source.dataset_name and source.dataset_uuid:
        errors.append(invalid(path, "resource", "datasetName and datasetUUID can not be specified simultaneously"))
    if source.dataset_name and "/" in source.dataset_name:
        errors.append(invalid(f"{path}.datasetName", source.dataset_name, "must not contain '/'"))


def _check_fc(source: Any, path: str, errors: list[FieldError]) -> None:
    if not source.target_ww_ns and not source.wwids:
        errors.append(required(f"{path}.targetWWNs", "must specify either targetWWNs or wwids, but not both"))
    elif source.target_ww_ns and source.wwids:
        errors.append(
            invalid(
                f"{path}.targetWWNs",
                list(source.target_ww_ns),
                "targetWWNs and wwids can not be specified simultaneously",
            )
        )
    elif source.target_ww_ns:
        if source.lun is None:
            errors.append(required(f"{path}.lun", "lun is required if targetWWNs is specified"))
        elif not 0 <= source.lun <= 255:
            errors.append(invalid(f"{path}.lun", source.lun, names.range_message(0, 255)))


def _check_git_repo(source: Any, path: str, errors: list[FieldError]) -> None:
    if not source.repository:
        errors.append(required(f"{path}.repository"))


LEGACY_SOURCES: Final[tuple[tuple[str, str, Check], ...]] = (
    ("git_repo", "gitRepo", _check_git_repo),
    ("gce_persistent_disk", "gcePersistentDisk", _check_gce),
    ("aws_elastic_block_store", "awsElasticBlockStore", _check_aws),
    ("iscsi", "iscsi", _check_iscsi),
    ("glusterfs", "glusterfs", _check_glusterfs),
    ("flocker", "flocker", _check_flocker),
    ("rbd", "rbd", _requires(("monitors", "monitors"), ("image", "image"))),
    ("cinder", "cinder", _requires(("volume_id", "volumeID"))),
    ("cephfs", "cephfs", _requires(("monitors", "monitors"))),
    ("quobyte", "quobyte", _requires(("registry", "registry"), ("volume", "volume"))),
    ("fc", "fc", _check_fc),
    ("flex_volume", "flexVolume", _requires(("driver", "driver"))),
    ("azure_file", "azureFile", _requires(("secret_name", "secretName"), ("share_name", "shareName"))),
    ("vsphere_volume", "vsphereVolume", _requires(("volume_path", "volumePath"))),
    ("photon_persistent_disk", "photonPersistentDisk", _requires(("pd_id", "pdID"))),
    ("portworx_volume", "portworxVolume", _requires(("volume_id", "volumeID"))),
    ("azure_disk", "azureDisk", _requires(("disk_name", "diskName"), ("disk_uri", "diskURI"))),
    ("storageos", "storageos", _requires(("volume_name", "volumeName"))),
    ("scale_io", "scaleIO", _requires(("gateway", "gateway"), ("system", "system"), ("volume_name", "volumeName"))),
)
"""Attribute, wire name and check of each source."""

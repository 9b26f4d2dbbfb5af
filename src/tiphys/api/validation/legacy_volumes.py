"""Checks of the volume sources of storage systems, which pods and persistent volumes name alike."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Final

from tiphys.api import names
from tiphys.api.field_errors import FieldError, invalid, not_supported, refuse, required, too_long
from tiphys.api.validation.formats import check_descending_path

CSI_DRIVER_MAXIMUM: Final = 63
_CACHING_MODES: Final = ("None", "ReadOnly", "ReadWrite")
_DISK_KINDS: Final = ("Dedicated", "Managed", "Shared")
_MANAGED_URI: Final = "/subscriptions/{sub-id}/resourcegroups/{group-name}/providers/microsoft.compute/disks/{disk-id}"
_BLOB_URI: Final = "https://{account-name}.blob.core.windows.net/{container-name}/{disk-name}.vhd"
_ISCSI_NAMES: Final = {
    "iqn": re.compile(r"iqn\.\d{4}-\d{2}\.([a-z0-9.-]*)(:[^,;*&$|\s]*)?").fullmatch,
    "eui": re.compile(r"eui.[0-9a-fA-F]{16}").fullmatch,
    "naa": re.compile(r"naa.[0-9a-fA-F]{16}(?:[0-9a-fA-F]{16})?").fullmatch,
}

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
    else:
        _check_qualified_name(source.iqn, f"{path}.iqn", errors)
    if not 0 <= source.lun <= 255:
        errors.append(invalid(f"{path}.lun", source.lun, names.range_message(0, 255)))
    if (source.chap_auth_discovery or source.chap_auth_session) and source.secret_ref is None:
        errors.append(required(f"{path}.secretRef"))
    if source.initiator_name is not None:
        _check_qualified_name(source.initiator_name, f"{path}.initiatorname", errors)


def _check_qualified_name(text: str, path: str, errors: list[FieldError]) -> None:
    if not text.startswith(tuple(_ISCSI_NAMES)):
        errors.append(invalid(path, text, "must be valid format starting with iqn, eui, or naa"))
    elif not _ISCSI_NAMES[text[:3]](text):
        errors.append(invalid(path, text, "must be valid format"))


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
    if source.target_ww_ns and source.wwids:
        errors.append(
            invalid(
                f"{path}.targetWWNs",
                list(source.target_ww_ns),
                "targetWWNs and wwids can not be specified simultaneously",
            )
        )
    if source.target_ww_ns:
        if source.lun is None:
            errors.append(required(f"{path}.lun", "lun is required if targetWWNs is specified"))
        elif not 0 <= source.lun <= 255:
            errors.append(invalid(f"{path}.lun", source.lun, names.range_message(0, 255)))


def _check_git_repo(source: Any, path: str, errors: list[FieldError]) -> None:
    if not source.repository:
        errors.append(required(f"{path}.repository"))
    check_descending_path(source.directory or "", f"{path}.directory", errors)


def _check_cinder(source: Any, path: str, errors: list[FieldError]) -> None:
    if not source.volume_id:
        errors.append(required(f"{path}.volumeID"))
    _check_secret(source, path, errors)


def _check_secret(source: Any, path: str, errors: list[FieldError]) -> None:
    secret = source.secret_ref
    if secret is not None:
        if not secret.name:
            errors.append(required(f"{path}.secretRef.name"))
        # Persistent volumes say where their secrets are; pods have theirs beside them.
        if not getattr(secret, "namespace", "here"):
            errors.append(required(f"{path}.secretRef.namespace"))


def _check_quobyte(source: Any, path: str, errors: list[FieldError]) -> None:
    detail = "must be a host:port pair or multiple pairs separated by commas"
    if not source.registry:
        errors.append(required(f"{path}.registry", detail))
    elif len(source.tenant or "") > 64:
        errors.append(required(f"{path}.tenant", "must be a UUID and may not exceed a length of 64 characters"))
    else:
        pairs = source.registry.split(",")
        errors.extend(invalid(f"{path}.registry", source.registry, detail) for pair in pairs if pair.count(":") != 1)
    if not source.volume:
        errors.append(required(f"{path}.volume"))


def _check_flex(source: Any, path: str, errors: list[FieldError]) -> None:
    if not source.driver:
        errors.append(required(f"{path}.driver"))
    for key in source.options:
        namespace = "." + key.partition("/")[0].lower()
        if namespace.endswith((".kubernetes.io", ".k8s.io")):
            detail = "kubernetes.io and k8s.io namespaces are reserved"
            errors.append(invalid(f"{path}.options[{key}]", key, detail))


def _check_azure_disk(source: Any, path: str, errors: list[FieldError]) -> None:
    if not source.disk_name:
        errors.append(required(f"{path}.diskName"))
    if not source.disk_uri:
        errors.append(required(f"{path}.diskURI"))
    if source.caching_mode is not None and source.caching_mode not in _CACHING_MODES:
        errors.append(not_supported(f"{path}.cachingMode", source.caching_mode, _CACHING_MODES))
    if source.kind is None:
        return
    if source.kind not in _DISK_KINDS:
        errors.append(not_supported(f"{path}.kind", source.kind, _DISK_KINDS))
    prefix, form = ("/subscriptions/", _MANAGED_URI) if source.kind == "Managed" else ("https://", _BLOB_URI)
    if not source.disk_uri.startswith(prefix):
        errors.append(not_supported(f"{path}.diskURI", source.disk_uri, (form,)))


def _check_storageos(source: Any, path: str, errors: list[FieldError]) -> None:
    if not source.volume_name:
        errors.append(required(f"{path}.volumeName"))
    else:
        refuse(names.dns_label(source.volume_name), source.volume_name, f"{path}.volumeName", errors)
    if source.volume_namespace:
        refuse(names.dns_label(source.volume_namespace), source.volume_namespace, f"{path}.volumeNamespace", errors)
    _check_secret(source, path, errors)


LEGACY_SOURCES: Final[dict[str, Check]] = {
    "gitRepo": _check_git_repo,
    "gcePersistentDisk": _check_gce,
    "awsElasticBlockStore": _check_aws,
    "iscsi": _check_iscsi,
    "glusterfs": _check_glusterfs,
    "flocker": _check_flocker,
    "rbd": _requires(("monitors", "monitors"), ("image", "image")),
    "cinder": _check_cinder,
    "cephfs": _requires(("monitors", "monitors")),
    "quobyte": _check_quobyte,
    "fc": _check_fc,
    "flexVolume": _check_flex,
    "azureFile": _requires(("secret_name", "secretName"), ("share_name", "shareName")),
    "vsphereVolume": _requires(("volume_path", "volumePath")),
    "photonPersistentDisk": _requires(("pd_id", "pdID")),
    "portworxVolume": _requires(("volume_id", "volumeID")),
    "azureDisk": _check_azure_disk,
    "storageos": _check_storageos,
    "scaleIO": _requires(("gateway", "gateway"), ("system", "system"), ("volume_name", "volumeName")),
}
"""The check of each source, by its wire name."""

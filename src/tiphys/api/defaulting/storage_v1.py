"""Defaults of storage classes and CSI drivers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from tiphys.api.types.storage_v1 import CSIDriver, StorageClass


def _storage_class(obj: StorageClass) -> None:
    if obj.reclaim_policy is None:
        obj.reclaim_policy = "Delete"
    if obj.volume_binding_mode is None:
        obj.volume_binding_mode = "Immediate"


def _csi_driver(obj: CSIDriver) -> None:
    spec = obj.spec
    if spec.attach_required is None:
        spec.attach_required = True
    if spec.pod_info_on_mount is None:
        spec.pod_info_on_mount = False
    if spec.storage_capacity is None:
        spec.storage_capacity = False
    if spec.requires_republish is None:
        spec.requires_republish = False
    if spec.se_linux_mount is None:
        spec.se_linux_mount = False
    if spec.fs_group_policy is None:
        spec.fs_group_policy = "ReadWriteOnceWithFSType"
    if not spec.volume_lifecycle_modes:
        spec.volume_lifecycle_modes = ("Persistent",)


DEFAULTS: Final[dict[type, Callable[[Any], None]]] = {CSIDriver: _csi_driver, StorageClass: _storage_class}

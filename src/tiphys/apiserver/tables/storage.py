"""Tables of the storage group."""

from __future__ import annotations

from typing import Any, Final

from tiphys.api.types.storage_v1 import (
    CSIDriver,
    CSINode,
    StorageClass,
    VolumeAttachment,
    VolumeAttributesClass,
)
from tiphys.apiserver.tables.ages import age
from tiphys.apiserver.tables.text import UNSET

_DEFAULT: Final = (
    "storageclass.kubernetes.io/is-default-class",
    "storageclass.beta.kubernetes.io/is-default-class",
)


def csi_driver(obj: CSIDriver, now: float) -> list[Any]:
    spec = obj.spec
    return [
        obj.metadata.name,
        spec.attach_required is not False,
        bool(spec.pod_info_on_mount),
        bool(spec.storage_capacity),
        ",".join(request.audience for request in spec.token_requests) or UNSET,
        bool(spec.requires_republish),
        ",".join(spec.volume_lifecycle_modes) or UNSET,
        age(obj.metadata.creation_timestamp, now),
    ]


def csi_node(obj: CSINode, now: float) -> list[Any]:
    return [obj.metadata.name, len(obj.spec.drivers), age(obj.metadata.creation_timestamp, now)]


def storage_class(obj: StorageClass, now: float) -> list[Any]:
    name = obj.metadata.name
    if any(obj.metadata.annotations.get(key) == "true" for key in _DEFAULT):
        name = f"{name} (default)"
    return [
        name,
        obj.provisioner,
        obj.reclaim_policy or "Delete",
        obj.volume_binding_mode or "Immediate",
        bool(obj.allow_volume_expansion),
        age(obj.metadata.creation_timestamp, now),
    ]


def volume_attachment(obj: VolumeAttachment, now: float) -> list[Any]:
    spec = obj.spec
    return [
        obj.metadata.name,
        spec.attacher,
        spec.source.persistent_volume_name or "",
        spec.node_name,
        obj.status.attached,
        age(obj.metadata.creation_timestamp, now),
    ]


def attributes_class(obj: VolumeAttributesClass, now: float) -> list[Any]:
    return [obj.metadata.name, obj.driver_name, age(obj.metadata.creation_timestamp, now)]


PRINTERS: Final = {
    ("storage.k8s.io", "csidrivers"): (
        "Name|AttachRequired:boolean|PodInfoOnMount:boolean|StorageCapacity:boolean|TokenRequests"
        "|RequiresRepublish:boolean|Modes|Age",
        csi_driver,
    ),
    ("storage.k8s.io", "csinodes"): ("Name|Drivers:integer|Age", csi_node),
    ("storage.k8s.io", "storageclasses"): (
        "Name|Provisioner|ReclaimPolicy|VolumeBindingMode|AllowVolumeExpansion|Age",
        storage_class,
    ),
    ("storage.k8s.io", "volumeattachments"): ("Name|Attacher/name|PV|Node|Attached:boolean|Age", volume_attachment),
    ("storage.k8s.io", "volumeattributesclasses"): ("Name|DriverName|Age", attributes_class),
}

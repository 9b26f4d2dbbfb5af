"""Tables of the core group's other kinds, and of events."""

from __future__ import annotations

from typing import Any, Final

from tiphys.api.types import events_v1
from tiphys.api.types.core_v1 import (
    ComponentStatus,
    ConfigMap,
    Event,
    Namespace,
    Node,
    PersistentVolume,
    PersistentVolumeClaim,
    ResourceQuota,
    Secret,
    ServiceAccount,
)
from tiphys.apiserver.tables.ages import UNKNOWN, age
from tiphys.apiserver.tables.text import NONE, UNSET

_ROLE_PREFIX: Final = "node-role.kubernetes.io/"
_MODES: Final = {
    "ReadWriteOnce": "RWO",
    "ReadOnlyMany": "ROX",
    "ReadWriteMany": "RWX",
    "ReadWriteOncePod": "RWOP",
}
_EVENT_COLUMNS: Final = "Last Seen|Type|Reason|Object|Subobject*1|Source*1|Message|First Seen*1|Count*1|Name*1"


def config_map(obj: ConfigMap, now: float) -> list[Any]:
    return [obj.metadata.name, len(obj.data) + len(obj.binary_data), age(obj.metadata.creation_timestamp, now)]


def secret(obj: Secret, now: float) -> list[Any]:
    return [obj.metadata.name, obj.type or "", len(obj.data), age(obj.metadata.creation_timestamp, now)]


def service_account(obj: ServiceAccount, now: float) -> list[Any]:
    return [obj.metadata.name, age(obj.metadata.creation_timestamp, now)]


def namespace(obj: Namespace, now: float) -> list[Any]:
    return [obj.metadata.name, obj.status.phase or "", age(obj.metadata.creation_timestamp, now)]


def component_status(obj: ComponentStatus, now: float) -> list[Any]:
    status, message, error = "Unknown", "", ""
    for condition in obj.conditions:
        if condition.type == "Healthy":
            status = "Healthy" if condition.status == "True" else "Unhealthy"
            message, error = condition.message or "", condition.error or ""
    return [obj.metadata.name, status, message, error]


def node(obj: Node, now: float) -> list[Any]:
    status = [
        "Ready" if condition.status == "True" else "NotReady"
        for condition in obj.status.conditions
        if condition.type == "Ready"
    ] or ["Unknown"]
    if obj.spec.unschedulable:
        status.append("SchedulingDisabled")
    roles = {key[len(_ROLE_PREFIX) :] for key in obj.metadata.labels if key.startswith(_ROLE_PREFIX)}
    roles.add(obj.metadata.labels.get("kubernetes.io/role", ""))
    info = obj.status.node_info
    addresses = {address.type: address.address for address in reversed(obj.status.addresses)}
    return [
        obj.metadata.name,
        ",".join(status),
        ",".join(sorted(roles - {""})) or NONE,
        age(obj.metadata.creation_timestamp, now),
        info.kubelet_version,
        addresses.get("InternalIP", NONE),
        addresses.get("ExternalIP", NONE),
        info.os_image or UNKNOWN,
        info.kernel_version or UNKNOWN,
        info.container_runtime_version or UNKNOWN,
    ]


def _modes(modes: tuple[str, ...]) -> str:
    return ",".join(short for mode, short in _MODES.items() if mode in modes)


def claim(obj: PersistentVolumeClaim, now: float) -> list[Any]:
    metadata, spec, status = obj.metadata, obj.spec, obj.status
    bound = bool(spec.volume_name)
    return [
        metadata.name,
        "Terminating" if metadata.deletion_timestamp else status.phase or "",
        spec.volume_name or "",
        str(status.capacity.get("storage", "0")) if bound else "",
        _modes(status.access_modes) if bound else "",
        metadata.annotations.get("volume.beta.kubernetes.io/storage-class") or spec.storage_class_name or "",
        spec.volume_attributes_class_name or UNSET,
        age(metadata.creation_timestamp, now),
        spec.volume_mode or UNSET,
    ]


def volume(obj: PersistentVolume, now: float) -> list[Any]:
    metadata, spec, status = obj.metadata, obj.spec, obj.status
    reference = spec.claim_ref
    return [
        metadata.name,
        str(spec.capacity.get("storage", "0")),
        _modes(spec.access_modes),
        spec.persistent_volume_reclaim_policy or "",
        "Terminating" if metadata.deletion_timestamp else status.phase or "",
        f"{reference.namespace or ''}/{reference.name or ''}" if reference is not None else "",
        metadata.annotations.get("volume.beta.kubernetes.io/storage-class") or spec.storage_class_name or "",
        spec.volume_attributes_class_name or UNSET,
        status.reason or "",
        age(metadata.creation_timestamp, now),
        spec.volume_mode or UNSET,
    ]


def resource_quota(obj: ResourceQuota, now: float) -> list[Any]:
    requests: list[str] = []
    limits: list[str] = []
    for name in sorted(obj.status.hard):
        column = limits if name.startswith("limits.") else requests
        column.append(f"{name}: {obj.status.used.get(name, '0')}/{obj.status.hard[name]}")
    return [obj.metadata.name, ", ".join(requests), ", ".join(limits), age(obj.metadata.creation_timestamp, now)]


def event(obj: Event, now: float) -> list[Any]:
    first = obj.first_timestamp or obj.event_time
    last, count = obj.last_timestamp or first, obj.count or 1
    if obj.series is not None:
        last, count = obj.series.last_observed_time, obj.series.count or 0
    about = obj.involved_object
    component = obj.source.component or obj.reporting_component
    instance = obj.source.host or obj.reporting_instance
    return [
        age(last, now),
        obj.type or "",
        obj.reason or "",
        _target(about.kind, about.name),
        about.field_path or "",
        f"{component}, {instance}" if instance else component,
        (obj.message or "").strip(),
        age(first, now),
        count,
        obj.metadata.name,
    ]


def new_event(obj: events_v1.Event, now: float) -> list[Any]:
    first = obj.deprecated_first_timestamp or obj.event_time
    last, count = obj.deprecated_last_timestamp or first, obj.deprecated_count or 1
    if obj.series is not None:
        last, count = obj.series.last_observed_time, obj.series.count
    about, source = obj.regarding, obj.deprecated_source
    component = source.component or obj.reporting_controller or ""
    instance = source.host or obj.reporting_instance or ""
    return [
        age(last, now),
        obj.type or "",
        obj.reason or "",
        _target(about.kind, about.name),
        about.field_path or "",
        f"{component}, {instance}" if instance else component,
        (obj.note or "").strip(),
        age(first, now),
        count,
        obj.metadata.name,
    ]


def _target(kind: str | None, name: str | None) -> str:
    lower = (kind or "").lower()
    return f"{lower}/{name}" if name else lower


PRINTERS: Final = {
    ("", "componentstatuses"): ("Name|Status|Message|Error", component_status),
    ("", "configmaps"): ("Name|Data|Age", config_map),
    ("", "events"): (_EVENT_COLUMNS, event),
    ("events.k8s.io", "events"): (_EVENT_COLUMNS, new_event),
    ("", "namespaces"): ("Name|Status|Age", namespace),
    ("", "nodes"): (
        "Name|Status|Roles|Age|Version|Internal-IP*1|External-IP*1|OS-Image*1|Kernel-Version*1|Container-Runtime*1",
        node,
    ),
    ("", "persistentvolumeclaims"): (
        "Name|Status|Volume|Capacity|Access Modes|StorageClass|VolumeAttributesClass|Age|VolumeMode*1",
        claim,
    ),
    ("", "persistentvolumes"): (
        "Name|Capacity|Access Modes|Reclaim Policy|Status|Claim|StorageClass|VolumeAttributesClass|Reason|Age"
        "|VolumeMode*1",
        volume,
    ),
    ("", "resourcequotas"): ("Name|Request|Limit|Age", resource_quota),
    ("", "secrets"): ("Name|Type|Data|Age", secret),
    ("", "serviceaccounts"): ("Name|Age", service_account),
}

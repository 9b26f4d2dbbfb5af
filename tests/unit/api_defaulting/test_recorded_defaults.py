"""Every manifest a running upstream was given becomes what it stored, admission's additions put in by hand."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.unit.api_defaulting.reference import needs_recordings, recorded, same
from tiphys.api import codec, strategy
from tiphys.api.defaulting import default
from tiphys.api.scheme import Resource, by_path
from tiphys.api.strategy.services import init_ip_families
from tiphys.api.types.core_v1 import (
    ConfigMapProjection,
    DownwardAPIProjection,
    DownwardAPIVolumeFile,
    KeyToPath,
    Node,
    ObjectFieldSelector,
    PersistentVolume,
    PersistentVolumeClaim,
    Pod,
    ProjectedVolumeSource,
    Service,
    ServiceAccountTokenProjection,
    Taint,
    Toleration,
    Volume,
    VolumeMount,
    VolumeProjection,
)

NOW = "2026-01-01T00:00:00Z"
ROWS = recorded("defaults.json")


def resource_of(path: str) -> tuple[Resource, str]:
    parts = path.strip("/").split("/")
    group, version, rest = ("", parts[1], parts[2:]) if parts[0] == "api" else (parts[1], parts[2], parts[3:])
    namespace = ""
    if rest[0] == "namespaces" and len(rest) > 2:
        namespace, rest = rest[1], rest[2:]
    resource = by_path(group, version, rest[0])
    assert resource is not None
    return resource, namespace


def admit(obj: Any) -> None:
    """What upstream's default admission plugins and allocators add to these manifests."""
    if isinstance(obj, Pod):
        _admit_pod(obj)
    elif isinstance(obj, Node):
        obj.spec.taints = (*obj.spec.taints, Taint(key="node.kubernetes.io/not-ready", effect="NoSchedule"))
    elif isinstance(obj, PersistentVolume):
        obj.metadata.finalizers = ("kubernetes.io/pv-protection",)
    elif isinstance(obj, PersistentVolumeClaim):
        obj.metadata.finalizers = ("kubernetes.io/pvc-protection",)
    elif isinstance(obj, Service):
        assert init_ip_families(obj) == []


def _admit_pod(pod: Pod) -> None:
    spec = pod.spec
    spec.service_account = spec.service_account_name = "default"
    spec.priority = 0
    spec.preemption_policy = "PreemptLowerPriority"
    spec.tolerations = tuple(
        Toleration(key=f"node.kubernetes.io/{key}", operator="Exists", effect="NoExecute", toleration_seconds=300)
        for key in ("not-ready", "unreachable")
    )
    certificate = ConfigMapProjection(name="kube-root-ca.crt", items=(KeyToPath(key="ca.crt", path="ca.crt"),))
    field = ObjectFieldSelector(api_version="v1", field_path="metadata.namespace")
    namespace = DownwardAPIProjection(items=(DownwardAPIVolumeFile(path="namespace", field_ref=field),))
    token = ServiceAccountTokenProjection(expiration_seconds=3607, path="token")
    sources = (
        VolumeProjection(service_account_token=token),
        VolumeProjection(config_map=certificate),
        VolumeProjection(downward_api=namespace),
    )
    spec.volumes = (
        Volume(name="kube-api-access-x", projected=ProjectedVolumeSource(default_mode=420, sources=sources)),
    )
    for container in spec.containers:
        container.volume_mounts = (
            VolumeMount(
                name="kube-api-access-x",
                read_only=True,
                mount_path="/var/run/secrets/kubernetes.io/serviceaccount",
            ),
        )


def stored(row: dict[str, Any]) -> dict[str, Any]:
    resource, namespace = resource_of(row["path"])
    obj: Any = default(codec.decode(resource.struct, json.dumps(row["input"]).encode()))
    if namespace:
        obj.metadata.namespace = namespace
    admit(obj)
    strategy.begin_create(obj.metadata, uid="uid", now=NOW, suffix=lambda: "abcde")
    strategy.prepare_create(obj, now=NOW)
    data = codec.to_dict(obj)
    for volatile in ("uid", "creationTimestamp", "managedFields", "resourceVersion"):
        data["metadata"].pop(volatile, None)
    return data


def row_name(row: dict[str, Any]) -> str:
    return f"{row['input']['kind']}/{row['input']['metadata']['name']}"


@needs_recordings
@pytest.mark.parametrize("row", ROWS, ids=[row_name(row) for row in ROWS])
def test_stored_as_recorded(row: dict[str, Any]) -> None:
    expected = json.loads(json.dumps(row["stored"]))
    for volatile in ("uid", "creationTimestamp", "managedFields", "resourceVersion"):
        expected["metadata"].pop(volatile, None)
    actual = stored(row)
    # A list Go left nil is null on upstream's wire and empty on ours: the same to every client.
    expected, actual = without_empty(expected), without_empty(actual)
    assert same(expected, actual), (
        f"\nrecorded {json.dumps(expected, sort_keys=True)}\nours     {json.dumps(actual, sort_keys=True)}"
    )


@needs_recordings
@pytest.mark.parametrize("row", ROWS, ids=[row_name(row) for row in ROWS])
def test_defaulting_twice_changes_nothing(row: dict[str, Any]) -> None:
    resource, _ = resource_of(row["path"])
    once = codec.encode(default(codec.decode(resource.struct, json.dumps(row["input"]).encode())))
    assert codec.encode(default(codec.decode(resource.struct, once))) == once


def without_empty(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: without_empty(v) for k, v in value.items() if v is not None and v != []}
    if isinstance(value, list):
        return [without_empty(v) for v in value]
    return value

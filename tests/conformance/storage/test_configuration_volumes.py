"""ConfigMap, Secret, Downward API and projected volumes: contents, modes, owners, defaults."""

from __future__ import annotations

from typing import Any

from tests.conformance.node.tables import apply_all, config_map, mounts, once, outputs, secret, volume
from tests.e2e.cluster import Cluster

ITEM: dict[str, Any] = {"key": "data-1", "path": "path/to/data-2"}
MODED = ITEM | {"mode": 0o400}
CONTENT = {"data-1": "value-1"}
RESOURCES = {"requests": {"cpu": "50m", "memory": "8Mi"}, "limits": {"cpu": "1250m", "memory": "64Mi"}}
NAME_ITEM: dict[str, Any] = {"path": "podname", "fieldRef": {"fieldPath": "metadata.name"}}


def _each(kind: str, name: str, items: list[dict[str, Any]] | None = None, **more: Any) -> list[dict[str, Any]]:
    """The same object as a volume of its own kind (`<kind>`) and in a projected one (`p<kind>`)."""
    chosen = {"items": items} if items else {}
    field = "secretName" if kind == "secret" else "name"
    return [
        volume(more["at"], **{kind: {field: name} | chosen} | {}),
        volume(f"p{more['at']}", projected={"sources": [{kind: {"name": name} | chosen}]}),
    ]


def _with_default_mode(volumes: list[dict[str, Any]], mode: int) -> list[dict[str, Any]]:
    """`volumes` with `defaultMode` set at whichever source each has."""
    return [
        {key: value if key == "name" else value | {"defaultMode": mode} for key, value in each.items()}
        for each in volumes
    ]


def _objects() -> list[dict[str, Any]]:
    return [
        config_map("settings", CONTENT, binaryData={"dump.bin": "3q2+7w=="}),
        secret("keys", CONTENT),
    ]


def _pod(name: str, script: str, volumes: list[dict[str, Any]], **spec: Any) -> dict[str, Any]:
    container = {"volumeMounts": mounts(*(each["name"] for each in volumes))} | spec.pop("container", {})
    return once(name, script, container, volumes=volumes, **spec)


def test_objects_are_consumable_from_volumes(cluster: Cluster, namespace: str) -> None:
    """Each of these for ConfigMap or Secrets, and for Projected configMap or secret:

    [sig-storage] ConfigMap should be consumable from pods in volume [NodeConformance] [Conformance]
    [sig-storage] ConfigMap should be consumable from pods in volume with mappings [NodeConformance] [Conformance]
    [sig-storage] ConfigMap should be consumable from pods in volume with mappings and Item mode set [LinuxOnly]
        [NodeConformance] [Conformance]
    [sig-storage] ConfigMap should be consumable from pods in volume with defaultMode set [LinuxOnly]
        [NodeConformance] [Conformance]
    [sig-storage] ConfigMap should be consumable from pods in volume as non-root [NodeConformance] [Conformance]
    [sig-storage] ConfigMap should be consumable from pods in volume with mappings as non-root
        [NodeConformance] [Conformance]
    [sig-storage] ConfigMap should be consumable in multiple volumes in the same pod [NodeConformance] [Conformance]
    [sig-storage] ConfigMap binary data should be reflected in volume [NodeConformance] [Conformance]
    [sig-storage] Projected configMap should be consumable from pods in volume [NodeConformance] [Conformance]
    [sig-storage] Projected configMap should be consumable from pods in volume with mappings
        [NodeConformance] [Conformance]
    [sig-storage] Projected configMap should be consumable from pods in volume with mappings and Item mode set
        [LinuxOnly] [NodeConformance] [Conformance]
    [sig-storage] Projected configMap should be consumable from pods in volume with defaultMode set [LinuxOnly]
        [NodeConformance] [Conformance]
    [sig-storage] Projected configMap should be consumable from pods in volume as non-root
        [NodeConformance] [Conformance]
    [sig-storage] Projected configMap should be consumable from pods in volume with mappings as non-root
        [NodeConformance] [Conformance]
    [sig-storage] Projected configMap should be consumable in multiple volumes in the same pod
        [NodeConformance] [Conformance]
    [sig-storage] Secrets should be consumable from pods in volume [NodeConformance] [Conformance]
    [sig-storage] Secrets should be consumable from pods in volume with mappings [NodeConformance] [Conformance]
    [sig-storage] Secrets should be consumable from pods in volume with mappings and Item Mode set [LinuxOnly]
        [NodeConformance] [Conformance]
    [sig-storage] Secrets should be consumable from pods in volume with defaultMode set [LinuxOnly]
        [NodeConformance] [Conformance]
    [sig-storage] Secrets should be consumable from pods in volume as non-root with defaultMode and fsGroup set
        [LinuxOnly] [NodeConformance] [Conformance]
    [sig-storage] Secrets should be consumable in multiple volumes in a pod [NodeConformance] [Conformance]
    [sig-storage] Projected secret should be consumable from pods in volume [NodeConformance] [Conformance]
    [sig-storage] Projected secret should be consumable from pods in volume with mappings
        [NodeConformance] [Conformance]
    [sig-storage] Projected secret should be consumable from pods in volume with mappings and Item Mode set
        [LinuxOnly] [NodeConformance] [Conformance]
    [sig-storage] Projected secret should be consumable from pods in volume with defaultMode set [LinuxOnly]
        [NodeConformance] [Conformance]
    [sig-storage] Projected secret should be consumable from pods in volume as non-root with defaultMode and
        fsGroup set [LinuxOnly] [NodeConformance] [Conformance]
    [sig-storage] Projected secret should be consumable in multiple volumes in a pod [NodeConformance] [Conformance]
    [sig-storage] EmptyDir wrapper volumes should not conflict [Conformance]
    """
    apply_all(cluster, namespace, _objects())
    plain = [*_each("configMap", "settings", at="c"), *_each("secret", "keys", at="s")]
    mapped = [*_each("configMap", "settings", [ITEM], at="c"), *_each("secret", "keys", [ITEM], at="s")]
    moded = [*_each("configMap", "settings", [MODED], at="c"), *_each("secret", "keys", [MODED], at="s")]
    show = "for v in /c /pc /s /ps; do stat -Lc '%a %g' $v/{0}; cat $v/{0}; echo; done".format
    non_root = {"runAsUser": 1000, "runAsGroup": 1000}
    got = outputs(cluster, namespace, [
        _pod("plain", show("data-1") + "; od -An -tx1 /c/dump.bin", plain),
        _pod("mapped", show("path/to/data-2") + "; ls /c /s", mapped),
        _pod("moded", show("path/to/data-2"), moded),
        _pod("default-mode", show("data-1"), _with_default_mode(plain, 0o400)),
        _pod("non-root", show("data-1"), plain, securityContext=non_root),
        _pod("mapped-non-root", show("path/to/data-2"), mapped, securityContext=non_root),
        _pod("group", show("data-1"), _with_default_mode(plain, 0o440), securityContext=non_root | {"fsGroup": 1001}),
    ])  # fmt: skip
    usual = ["644 0", "value-1"] * 4
    assert got == {
        "plain": [*usual, " de ad be ef"],
        "mapped": [*usual, "/c:", "path", "", "/s:", "path"],
        "moded": ["400 0", "value-1"] * 4,
        "default-mode": ["400 0", "value-1"] * 4,
        "non-root": usual,
        "mapped-non-root": usual,
        "group": ["440 1001", "value-1"] * 4,
    }


def _downward(items: list[dict[str, Any]], mode: int | None = None) -> list[dict[str, Any]]:
    both = [
        volume("d", downwardAPI={"items": items}),
        volume("pd", projected={"sources": [{"downwardAPI": {"items": items}}]}),
    ]
    return both if mode is None else _with_default_mode(both, mode)


def _resource(name: str) -> dict[str, Any]:
    return {"path": name, "resourceFieldRef": {"containerName": "main", "resource": name}}


def test_downward_api_volumes(cluster: Cluster, namespace: str) -> None:
    """Each of these, for Downward API volume and for Projected downwardAPI:

    [sig-storage] Downward API volume should provide podname only [NodeConformance] [Conformance]
    [sig-storage] Downward API volume should set DefaultMode on files [LinuxOnly] [NodeConformance] [Conformance]
    [sig-storage] Downward API volume should set mode on item file [LinuxOnly] [NodeConformance] [Conformance]
    [sig-storage] Downward API volume should provide container's cpu limit [NodeConformance] [Conformance]
    [sig-storage] Downward API volume should provide container's cpu request [NodeConformance] [Conformance]
    [sig-storage] Downward API volume should provide container's memory limit [NodeConformance] [Conformance]
    [sig-storage] Downward API volume should provide container's memory request [NodeConformance] [Conformance]
    [sig-storage] Downward API volume should provide node allocatable (cpu) as default cpu limit if the limit is
        not set [NodeConformance] [Conformance]
    [sig-storage] Downward API volume should provide node allocatable (memory) as default memory limit if the limit
        is not set [NodeConformance] [Conformance]
    [sig-storage] Projected downwardAPI should provide podname only [NodeConformance] [Conformance]
    [sig-storage] Projected downwardAPI should set DefaultMode on files [LinuxOnly] [NodeConformance] [Conformance]
    [sig-storage] Projected downwardAPI should set mode on item file [LinuxOnly] [NodeConformance] [Conformance]
    [sig-storage] Projected downwardAPI should provide container's cpu limit [NodeConformance] [Conformance]
    [sig-storage] Projected downwardAPI should provide container's cpu request [NodeConformance] [Conformance]
    [sig-storage] Projected downwardAPI should provide container's memory limit [NodeConformance] [Conformance]
    [sig-storage] Projected downwardAPI should provide container's memory request [NodeConformance] [Conformance]
    [sig-storage] Projected downwardAPI should provide node allocatable (cpu) as default cpu limit if the limit is
        not set [NodeConformance] [Conformance]
    [sig-storage] Projected downwardAPI should provide node allocatable (memory) as default memory limit if the
        limit is not set [NodeConformance] [Conformance]
    """
    limits = [_resource("limits.cpu"), _resource("limits.memory")]
    requests = [_resource("requests.cpu"), _resource("requests.memory")]
    name_and_mode = "for v in /d /pd; do cat $v/podname; stat -Lc ' %a' $v/podname; done"
    read_limits = "for v in /d /pd; do cat $v/limits.cpu; echo; cat $v/limits.memory; echo; done"
    read_requests = "for v in /d /pd; do cat $v/requests.cpu; echo; cat $v/requests.memory; echo; done"
    got = outputs(cluster, namespace, [
        _pod("named", name_and_mode, _downward([NAME_ITEM])),
        _pod("default-mode", name_and_mode, _downward([NAME_ITEM], 0o400)),
        _pod("item-mode", name_and_mode, _downward([NAME_ITEM | {"mode": 0o400}])),
        _pod("sized", f"{read_limits}; {read_requests}", _downward(limits + requests),
             container={"resources": RESOURCES}),
        _pod("unlimited", read_limits, _downward(limits)),
    ])  # fmt: skip
    allocatable = cluster.get("nodes")["items"][0]["status"]["allocatable"]
    memory = int(allocatable["memory"].removesuffix("Ki")) * 1024
    assert got == {
        "named": ["named 644"] * 2,
        "default-mode": ["default-mode 400"] * 2,
        "item-mode": ["item-mode 400"] * 2,
        "sized": ["2", "67108864"] * 2 + ["1", "8388608"] * 2,
        "unlimited": [allocatable["cpu"], str(memory)] * 2,
    }


def test_projected_combined(cluster: Cluster, namespace: str) -> None:
    """[sig-storage] Projected combined should project all components that make up the projection API
    [Projection] [NodeConformance] [Conformance]
    [sig-storage] Subpath Atomic writer volumes should support subpaths with configmap pod [Conformance]
    [sig-storage] Subpath Atomic writer volumes should support subpaths with configmap pod with mountPath of
        existing file [Conformance]
    [sig-storage] Subpath Atomic writer volumes should support subpaths with downward pod [Conformance]
    [sig-storage] Subpath Atomic writer volumes should support subpaths with projected pod [Conformance]
    [sig-storage] Subpath Atomic writer volumes should support subpaths with secret pod [Conformance]
    """
    apply_all(cluster, namespace, _objects())
    sources = [
        {"configMap": {"name": "settings", "items": [{"key": "data-1", "path": "config"}]}},
        {"secret": {"name": "keys", "items": [{"key": "data-1", "path": "secret"}]}},
        {"downwardAPI": {"items": [NAME_ITEM]}},
    ]
    volumes = [
        volume("all", projected={"sources": sources}),
        volume("c", configMap={"name": "settings"}),
        volume("s", secret={"secretName": "keys"}),
        volume("d", downwardAPI={"items": [NAME_ITEM]}),
    ]
    parts = [
        {"name": "all", "mountPath": "/all"},
        {"name": "c", "mountPath": "/sub/c", "subPath": "data-1"},
        {"name": "c", "mountPath": "/etc/passwd", "subPath": "data-1"},
        {"name": "s", "mountPath": "/sub/s", "subPath": "data-1"},
        {"name": "d", "mountPath": "/sub/d", "subPath": "podname"},
        {"name": "all", "mountPath": "/sub/p", "subPath": "secret"},
    ]
    script = "for f in /all/config /all/secret /all/podname /sub/c /etc/passwd /sub/[sdp]; do cat $f; echo; done"
    got = outputs(cluster, namespace, [once("all", script, {"volumeMounts": parts}, volumes=volumes)])
    assert got["all"] == ["value-1", "value-1", "all", "value-1", "value-1", "all", "value-1", "value-1"]

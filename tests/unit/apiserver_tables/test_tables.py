from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tiphys.api import codec, scheme
from tiphys.apiserver.tables import printer_of, render_event, render_list, render_object
from tiphys.apiserver.tables.ages import duration, seconds_of

_FILE = Path(__file__).resolve().parents[4] / "shared" / "reference" / "tables.json"
_GATED = {"type": "PodScheduled", "status": "False", "reason": "SchedulingGated"}
_NOW = seconds_of("2026-01-01T01:00:00Z")
_CREATED = "2026-01-01T00:00:00Z"

Map = dict[str, Any]


def _resource(group: str, plural: str, version: str = "v1") -> scheme.Resource:
    found = scheme.by_path(group, version, plural)
    assert found is not None
    return found


def _row(group: str, plural: str, obj: Map) -> list[Any]:
    resource = _resource(group, plural)
    full = {**obj, "metadata": {"name": "x", "creationTimestamp": _CREATED, **obj.get("metadata", {})}}
    table = json.loads(render_object(resource, json.dumps(full).encode(), now=_NOW))
    assert len(table["rows"][0]["cells"]) == len(table["columnDefinitions"])
    cells: list[Any] = table["rows"][0]["cells"]
    return cells


@pytest.mark.skipif(not _FILE.exists(), reason="the reference recordings are not here")
def test_columns_are_upstreams() -> None:
    expected = json.loads(_FILE.read_text())
    wrong = {}
    for key, columns in expected.items():
        *group, version, plural = key.strip("/").split("/")
        resource = scheme.by_path("".join(group), version, plural)
        if resource is None:
            continue
        ours = [list(column) for column in printer_of(resource).columns]
        if ours != columns:
            wrong[key] = (ours, columns)
    assert wrong == {}


def test_every_resource_prints_an_empty_object() -> None:
    for resource in scheme.RESOURCES:
        if "list" in resource.verbs:
            full = codec.encode(resource.struct())
            table = json.loads(render_object(resource, full, now=_NOW))
            assert len(table["rows"][0]["cells"]) == len(table["columnDefinitions"]), resource.kind


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-5, "<invalid>"),
        (-1, "0s"),
        (0, "0s"),
        (119, "119s"),
        (120, "2m"),
        (125, "2m5s"),
        (600, "10m"),
        (10799, "179m"),
        (10800, "3h"),
        (3 * 3600 + 60, "3h1m"),
        (8 * 3600, "8h"),
        (47 * 3600, "47h"),
        (48 * 3600, "2d"),
        (49 * 3600, "2d1h"),
        (8 * 86400, "8d"),
        (730 * 86400, "2y"),
        (731 * 86400, "2y1d"),
        (3000 * 86400, "8y"),
    ],
)
def test_durations(seconds: int, text: str) -> None:
    assert duration(seconds) == text


def _container(name: str = "c", **state: Any) -> Map:
    return {"name": name, "image": "i", "imageID": "", "ready": False, "restartCount": 0, **state}


def _pod(status: Map, spec: Map | None = None, metadata: Map | None = None) -> list[Any]:
    base = {"containers": [{"name": "c", "image": "i"}], "nodeName": "n1", **(spec or {})}
    return _row("", "pods", {"metadata": metadata or {}, "spec": base, "status": status})[1:5]


_RUNNING = {"running": {"startedAt": _CREATED}}
_EXITED = {"terminated": {"exitCode": 0, "reason": "Completed", "finishedAt": _CREATED}}
_FAILED = {"terminated": {"exitCode": 3, "finishedAt": "2026-01-01T00:59:00Z"}}
_INIT = {"initContainers": [{"name": "i1"}, {"name": "i2"}]}
_SIDECAR = {"initContainers": [{"name": "i1", "restartPolicy": "Always"}]}


@pytest.mark.parametrize(
    ("status", "spec", "metadata", "expected"),
    [
        ({"phase": "Pending"}, {}, {}, ["0/1", "Pending", "0", "60m"]),
        (
            {"phase": "Running", "containerStatuses": [_container(ready=True, state=_RUNNING)]},
            {},
            {},
            ["1/1", "Running", "0", "60m"],
        ),
        (
            {
                "phase": "Running",
                "containerStatuses": [
                    _container(restartCount=4, state={"waiting": {"reason": "CrashLoopBackOff"}}, lastState=_FAILED)
                ],
            },
            {},
            {},
            ["0/1", "CrashLoopBackOff", "4 (60s ago)", "60m"],
        ),
        (
            {"phase": "Succeeded", "containerStatuses": [_container(state=_EXITED)]},
            {},
            {},
            ["0/1", "Completed", "0", "60m"],
        ),
        (
            {"phase": "Failed", "containerStatuses": [_container(state={"terminated": {"exitCode": 137}})]},
            {},
            {},
            ["0/1", "ExitCode:137", "0", "60m"],
        ),
        (
            {
                "phase": "Pending",
                "initContainerStatuses": [_container("i1", state=_RUNNING), _container("i2")],
            },
            _INIT,
            {},
            ["0/1", "Init:0/2", "0", "60m"],
        ),
        (
            {
                "phase": "Pending",
                "initContainerStatuses": [
                    _container("i1", state=_EXITED),
                    _container("i2", state={"waiting": {"reason": "ErrImagePull"}}),
                ],
            },
            _INIT,
            {},
            ["0/1", "Init:ErrImagePull", "0", "60m"],
        ),
        (
            {"phase": "Pending", "initContainerStatuses": [_container("i1", state=_FAILED, restartCount=2)]},
            _INIT,
            {},
            ["0/1", "Init:ExitCode:3", "2", "60m"],
        ),
        (
            {
                "phase": "Running",
                "conditions": [{"type": "Initialized", "status": "True"}],
                "initContainerStatuses": [_container("i1", state=_RUNNING, started=True, ready=True)],
                "containerStatuses": [_container(ready=True, state=_RUNNING)],
            },
            _SIDECAR,
            {},
            ["2/2", "Running", "0", "60m"],
        ),
        (
            {"phase": "Running", "containerStatuses": [_container(ready=True, state=_RUNNING)]},
            {},
            {"deletionTimestamp": _CREATED},
            ["1/1", "Terminating", "0", "60m"],
        ),
        (
            {
                "phase": "Pending",
                "conditions": [{"type": "PodScheduled", "status": "False", "reason": "SchedulingGated"}],
            },
            {},
            {},
            ["0/1", "SchedulingGated", "0", "60m"],
        ),
        ({"phase": "Failed", "reason": "Evicted"}, {}, {}, ["0/1", "Evicted", "0", "60m"]),
    ],
)
def test_pods(status: Map, spec: Map, metadata: Map, expected: list[Any]) -> None:
    assert _pod(status, spec, metadata) == expected


def test_finished_pods_carry_a_condition() -> None:
    full = json.dumps({"metadata": {"name": "x"}, "status": {"phase": "Succeeded"}}).encode()
    row = json.loads(render_object(_resource("", "pods"), full, now=_NOW))["rows"][0]
    assert row["conditions"][0]["reason"] == "Succeeded"


@pytest.mark.parametrize(
    ("group", "plural", "obj", "expected"),
    [
        ("", "configmaps", {"data": {"a": "1", "b": "2"}}, ["x", 2, "60m"]),
        (
            "apps",
            "deployments",
            {
                "spec": {
                    "replicas": 3,
                    "selector": {"matchLabels": {"a": "b"}},
                    "template": {"spec": {"containers": [{"name": "c", "image": "i"}, {"name": "d", "image": "j"}]}},
                },
                "status": {"readyReplicas": 2, "updatedReplicas": 3, "availableReplicas": 2},
            },
            ["x", "2/3", 3, 2, "60m", "c,d", "i,j", "a=b"],
        ),
        (
            "",
            "services",
            {
                "spec": {
                    "type": "NodePort",
                    "clusterIPs": ["10.96.0.9"],
                    "ports": [{"port": 80, "nodePort": 30080, "protocol": "TCP"}, {"port": 53, "protocol": "UDP"}],
                    "selector": {"b": "2", "a": "1"},
                }
            },
            ["x", "NodePort", "10.96.0.9", "<none>", "80:30080/TCP,53/UDP", "60m", "a=1,b=2"],
        ),
        (
            "",
            "services",
            {"spec": {"type": "LoadBalancer", "clusterIPs": ["10.96.0.9"], "ports": [{"port": 80, "protocol": "TCP"}]}},
            ["x", "LoadBalancer", "10.96.0.9", "<pending>", "80/TCP", "60m", "<none>"],
        ),
        (
            "",
            "nodes",
            {
                "metadata": {"labels": {"node-role.kubernetes.io/control-plane": ""}},
                "spec": {"unschedulable": True},
                "status": {
                    "conditions": [{"type": "Ready", "status": "True"}],
                    "addresses": [{"type": "InternalIP", "address": "10.0.0.1"}],
                    "nodeInfo": {"kubeletVersion": "v1.36.0", "osImage": "Debian", "kernelVersion": "6.1"},
                },
            },
            [
                *("x", "Ready,SchedulingDisabled", "control-plane", "60m", "v1.36.0", "10.0.0.1", "<none>"),
                *("Debian", "6.1", "<unknown>"),
            ],
        ),
        (
            "batch",
            "jobs",
            {
                "spec": {"completions": 2, "template": {"spec": {"containers": []}}},
                "status": {
                    "succeeded": 2,
                    "startTime": _CREATED,
                    "completionTime": "2026-01-01T00:00:07Z",
                    "conditions": [{"type": "Complete", "status": "True"}],
                },
            },
            ["x", "Complete", "2/2", "7s", "60m", "", "", "<none>"],
        ),
        (
            "",
            "events",
            {
                "involvedObject": {"kind": "Pod", "name": "p", "fieldPath": "spec.containers{c}"},
                "type": "Normal",
                "reason": "Pulled",
                "message": "done\n",
                "source": {"component": "kubelet", "host": "n1"},
                "firstTimestamp": _CREATED,
                "lastTimestamp": "2026-01-01T00:59:30Z",
                "count": 3,
            },
            ["30s", "Normal", "Pulled", "pod/p", "spec.containers{c}", "kubelet, n1", "done", "60m", 3, "x"],
        ),
        (
            "",
            "endpoints",
            {"subsets": [{"addresses": [{"ip": f"10.0.0.{n}"} for n in range(5)], "ports": [{"port": 80}]}]},
            ["x", "10.0.0.0:80,10.0.0.1:80,10.0.0.2:80 + 2 more...", "60m"],
        ),
        (
            "discovery.k8s.io",
            "endpointslices",
            {"addressType": "IPv4", "ports": [{"port": 80}], "endpoints": [{"addresses": ["10.0.0.1"]}]},
            ["x", "IPv4", "80", "10.0.0.1", "60m"],
        ),
        ("rbac.authorization.k8s.io", "roles", {}, ["x", _CREATED]),
        (
            "batch",
            "cronjobs",
            {"spec": {"schedule": "* * * * *", "suspend": False, "jobTemplate": {}}},
            ["x", "* * * * *", "<none>", "False", 0, "<none>", "60m", "", "", "<none>"],
        ),
    ],
)
def test_cells(group: str, plural: str, obj: Map, expected: list[Any]) -> None:
    assert _row(group, plural, obj) == expected


def test_list_and_what_goes_with_the_rows() -> None:
    resource = _resource("", "configmaps")
    bodies = [b'"metadata":{"name":"a","uid":"1"},"data":{"k":"v"}}', b'"metadata":{"name":"b"}}']
    table = json.loads(render_list(resource, {"resourceVersion": "7", "continue": "c"}, bodies, now=_NOW))
    assert table["metadata"] == {"resourceVersion": "7", "continue": "c"}
    assert [row["cells"] for row in table["rows"]] == [["a", 1, "<unknown>"], ["b", 0, "<unknown>"]]
    assert table["rows"][0]["object"] == {
        "kind": "PartialObjectMetadata",
        "apiVersion": "meta.k8s.io/v1",
        "metadata": {"name": "a", "uid": "1"},
    }
    whole = json.loads(render_list(resource, {}, bodies, "Object", now=_NOW))["rows"][0]["object"]
    assert (whole["kind"], whole["apiVersion"], whole["data"]) == ("ConfigMap", "v1", {"k": "v"})
    assert json.loads(render_list(resource, {}, bodies, "None", now=_NOW))["rows"][0]["object"] is None


def test_later_watch_events_leave_the_columns_out() -> None:
    full = b'{"kind":"Secret","apiVersion":"v1","metadata":{"name":"a","resourceVersion":"9"}}'
    event = json.loads(render_event(_resource("", "secrets"), full, with_columns=False, now=_NOW))
    assert (event["columnDefinitions"], event["metadata"]["resourceVersion"]) == (None, "9")

"""Which fields each kind is selected by, and that lists, watches and deletions of collections agree on it."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import pytest

from tests.conformance.api.running import RunningServer

NS = "/api/v1/namespaces/fields"
GENERIC = 'is not a known field selector: only "metadata.name", "metadata.namespace"'
POD = {"containers": [{"name": "c", "image": "i"}]}
TEMPLATE = {"metadata": {"labels": {"a": "b"}}, "spec": {**POD, "restartPolicy": "Never"}}
REGARDING = {"kind": "Pod", "namespace": "fields", "name": "p", "uid": "u", "apiVersion": "v1", "fieldPath": "f"}
EVENT = {
    "reason": "Because",
    "type": "Normal",
    "source": {"component": "tester"},
    "reportingComponent": "reporter",
    "involvedObject": REGARDING,
}
OTHER_EVENT = {**EVENT, "source": {}, "reason": "Else", "involvedObject": {**REGARDING, "name": "q"}}
OBJECTS = [
    (f"{NS}/serviceaccounts", {"metadata": {"name": "default"}}),
    (f"{NS}/pods", {"metadata": {"name": "p"}, "spec": {**POD, "nodeName": "n1"}}),
    (f"{NS}/pods", {"metadata": {"name": "q"}, "spec": {**POD, "restartPolicy": "Never", "hostNetwork": True}}),
    (f"{NS}/secrets", {"metadata": {"name": "p"}, "type": "a/b"}),
    (f"{NS}/secrets", {"metadata": {"name": "q"}}),
    (f"{NS}/services", {"metadata": {"name": "p"}, "spec": {"clusterIP": "None", "ports": [{"port": 80}]}}),
    (f"{NS}/services", {"metadata": {"name": "q"}, "spec": {"type": "NodePort", "ports": [{"port": 80}]}}),
    (f"{NS}/events", {"metadata": {"name": "p"}, **EVENT}),
    (f"{NS}/events", {"metadata": {"name": "q"}, **OTHER_EVENT}),
    (f"{NS}/replicationcontrollers", {"metadata": {"name": "p"}, "spec": {"selector": {"a": "b"}, "replicas": 0}}),
    ("/api/v1/nodes", {"metadata": {"name": "fields-p"}, "spec": {"unschedulable": True}}),
    ("/api/v1/nodes", {"metadata": {"name": "fields-q"}}),
    ("/apis/batch/v1/namespaces/fields/jobs", {"metadata": {"name": "p"}, "spec": {"template": TEMPLATE}}),
    (
        "/apis/resource.k8s.io/v1/resourceslices",
        {
            "metadata": {"name": "fields-p"},
            "spec": {
                "driver": "d.example.com",
                "nodeName": "n1",
                "devices": [],
                "pool": {"name": "n1", "generation": 1, "resourceSliceCount": 1},
            },
        },
    ),
]


@pytest.fixture(scope="module", autouse=True)
def made(server: RunningServer) -> None:
    """Objects "p" and "q" of the kinds with fields of their own."""
    server.raw("POST", "/api/v1/namespaces", {"metadata": {"name": "fields"}})
    for path, body in OBJECTS:
        spec: Any = body.get("spec", {})
        if path.endswith("replicationcontrollers"):
            spec["template"] = {"metadata": {"labels": {"a": "b"}}, "spec": POD}
        answer = server.raw("POST", path, body)
        assert answer.status == 201, (path, answer.body)


EVENTS = "/apis/events.k8s.io/v1/namespaces/fields/events"
SELECTED = [
    (f"{NS}/pods", "spec.nodeName=n1", "p"),
    (f"{NS}/pods", "spec.nodeName=", "q"),
    (f"{NS}/pods", "spec.nodeName!=n1", "q"),
    (f"{NS}/pods", "spec.host=n1", "p"),
    (f"{NS}/pods", "spec.restartPolicy=Never", "q"),
    (f"{NS}/pods", "spec.schedulerName=default-scheduler", "p q"),
    (f"{NS}/pods", "spec.serviceAccountName=default", "p q"),
    (f"{NS}/pods", "spec.hostNetwork=true", "q"),
    (f"{NS}/pods", "spec.hostNetwork=false", "p"),
    (f"{NS}/pods", "status.phase=Pending,metadata.name!=q", "p"),
    (f"{NS}/pods", "status.phase=Running", ""),
    (f"{NS}/pods", "status.podIP=", "p q"),
    (f"{NS}/pods", "status.nominatedNodeName=x", ""),
    (f"{NS}/secrets", "type=a/b", "p"),
    (f"{NS}/secrets", "type=Opaque", "q"),
    (f"{NS}/services", "spec.clusterIP=None", "p"),
    (f"{NS}/services", "spec.type=NodePort", "q"),
    (f"{NS}/services", "spec.type=ClusterIP,spec.clusterIP!=None", ""),
    (f"{NS}/replicationcontrollers", "status.replicas=0", "p"),
    (f"{NS}/replicationcontrollers", "status.replicas=1", ""),
    (f"{NS}/events", "involvedObject.name=p", "p"),
    (f"{NS}/events", "involvedObject.kind=Pod,involvedObject.namespace=fields,involvedObject.uid=u", "p q"),
    (f"{NS}/events", "involvedObject.apiVersion=v1,involvedObject.resourceVersion=,involvedObject.fieldPath=f", "p q"),
    (f"{NS}/events", "reason=Because", "p"),
    (f"{NS}/events", "type=Normal,reason!=Because", "q"),
    (f"{NS}/events", "reportingComponent=reporter", "p q"),
    (f"{NS}/events", "source=tester", "p"),
    (f"{NS}/events", "source=reporter", "q"),  # who reports is the source of events without one
    (EVENTS, "regarding.name=p", "p"),
    (EVENTS, "regarding.kind=Pod,regarding.uid=u,regarding.fieldPath=f,regarding.apiVersion=v1", "p q"),
    (EVENTS, "reportingController=reporter,reason=Else", "q"),
    (EVENTS, "type=Warning", ""),
    ("/api/v1/nodes", "spec.unschedulable=true", "fields-p"),
    ("/api/v1/nodes", "spec.unschedulable=false", "fields-q"),
    ("/api/v1/namespaces", "status.phase=Active,metadata.name=fields", "fields"),
    ("/apis/batch/v1/namespaces/fields/jobs", "status.successful=0", "p"),
    ("/apis/batch/v1/jobs", "status.successful=1", ""),
    ("/apis/resource.k8s.io/v1/resourceslices", "spec.nodeName=n1,spec.driver=d.example.com", "fields-p"),
    ("/apis/resource.k8s.io/v1/resourceslices", "spec.driver=other", ""),
    ("/api/v1/secrets", "metadata.namespace=fields,type=a/b", "p"),
    (f"{NS}/serviceaccounts", "metadata.name=default", "default"),
    ("/apis/apps/v1/replicasets", "metadata.namespace=fields", ""),
]


@pytest.mark.parametrize(("path", "selector", "expected"), SELECTED)
def test_selected(server: RunningServer, path: str, selector: str, expected: str) -> None:
    query = f"fieldSelector={quote(selector)}"
    answer = server.raw("GET", f"{path}?{query}")
    assert answer.status == 200, answer.body
    assert " ".join(sorted(item["metadata"]["name"] for item in answer.json["items"])) == expected
    found = []
    with server.watch(f"{path}?watch=1&allowWatchBookmarks=1&{query}") as stream:
        while (event := stream.next())["type"] == "ADDED":
            found.append(event["object"]["metadata"]["name"])
    assert " ".join(sorted(found)) == expected
    dry = server.raw("DELETE", f"{path}?dryRun=All&{query}") if not path.endswith("/namespaces") else None
    if dry is not None:
        assert dry.status == 200, dry.body
        assert " ".join(sorted(item["metadata"]["name"] for item in dry.json["items"])) == expected


UNSUPPORTED = [
    (f"{NS}/pods", "spec.priority", "field label not supported: spec.priority"),
    (f"{NS}/secrets", "data", "field label not supported: data"),
    (f"{NS}/services", "spec.clusterIPs", "field label not supported: spec.clusterIPs"),
    (f"{NS}/replicationcontrollers", "spec.replicas", "field label not supported: spec.replicas"),
    (f"{NS}/events", "regarding.name", "field label not supported: regarding.name"),
    (EVENTS, "involvedObject.name", "field label not supported: involvedObject.name"),
    (EVENTS, "reportingComponent", "field label not supported: reportingComponent"),
    ("/api/v1/nodes", "metadata.namespace", "field label not supported: metadata.namespace"),
    ("/api/v1/namespaces", "name", "field label not supported: name"),
    ("/apis/batch/v1/jobs", "status.active", 'field label "status.active" not supported for Job'),
    (
        *("/apis/certificates.k8s.io/v1/certificatesigningrequests", "spec.username"),
        "field label not supported: spec.username",
    ),
    (
        *("/apis/resource.k8s.io/v1/resourceslices", "spec.pool.name"),
        "field label not supported for resource.k8s.io/v1, Kind=ResourceSlice: spec.pool.name",
    ),
    ("/apis/apps/v1/replicasets", "status.replicas", f'"status.replicas" {GENERIC}'),
    ("/apis/apps/v1/deployments", "spec.replicas", f'"spec.replicas" {GENERIC}'),
    (f"{NS}/serviceaccounts", "secrets", f'"secrets" {GENERIC}'),
    ("/apis/rbac.authorization.k8s.io/v1/clusterroles", "rules", f'"rules" {GENERIC}'),
]


@pytest.mark.parametrize(("path", "field", "message"), UNSUPPORTED)
def test_unsupported(server: RunningServer, path: str, field: str, message: str) -> None:
    for method, watch in (("GET", ""), ("GET", "watch=1&"), ("DELETE", "")):
        if method == "DELETE" and path.endswith("/namespaces"):
            continue  # has no such verb
        answer = server.raw(method, f"{path}?{watch}fieldSelector={field}%3Dx")
        assert (answer.status, answer.reason, answer.message) == (400, "BadRequest", message)

"""Pods with claims from templates: they get devices, wait for them, give them back, and keep them over a restart."""

from __future__ import annotations

import itertools
import json
import time
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.conformance.devices.conftest import Cluster

_numbers = itertools.count(1)


@pytest.fixture
def namespace(cluster: Cluster) -> Iterator[str]:
    name = f"devices-{next(_numbers)}"
    cluster.server.kubectl("create", "namespace", name)
    until(lambda: cluster.server.raw("GET", f"/api/v1/namespaces/{name}/serviceaccounts/default").status == 200)
    yield name
    cluster.server.kubectl("delete", "namespace", name, "--wait=false")


def until(condition: Callable[[], Any], seconds: float = 30) -> Any:
    end = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < end, "not in time"
        time.sleep(0.05)
    return found


def create(cluster: Cluster, path: str, body: dict[str, Any]) -> None:
    answer = cluster.server.raw("POST", path, body)
    assert answer.status == 201, answer.body


def items(cluster: Cluster, path: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(cluster.server.raw("GET", path).body)["items"]
    return found


def offer(cluster: Cluster, driver: str, devices: int, node: str) -> None:
    """A driver's class and, on that node, its devices."""
    rule = {"cel": {"expression": f'device.driver == "{driver}"'}}
    create(
        cluster,
        "/apis/resource.k8s.io/v1/deviceclasses",
        {"metadata": {"name": driver}, "spec": {"selectors": [rule]}},
    )
    spec = {
        "driver": driver,
        "nodeName": node,
        "pool": {"name": node, "generation": 1, "resourceSliceCount": 1},
        "devices": [{"name": f"d{number}"} for number in range(devices)],
    }
    create(cluster, "/apis/resource.k8s.io/v1/resourceslices", {"metadata": {"name": driver}, "spec": spec})


def make_template(cluster: Cluster, namespace: str, driver: str) -> None:
    request = {"name": "device", "exactly": {"deviceClassName": driver}}
    body = {"metadata": {"name": "one"}, "spec": {"spec": {"devices": {"requests": [request]}}}}
    create(cluster, f"/apis/resource.k8s.io/v1/namespaces/{namespace}/resourceclaimtemplates", body)


def make_deployment(cluster: Cluster, namespace: str, replicas: int) -> None:
    labels = {"app": "a"}
    container = {"name": "c", "image": "any", "resources": {"claims": [{"name": "device"}]}}
    claims = [{"name": "device", "resourceClaimTemplateName": "one"}]
    template = {"metadata": {"labels": labels}, "spec": {"containers": [container], "resourceClaims": claims}}
    spec = {"replicas": replicas, "selector": {"matchLabels": labels}, "template": template}
    create(cluster, f"/apis/apps/v1/namespaces/{namespace}/deployments", {"metadata": {"name": "a"}, "spec": spec})


def running(cluster: Cluster, namespace: str) -> list[dict[str, Any]]:
    return [p for p in items(cluster, f"/api/v1/namespaces/{namespace}/pods") if p["status"].get("phase") == "Running"]


def given(cluster: Cluster, namespace: str) -> dict[str, tuple[str, str]]:
    """By the uid of the pod that uses it the device, as (pool, name)."""
    found = {}
    for claim in items(cluster, f"/apis/resource.k8s.io/v1/namespaces/{namespace}/resourceclaims"):
        for user in claim.get("status", {}).get("reservedFor", []):
            (result,) = claim["status"]["allocation"]["devices"]["results"]
            found[user["uid"]] = (result["pool"], result["device"])
    return found


def test_replicas_have_a_device_each_and_the_rest_wait(cluster: Cluster, namespace: str) -> None:
    node = cluster.nodes[1]
    offer(cluster, "wait.example.com", 2, node)
    make_template(cluster, namespace, "wait.example.com")
    make_deployment(cluster, namespace, 3)
    pods = until(lambda: len(found := running(cluster, namespace)) == 2 and found)
    assert {pod["spec"]["nodeName"] for pod in pods} == {node}
    devices = given(cluster, namespace)
    assert devices.keys() == {pod["metadata"]["uid"] for pod in pods}
    assert sorted(devices.values()) == [(node, "d0"), (node, "d1")]
    events = f"/api/v1/namespaces/{namespace}/events?fieldSelector=reason=FailedScheduling"
    said = until(lambda: [e["message"] for e in items(cluster, events) if "cannot allocate" in e["message"]])
    assert "0/2 nodes are available: 2 cannot allocate all claims." in said[0]

    # One that runs goes: of it and of the one made for it a device is free for just one.
    gone = pods[0]["metadata"]
    cluster.server.kubectl("-n", namespace, "delete", "pod", gone["name"])

    def is_replaced() -> bool:
        now = {pod["metadata"]["uid"] for pod in running(cluster, namespace)}
        return len(now) == 2 and gone["uid"] not in now and given(cluster, namespace).keys() == now

    until(is_replaced)
    assert Counter(given(cluster, namespace).values()) == Counter([(node, "d0"), (node, "d1")])


def test_a_new_scheduler_knows_who_has_which_device(cluster: Cluster, namespace: str) -> None:
    offer(cluster, "restart.example.com", 3, cluster.nodes[0])
    make_template(cluster, namespace, "restart.example.com")
    make_deployment(cluster, namespace, 2)
    until(lambda: len(running(cluster, namespace)) == 2)
    before = given(cluster, namespace)
    cluster.server.call(cluster.stop_scheduler)
    cluster.server.kubectl("-n", namespace, "scale", "deployment/a", "--replicas=4")
    cluster.server.call(cluster.start_scheduler)
    until(lambda: len(running(cluster, namespace)) == 3)
    after = given(cluster, namespace)
    assert before.items() <= after.items()
    assert len(set(after.values())) == 3


def test_claims_go_with_their_pods(cluster: Cluster, namespace: str) -> None:
    offer(cluster, "gone.example.com", 1, cluster.nodes[0])
    make_template(cluster, namespace, "gone.example.com")
    make_deployment(cluster, namespace, 1)
    until(lambda: len(running(cluster, namespace)) == 1)
    cluster.server.kubectl("-n", namespace, "delete", "deployment", "a")
    claims = f"/apis/resource.k8s.io/v1/namespaces/{namespace}/resourceclaims"
    until(lambda: not items(cluster, claims))


def test_pods_leave_a_device_that_evicts(cluster: Cluster, namespace: str) -> None:
    driver = "broken.example.com"
    offer(cluster, driver, 2, cluster.nodes[0])
    make_template(cluster, namespace, driver)
    make_deployment(cluster, namespace, 1)
    (pod,) = until(lambda: running(cluster, namespace))
    uid = pod["metadata"]["uid"]
    _, device = given(cluster, namespace)[uid]
    broken = {"name": device, "taints": [{"key": "broken", "effect": "NoExecute"}]}
    others = [{"name": name} for name in ("d0", "d1") if name != device]
    change = {"spec": {"devices": [broken, *others]}}
    path = f"/apis/resource.k8s.io/v1/resourceslices/{driver}"
    merge = {"Content-Type": "application/merge-patch+json"}
    with cluster.server.watch(f"/api/v1/namespaces/{namespace}/pods?watch=true", timeout_seconds=30) as events:
        assert cluster.server.raw("PATCH", path, change, merge).status == 200
        while (event := events.next())["type"] != "DELETED" or event["object"]["metadata"]["uid"] != uid:
            pass
    gone = event["object"]
    (told,) = [c for c in gone["status"]["conditions"] if c["type"] == "DisruptionTarget"]
    assert (told["status"], told["reason"]) == ("True", "DeletionByDeviceTaintManager")
    # Its replacement has the device that is well.
    (replacement,) = until(lambda: [p for p in running(cluster, namespace) if p["metadata"]["uid"] != uid])
    assert given(cluster, namespace)[replacement["metadata"]["uid"]][1] == others[0]["name"]

"""ReplicaSets and ReplicationControllers, and what all workloads share: scale, status, collections."""

from __future__ import annotations

from typing import Any

import pytest

from tests.conformance.apps.workloads import Apps, Object, condition, container, owner, template, workload
from tests.e2e.cluster import eventually

KINDS = {"Deployment": "deployments", "ReplicaSet": "replicasets", "StatefulSet": "statefulsets"}
EITHER = pytest.mark.parametrize("kind", ["ReplicaSet", "ReplicationController"])


def bare_pod(name: str, app: str) -> Object:
    meta = {"name": name, "labels": {"app": app}}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": template(app)["spec"]}


@pytest.mark.parametrize("kind", [*KINDS, "ReplicationController"])
def test_scale(apps: Apps, kind: str) -> None:
    """[sig-apps] Deployment Deployment should have a working scale subresource [Conformance]
    [sig-apps] ReplicaSet Replicaset should have a working scale subresource [Conformance]
    [sig-apps] StatefulSet Basic StatefulSet functionality [StatefulSetBasic] should have a working scale subresource
        [Conformance]
    [sig-apps] ReplicationController should get and update a ReplicationController scale [Conformance]
    """
    plural = KINDS.get(kind, "replicationcontrollers")
    apps.make(workload(kind, "scaled", replicas=1))
    apps.ready_count("scaled", 1)
    scale = apps.raw(f"{plural}/scaled/scale")
    assert (scale["kind"], scale["apiVersion"], scale["spec"]["replicas"]) == ("Scale", "autoscaling/v1", 1)
    scale["spec"]["replicas"] = 2
    assert apps.replace(f"{plural}/scaled/scale", scale)["spec"]["replicas"] == 2
    assert apps.get(plural, "scaled")["spec"]["replicas"] == 2
    apps.ready_count("scaled", 2)
    patched = apps.patch(plural, "scaled", {"spec": {"replicas": 3}}, "--subresource=scale")
    assert patched["spec"]["replicas"] == 3 and apps.get(plural, "scaled")["spec"]["replicas"] == 3
    eventually(lambda: apps.raw(f"{plural}/scaled/scale")["status"]["replicas"] == 3, "its status follows", 20)


@pytest.mark.parametrize("kind", [*KINDS, "DaemonSet"])
def test_status(apps: Apps, kind: str) -> None:
    """[sig-apps] Deployment should validate Deployment Status endpoints [Conformance]
    [sig-apps] ReplicaSet should validate Replicaset Status endpoints [Conformance]
    [sig-apps] StatefulSet Basic StatefulSet functionality [StatefulSetBasic] should validate Statefulset Status
        endpoints [Conformance]
    [sig-apps] Daemon set [Serial] should verify changes to a daemon set status [Conformance]
    """
    plural = KINDS.get(kind, "daemonsets")
    apps.make(workload(kind, "told"))
    apps.ready_count("told", 1)
    eventually(lambda: "status" in apps.raw(f"{plural}/told/status"), "it has a status", 10)

    def update(change: str) -> Object:
        read = apps.raw(f"{plural}/told/status")
        read["status"]["conditions"] = [_told(change), *read["status"].get("conditions", ())]
        return apps.replace(f"{plural}/told/status", read)

    answer = eventually(lambda: update("StatusUpdate"), "updated, unless something else was", 10)
    assert condition(answer, "StatusUpdate", "reason") == "E2E"
    patch = {"status": {"conditions": [_told("StatusPatched")]}}
    assert condition(apps.patch(plural, "told", patch, "--subresource=status"), "StatusPatched") == "True"
    # What the spec says is not changed by way of the status.
    before = apps.get(plural, "told")["spec"]
    apps.patch(plural, "told", {"spec": {"minReadySeconds": 77}}, "--subresource=status")
    assert apps.get(plural, "told")["spec"] == before


def _told(kind: str) -> Object:
    return {"type": kind, "status": "True", "reason": "E2E", "message": "Set from a test"}


@pytest.mark.parametrize("kind", [*KINDS, "DaemonSet"])
def test_collections(apps: Apps, kind: str) -> None:
    """[sig-apps] ReplicaSet should list and delete a collection of ReplicaSets [Conformance]
    [sig-apps] StatefulSet Basic StatefulSet functionality [StatefulSetBasic] should list, patch and delete a collection
        of StatefulSets [Conformance]
    [sig-apps] Daemon set [Serial] should list and delete a collection of DaemonSets [Conformance]
    """
    plural = KINDS.get(kind, "daemonsets")
    count: dict[str, Any] = {} if kind == "DaemonSet" else {"replicas": 2}
    apps.make(workload(kind, "gathered", **count))
    apps.ready_count("gathered", count.get("replicas", 1))
    assert len(apps.list(plural, "e2e=gathered")) == 1
    apps.patch(plural, "gathered", {"metadata": {"labels": {"test": "patched"}}})
    assert [one["metadata"]["name"] for one in apps.list(plural, "test=patched")] == ["gathered"]
    apps.delete(plural, "-l", "test=patched")
    eventually(lambda: not apps.list(plural) and not apps.list("pods"), "all are gone, their pods too", 30)


def test_a_replica_set_is_replaced_and_patched(apps: Apps) -> None:
    """[sig-apps] ReplicaSet Replace and Patch tests [Conformance]"""
    apps.make(workload("ReplicaSet", "rs", replicas=1))
    apps.ready_count("rs", 1)
    read = apps.get("replicasets", "rs")
    read["spec"]["replicas"] = 2
    apps.replace("replicasets/rs", read)
    apps.ready_count("rs", 2)
    main = container(resources={"requests": {"cpu": "1m"}})
    patch = {"metadata": {"labels": {"test-rs": "patched"}}, "spec": {"replicas": 3, "template": {"spec": {
        "terminationGracePeriodSeconds": 0, "containers": [main]}}}}  # fmt: skip
    patched = apps.patch("replicasets", "rs", patch, form="strategic")
    assert patched["metadata"]["labels"]["test-rs"] == "patched"
    assert patched["spec"]["template"]["spec"]["terminationGracePeriodSeconds"] == 0
    apps.ready_count("rs", 3)


@EITHER
def test_pods_are_adopted_and_released(apps: Apps, kind: str) -> None:
    """[sig-apps] ReplicaSet should adopt matching pods on creation and release no longer matching pods [Conformance]
    [sig-apps] ReplicationController should adopt matching pods on creation [Conformance]
    [sig-apps] ReplicationController should release no longer matching pods [Conformance]
    """
    apps.make(bare_pod("orphan", "adopter"), workload(kind, "adopter", replicas=1))
    eventually(lambda: owner(apps.get("pod", "orphan")) == "adopter", "the orphan is adopted", 20)
    assert [pod["metadata"]["name"] for pod in apps.pods("adopter")] == ["orphan"]
    apps.cluster.kubectl("label", "pod", "orphan", "-n", apps.namespace, "app=free", "--overwrite")
    eventually(lambda: not owner(apps.get("pod", "orphan")), "it is released", 20)
    (other,) = apps.ready_count("adopter", 1)
    assert other["metadata"]["name"] != "orphan"


@EITHER
def test_each_replica_serves(apps: Apps, kind: str) -> None:
    """[sig-apps] ReplicaSet should serve a basic image on each replica with a public image [Conformance]
    [sig-apps] ReplicationController should serve a basic image on each replica with a public image [Conformance]
    """
    serve = "mkdir /www; hostname > /www/index.html; exec httpd -f -p 9376 -h /www"
    main = {"readinessProbe": {"httpGet": {"path": "/", "port": 9376}, "periodSeconds": 1}}
    apps.make(workload(kind, "served", replicas=2, pods=template("served", ["sh", "-c", serve], main=main)))
    for pod in apps.ready_count("served", 2):
        name = pod["metadata"]["name"]
        path = f"/api/v1/namespaces/{apps.namespace}/pods/{name}:9376/proxy/"
        assert apps.cluster.output("get", "--raw", path) == name


def test_a_quota_that_is_exceeded_is_told(apps: Apps) -> None:
    """[sig-apps] ReplicationController should surface a failure condition on a common issue like exceeded quota
    [Conformance]
    """
    meta = {"name": "two-pods"}
    apps.make({"apiVersion": "v1", "kind": "ResourceQuota", "metadata": meta, "spec": {"hard": {"pods": "2"}}})
    apps.until("resourcequota", "two-pods", lambda quota: quota["status"].get("hard"), "its status is there")
    apps.make(workload("ReplicationController", "many", replicas=3))
    failed = apps.until("rc", "many", lambda rc: condition(rc, "ReplicaFailure") == "True", "it says that it cannot")
    assert condition(failed, "ReplicaFailure", "reason") == "FailedCreate"
    assert "exceeded quota: two-pods" in condition(failed, "ReplicaFailure", "message")
    apps.patch("rc", "many", {"spec": {"replicas": 2}})
    apps.until("rc", "many", lambda rc: not condition(rc, "ReplicaFailure"), "and that it could")


def test_the_life_of_a_replication_controller(apps: Apps) -> None:
    """[sig-apps] ReplicationController should test the lifecycle of a ReplicationController [Conformance]"""
    apps.make(workload("ReplicationController", "rc", replicas=1))
    apps.until("rc", "rc", lambda rc: rc["status"].get("availableReplicas") == 1, "its pod is available")
    apps.patch("rc", "rc", {"metadata": {"labels": {"test-rc": "patched"}}})
    told = apps.patch("rc", "rc", {"status": {"readyReplicas": 0, "availableReplicas": 0}}, "--subresource=status")
    assert told["status"].get("readyReplicas", 0) == 0
    # The controller looks at what it counts when something moves.
    apps.patch("rc", "rc", {"spec": {"replicas": 2}})
    apps.until("rc", "rc", lambda rc: rc["status"].get("availableReplicas") == 2, "there are two")
    assert [rc["metadata"]["name"] for rc in apps.list("rc", "test-rc=patched")] == ["rc"]
    apps.delete("rc", "-l", "test-rc=patched")
    eventually(lambda: not apps.list("rc"), "it is gone", 20)

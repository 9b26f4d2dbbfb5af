"""Deployments: how new pods take the place of old ones."""

from __future__ import annotations

from tests.conformance.apps.workloads import Apps, Object, condition, owner, template, workload
from tests.e2e.cluster import eventually

BROKEN = {"readinessProbe": {"exec": {"command": ["false"]}, "periodSeconds": 1}}


def _renewed(apps: Apps, name: str, mark: str) -> None:
    apps.patch("deployment", name, {"spec": {"template": {"metadata": {"annotations": {"mark": mark}}}}})


def _complete(apps: Apps, name: str, replicas: int) -> Object:
    def holds(deployment: Object) -> bool:
        status = deployment["status"]
        counts = {status.get(key, 0) for key in ("replicas", "updatedReplicas", "availableReplicas")}
        return counts == {replicas} and status["observedGeneration"] == deployment["metadata"]["generation"]

    return apps.until("deployment", name, holds, f"{replicas} new pods and no others")


def _counts(apps: Apps, name: str) -> list[int]:
    """Replicas wanted of its ReplicaSets that want some, the oldest first."""
    sets = sorted(apps.list("replicasets", f"app={name}"), key=lambda rs: int(_revision(rs)))
    return [rs["spec"]["replicas"] for rs in sets if rs["spec"]["replicas"]]


def _revision(rs: Object) -> str:
    return str(rs["metadata"]["annotations"]["deployment.kubernetes.io/revision"])


def test_recreate(apps: Apps) -> None:
    """[sig-apps] Deployment RecreateDeployment should delete old pods and create new ones [Conformance]"""
    apps.make(workload("Deployment", "d", replicas=2, strategy={"type": "Recreate"}))
    before = {pod["metadata"]["uid"] for pod in apps.ready_count("d", 2)}
    _renewed(apps, "d", "new")
    _complete(apps, "d", 2)
    after = apps.ready_count("d", 2)
    assert not before & {pod["metadata"]["uid"] for pod in after}
    events = [e for e in apps.list("events") if e["reason"] == "ScalingReplicaSet"]
    assert any("Scaled down" in event["message"] and "from 2 to 0" in event["message"] for event in events)


def test_rolling_update_takes_over_what_was_there(apps: Apps) -> None:
    """[sig-apps] Deployment RollingUpdateDeployment should delete old pods and create new ones [Conformance]"""
    there = workload("ReplicaSet", "d", replicas=1)
    there["metadata"]["labels"]["app"] = "d"
    apps.make(there)
    apps.ready_count("d", 1)
    apps.make(workload("Deployment", "d", replicas=1, pods=template("d", ["sleep", "9999"])))
    eventually(lambda: sorted(rs["spec"]["replicas"] for rs in apps.list("replicasets")) == [0, 1], "one took over", 20)
    old, new = sorted(apps.list("replicasets"), key=lambda rs: int(rs["spec"]["replicas"]))
    assert (old["metadata"]["name"], owner(old)) == ("d", "d"), "it was adopted"
    assert "pod-template-hash" in new["spec"]["selector"]["matchLabels"]


def test_old_replica_sets_are_deleted(apps: Apps) -> None:
    """[sig-apps] Deployment deployment should delete old replica sets [Conformance]"""
    apps.make(workload("Deployment", "d", replicas=1, revisionHistoryLimit=0))
    _complete(apps, "d", 1)
    _renewed(apps, "d", "new")
    _complete(apps, "d", 1)
    eventually(lambda: len(apps.list("replicasets")) == 1, "only the new one is left", 20)


def test_rollover(apps: Apps) -> None:
    """[sig-apps] Deployment deployment should support rollover [Conformance]"""
    strategy = {"rollingUpdate": {"maxUnavailable": 0, "maxSurge": 1}}
    apps.make(workload("Deployment", "d", replicas=1, strategy=strategy))
    _complete(apps, "d", 1)
    broken = {"containers": [{"name": "main", **BROKEN}]}
    apps.patch("deployment", "d", {"spec": {"template": {"spec": broken}}}, form="strategic")
    eventually(lambda: len(apps.pods("d")) == 2, "a second that does not get ready", 20)
    mended = {"containers": [{"name": "main", "readinessProbe": None}]}
    apps.patch("deployment", "d", {"spec": {"template": {"metadata": {"annotations": {"mark": "3"}}, "spec": mended}}},
               form="strategic")  # fmt: skip
    _complete(apps, "d", 1)
    sets = {_revision(rs): rs["spec"]["replicas"] for rs in apps.list("replicasets")}
    assert sets == {"1": 0, "2": 0, "3": 1}


def test_proportional_scaling(apps: Apps) -> None:
    """[sig-apps] Deployment deployment should support proportional scaling [Conformance]"""
    strategy = {"rollingUpdate": {"maxUnavailable": 2, "maxSurge": 3}}
    apps.make(workload("Deployment", "d", replicas=10, strategy=strategy))
    _complete(apps, "d", 10)
    broken = {"containers": [{"name": "main", **BROKEN}]}
    apps.patch("deployment", "d", {"spec": {"template": {"spec": broken}}}, form="strategic")
    eventually(lambda: _counts(apps, "d") == [8, 5], "as many as may be, and no more", 30)
    apps.patch("deployment", "d", {"spec": {"replicas": 30}})
    eventually(lambda: _counts(apps, "d") == [20, 13], "each in its proportion", 30)
    apps.delete("deployment", "d")


def test_the_life_of_a_deployment(apps: Apps) -> None:
    """[sig-apps] Deployment should run the lifecycle of a Deployment [Conformance]"""
    apps.make(workload("Deployment", "d", replicas=1))
    _complete(apps, "d", 1)
    apps.patch("deployment", "d", {"metadata": {"labels": {"test": "patched"}}, "spec": {"replicas": 2}})
    found = _complete(apps, "d", 2)
    assert condition(found, "Available", "reason") == "MinimumReplicasAvailable"
    eventually(
        lambda: condition(apps.get("deployment", "d"), "Progressing", "reason") == "NewReplicaSetAvailable",
        "its progress is told", 10,
    )  # fmt: skip
    nothing = {"status": {"readyReplicas": 0, "availableReplicas": 0}}
    status = apps.patch("deployment", "d", nothing, "--subresource=status")["status"]
    assert status.get("readyReplicas", 0) == 0
    eventually(lambda: apps.get("deployment", "d")["status"].get("readyReplicas") == 2, "what is true returns", 20)
    apps.delete("deployment", "-l", "test=patched")
    eventually(lambda: not apps.list("deployments") and not apps.list("replicasets"), "it is gone", 30)

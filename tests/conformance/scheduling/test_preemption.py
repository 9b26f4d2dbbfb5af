"""Pods of higher priority take the room of lower ones. The room is an extended resource: nobody else asks for it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.conformance.apps.workloads import workload
from tests.conformance.node.tables import apply_all
from tests.e2e.cluster import Cluster, eventually
from tests.e2e.manifests import pod

RESOURCE = "example.com/seats"
FINALIZER = "example.com/held"


def _seats(cluster: Cluster, count: int | None) -> None:
    node = cluster.get("nodes")["items"][0]["metadata"]["name"]
    value = None if count is None else str(count)
    body = json.dumps({"status": {"capacity": {RESOURCE: value}, "allocatable": {RESOURCE: value}}})
    cluster.kubectl("patch", "node", node, "--subresource=status", "--type=merge", "-p", body)


@pytest.fixture
def seats(cluster: Cluster) -> Iterator[None]:
    """A hundred of them on the one node, and priority classes of 1 to 4."""
    _seats(cluster, 100)
    for level in range(1, 5):
        cluster.apply(
            {
                "apiVersion": "scheduling.k8s.io/v1",
                "kind": "PriorityClass",
                "metadata": {"name": f"level-{level}"},
                "value": level,
            }
        )
    yield
    for level in range(1, 5):
        cluster.kubectl("delete", "priorityclass", f"level-{level}")
    _seats(cluster, None)


def _pod(name: str, seats: int, priority_class: str) -> dict[str, Any]:
    amounts = {RESOURCE: str(seats)}
    container = {"resources": {"requests": amounts, "limits": amounts}}
    return pod(
        name, ["sleep", "3600"], container=container, priorityClassName=priority_class, terminationGracePeriodSeconds=0
    )


def _running(cluster: Cluster, namespace: str, *names: str) -> None:
    for name in names:
        cluster.kubectl("wait", f"pod/{name}", "--for=condition=Ready", "-n", namespace, "--timeout=40s")


def _gone(cluster: Cluster, namespace: str, name: str) -> None:
    eventually(lambda: not cluster.output("get", "pod", name, "-n", namespace, "--ignore-not-found"), f"{name} is gone")


def _uids(cluster: Cluster, namespace: str) -> dict[str, str]:
    return {p["metadata"]["name"]: p["metadata"]["uid"] for p in cluster.get("pods", "-n", namespace)["items"]}


@pytest.mark.usefixtures("seats")
def test_basic_preemption(cluster: Cluster, namespace: str) -> None:
    """[sig-scheduling] SchedulerPreemption [Serial] validates basic preemption works [Conformance]"""
    apply_all(cluster, namespace, [_pod("low", 40, "level-1"), _pod("medium", 60, "level-2")])
    _running(cluster, namespace, "low", "medium")
    before = _uids(cluster, namespace)
    apply_all(cluster, namespace, [_pod("high", 40, "level-3")])
    _running(cluster, namespace, "high")
    _gone(cluster, namespace, "low")
    assert _uids(cluster, namespace)["medium"] == before["medium"]
    events = cluster.get("events", "-n", namespace, "--field-selector=reason=Preempted")["items"]
    assert [event["involvedObject"]["name"] for event in events] == ["low"]


@pytest.mark.usefixtures("seats")
def test_critical_pods_preempt(cluster: Cluster, namespace: str) -> None:
    """[sig-scheduling] SchedulerPreemption [Serial] validates lower priority pod preemption by critical pod
    [Conformance]
    """
    apply_all(cluster, namespace, [_pod("low", 40, "level-1"), _pod("medium", 60, "level-2")])
    _running(cluster, namespace, "low", "medium")
    apply_all(cluster, "kube-system", [_pod("critical", 40, "system-cluster-critical")])
    try:
        _running(cluster, "kube-system", "critical")
        _gone(cluster, namespace, "low")
        _running(cluster, namespace, "medium")
    finally:
        cluster.kubectl("delete", "pod", "critical", "-n", "kube-system", "--grace-period=0", "--force")


@pytest.mark.usefixtures("seats")
def test_a_victim_says_that_it_is_one(cluster: Cluster, namespace: str) -> None:
    """[sig-scheduling] SchedulerPreemption [Serial] validates pod disruption condition is added to the preempted pod
    [Conformance]
    """
    victim = _pod("victim", 100, "level-1")
    victim["metadata"]["finalizers"] = [FINALIZER]
    apply_all(cluster, namespace, [victim])
    _running(cluster, namespace, "victim")
    apply_all(cluster, namespace, [_pod("preemptor", 100, "level-3")])

    def condition() -> dict[str, Any] | None:
        found = cluster.get("pod", "victim", "-n", namespace)
        if "deletionTimestamp" not in found["metadata"]:
            return None
        return next((c for c in found["status"]["conditions"] if c["type"] == "DisruptionTarget"), None)

    said = eventually(condition, "the victim is going and says why")
    assert (said["status"], said["reason"]) == ("True", "PreemptionByScheduler")
    assert said["message"] == "default-scheduler: preempting to accommodate a higher priority pod"
    waiting = cluster.get("pod", "preemptor", "-n", namespace)
    assert waiting["status"]["nominatedNodeName"] == cluster.get("nodes")["items"][0]["metadata"]["name"]
    body = json.dumps({"metadata": {"finalizers": None}})
    cluster.kubectl("patch", "pod", "victim", "-n", namespace, "--type=merge", "-p", body)
    _gone(cluster, namespace, "victim")
    _running(cluster, namespace, "preemptor")


@pytest.mark.usefixtures("seats")
def test_the_preemption_path(cluster: Cluster, namespace: str) -> None:
    """[sig-scheduling] SchedulerPreemption [Serial] PreemptionExecutionPath runs ReplicaSets to verify preemption
    running path [Conformance]
    """

    def replicas(level: int, count: int, seats: int) -> dict[str, Any]:
        amounts = {RESOURCE: str(seats)}
        made = workload("ReplicaSet", f"level-{level}", replicas=count)
        spec = made["spec"]["template"]["spec"]
        spec["priorityClassName"] = f"level-{level}"
        spec["terminationGracePeriodSeconds"] = 0
        spec["containers"][0]["resources"] = {"requests": amounts, "limits": amounts}
        return made

    def ready(level: int) -> int:
        found = cluster.get("replicaset", f"level-{level}", "-n", namespace)
        return int(found["status"].get("readyReplicas", 0))

    counts = {1: 5, 2: 4, 3: 4}
    sizes = {1: 4, 2: 5, 3: 9}
    apply_all(cluster, namespace, [replicas(level, count, sizes[level]) for level, count in counts.items()])
    eventually(lambda: {level: ready(level) for level in counts} == counts, "all levels run")
    before = _uids(cluster, namespace)
    # 24 seats are free, and all of the first level's come to 20: the rest must not be touched.
    apply_all(cluster, namespace, [replicas(4, 1, 44)])
    eventually(lambda: ready(4) == 1, "the highest level runs")
    eventually(lambda: ready(1) == 0, "the lowest level made room")
    after = _uids(cluster, namespace)
    untouched = {name: uid for name, uid in before.items() if not name.startswith("level-1-")}
    assert untouched.items() <= after.items()
    assert len([name for name in after if name.startswith("level-1-")]) == 5
    assert [ready(level) for level in (2, 3)] == [4, 4]

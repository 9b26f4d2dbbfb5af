"""StatefulSets and DaemonSets: order, identity, revisions."""

from __future__ import annotations

from tests.conformance.apps.workloads import Apps, Object, template, workload
from tests.e2e.cluster import eventually

PROBED = {"readinessProbe": {"exec": {"command": ["test", "-f", "/tmp/ok"]}, "periodSeconds": 1}}


def _gated(name: str) -> Object:
    """Pods that are ready once somebody makes a file in them."""
    return template(name, main=PROBED)


def _open(apps: Apps, pod: str, *, ready: bool = True) -> None:
    command = ["touch", "/tmp/ok"] if ready else ["rm", "-f", "/tmp/ok"]

    def done() -> bool:
        return apps.cluster.kubectl("exec", "-n", apps.namespace, pod, "--", *command, check=False).returncode == 0

    eventually(done, f"{pod} runs", 20)


def _names(apps: Apps, name: str) -> list[str]:
    return [pod["metadata"]["name"] for pod in apps.pods(name)]


def _revisions(apps: Apps, name: str) -> list[str]:
    return [pod["metadata"]["labels"]["controller-revision-hash"] for pod in apps.pods(name)]


def _renew(apps: Apps, kind: str, name: str, mark: str | None) -> None:
    apps.patch(kind, name, {"spec": {"template": {"metadata": {"annotations": {"mark": mark}}}}})


def test_scaling_in_order_halts_at_the_unhealthy(apps: Apps) -> None:
    """[sig-apps] StatefulSet Basic StatefulSet functionality [StatefulSetBasic] Scaling should happen in predictable
    order and halt if any stateful pod is unhealthy [Slow] [Conformance]
    """
    apps.make(workload("StatefulSet", "ss", replicas=3, serviceName="ss", pods=_gated("ss")))
    for number in range(3):
        eventually(lambda n=number: len(_names(apps, "ss")) == n + 1, f"ss-{number} and no later one", 20)
        assert _names(apps, "ss") == [f"ss-{index}" for index in range(number + 1)]
        _open(apps, f"ss-{number}")
    apps.ready_count("ss", 3)
    _open(apps, "ss-0", ready=False)
    eventually(lambda: len(apps.ready("ss")) == 2, "ss-0 is not ready", 20)
    apps.patch("statefulset", "ss", {"spec": {"replicas": 0}})
    apps.until("statefulset", "ss", lambda ss: ss["status"]["observedGeneration"] == 2, "the change is seen")
    _open(apps, "ss-0")
    apps.ready_count("ss", 0)


def test_burst_scaling(apps: Apps) -> None:
    """[sig-apps] StatefulSet Basic StatefulSet functionality [StatefulSetBasic] Burst scaling should run to completion
    even with unhealthy pods [Slow] [Conformance]
    """
    burst = {"replicas": 3, "serviceName": "ss", "podManagementPolicy": "Parallel", "pods": _gated("ss")}
    apps.make(workload("StatefulSet", "ss", **burst))
    eventually(lambda: _names(apps, "ss") == ["ss-0", "ss-1", "ss-2"], "all at once, though none is ready", 20)
    apps.patch("statefulset", "ss", {"spec": {"replicas": 0}})
    apps.ready_count("ss", 0)


def test_rolling_updates_and_back(apps: Apps) -> None:
    """[sig-apps] StatefulSet Basic StatefulSet functionality [StatefulSetBasic] should perform rolling updates and roll
    backs of template modifications [Conformance]
    """
    apps.make(workload("StatefulSet", "ss", replicas=2, serviceName="ss"))
    apps.ready_count("ss", 2)
    first = apps.until("statefulset", "ss", lambda ss: ss["status"].get("currentRevision"), "a revision")["status"]
    _renew(apps, "statefulset", "ss", "new")
    old = first["currentRevision"]

    def renewed(ss: Object) -> bool:
        return ss["status"].get("updatedReplicas") == 2 and ss["status"]["currentRevision"] != old

    second = apps.until("statefulset", "ss", renewed, "both are new")["status"]
    assert second["currentRevision"] == second["updateRevision"]
    _renew(apps, "statefulset", "ss", None)
    apps.until(
        "statefulset", "ss", lambda ss: ss["status"]["currentRevision"] == first["currentRevision"], "back again"
    )
    assert len(apps.list("controllerrevisions")) == 2


def test_canaries(apps: Apps) -> None:
    """[sig-apps] StatefulSet Basic StatefulSet functionality [StatefulSetBasic] should perform canary updates and
    phased rolling updates of template modifications [Conformance]
    """
    strategy = {"type": "RollingUpdate", "rollingUpdate": {"partition": 2}}
    apps.make(workload("StatefulSet", "ss", replicas=3, serviceName="ss", updateStrategy=strategy))
    apps.ready_count("ss", 3)
    (old,) = set(_revisions(apps, "ss"))
    _renew(apps, "statefulset", "ss", "new")
    eventually(lambda: len(set(_revisions(apps, "ss"))) == 2, "the last one is new", 30)
    apps.ready_count("ss", 3)
    new = _revisions(apps, "ss")[2]
    assert _revisions(apps, "ss") == [old, old, new]
    apps.delete("pod", "ss-0", "ss-2")
    eventually(lambda: len(apps.ready("ss")) == 3 and _revisions(apps, "ss") == [old, old, new], "each as it was", 30)
    apps.patch("statefulset", "ss", {"spec": {"updateStrategy": {"rollingUpdate": {"partition": 0}}}})
    eventually(lambda: _revisions(apps, "ss") == [new] * 3, "all are new", 30)


def test_an_evicted_pod_is_made_again(apps: Apps) -> None:
    """[sig-apps] StatefulSet Basic StatefulSet functionality [StatefulSetBasic] Should recreate evicted statefulset
    [Conformance]
    """
    apps.make(workload("StatefulSet", "ss", replicas=1, serviceName="ss"))
    (before,) = apps.ready_count("ss", 1)
    failed = {"status": {"phase": "Failed", "reason": "Evicted"}}
    apps.patch("pod", "ss-0", failed, "--subresource=status")

    def again() -> bool:
        pods = apps.ready("ss")
        return bool(pods) and pods[0]["metadata"]["uid"] != before["metadata"]["uid"]

    eventually(again, "another of the same name", 40)


def test_a_daemon_set_is_everywhere(apps: Apps) -> None:
    """[sig-apps] Daemon set [Serial] should run and stop simple daemon [Conformance]
    [sig-apps] Daemon set [Serial] should retry creating failed daemon pods [Conformance]
    """
    apps.make(workload("DaemonSet", "ds"))
    (first,) = apps.ready_count("ds", 1)
    apps.delete("pod", first["metadata"]["name"])
    eventually(lambda: _other(apps, first), "a deleted one is replaced", 30)
    (second,) = apps.ready_count("ds", 1)
    apps.patch("pod", second["metadata"]["name"], {"status": {"phase": "Failed"}}, "--subresource=status")
    eventually(lambda: _other(apps, second), "a failed one is replaced", 40)


def _other(apps: Apps, than: Object) -> bool:
    uids = {pod["metadata"]["uid"] for pod in apps.ready("ds")}
    return bool(uids) and than["metadata"]["uid"] not in uids


def test_a_daemon_set_follows_labels_of_nodes(apps: Apps) -> None:
    """[sig-apps] Daemon set [Serial] should run and stop complex daemon [Conformance]"""
    node = apps.cluster.get("nodes")["items"][0]["metadata"]["name"]
    apps.make(workload("DaemonSet", "ds", pods=template("ds", nodeSelector={"daemon-color": "blue"})))
    apps.until("daemonset", "ds", lambda ds: ds["status"].get("observedGeneration") == 1, "it is seen")
    assert not apps.pods("ds")
    try:
        apps.cluster.kubectl("label", "node", node, "daemon-color=blue", "--overwrite")
        apps.ready_count("ds", 1)
        apps.cluster.kubectl("label", "node", node, "daemon-color=green", "--overwrite")
        apps.ready_count("ds", 0)
        change = {"template": {"spec": {"nodeSelector": {"daemon-color": "green"}}}}
        apps.patch("daemonset", "ds", {"spec": change})
        apps.ready_count("ds", 1)
    finally:
        apps.cluster.kubectl("label", "node", node, "daemon-color-")


def test_a_daemon_set_is_updated_and_rolled_back(apps: Apps) -> None:
    """[sig-apps] Daemon set [Serial] should update pod when spec was updated and update strategy is RollingUpdate
    [Conformance]
    [sig-apps] Daemon set [Serial] should rollback without unnecessary restarts [Conformance]
    [sig-apps] ControllerRevision [Serial] should manage the lifecycle of a ControllerRevision [Conformance]
    """
    apps.make(workload("DaemonSet", "ds"))
    apps.ready_count("ds", 1)
    (old,) = _revisions(apps, "ds")
    assert len(apps.list("controllerrevisions", "app=ds")) == 1
    _renew(apps, "daemonset", "ds", "new")
    eventually(lambda: apps.ready("ds") and _revisions(apps, "ds") not in ([], [old]), "it is new", 30)
    revisions = apps.list("controllerrevisions", "app=ds")
    assert sorted(one["revision"] for one in revisions) == [1, 2]
    name = revisions[0]["metadata"]["name"]
    apps.patch("controllerrevision", name, {"metadata": {"labels": {"seen": "yes"}}})
    assert len(apps.list("controllerrevisions", "seen=yes")) == 1
    apps.cluster.kubectl("rollout", "undo", "daemonset/ds", "-n", apps.namespace)
    eventually(lambda: apps.ready("ds") and _revisions(apps, "ds") == [old], "it is the old one again", 30)

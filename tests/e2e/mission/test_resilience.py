"""A host dies or cannot be reached: its pods run elsewhere in the documented time, those with a name never twice."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.cluster import eventually
from tests.e2e.hosts import HostsCluster
from tests.e2e.manifests import deployment, pod, service
from tests.e2e.mission.conftest import GRACE_SECONDS, TOLERATION_SECONDS

# Starting containers, and a machine that is busy with other things.
SLACK_SECONDS = 20
OUT_OF_SERVICE = "node.kubernetes.io/out-of-service"


def everywhere(manifest: dict[str, Any]) -> dict[str, Any]:
    """The same with its pods on as many hosts as there are."""
    spec = manifest["spec"]["template"]["spec"]
    spec["topologySpreadConstraints"] = [
        {
            "maxSkew": 1,
            "topologyKey": "kubernetes.io/hostname",
            "whenUnsatisfiable": "ScheduleAnyway",
            "labelSelector": manifest["spec"]["selector"],
        }
    ]
    return manifest


def ready_on(cluster: HostsCluster, namespace: str, app: str) -> dict[str, str]:
    """Names of ready pods that are not being deleted, to their nodes."""
    pods = cluster.get("pods", "-n", namespace, "-l", f"app={app}")["items"]
    return {
        one["metadata"]["name"]: one["spec"].get("nodeName", "")
        for one in pods
        if "deletionTimestamp" not in one["metadata"]
        and any(c["type"] == "Ready" and c["status"] == "True" for c in one["status"].get("conditions", ()))
    }


def addresses(cluster: HostsCluster, namespace: str, app: str) -> set[str]:
    """The nodes that a Service's ready endpoints are on."""
    slices = cluster.get("endpointslices", "-n", namespace, "-l", f"kubernetes.io/service-name={app}")["items"]
    return {
        endpoint["nodeName"]
        for one in slices
        for endpoint in one.get("endpoints") or ()
        if endpoint["conditions"].get("ready")
    }


def test_pods_of_a_dead_host_run_on_others_in_the_documented_time(whole_hosts: HostsCluster, namespace: str) -> None:
    cluster = whole_hosts
    cluster.apply(everywhere(deployment("web", 3)), namespace)
    cluster.apply(service("web"), namespace)
    daemons = deployment("agent")
    daemons["kind"] = "DaemonSet"
    del daemons["spec"]["replicas"]
    cluster.apply(daemons, namespace)
    eventually(lambda: len(set(ready_on(cluster, namespace, "web").values())) == 3, "a pod on each host")
    eventually(lambda: len(ready_on(cluster, namespace, "agent")) == 3, "an agent on each host")
    agents = {one["metadata"]["uid"] for one in cluster.get("pods", "-n", namespace, "-l", "app=agent")["items"]}

    cluster.stop("node-3")
    died = time.monotonic()
    eventually(lambda: not cluster.ready()["node-3"], "the host is missed", GRACE_SECONDS + SLACK_SECONDS)
    eventually(lambda: addresses(cluster, namespace, "web") == {"node-1", "node-2"}, "Services leave it out", 10)
    eventually(lambda: len(ready_on(cluster, namespace, "web")) == 3, "three pods again", 60)
    took = time.monotonic() - died
    assert took < GRACE_SECONDS + TOLERATION_SECONDS + SLACK_SECONDS, f"it took {took:.0f} s"
    assert set(ready_on(cluster, namespace, "web").values()) == {"node-1", "node-2"}
    lost = [name for name, ready in cluster.ready().items() if not ready]
    assert lost == ["node-3"], "the others are not taken for dead"
    left = {one["metadata"]["uid"] for one in cluster.get("pods", "-n", namespace, "-l", "app=agent")["items"]}
    assert left == agents, "pods of DaemonSets wait for their host"

    cluster.start("node-3")
    eventually(lambda: len(ready_on(cluster, namespace, "agent")) == 3, "the agent runs again", 60)

    def let_go() -> bool:
        pods = cluster.get("pods", "-n", namespace, "-l", "app=web")["items"]
        return len(pods) == 3 and not cluster.get("node", "node-3")["spec"].get("taints")

    eventually(let_go, "the host that is back has let its old pods go, and is used again", 60)


@pytest.fixture
def diary(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder that pods of all hosts write to: who runs is seen there even of a host that cannot be reached."""
    folder = tmp_path_factory.mktemp("diary")
    folder.chmod(0o777)
    yield folder


def stateful(diary: Path) -> dict[str, Any]:
    """One pod with a name, which writes its uid down ten times a second."""
    script = 'trap "exit 0" TERM; while true; do echo $UID_OF_POD >> /diary/log; sleep 0.1; done'
    own = {"name": "UID_OF_POD", "valueFrom": {"fieldRef": {"fieldPath": "metadata.uid"}}}
    template = pod(
        "db",
        ["sh", "-c", script],
        container={"env": [own], "volumeMounts": [{"name": "diary", "mountPath": "/diary"}]},
        volumes=[{"name": "diary", "hostPath": {"path": str(diary)}}],
    )
    return {
        "apiVersion": "apps/v1",
        "kind": "StatefulSet",
        "metadata": {"name": "db"},
        "spec": {
            "serviceName": "db",
            "selector": {"matchLabels": {"app": "db"}},
            "template": {"metadata": {"labels": {"app": "db"}}, "spec": template["spec"]},
        },
    }


def started(cluster: HostsCluster, namespace: str, diary: Path) -> tuple[str, str]:
    """(uid, node) of ``db-0`` once it runs."""
    cluster.apply(stateful(diary), namespace)
    found = eventually(lambda: ready_on(cluster, namespace, "db"), "db-0 runs")
    uid = cluster.get("pod", "db-0", "-n", namespace)["metadata"]["uid"]
    eventually(lambda: (diary / "log").exists() and uid in (diary / "log").read_text(), "it writes")
    return str(uid), found["db-0"]


def entries(diary: Path) -> list[str]:
    """Who wrote, in order, each once for as long as it wrote without another in between."""
    lines = (diary / "log").read_text().split()
    return [uid for index, uid in enumerate(lines) if index == 0 or lines[index - 1] != uid]


def replaced(cluster: HostsCluster, namespace: str, old: str) -> str:
    """The uid of the ``db-0`` that took the place of `old`, once it is ready."""

    def fresh() -> str:
        if not ready_on(cluster, namespace, "db"):
            return ""
        uid = cluster.get("pod", "db-0", "-n", namespace)["metadata"]["uid"]
        return "" if uid == old else str(uid)

    return str(eventually(fresh, "db-0 runs anew", 90))


def terminating(cluster: HostsCluster, namespace: str, uid: str) -> bool:
    meta = cluster.get("pod", "db-0", "-n", namespace)["metadata"]
    assert meta["uid"] == uid, "nobody else may have its name yet"
    return "deletionTimestamp" in meta


def test_a_pod_with_a_name_never_runs_twice(whole_hosts: HostsCluster, namespace: str, diary: Path) -> None:
    cluster = whole_hosts
    uid, node = started(cluster, namespace, diary)
    cluster.partition(node)
    eventually(lambda: terminating(cluster, namespace, uid), "it is to go", GRACE_SECONDS + SLACK_SECONDS + 30)
    written = (diary / "log").stat().st_size
    for _ in range(10):
        time.sleep(1)
        assert terminating(cluster, namespace, uid)
    assert (diary / "log").stat().st_size > written, "on the host nobody can reach it still runs"
    cluster.heal(node)
    fresh = replaced(cluster, namespace, uid)
    eventually(lambda: entries(diary)[-1] == fresh, "it writes")
    assert entries(diary) == [uid, fresh], "at no time did two write"


def test_a_dead_host_is_declared_out_of_service(whole_hosts: HostsCluster, namespace: str, diary: Path) -> None:
    cluster = whole_hosts
    uid, node = started(cluster, namespace, diary)
    cluster.stop(node)
    eventually(lambda: terminating(cluster, namespace, uid), "it is to go", GRACE_SECONDS + SLACK_SECONDS + 30)
    time.sleep(5)
    assert terminating(cluster, namespace, uid), "as long as nobody vouches for its death it keeps its name"
    cluster.kubectl("taint", "node", node, f"{OUT_OF_SERVICE}=nodeshutdown:NoExecute")
    try:
        fresh = replaced(cluster, namespace, uid)
        assert ready_on(cluster, namespace, "db")["db-0"] != node
        eventually(lambda: entries(diary)[-1] == fresh, "it writes")
        cluster.start(node)
        assert entries(diary) == [uid, fresh], "the host that is back does not go on with what was there"
    finally:
        cluster.kubectl("taint", "node", node, f"{OUT_OF_SERVICE}-", check=False)

"""Up and down: by hand, by measured use, by emptying a host within its budgets, by adding one."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.cluster import eventually
from tests.e2e.hosts import HostsCluster
from tests.e2e.manifests import deployment, pod, service
from tests.e2e.mission.test_resilience import everywhere, ready_on


def test_kubectl_scale(hosts_cluster: HostsCluster, namespace: str) -> None:
    cluster = hosts_cluster
    cluster.apply(everywhere(deployment("web", 1)), namespace)
    cluster.kubectl("scale", "deployment/web", "--replicas=6", "-n", namespace)
    eventually(lambda: len(ready_on(cluster, namespace, "web")) == 6, "six pods")
    assert len(set(ready_on(cluster, namespace, "web").values())) == 3
    cluster.kubectl("scale", "deployment/web", "--replicas=1", "-n", namespace)
    eventually(lambda: len(cluster.get("pods", "-n", namespace)["items"]) == 1, "one pod")


@pytest.fixture
def load(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A file that all hosts see: while it is there, pods burn."""
    folder = tmp_path_factory.mktemp("load")
    folder.chmod(0o755)
    yield folder / "on"
    (folder / "on").unlink(missing_ok=True)


def burning(load: Path) -> dict[str, Any]:
    """Pods that use all they may, a tenth of a core, while `load` exists, and next to nothing else."""
    loop = "i=0; while [ $i -lt 20000 ]; do i=$((i+1)); done"
    manifest = everywhere(deployment("burn", 1))
    [container] = manifest["spec"]["template"]["spec"]["containers"]
    del container["readinessProbe"]
    container |= {
        "command": ["sh", "-c", f"while true; do if [ -e /load/on ]; then {loop}; else sleep 0.2; fi; done"],
        "resources": {"requests": {"cpu": "50m"}, "limits": {"cpu": "100m"}},
        "volumeMounts": [{"name": "load", "mountPath": "/load"}],
    }
    manifest["spec"]["template"]["spec"]["volumes"] = [{"name": "load", "hostPath": {"path": str(load.parent)}}]
    return manifest


TARGET = {"type": "Utilization", "averageUtilization": 60}
AUTOSCALER = {
    "apiVersion": "autoscaling/v2",
    "kind": "HorizontalPodAutoscaler",
    "metadata": {"name": "burn"},
    "spec": {
        "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "burn"},
        "minReplicas": 1,
        "maxReplicas": 3,
        "metrics": [
            {
                "type": "Resource",
                "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 60}},
            }
        ],
        "behavior": {"scaleDown": {"stabilizationWindowSeconds": 0}},
    },
}


def test_pods_are_added_under_load_and_taken_away_after_it(
    hosts_cluster: HostsCluster, namespace: str, load: Path
) -> None:
    cluster = hosts_cluster
    cluster.apply(burning(load), namespace)
    eventually(lambda: ready_on(cluster, namespace, "burn"), "it runs")
    cluster.apply(AUTOSCALER, namespace)
    load.touch()

    def replicas() -> int:
        return int(cluster.get("deployment", "burn", "-n", namespace)["spec"]["replicas"])

    eventually(lambda: replicas() == 3, "as many as allowed", 120)
    eventually(lambda: len(ready_on(cluster, namespace, "burn")) == 3, "they run")
    status = cluster.get("hpa", "burn", "-n", namespace)["status"]
    conditions = {one["type"]: (one["status"], one["reason"]) for one in status["conditions"]}
    assert conditions["ScalingActive"] == ("True", "ValidMetricFound")
    events = cluster.get("events", "-n", namespace, "--field-selector", "reason=SuccessfulRescale")["items"]
    assert any("cpu resource utilization (percentage of request) above target" in one["message"] for one in events)

    def told() -> list[str]:
        text = cluster.output("top", "pod", "-n", namespace, "--no-headers", "--containers")
        return [line for line in text.splitlines() if line.startswith("burn-")]

    lines = eventually(lambda: told() if len(told()) == 3 else None, "kubectl top has them all", 30)
    assert all(line.split()[1] == "main" and line.split()[2].endswith("m") for line in lines)
    load.unlink()
    eventually(lambda: replicas() == 1, "one is enough again", 120)


def test_kubectl_top(hosts_cluster: HostsCluster) -> None:
    text = eventually(lambda: hosts_cluster.output("top", "node", "--no-headers"), "use of nodes")
    rows = {line.split()[0]: line.split()[1:] for line in text.splitlines()}
    assert set(rows) == {"node-1", "node-2", "node-3"}
    for cpu, percent, memory, share in rows.values():
        assert cpu.endswith("m") and percent.endswith("%") and memory.endswith("Mi") and share.endswith("%")


def budget(**spec: Any) -> dict[str, Any]:
    selector = {"matchLabels": {"app": "web"}}
    return {
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "metadata": {"name": "web"},
        "spec": {"selector": selector} | spec,
    }


def test_a_drained_host_empties_within_its_budgets(whole_hosts: HostsCluster, namespace: str) -> None:
    cluster = whole_hosts
    cluster.apply(everywhere(deployment("web", 3)), namespace)
    cluster.apply(service("web"), namespace)
    eventually(lambda: len(set(ready_on(cluster, namespace, "web").values())) == 3, "a pod on each host")
    cluster.apply(budget(maxUnavailable=0), namespace)
    eventually(lambda: "conditions" in cluster.get("pdb", "web", "-n", namespace).get("status", {}), "it is seen")

    [victim] = cluster.pods_on("node-2", namespace)
    path = f"/api/v1/namespaces/{namespace}/pods/{victim}/eviction"
    eviction = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": victim, "namespace": namespace}}
    refused = cluster.kubectl("create", "--raw", path, "-f", "-", stdin=json.dumps(eviction), check=False)
    assert refused.returncode != 0
    assert "Cannot evict pod as it would violate the pod's disruption budget" in refused.stderr
    flags = ["--ignore-daemonsets", "--delete-emptydir-data", "--force"]
    stuck = cluster.kubectl("drain", "node-2", *flags, "--timeout=8s", check=False)
    assert stuck.returncode != 0 and cluster.pods_on("node-2", namespace) == [victim]

    cluster.apply(budget(minAvailable=2), namespace)
    cluster.kubectl("drain", "node-2", *flags, "--timeout=90s")
    assert cluster.pods_on("node-2", namespace) == []
    eventually(lambda: len(ready_on(cluster, namespace, "web")) == 3, "three pods on the other two")
    cluster.kubectl("uncordon", "node-2")
    cluster.apply(pod("here", ["sleep", "600"], nodeSelector={"kubernetes.io/hostname": "node-2"}), namespace)
    eventually(lambda: "here" in cluster.pods_on("node-2", namespace), "it is used again")


def test_a_new_host_gets_pods(whole_hosts: HostsCluster, namespace: str) -> None:
    cluster = whole_hosts
    cluster.apply(everywhere(deployment("web", 3)), namespace)
    eventually(lambda: len(ready_on(cluster, namespace, "web")) == 3, "a pod on each host")
    before = set(cluster.names())
    cluster.node("add")
    [name] = set(cluster.names()) - before
    try:
        eventually(lambda: cluster.ready().get(name), "it is Ready")
        cluster.kubectl("scale", "deployment/web", "--replicas=8", "-n", namespace)
        eventually(lambda: len(ready_on(cluster, namespace, "web")) == 8, "eight pods")
        assert list(ready_on(cluster, namespace, "web").values()).count(name) == 2
    finally:
        cluster.node("remove", name)
    eventually(lambda: name not in cluster.ready(), "it is gone")
    eventually(lambda: len(ready_on(cluster, namespace, "web")) == 8, "its pods run elsewhere", 90)

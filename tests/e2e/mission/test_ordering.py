"""Order without anybody's hands: four tiers from one `kubectl apply`, sidecars, gates, Jobs that know when to end."""

from __future__ import annotations

from importlib.resources import files
from typing import Any

import pytest

from tests.e2e.cluster import eventually
from tests.e2e.hosts import HostsCluster
from tests.e2e.manifests import BUSYBOX, pod

DEMO = "demo"


def condition_since(subject: dict[str, Any], kind: str) -> str:
    """When the condition became true (RFC 3339, whole seconds, which sort as text); "" when it is not."""
    found = (c for c in subject["status"].get("conditions", ()) if c["type"] == kind and c["status"] == "True")
    return next((str(c["lastTransitionTime"]) for c in found), "")


def started(subject: dict[str, Any], container: str) -> str:
    """When a container that runs or has ended was started; "" when it was not."""
    status = subject["status"]
    for one in (*status.get("initContainerStatuses", ()), *status.get("containerStatuses", ())):
        if one["name"] == container:
            state = one["state"].get("running") or one["state"].get("terminated") or {}
            return str(state.get("startedAt", ""))
    return ""


def pods_of(cluster: HostsCluster, namespace: str, selector: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = cluster.get("pods", "-n", namespace, "-l", selector)["items"]
    return found


@pytest.mark.timeout(240)
def test_four_tiers_come_up_in_order_from_one_apply(hosts_cluster: HostsCluster) -> None:
    cluster = hosts_cluster
    cluster.kubectl("apply", "-f", "-", stdin=(files("tiphys.cmd.demo") / "demo.yaml").read_text())
    try:
        for tier in ("statefulset/database", "deployment/backend", "deployment/web"):
            cluster.kubectl("rollout", "status", tier, "-n", DEMO, "--timeout=120s", timeout_seconds=130)
        (database,) = pods_of(cluster, DEMO, "tier=database")
        migrations = pods_of(cluster, DEMO, "tier=migrate")
        backends, webs = pods_of(cluster, DEMO, "tier=backend"), pods_of(cluster, DEMO, "tier=web")
        migrated = condition_since(cluster.get("job", "migrate", "-n", DEMO), "Complete")
        assert condition_since(database, "Ready") <= min(started(one, "migrate") for one in migrations)
        assert "" < migrated <= min(condition_since(one, "Ready") for one in backends)
        for backend in backends:
            assert started(backend, "wait-for-migration") <= started(backend, "copy") <= started(backend, "httpd")
        assert min(started(one, "httpd") for one in backends) <= min(started(one, "nginx") for one in webs)
        assert {one["spec"]["nodeName"] for one in (*backends, *webs)} == set(cluster.names())
        _nobody_stumbled([database, *migrations, *backends, *webs])
        port = cluster.get("service", "web-public", "-n", DEMO)["spec"]["ports"][0]["nodePort"]
        for host in cluster.names():
            _answers(cluster, f"http://{cluster.address(host)}:{port}/api/hello")
    finally:
        cluster.kubectl("delete", "namespace", DEMO, "--wait=false")


def _answers(cluster: HostsCluster, url: str) -> None:
    eventually(lambda: "state lives here" in cluster.fetch(url)[1], f"{url} answers through all tiers", 20)


def _nobody_stumbled(pods: list[dict[str, Any]]) -> None:
    for one in pods:
        status = one["status"]
        for container in (*status.get("initContainerStatuses", ()), *status["containerStatuses"]):
            assert container["restartCount"] == 0, f"{one['metadata']['name']}: {container['name']} was restarted"


def test_a_sidecar_is_there_before_and_after_the_main_container(hosts_cluster: HostsCluster, namespace: str) -> None:
    cluster = hosts_cluster
    mount = [{"name": "shared", "mountPath": "/shared"}]
    sidecar = {
        "name": "sidecar", "image": BUSYBOX, "imagePullPolicy": "IfNotPresent", "restartPolicy": "Always",
        "command": ["sh", "-c", "trap 'exit 0' TERM; sleep 1.5; touch /shared/up; while true; do sleep 0.2; done"],
        "startupProbe": {"exec": {"command": ["test", "-f", "/shared/up"]}, "periodSeconds": 1},
        "volumeMounts": mount,
    }  # fmt: skip
    after = {
        "name": "after", "image": BUSYBOX, "imagePullPolicy": "IfNotPresent",
        "command": ["sh", "-c", "test -f /shared/up && echo it is up"], "volumeMounts": mount,
    }  # fmt: skip
    main = {"command": ["sh", "-c", "test -f /shared/up && echo done"], "volumeMounts": mount}
    spec = pod("ordered", [], container=main, initContainers=[sidecar, after])["spec"]
    spec["volumes"] = [{"name": "shared", "emptyDir": {}}]
    spec["restartPolicy"] = "Never"
    job = {
        "apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "ordered"},
        "spec": {"backoffLimit": 0, "template": {"spec": spec}},
    }  # fmt: skip
    cluster.apply(job, namespace)
    cluster.kubectl("wait", "job/ordered", "-n", namespace, "--for=condition=Complete", "--timeout=60s")
    (one,) = pods_of(cluster, namespace, "job-name=ordered")
    assert one["status"]["phase"] == "Succeeded", "the sidecar ended when the work was done, and keeps no Job alive"
    assert started(one, "sidecar") < started(one, "after") <= started(one, "main")
    (ended,) = [s["state"]["terminated"] for s in one["status"]["containerStatuses"]]
    sidecar_ended = one["status"]["initContainerStatuses"][0]["state"]["terminated"]
    assert sidecar_ended["finishedAt"] >= ended["finishedAt"]


def test_a_pod_waits_for_its_readiness_gate(hosts_cluster: HostsCluster, namespace: str) -> None:
    cluster = hosts_cluster
    gated = pod("gated", ["sleep", "1000"], readinessGates=[{"conditionType": "example.com/registered"}])
    cluster.apply(gated, namespace)
    cluster.kubectl("wait", "pod/gated", "-n", namespace, "--for=condition=ContainersReady", "--timeout=60s")
    conditions = {c["type"]: c for c in cluster.get("pod", "gated", "-n", namespace)["status"]["conditions"]}
    assert conditions["Ready"]["status"] == "False" and conditions["Ready"]["reason"] == "ReadinessGatesNotReady"
    patch = '{"status":{"conditions":[{"type":"example.com/registered","status":"True"}]}}'
    cluster.kubectl("patch", "pod", "gated", "-n", namespace, "--subresource=status", "-p", patch)
    cluster.kubectl("wait", "pod/gated", "-n", namespace, "--for=condition=Ready", "--timeout=20s")


def job(name: str, script: str, **spec: Any) -> dict[str, Any]:
    """A Job whose pods run a script once."""
    template = {"spec": pod(name, ["sh", "-c", script])["spec"] | {"restartPolicy": "Never"}}
    return {
        "apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": name},
        "spec": {"template": template} | spec,
    }  # fmt: skip


def test_an_indexed_job_gives_each_pod_its_number(hosts_cluster: HostsCluster, namespace: str) -> None:
    script = 'echo "part $JOB_COMPLETION_INDEX"'
    hosts_cluster.apply(job("parts", script, completionMode="Indexed", completions=3, parallelism=3), namespace)
    hosts_cluster.kubectl("wait", "job/parts", "-n", namespace, "--for=condition=Complete", "--timeout=60s")
    assert hosts_cluster.get("job", "parts", "-n", namespace)["status"]["completedIndexes"] == "0-2"
    said = hosts_cluster.output("logs", "-n", namespace, "-l", "job-name=parts", "--tail=1").split("\n")
    assert sorted(said) == ["part 0", "part 1", "part 2"]


def test_a_job_ends_well_when_its_leader_does(hosts_cluster: HostsCluster, namespace: str) -> None:
    script = '[ "$JOB_COMPLETION_INDEX" = 0 ] || sleep 1000'
    policy = {"rules": [{"succeededIndexes": "0"}]}
    spec = {"completionMode": "Indexed", "completions": 3, "parallelism": 3, "successPolicy": policy}
    hosts_cluster.apply(job("led", script, **spec), namespace)
    hosts_cluster.kubectl("wait", "job/led", "-n", namespace, "--for=condition=Complete", "--timeout=60s")
    conditions = {c["type"]: c for c in hosts_cluster.get("job", "led", "-n", namespace)["status"]["conditions"]}
    assert conditions["SuccessCriteriaMet"]["reason"] == "SuccessPolicy"


def test_a_job_gives_up_on_what_cannot_be_retried(hosts_cluster: HostsCluster, namespace: str) -> None:
    policy = {"rules": [{"action": "FailJob", "onExitCodes": {"operator": "In", "values": [42]}}]}
    hosts_cluster.apply(job("broken", "exit 42", backoffLimit=6, podFailurePolicy=policy), namespace)
    hosts_cluster.kubectl("wait", "job/broken", "-n", namespace, "--for=condition=Failed", "--timeout=60s")
    found = hosts_cluster.get("job", "broken", "-n", namespace)["status"]
    assert {c["reason"] for c in found["conditions"] if c["type"] == "Failed"} == {"PodFailurePolicy"}
    assert found["failed"] == 1

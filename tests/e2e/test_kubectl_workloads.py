"""Stock kubectl on real containers: apply, get, describe, scale, rollout, undo, wait, delete, selectors, failures."""

from __future__ import annotations

import contextlib
import json
import os
import signal
from pathlib import Path

from tests.e2e.cluster import Cluster, eventually
from tests.e2e.manifests import deployment, pod


def ready(cluster: Cluster, namespace: str, name: str) -> int:
    return int(cluster.get("deployment", name, "-n", namespace)["status"].get("readyReplicas", 0))


def test_apply_get_describe_and_delete(cluster: Cluster, namespace: str) -> None:
    cluster.apply(deployment("web", 2), namespace)
    cluster.kubectl("rollout", "status", "deployment/web", "-n", namespace, "--timeout=60s")
    assert "2/2" in cluster.output("get", "deployment", "web", "-n", namespace)
    described = cluster.output("describe", "deployment", "web", "-n", namespace)
    assert "ScalingReplicaSet" in described
    assert "2 desired | 2 updated | 2 total | 2 available | 0 unavailable" in described
    pods = cluster.output("get", "pods", "-n", namespace, "-o", "wide")
    assert pods.count("Running") == 2
    cluster.kubectl("delete", "deployment", "web", "-n", namespace, "--cascade=foreground", "--timeout=60s")
    assert cluster.get("pods", "-n", namespace)["items"] == []


def test_scale_up_and_down(cluster: Cluster, namespace: str) -> None:
    cluster.apply(deployment("web", 1), namespace)
    cluster.kubectl("scale", "deployment/web", "--replicas=4", "-n", namespace)
    cluster.kubectl("rollout", "status", "deployment/web", "-n", namespace, "--timeout=60s")
    assert ready(cluster, namespace, "web") == 4
    cluster.kubectl("scale", "deployment/web", "--replicas=1", "-n", namespace)
    eventually(lambda: len(cluster.get("pods", "-n", namespace)["items"]) == 1, "one pod is left")


def test_rollout_history_and_undo(cluster: Cluster, namespace: str) -> None:
    cluster.apply(deployment("web", 2), namespace)
    cluster.kubectl("rollout", "status", "deployment/web", "-n", namespace, "--timeout=60s")
    cluster.kubectl("set", "env", "deployment/web", "COLOUR=blue", "-n", namespace)
    cluster.kubectl("rollout", "status", "deployment/web", "-n", namespace, "--timeout=60s")
    assert cluster.output("rollout", "history", "deployment/web", "-n", namespace).splitlines()[-1].startswith("2")
    cluster.kubectl("rollout", "undo", "deployment/web", "-n", namespace)
    cluster.kubectl("rollout", "status", "deployment/web", "-n", namespace, "--timeout=60s")
    template = cluster.get("deployment", "web", "-n", namespace)["spec"]["template"]["spec"]
    assert "env" not in template["containers"][0]


def test_label_selectors_pick_by_set_and_equality(cluster: Cluster, namespace: str) -> None:
    for name, labels in (
        ("a", {"tier": "web", "env": "prod"}),
        ("b", {"tier": "web", "env": "test"}),
        ("c", {"tier": "db", "env": "test"}),
    ):
        cluster.apply(pod(name, ["sleep", "3600"], labels=labels), namespace)
    cluster.kubectl("wait", "pod", "--all", "--for=condition=Ready", "-n", namespace, "--timeout=60s")
    assert cluster.output("get", "pods", "-n", namespace, "-l", "tier in (web),env!=prod", "-o", "name") == "pod/b"
    assert cluster.output("get", "pods", f"--namespace={namespace}", "-l", "tier=db", "-o", "name") == "pod/c"


def test_a_deleted_pod_is_replaced(cluster: Cluster, namespace: str) -> None:
    cluster.apply(deployment("web", 1), namespace)
    cluster.kubectl("rollout", "status", "deployment/web", "-n", namespace, "--timeout=60s")
    first = cluster.output("get", "pods", "-n", namespace, "-o", "name")
    cluster.kubectl("delete", first, "-n", namespace, "--timeout=30s")
    eventually(lambda: ready(cluster, namespace, "web") == 1, "another pod is ready")
    assert cluster.output("get", "pods", "-n", namespace, "-o", "name") != first


def test_a_killed_container_is_restarted_and_counted(cluster: Cluster, namespace: str) -> None:
    marker = "sleep 98765"
    cluster.apply(pod("victim", ["sh", "-c", f"exec {marker}"]), namespace)
    cluster.kubectl("wait", "pod/victim", "--for=condition=Ready", "-n", namespace, "--timeout=60s")
    # It runs, but the shell may not have become the program yet.
    os.kill(eventually(lambda: _process_with(marker), "the program runs", 10), signal.SIGKILL)

    def restarted() -> bool:
        status = cluster.get("pod", "victim", "-n", namespace)["status"]["containerStatuses"][0]
        return bool(status["restartCount"] == 1 and status["ready"])

    eventually(restarted, "the container runs again")
    last = cluster.get("pod", "victim", "-n", namespace)["status"]["containerStatuses"][0]["lastState"]["terminated"]
    assert (last["exitCode"], last["reason"]) == (137, "Error")


def _process_with(command: str) -> int:
    words = command.split()
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if (folder / "cmdline").read_bytes().decode(errors="replace").split("\0")[:-1] == words:
                return int(folder.name)
    raise AssertionError(f"no process runs {command!r}")


def test_a_bad_image_says_why(cluster: Cluster, namespace: str) -> None:
    cluster.apply(
        pod("bad", ["true"], container={"image": "localhost:1/no/such:image", "imagePullPolicy": "Always"}), namespace
    )
    seen: set[str] = set()

    def backed_off() -> bool:
        statuses = cluster.get("pod", "bad", "-n", namespace)["status"].get("containerStatuses") or [{}]
        waiting = statuses[0].get("state", {}).get("waiting", {})
        seen.add(waiting.get("reason", ""))
        return waiting.get("reason") == "ImagePullBackOff" and "localhost:1/no/such:image" in waiting.get("message", "")

    eventually(backed_off, "ImagePullBackOff with the reason")
    events = cluster.get("events", "-n", namespace)["items"]
    reasons = {event["reason"] for event in events if event["involvedObject"]["name"] == "bad"}
    assert {"Pulling", "Failed", "BackOff"} <= reasons
    assert any("ErrImagePull" in event["message"] for event in events), "the first failure is told too"


def test_a_bad_manifest_is_refused_with_field_paths_and_nothing_is_stored(cluster: Cluster, namespace: str) -> None:
    wrong = pod("Wrong_Name", ["true"])
    wrong["spec"]["containers"][0]["ports"] = [{"containerPort": 99999}]
    done = cluster.kubectl("apply", "-n", namespace, "-f", "-", stdin=json.dumps(wrong), check=False)
    assert done.returncode == 1
    assert 'Pod "Wrong_Name" is invalid' in done.stderr
    assert "spec.containers[0].ports[0].containerPort: Invalid value: 99999: must be between 1 and 65535" in done.stderr
    typo = pod("typo", ["true"], restartPolcy="Never")
    done = cluster.kubectl("apply", "-n", namespace, "-f", "-", stdin=json.dumps(typo), check=False)
    assert 'strict decoding error: unknown field "spec.restartPolcy"' in done.stderr
    assert cluster.get("pods", "-n", namespace)["items"] == []


def test_a_list_is_applied_and_what_get_prints_is_applied_again(cluster: Cluster, namespace: str) -> None:
    # kubectl checks a List against OpenAPI version 2, which it takes in protobuf only.
    items = [
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": {"a": "b"}} for name in ("x", "y")
    ]
    cluster.apply({"apiVersion": "v1", "kind": "List", "items": items}, namespace)
    printed = cluster.output("get", "configmaps", "x", "y", "-n", namespace, "-o", "yaml")
    again = cluster.output("apply", "-n", namespace, "-f", "-", stdin=printed)
    assert again.splitlines() == ["configmap/x configured", "configmap/y configured"]
    items[1]["dato"] = {}
    wrong = json.dumps({"apiVersion": "v1", "kind": "List", "items": items})
    done = cluster.kubectl("apply", "-n", namespace, "-f", "-", stdin=wrong, check=False)
    assert 'unknown field "dato" in io.k8s.api.core.v1.ConfigMap' in done.stderr


def test_a_job_runs_to_completion(cluster: Cluster, namespace: str) -> None:
    cluster.kubectl(
        "create", "job", "sum", "-n", namespace, "--image=busybox:1.36", "--", "sh", "-c", "echo $((40 + 2))"
    )
    cluster.kubectl("wait", "job/sum", "--for=condition=Complete", "-n", namespace, "--timeout=60s")
    assert cluster.output("logs", "job/sum", "-n", namespace) == "42"


def test_namespace_deletion_takes_everything(cluster: Cluster, namespace: str) -> None:
    inner = f"{namespace[:40]}-inner"
    cluster.kubectl("create", "namespace", inner)
    cluster.apply(deployment("web", 2), inner)
    cluster.kubectl("rollout", "status", "deployment/web", "-n", inner, "--timeout=60s")
    cluster.kubectl("delete", "namespace", inner, "--timeout=60s")
    done = cluster.kubectl("get", "namespace", inner, check=False)
    assert "NotFound" in done.stderr

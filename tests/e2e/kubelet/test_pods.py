"""What only real containers show: users, limits, signals, mounts, and a node agent that dies."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from typing import Any

from tests.e2e.cluster import Cluster, eventually
from tests.e2e.manifests import BUSYBOX, pod


def ended(cluster: Cluster, namespace: str, manifest: dict[str, Any]) -> tuple[dict[str, Any], str]:
    """The status and the output of a pod that ran to its end."""
    name = manifest["metadata"]["name"]
    cluster.apply({**manifest, "spec": {"restartPolicy": "Never", **manifest["spec"]}}, namespace)

    def over() -> Any:
        found = cluster.get("pod", name, "-n", namespace)
        return found if found["status"]["phase"] in ("Succeeded", "Failed") else None

    status = eventually(over, f"{name} ends")["status"]
    return status, cluster.kubectl("logs", name, "-n", namespace, check=False).stdout


def state_of(status: dict[str, Any]) -> dict[str, Any]:
    terminated: dict[str, Any] = status["containerStatuses"][0]["state"]["terminated"]
    return terminated


def test_users_groups_and_capabilities(cluster: Cluster, namespace: str) -> None:
    cluster.kubectl("create", "secret", "generic", "keys", "--from-literal=token=s3cret", "-n", namespace)
    script = (
        "id; touch /x || echo read-only; grep NoNewPrivs /proc/self/status; grep CapBnd /proc/self/status;"
        "touch /e/f; stat -c '%u %g' /e/f; stat -Lc '%a %g' /s/token; cat /proc/sys/net/ipv4/ip_unprivileged_port_start"
    )
    container = {
        "securityContext": {
            "readOnlyRootFilesystem": True,
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
        },
        "volumeMounts": [{"name": "e", "mountPath": "/e"}, {"name": "s", "mountPath": "/s"}],
    }
    manifest = pod(
        "secured",
        ["sh", "-c", script],
        container=container,
        volumes=[{"name": "e", "emptyDir": {}}, {"name": "s", "secret": {"secretName": "keys", "defaultMode": 0o400}}],
        securityContext={
            "runAsUser": 1000,
            "runAsGroup": 3000,
            "fsGroup": 2000,
            "supplementalGroups": [4000],
            "sysctls": [{"name": "net.ipv4.ip_unprivileged_port_start", "value": "80"}],
        },
    )
    _, output = ended(cluster, namespace, manifest)
    lines = output.splitlines()
    assert "uid=1000 gid=3000 groups=2000,3000,4000" in lines
    assert "read-only" in lines
    assert "NoNewPrivs:\t1" in lines
    assert "CapBnd:\t0000000000000000" in lines
    assert lines[-3:] == ["1000 2000", "440 2000", "80"]


def test_run_as_non_root_refuses_a_root_image(cluster: Cluster, namespace: str) -> None:
    cluster.apply(pod("rooted", ["id"], securityContext={"runAsNonRoot": True}), namespace)

    def refused() -> Any:
        statuses = cluster.get("pod", "rooted", "-n", namespace)["status"].get("containerStatuses", [])
        waiting = statuses[0]["state"].get("waiting", {}) if statuses else {}
        return waiting if waiting.get("reason") == "CreateContainerConfigError" else None

    assert "container has runAsNonRoot and image will run as root" in eventually(refused, "the refusal")["message"]


def test_limits_are_the_kernels(cluster: Cluster, namespace: str) -> None:
    resources = {"requests": {"cpu": "500m", "memory": "32Mi"}, "limits": {"cpu": "1", "memory": "64Mi"}}
    script = (
        "cd /sys/fs/cgroup; cat memory.max memory/memory.limit_in_bytes 2>/dev/null;"
        "cat cpu.max 2>/dev/null || cat cpu/cpu.cfs_quota_us"
    )
    manifest = pod("limited", ["sh", "-c", script], container={"resources": resources})
    status, output = ended(cluster, namespace, manifest)
    assert output.split()[:2] == [str(64 << 20), "100000"]
    assert status["qosClass"] == "Burstable"


def test_running_out_of_memory_is_told(cluster: Cluster, namespace: str) -> None:
    manifest = pod("greedy", ["tail", "/dev/zero"], container={"resources": {"limits": {"memory": "20Mi"}}})
    status, _ = ended(cluster, namespace, manifest)
    assert (state_of(status)["reason"], state_of(status)["exitCode"]) == ("OOMKilled", 137)


def test_what_a_container_says_at_its_end(cluster: Cluster, namespace: str) -> None:
    status, _ = ended(cluster, namespace, pod("talks", ["sh", "-c", "echo why > /dev/termination-log; exit 3"]))
    assert (state_of(status)["exitCode"], state_of(status)["reason"]) == (3, "Error")
    assert state_of(status)["message"] == "why\n"
    fallback = {"terminationMessagePolicy": "FallbackToLogsOnError"}
    status, _ = ended(cluster, namespace, pod("logs", ["sh", "-c", "echo bad; exit 1"], container=fallback))
    assert state_of(status)["message"] == "bad\n"
    status, _ = ended(cluster, namespace, pod("lost", ["/no/such/program"]))
    assert (state_of(status)["exitCode"], state_of(status)["reason"]) == (128, "StartError")


def test_sidecars_and_sub_paths(cluster: Cluster, namespace: str) -> None:
    shared = {"volumeMounts": [{"name": "e", "mountPath": "/e", "subPathExpr": "$(POD)/x"}]}
    shared["env"] = [{"name": "POD", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}]
    quit_at_term = "trap 'exit 0' TERM; echo side >> /e/f; while :; do sleep 0.1; done"
    once = {"name": "first", "image": BUSYBOX, "command": ["sh", "-c", "echo first >> /e/f"], **shared}
    side = {"name": "side", "image": BUSYBOX, "command": ["sh", "-c", quit_at_term], "restartPolicy": "Always"}
    manifest = pod(
        "team",
        ["sh", "-c", "while ! grep -q side /e/f; do sleep 0.05; done; cat /e/f"],
        container=shared,
        initContainers=[once, side | shared],
        volumes=[{"name": "e", "emptyDir": {}}],
    )
    status, output = ended(cluster, namespace, manifest)
    assert output == "first\nside\n"
    assert status["phase"] == "Succeeded"
    assert status["initContainerStatuses"][1]["state"]["terminated"]["exitCode"] == 0


def test_hooks_run_and_are_counted_into_the_grace(cluster: Cluster, namespace: str, tmp_path: Path) -> None:
    hooks = {
        "postStart": {"exec": {"command": ["sh", "-c", "echo start > /h/started"]}},
        "preStop": {"exec": {"command": ["sh", "-c", "sleep 1; echo stop > /h/stopped"]}},
    }
    container = {"lifecycle": hooks, "volumeMounts": [{"name": "h", "mountPath": "/h"}]}
    volumes = [{"name": "h", "hostPath": {"path": str(tmp_path), "type": "Directory"}}]
    cluster.apply(pod("hooked", ["sleep", "600"], container=container, volumes=volumes), namespace)
    cluster.kubectl("wait", "pod/hooked", "--for=condition=Ready", "-n", namespace, "--timeout=60s")
    assert (tmp_path / "started").read_text() == "start\n"
    cluster.kubectl("delete", "pod", "hooked", "-n", namespace, "--grace-period=4")
    assert (tmp_path / "stopped").read_text() == "stop\n"


def test_a_debug_container_joins_a_running_pod(cluster: Cluster, namespace: str) -> None:
    cluster.apply(pod("subject", ["sleep", "600"]), namespace)
    cluster.kubectl("wait", "pod/subject", "--for=condition=Ready", "-n", namespace, "--timeout=60s")
    cluster.kubectl(
        "debug", "subject", "-n", namespace, f"--image={BUSYBOX}", "-c", "debugger", "--target=main",
        "--image-pull-policy=IfNotPresent", "--", "sh", "-c", "ps; echo looked",
    )  # fmt: skip

    def looked() -> bool:
        return "looked" in cluster.output("logs", "subject", "-c", "debugger", "-n", namespace)

    eventually(looked, "the debugger's output")
    assert "sleep 600" in cluster.output("logs", "subject", "-c", "debugger", "-n", namespace)


def test_pods_outlive_the_node_agent(cluster: Cluster, namespace: str) -> None:
    cluster.apply(pod("stays", ["sleep", "600"]), namespace)
    cluster.kubectl("wait", "pod/stays", "--for=condition=Ready", "-n", namespace, "--timeout=60s")
    before = cluster.get("pod", "stays", "-n", namespace)["status"]
    first = cluster.processes()["node"]
    os.kill(first, signal.SIGKILL)
    eventually(lambda: cluster.processes()["node"] not in (0, first), "another node agent")
    cluster.apply(pod("new", ["sleep", "600"]), namespace)
    cluster.kubectl("wait", "pod/new", "--for=condition=Ready", "-n", namespace, "--timeout=60s")
    after = cluster.get("pod", "stays", "-n", namespace)["status"]
    assert after["containerStatuses"] == before["containerStatuses"]
    assert after["podIP"] == before["podIP"]


def test_nothing_of_a_deleted_pod_is_left(cluster: Cluster, namespace: str) -> None:
    cluster.apply(pod("brief", ["sleep", "600"], volumes=[{"name": "m", "emptyDir": {"medium": "Memory"}}]), namespace)
    cluster.kubectl("wait", "pod/brief", "--for=condition=Ready", "-n", namespace, "--timeout=60s")
    uid = cluster.get("pod", "brief", "-n", namespace)["metadata"]["uid"]
    assert uid in Path("/proc/mounts").read_text()
    cluster.kubectl("delete", "pod", "brief", "-n", namespace)
    assert uid not in Path("/proc/mounts").read_text()
    assert not list(Path("/sys/fs/cgroup").glob(f"*/*/*/pod{uid}"))
    assert not (cluster.data_dir / "kubelet" / "pods" / uid).exists()
    eventually(lambda: not list((cluster.data_dir / "kubelet" / "logs" / "pods").glob(f"*_{uid}")), "its logs to go")


def test_a_running_container_is_resized(cluster: Cluster, namespace: str) -> None:
    script = "while :; do cat /sys/fs/cgroup/cpu.max /sys/fs/cgroup/cpu/cpu.cfs_quota_us 2>/dev/null; sleep 0.2; done"
    sizes = {"requests": {"cpu": "100m"}, "limits": {"cpu": "200m"}}
    cluster.apply(pod("grows", ["sh", "-c", script], container={"resources": sizes}), namespace)
    cluster.kubectl("wait", "pod/grows", "--for=condition=Ready", "-n", namespace, "--timeout=60s")
    sizes = {"requests": {"cpu": "100m"}, "limits": {"cpu": "300m"}}
    patch = {"spec": {"containers": [{"name": "main", "resources": sizes}]}}
    cluster.kubectl("patch", "pod", "grows", "-n", namespace, "--subresource=resize", "-p", json.dumps(patch))
    eventually(lambda: "30000" in cluster.output("logs", "grows", "-n", namespace), "the new quota")
    status = cluster.get("pod", "grows", "-n", namespace)["status"]["containerStatuses"][0]
    assert status["restartCount"] == 0
    assert status["resources"]["limits"]["cpu"] == "300m"

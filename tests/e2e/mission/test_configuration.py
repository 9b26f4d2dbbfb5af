"""Configuration on three hosts: what changes in the API reaches running containers on each, promptly and whole."""

from __future__ import annotations

import json
import time
from typing import Any

from tests.e2e.cluster import eventually
from tests.e2e.hosts import HostsCluster
from tests.e2e.manifests import BUSYBOX

PROMPTLY_SECONDS = 5.0


def _readers(names: tuple[str, ...]) -> dict[str, Any]:
    """A pod on every host that sees a ConfigMap and a Secret as files, and as they were at its start as environment."""
    labels = {"app": "reader"}
    volumes = [
        {"name": "settings", "configMap": {"name": "settings"}},
        {"name": "keys", "secret": {"secretName": "keys"}},
        {
            "name": "both",
            "projected": {
                "sources": [
                    {"configMap": {"name": "settings"}},
                    {"secret": {"name": "keys"}},
                    {"serviceAccountToken": {"path": "token", "audience": "vault"}},
                ]
            },
        },
    ]
    container = {
        "name": "main", "image": BUSYBOX, "command": ["sleep", "1000"],
        "env": [{"name": "COLOUR", "valueFrom": {"configMapKeyRef": {"name": "settings", "key": "colour"}}}],
        "volumeMounts": [{"name": v["name"], "mountPath": f"/{v['name']}"} for v in volumes],
    }  # fmt: skip
    named = {"key": "kubernetes.io/hostname", "operator": "In", "values": [*names]}
    on_hosts = {"nodeSelectorTerms": [{"matchExpressions": [named]}]}
    return {
        "apiVersion": "apps/v1", "kind": "DaemonSet", "metadata": {"name": "reader"},
        "spec": {
            "selector": {"matchLabels": labels},
            "template": {
                "metadata": {"labels": labels},
                "spec": {
                    "containers": [container], "volumes": volumes, "terminationGracePeriodSeconds": 1,
                    "affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": on_hosts}},
                },
            },
        },
    }  # fmt: skip


def _seen(cluster: HostsCluster, namespace: str, pods: list[str], script: str) -> set[str]:
    return {cluster.output("exec", name, "-n", namespace, "--", "sh", "-c", script) for name in pods}


def test_changes_reach_running_containers_on_every_host(hosts_cluster: HostsCluster, namespace: str) -> None:
    cluster = hosts_cluster
    cluster.kubectl("create", "configmap", "settings", "--from-literal=colour=blue", "-n", namespace)
    cluster.kubectl("create", "secret", "generic", "keys", "--from-literal=key=old", "-n", namespace)
    names = ("node-1", "node-2", "node-3")
    cluster.apply(_readers(names), namespace)
    cluster.kubectl("rollout", "status", "daemonset/reader", "-n", namespace, "--timeout=60s")
    pods = [pod for name in names for pod in cluster.pods_on(name, namespace)]
    assert len(pods) == 3
    everything = "cat /settings/colour /keys/key /both/colour /both/key; test -s /both/token && echo :$COLOUR"
    assert _seen(cluster, namespace, pods, everything) == {"blueoldblueold:blue"}

    changed = time.monotonic()
    patch = json.dumps({"data": {"colour": "red"}})
    cluster.kubectl("patch", "configmap", "settings", "-n", namespace, "--type=merge", "-p", patch)
    patch = json.dumps({"stringData": {"key": "new"}})
    cluster.kubectl("patch", "secret", "keys", "-n", namespace, "--type=merge", "-p", patch)
    # Files change; the environment is a process's own, from its start.
    after = {"rednewrednew:blue"}
    eventually(lambda: _seen(cluster, namespace, pods, everything) == after, "the new files are everywhere", 20)
    assert time.monotonic() - changed < PROMPTLY_SECONDS
    restarts = {
        pod["status"]["containerStatuses"][0]["restartCount"] for pod in cluster.get("pods", "-n", namespace)["items"]
    }
    assert restarts == {0}

"""State on three hosts: claims, volumes, where data is, and that it is there after everything has been off."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.cluster import Cluster, eventually
from tests.e2e.hosts import HostsCluster
from tests.e2e.manifests import BUSYBOX, pod

HOSTS = ("node-1", "node-2", "node-3")
_WRITE = "trap 'exit 0' TERM; hostname >> /data/log; sleep 3600 & wait"


def stateful_set(name: str, replicas: int = 3, size: str = "64Mi", **spec: Any) -> list[dict[str, Any]]:
    """Pods that note each of their starts on their own volume, each on a host of its own; and their Service."""
    labels = {"app": name}
    alone = {"labelSelector": {"matchLabels": labels}, "topologyKey": "kubernetes.io/hostname"}
    container = {
        "name": "main",
        "image": BUSYBOX,
        "imagePullPolicy": "IfNotPresent",
        "command": ["sh", "-c", _WRITE],
        "volumeMounts": [{"name": "data", "mountPath": "/data"}],
    }
    template = {
        "metadata": {"labels": labels},
        "spec": {
            "terminationGracePeriodSeconds": 1,
            "containers": [container],
            "affinity": {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [alone]}},
        },
    }
    claim = {
        "metadata": {"name": "data"},
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": size}}},
    }
    return [
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": name},
            "spec": {"clusterIP": "None", "selector": labels, "ports": [{"port": 80}]},
        },
        {
            "apiVersion": "apps/v1",
            "kind": "StatefulSet",
            "metadata": {"name": name},
            "spec": {
                "serviceName": name,
                "replicas": replicas,
                "podManagementPolicy": "Parallel",
                "selector": {"matchLabels": labels},
                "template": template,
                "volumeClaimTemplates": [claim],
            }
            | spec,
        },
    ]


class State:
    """The StatefulSet ``db`` of a namespace, and what its pods have written."""

    def __init__(self, cluster: HostsCluster, namespace: str, replicas: int = 3, **spec: Any) -> None:
        self.cluster, self.namespace, self.replicas = cluster, namespace, replicas
        for manifest in stateful_set("db", replicas, **spec):
            cluster.apply(manifest, namespace)
        self.ready()
        self.starts = dict.fromkeys(range(replicas), 1)
        self.hosts = {n: self.host_of(n) for n in range(replicas)}

    def ready(self) -> None:
        rollout = ("rollout", "status", "sts/db", "-n", self.namespace, "--timeout=60s")
        eventually(lambda: self.cluster.kubectl(*rollout, check=False).returncode == 0, "all pods are ready", 120)

    def host_of(self, ordinal: int) -> str:
        return str(self.cluster.get("pod", f"db-{ordinal}", "-n", self.namespace)["spec"]["nodeName"])

    def log(self, ordinal: int) -> list[str]:
        return self.cluster.output("exec", "-n", self.namespace, f"db-{ordinal}", "--", "cat", "/data/log").splitlines()

    def volume_of(self, ordinal: int) -> dict[str, Any]:
        claim = self.cluster.get("pvc", f"data-db-{ordinal}", "-n", self.namespace)
        found: dict[str, Any] = self.cluster.get("pv", claim["spec"]["volumeName"])
        return found

    def started_again(self, *ordinals: int) -> None:
        """These pods start once more; then each pod finds all that it ever wrote, where it was."""
        for ordinal in ordinals:
            self.starts[ordinal] += 1
        expected = {n: [f"db-{n}"] * starts for n, starts in self.starts.items()}
        eventually(lambda: {n: self.log(n) for n in expected} == expected, "every start is on its volume", 120)
        self.ready()
        assert {n: self.host_of(n) for n in expected} == self.hosts


def folder_of(cluster: HostsCluster, volume: dict[str, Any]) -> Path:
    """The volume's directory, after checking whose it is."""
    (term,) = volume["spec"]["nodeAffinity"]["required"]["nodeSelectorTerms"]
    (host,) = term["matchExpressions"][0]["values"]
    path = Path(volume["spec"]["local"]["path"])
    assert path.parent == cluster.host_dir(host) / "local-path"
    return path


def test_each_pod_has_a_volume_on_its_host(hosts_cluster: HostsCluster, namespace: str) -> None:
    state = State(hosts_cluster, namespace)
    assert sorted(state.hosts.values()) == sorted(HOSTS)
    for ordinal, host in state.hosts.items():
        volume = state.volume_of(ordinal)
        assert (folder_of(hosts_cluster, volume) / "log").read_text() == f"db-{ordinal}\n"
        assert host in str(volume["spec"]["local"]["path"])
        assert volume["spec"]["persistentVolumeReclaimPolicy"] == "Delete"
        reference = volume["spec"]["claimRef"]
        assert (reference["namespace"], reference["name"]) == (namespace, f"data-db-{ordinal}")


def test_data_outlives_pod_kubelet_host_and_cluster(whole_hosts: HostsCluster, namespace: str) -> None:
    cluster = whole_hosts
    state = State(cluster, namespace)
    # The pod.
    cluster.kubectl("delete", "pod", "db-0", "-n", namespace)
    state.started_again(0)
    # The kubelet, killed: the pod does not even notice.
    before = Cluster(cluster.host_dir(state.hosts[1])).processes()["node"]
    os.kill(before, signal.SIGKILL)
    eventually(lambda: Cluster(cluster.host_dir(state.hosts[1])).processes()["node"] != before, "it is back", 30)
    eventually(lambda: cluster.ready()[state.hosts[1]], "the node is Ready", 60)
    state.started_again()
    # The host, without warning.
    cluster.stop(state.hosts[2])
    cluster.start(state.hosts[2])
    state.started_again(2)
    # All of it.
    cluster.down("--keep-data")
    cluster.up("--no-demo", "--nodes", "3")
    state.started_again(0, 1, 2)


def test_a_pod_goes_nowhere_without_its_data(whole_hosts: HostsCluster, namespace: str) -> None:
    cluster = whole_hosts
    state = State(cluster, namespace, 1)
    host = state.hosts[0]
    cluster.stop(host)
    eventually(lambda: not cluster.ready()[host], "the host is known to be lost", 60)
    cluster.kubectl("delete", "pod", "db-0", "-n", namespace, "--force", "--grace-period=0")

    def says_why() -> bool:
        found = cluster.get("pod", "db-0", "-n", namespace)
        conditions = {c["type"]: c for c in found["status"].get("conditions", ())}
        text = conditions.get("PodScheduled", {}).get("message", "")
        others = len(cluster.ready()) - 1
        assert f"{others} node(s) had volume node affinity conflict" in text, found["status"]
        assert "untolerated taint" in text, text
        return True

    eventually(says_why, "the pod waits for the host that has its volume", 60)
    cluster.start(host)
    state.started_again(0)


def test_reclaim_policies(hosts_cluster: HostsCluster, namespace: str) -> None:
    cluster = hosts_cluster
    state = State(cluster, namespace, 2)
    gone, kept = (state.volume_of(n) for n in range(2))
    folders = [folder_of(cluster, volume) for volume in (gone, kept)]
    name, kept_name = gone["metadata"]["name"], kept["metadata"]["name"]
    cluster.kubectl("patch", "pv", kept_name, "-p", '{"spec":{"persistentVolumeReclaimPolicy":"Retain"}}')
    cluster.kubectl("delete", "pvc", "data-db-0", "data-db-1", "-n", namespace, "--wait=false")
    # A claim in use stays until its pod is gone.
    claim = cluster.get("pvc", "data-db-0", "-n", namespace)
    assert claim["status"]["phase"] == "Bound" and claim["metadata"]["deletionTimestamp"]
    cluster.kubectl("scale", "sts/db", "-n", namespace, "--replicas=0")
    eventually(lambda: name not in cluster.output("get", "pv"), "the volume goes with its claim", 60)
    assert not folders[0].exists()
    eventually(lambda: cluster.get("pv", kept_name)["status"]["phase"] == "Released", "Retain keeps it", 60)
    assert (folders[1] / "log").read_text() == "db-1\n"
    # Its data can be had again: let go of the old claim, it is free.
    cluster.kubectl("patch", "pv", kept_name, "--type=json", "-p", '[{"op":"remove","path":"/spec/claimRef"}]')
    cluster.apply(_claim("again", volumeName=kept_name), namespace)
    eventually(lambda: cluster.get("pvc", "again", "-n", namespace)["status"]["phase"] == "Bound", "bound again", 30)
    cluster.kubectl("delete", "pvc", "again", "-n", namespace)
    eventually(lambda: cluster.get("pv", kept_name)["status"]["phase"] == "Released", "released again", 30)
    cluster.kubectl("delete", "pv", kept_name)
    assert (folders[1] / "log").read_text() == "db-1\n", "data of a retained volume is the administrator's"


def _claim(name: str, size: str = "64Mi", **spec: Any) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": name},
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": size}}} | spec,
    }


def _user(name: str, claim: str, script: str = "exec sleep 3600", **spec: Any) -> dict[str, Any]:
    return pod(
        name,
        ["sh", "-c", script],
        container={"volumeMounts": [{"name": "data", "mountPath": "/data"}]},
        volumes=[{"name": "data", "persistentVolumeClaim": {"claimName": claim}}],
        **spec,
    )


def test_sizes_are_reported_and_grow(hosts_cluster: HostsCluster, namespace: str) -> None:
    cluster = hosts_cluster
    cluster.apply(_claim("c", "64Mi"), namespace)
    event = ("get", "events", "-n", namespace, "--field-selector", "involvedObject.name=c")
    eventually(lambda: "WaitForFirstConsumer" in cluster.output(*event), "it waits for a pod", 15)
    cluster.apply(_user("p", "c", "dd if=/dev/zero of=/data/f bs=1M count=8; sleep 3600 & wait"), namespace)
    cluster.kubectl("wait", "pod/p", "-n", namespace, "--for=condition=Ready", "--timeout=60s")
    row = cluster.output("get", "pvc", "c", "-n", namespace, "--no-headers").split()
    assert (row[1], row[3:6]) == ("Bound", ["64Mi", "RWO", "local-path"])
    patch = '{"spec":{"resources":{"requests":{"storage":"128Mi"}}}}'
    cluster.kubectl("patch", "pvc", "c", "-n", namespace, "-p", patch)

    def capacity() -> bool:
        return bool(cluster.get("pvc", "c", "-n", namespace)["status"]["capacity"]["storage"] == "128Mi")

    eventually(capacity, "the claim has grown", 30)
    assert cluster.get("pv", row[2])["spec"]["capacity"]["storage"] == "128Mi"
    refused = cluster.kubectl("patch", "pvc", "c", "-n", namespace, "-p", patch.replace("128", "64"), check=False)
    assert "field can not be less than status.capacity" in refused.stderr

    def used() -> int:
        host = cluster.get("pod", "p", "-n", namespace)["spec"]["nodeName"]
        summary = json.loads(cluster.output("get", "--raw", f"/api/v1/nodes/{host}/proxy/stats/summary"))
        (mine,) = [p for p in summary["pods"] if p["podRef"] == p["podRef"] | {"name": "p", "namespace": namespace}]
        (volume,) = [v for v in mine["volume"] if v.get("pvcRef", {}).get("name") == "c"]
        return int(volume["usedBytes"])

    eventually(lambda: 8 << 20 <= used() < 16 << 20, "the kubelet reports what is used", 90)


def test_a_claim_made_by_a_pod_goes_with_it(hosts_cluster: HostsCluster, namespace: str) -> None:
    cluster = hosts_cluster
    template = {"spec": {"accessModes": ["ReadWriteOncePod"], "resources": {"requests": {"storage": "64Mi"}}}}
    scratch = _user("p", "none")
    scratch["spec"]["volumes"] = [{"name": "data", "ephemeral": {"volumeClaimTemplate": template}}]
    cluster.apply(scratch, namespace)
    cluster.kubectl("wait", "pod/p", "-n", namespace, "--for=condition=Ready", "--timeout=60s")
    volume = cluster.get("pvc", "p-data", "-n", namespace)["spec"]["volumeName"]
    folder = folder_of(cluster, cluster.get("pv", volume))
    # ReadWriteOncePod: a second pod has to wait.
    cluster.apply(_user("second", "p-data"), namespace)

    def refused() -> bool:
        found = cluster.get("pod", "second", "-n", namespace)["status"].get("conditions", ())
        words = "node has pod using PersistentVolumeClaim with the same name and ReadWriteOncePod access mode"
        return any(words in c.get("message", "") for c in found)

    eventually(refused, "the second pod waits", 30)
    cluster.kubectl("delete", "pod", "second", "p", "-n", namespace)
    eventually(lambda: volume not in cluster.output("get", "pv"), "claim and volume go with the pod", 60)
    assert not folder.exists()


def test_volumes_of_a_node_that_is_gone_are_not_waited_for(whole_hosts: HostsCluster, namespace: str) -> None:
    cluster = whole_hosts
    name = cluster.node("add").split()[0]
    try:
        cluster.apply(_claim("c"), namespace)
        cluster.apply(_user("p", "c", nodeSelector={"kubernetes.io/hostname": name}), namespace)
        cluster.kubectl("wait", "pod/p", "-n", namespace, "--for=condition=Ready", "--timeout=60s")
        volume = cluster.get("pvc", "c", "-n", namespace)["spec"]["volumeName"]
        cluster.kubectl("delete", "pod", "p", "-n", namespace)
    finally:
        cluster.node("remove", name)
    cluster.kubectl("delete", "pvc", "c", "-n", namespace)
    eventually(lambda: volume not in cluster.output("get", "pv"), "the volume goes", 90)
    said = cluster.output("get", "events", "-A", "--field-selector", f"involvedObject.name={volume}")
    assert f'node "{name}" is gone' in said


@pytest.mark.parametrize("name", ["missing", "unbound"])
def test_pods_say_what_they_wait_for(hosts_cluster: HostsCluster, namespace: str, name: str) -> None:
    cluster = hosts_cluster
    if name == "unbound":
        cluster.apply(_claim("unbound", storageClassName=""), namespace)
    cluster.apply(_user("p", name), namespace)
    words = {
        "missing": '0/3 nodes are available: persistentvolumeclaim "missing" not found.',
        "unbound": "0/3 nodes are available: pod has unbound immediate PersistentVolumeClaims.",
    }

    def said() -> bool:
        found = cluster.get("pod", "p", "-n", namespace)["status"].get("conditions", ())
        return any(c.get("message", "").startswith(words[name]) for c in found)

    eventually(said, "the pod says what it waits for", 30)

"""Hosts: they join, carry pods that talk to each other, die, boot, are cut off, come and go."""

from __future__ import annotations

import time

import pytest

from tests.e2e.cluster import eventually
from tests.e2e.hosts import HostsCluster
from tests.e2e.manifests import deployment, service


def spread(cluster: HostsCluster, namespace: str, replicas: int = 3) -> dict[str, tuple[str, str]]:
    """A Deployment `web` with a pod on each node; node to (name, address) of its pod."""
    manifest = deployment("web", replicas)
    manifest["spec"]["template"]["spec"]["topologySpreadConstraints"] = [
        {
            "maxSkew": 1, "topologyKey": "kubernetes.io/hostname", "whenUnsatisfiable": "DoNotSchedule",
            "nodeTaintsPolicy": "Honor",
            "labelSelector": {"matchLabels": manifest["spec"]["selector"]["matchLabels"]},
        }
    ]  # fmt: skip
    cluster.apply(manifest, namespace)
    cluster.kubectl("rollout", "status", "deployment/web", "-n", namespace, "--timeout=60s")
    pods = cluster.get("pods", "-n", namespace)["items"]
    return {pod["spec"]["nodeName"]: (pod["metadata"]["name"], pod["status"]["podIP"]) for pod in pods}


def test_three_hosts_are_nodes_with_addresses_of_their_own(hosts_cluster: HostsCluster) -> None:
    nodes = {node["metadata"]["name"]: node for node in hosts_cluster.get("nodes")["items"]}
    assert {"node-1", "node-2", "node-3"} <= nodes.keys()
    for name in ("node-1", "node-2", "node-3"):
        addresses = {one["type"]: one["address"] for one in nodes[name]["status"]["addresses"]}
        assert addresses == {"InternalIP": hosts_cluster.address(name), "Hostname": name}
        assert "kubelet-serving" in hosts_cluster.output("get", "csr"), "it joined by signing requests"


def test_pods_of_different_hosts_talk(hosts_cluster: HostsCluster, namespace: str) -> None:
    pods = spread(hosts_cluster, namespace)
    assert len(pods) == 3
    for name, _ in pods.values():
        for _, address in pods.values():
            get = ["exec", "-n", namespace, name, "--", "wget", "-q", "-T3", "-O-", f"{address}:8080"]
            eventually(lambda a=get: hosts_cluster.kubectl(*a, check=False).returncode == 0, f"{name} to {address}", 20)


def test_a_node_port_answers_on_every_host_from_outside(hosts_cluster: HostsCluster, namespace: str) -> None:
    spread(hosts_cluster, namespace)
    hosts_cluster.apply(service("web", type="NodePort"), namespace)
    port = hosts_cluster.get("service", "web", "-n", namespace)["spec"]["ports"][0]["nodePort"]
    for name in hosts_cluster.names():
        eventually(
            lambda n=name: hosts_cluster.fetch(f"http://{hosts_cluster.address(n)}:{port}")[0] == 200, f"port on {name}"
        )


@pytest.mark.timeout(240)
def test_a_dead_host_s_pods_run_on_others_and_it_comes_back(whole_hosts: HostsCluster, namespace: str) -> None:
    cluster = whole_hosts
    before = spread(cluster, namespace)
    cluster.stop("node-2")
    assert not cluster.namespace_path("node-2").exists()
    began = time.monotonic()
    eventually(lambda: not cluster.ready()["node-2"], "the death is noticed", 60)
    noticed = time.monotonic() - began

    def replaced() -> bool:
        status = cluster.get("deployment", "web", "-n", namespace)["status"]
        return status.get("readyReplicas") == 3 and status.get("availableReplicas") == 3

    eventually(replaced, "its pods run on others", 60)
    print(f"noticed after {noticed:.1f} s, replaced after {time.monotonic() - began:.1f} s")
    cluster.start("node-2")
    assert cluster.ready()["node-2"]
    gone = before["node-2"][0]
    eventually(
        lambda: cluster.kubectl("get", "pod", gone, "-n", namespace, check=False).returncode != 0,
        "the pod that was replaced is gone for good", 60,
    )  # fmt: skip


@pytest.mark.timeout(180)
def test_pods_of_a_host_that_boots_in_time_stay(whole_hosts: HostsCluster, namespace: str) -> None:
    before = spread(whole_hosts, namespace)
    whole_hosts.stop("node-3")
    whole_hosts.start("node-3")
    name, _ = before["node-3"]

    def runs() -> bool:
        status = whole_hosts.get("pod", name, "-n", namespace)["status"]["containerStatuses"][0]
        return bool(status["ready"]) and status["restartCount"] == 1

    eventually(runs, "the same pod runs again on its host", 60)
    assert whole_hosts.output("logs", name, "-n", namespace) is not None


@pytest.mark.timeout(240)
def test_a_host_that_is_cut_off_goes_on_and_is_taken_back(whole_hosts: HostsCluster, namespace: str) -> None:
    cluster = whole_hosts
    pods = spread(cluster, namespace)
    _, address = pods["node-1"]
    eventually(lambda: cluster.fetch(f"http://{address}:8080", frm="node-2")[0] == 200, "others reach its pods")
    cluster.partition("node-1")
    assert cluster.fetch(f"http://{address}:8080", frm="node-2", timeout_seconds=1)[0] == 0
    assert cluster.fetch(f"http://{address}:8080", frm="node-1")[0] == 200, "its pods go on"
    eventually(lambda: not cluster.ready()["node-1"], "it is missed", 60)
    cluster.heal("node-1")
    eventually(lambda: cluster.ready()["node-1"], "it is taken back", 60)


@pytest.mark.timeout(240)
def test_a_new_host_gets_pods_and_a_removed_one_is_emptied(whole_hosts: HostsCluster, namespace: str) -> None:
    cluster = whole_hosts
    cluster.node("add", "extra")
    try:
        pods = spread(cluster, namespace, 4)
        assert "extra" in pods
        eventually(lambda: cluster.fetch(f"http://{pods['extra'][1]}:8080", frm="node-1")[0] == 200, "its pod answers")
    finally:
        cluster.node("remove", "extra")
    assert "extra" not in cluster.ready()
    assert not cluster.host_dir("extra").exists()
    cluster.kubectl("rollout", "status", "deployment/web", "-n", namespace, "--timeout=60s")


def test_a_command_that_says_otherwise_is_refused_by_the_flag(hosts_cluster: HostsCluster) -> None:
    with pytest.raises(AssertionError, match=r"--nodes 2: the cluster in .* has 3: `tiphys node add`"):
        hosts_cluster.tiphys("up", "--no-demo", "--nodes", "2")
    with pytest.raises(AssertionError, match="no host node-9: there are node-1, node-2, node-3"):
        hosts_cluster.stop("node-9")
    hosts_cluster.tiphys("up", "--no-demo", "--nodes", "3")


def test_status_tells_of_every_host(hosts_cluster: HostsCluster) -> None:
    text = hosts_cluster.tiphys("status").stdout
    for name in hosts_cluster.names():
        assert name in text
        assert hosts_cluster.address(name) in text

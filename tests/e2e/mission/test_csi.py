"""Disks of a CSI driver on three hosts: they go where their pods go, and are never in two places."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.csi_driver.process import (
    NAME,
    ControllerProcess,
    DiskService,
    DriverProcess,
    claim,
    missing_for_disks,
    storage,
)
from tests.e2e.cluster import eventually
from tests.e2e.hosts import HostsCluster
from tests.e2e.manifests import pod

pytestmark = pytest.mark.skipif(bool(missing_for_disks()), reason=missing_for_disks())


@pytest.fixture(scope="module")
def disks(hosts_cluster: HostsCluster) -> Iterator[DiskService]:
    """A driver on each host over one storage network, the controllers beside the first."""
    with tempfile.TemporaryDirectory(prefix="tiphys-csi-") as folder:
        state = Path(folder)
        drivers = [
            DriverProcess(state, hosts_cluster.host_dir(name) / "kubelet", name) for name in hosts_cluster.names()
        ]
        controller = ControllerProcess(drivers[0].socket, hosts_cluster.kubeconfig, state / "controller.log")
        service = DiskService(state, drivers, controller)
        for manifest in storage():
            hosts_cluster.apply(manifest)
        service.start()
        try:
            eventually(lambda: _registered(hosts_cluster) == set(hosts_cluster.names()), "each node has the driver")
            yield service
        finally:
            service.end()
            service.release()


def _registered(cluster: HostsCluster, name: str = NAME) -> set[str]:
    nodes = cluster.get("csinodes")["items"]
    return {
        node["metadata"]["name"]
        for node in nodes
        if any(driver["name"] == name for driver in node["spec"].get("drivers") or ())
    }


def _user(name: str, node: str, script: str) -> dict[str, Any]:
    return pod(
        name,
        ["sh", "-c", script],
        container={"volumeMounts": [{"name": "data", "mountPath": "/data"}]},
        volumes=[{"name": "data", "persistentVolumeClaim": {"claimName": "data"}}],
        nodeSelector={"kubernetes.io/hostname": node},
    )


def _runs(cluster: HostsCluster, namespace: str, name: str) -> None:
    cluster.kubectl("wait", f"pod/{name}", "--for=condition=Ready", "-n", namespace, "--timeout=60s")


def _says(cluster: HostsCluster, namespace: str, name: str, text: str) -> None:
    eventually(lambda: cluster.output("logs", name, "-n", namespace) == text, f"{name} says {text}")


def _attached_to(cluster: HostsCluster) -> list[str]:
    return [one["spec"]["nodeName"] for one in cluster.get("volumeattachments")["items"]]


def test_a_disk_moves_from_host_to_host_with_its_pod(
    hosts_cluster: HostsCluster, namespace: str, disks: DiskService
) -> None:
    hosts_cluster.apply(claim("data"), namespace)
    for number, node in enumerate(("node-1", "node-2", "node-3", "node-1"), 1):
        script = f"echo {node} >> /data/visits; wc -l < /data/visits; sleep 1000"
        hosts_cluster.apply(_user(f"visitor-{number}", node, script), namespace)
        _runs(hosts_cluster, namespace, f"visitor-{number}")
        _says(hosts_cluster, namespace, f"visitor-{number}", str(number))
        assert _attached_to(hosts_cluster) == [node]
        (disk,) = disks.disks()
        assert (disk["attached"], disk["staged"]) == (node, node)
        hosts_cluster.kubectl("delete", "pod", f"visitor-{number}", "-n", namespace)
    hosts_cluster.kubectl("delete", "pvc", "data", "-n", namespace)
    eventually(lambda: not disks.disks(), "the disk is deleted")


def test_a_disk_in_use_is_waited_for(hosts_cluster: HostsCluster, namespace: str, disks: DiskService) -> None:
    hosts_cluster.apply(claim("data"), namespace)
    hosts_cluster.apply(_user("first", "node-1", "echo first > /data/who; sleep 1000"), namespace)
    _runs(hosts_cluster, namespace, "first")
    hosts_cluster.apply(_user("second", "node-2", "cat /data/who; sleep 1000"), namespace)
    volume = hosts_cluster.get("pvc", "data", "-n", namespace)["spec"]["volumeName"]
    words = f'Multi-Attach error for volume "{volume}" Volume is already used by pod(s) first'
    eventually(lambda: words in hosts_cluster.output("describe", "pod", "second", "-n", namespace), "it is said why")
    assert _attached_to(hosts_cluster) == ["node-1"]
    hosts_cluster.kubectl("delete", "pod", "first", "-n", namespace)
    _runs(hosts_cluster, namespace, "second")
    _says(hosts_cluster, namespace, "second", "first")
    hosts_cluster.kubectl("delete", "pod", "second", "-n", namespace)
    hosts_cluster.kubectl("delete", "pvc", "data", "-n", namespace)


def test_a_dead_hosts_disk_is_taken_over_once_the_host_is_declared_dead(
    whole_hosts: HostsCluster, namespace: str, disks: DiskService
) -> None:
    cluster = whole_hosts
    cluster.apply(claim("data"), namespace)
    cluster.apply(_user("first", "node-2", "echo survives > /data/file; sync; sleep 1000"), namespace)
    _runs(cluster, namespace, "first")
    cluster.stop("node-2")
    disks.drivers[1].end(9)
    eventually(lambda: not cluster.ready()["node-2"], "the node is not ready", 60)
    cluster.apply(_user("second", "node-3", "cat /data/file; sleep 1000"), namespace)
    volume = cluster.get("pvc", "data", "-n", namespace)["spec"]["volumeName"]
    words = f'Multi-Attach error for volume "{volume}"'
    eventually(lambda: words in cluster.output("describe", "pod", "second", "-n", namespace), "it waits")
    cluster.kubectl("taint", "node", "node-2", "node.kubernetes.io/out-of-service=nodeshutdown:NoExecute")
    _runs(cluster, namespace, "second")
    _says(cluster, namespace, "second", "survives")
    assert _attached_to(cluster) == ["node-3"]
    (disk,) = disks.disks()
    assert (disk["attached"], disk["staged"]) == ("node-3", "node-3")
    cluster.kubectl("taint", "node", "node-2", "node.kubernetes.io/out-of-service-")
    cluster.kubectl("delete", "pod", "second", "-n", namespace)
    cluster.start("node-2")
    disks.drivers[1].start()
    cluster.kubectl("delete", "pvc", "data", "-n", namespace)
    eventually(lambda: not disks.disks(), "the disk is deleted", 60)


def test_disks_of_one_host_keep_their_pods_there(
    hosts_cluster: HostsCluster, namespace: str, disks: DiskService
) -> None:
    """Another driver, without a network between its disks: where a pod is placed first, its disk is made, and stays."""
    cluster, name, key = hosts_cluster, "own.csi.example.org", "topology.own.example.org/host"
    with tempfile.TemporaryDirectory(prefix="tiphys-csi-own-") as folder:
        state = Path(folder)
        drivers = [
            DriverProcess(
                state, cluster.host_dir(host) / "kubelet", host, ("--topology", f"{key}={host}", "--no-attach"), name
            )
            for host in cluster.names()
        ]
        controller = ControllerProcess(drivers[0].socket, cluster.kubeconfig, state / "controller.log")
        service = DiskService(state, drivers, controller)
        for manifest in storage(name, "own", attachRequired=False, storageCapacity=True):
            cluster.apply(manifest)
        service.start()
        try:
            eventually(lambda: _registered(cluster, name) == set(cluster.names()), "each node has the driver")
            eventually(
                lambda: len(cluster.get("csistoragecapacities", "-n", "kube-system")["items"]) == 3, "room is told of"
            )
            cluster.apply(claim("data", storageClassName="own"), namespace)
            cluster.apply(_user("first", "node-3", "echo first > /data/who; sleep 1000"), namespace)
            _runs(cluster, namespace, "first")
            (disk,) = service.disks()
            assert disk["place"] == {key: "node-3"}
            volume = cluster.get("pv", cluster.get("pvc", "data", "-n", namespace)["spec"]["volumeName"])
            expression = {"key": key, "operator": "In", "values": ["node-3"]}
            terms = volume["spec"]["nodeAffinity"]["required"]["nodeSelectorTerms"]
            assert terms == [{"matchExpressions": [expression]}]
            cluster.kubectl("delete", "pod", "first", "-n", namespace)
            free = _user("second", "any", "cat /data/who; sleep 1000")
            del free["spec"]["nodeSelector"]
            cluster.apply(free, namespace)
            _runs(cluster, namespace, "second")
            _says(cluster, namespace, "second", "first")
            assert cluster.pods_on("node-3", namespace) == ["second"]
            assert _attached_to(cluster) == []
            cluster.kubectl("delete", "pod", "second", "-n", namespace)
            cluster.kubectl("delete", "pvc", "data", "-n", namespace)
            eventually(lambda: not service.disks(), "the disk is deleted")
        finally:
            service.end()
            service.release()

"""The scheduler's predicates: resources, node selectors, host ports; what a pod that fits nowhere says."""

from __future__ import annotations

from typing import Any

from tests.conformance.node.tables import apply_all
from tests.e2e.cluster import Cluster
from tests.e2e.manifests import pod


def _condition(cluster: Cluster, namespace: str, name: str) -> dict[str, Any]:
    conditions = cluster.get("pod", name, "-n", namespace)["status"]["conditions"]
    return next(each for each in conditions if each["type"] == "PodScheduled")


def _host_port(name: str, address: str, protocol: str = "TCP") -> dict[str, Any]:
    port = {"containerPort": 8080, "hostPort": 54322, "protocol": protocol, "hostIP": address}
    return pod(name, ["sleep", "3600"], container={"ports": [port]})


def test_predicates(cluster: Cluster, namespace: str) -> None:
    """[sig-scheduling] SchedulerPredicates [Serial] validates resource limits of pods that are allowed to run
        [Conformance]
    [sig-scheduling] SchedulerPredicates [Serial] validates that NodeSelector is respected if matching [Conformance]
    [sig-scheduling] SchedulerPredicates [Serial] validates that NodeSelector is respected if not matching
        [Conformance]
    [sig-scheduling] SchedulerPredicates [Serial] validates that there exists conflict between pods with same
        hostPort and protocol but one using 0.0.0.0 hostIP [Conformance]
    """
    node = cluster.get("nodes")["items"][0]["metadata"]["name"]
    apply_all(cluster, namespace, [_host_port("everywhere", "0.0.0.0")])
    cluster.kubectl("wait", "pod/everywhere", "--for=condition=PodScheduled", "-n", namespace, "--timeout=30s")
    cluster.kubectl("label", "node", node, "tiphys.test/colour=blue")
    try:
        huge = {"resources": {"requests": {"cpu": "600"}}}
        apply_all(cluster, namespace, [
            pod("matching", ["sleep", "3600"], nodeSelector={"tiphys.test/colour": "blue"}),
            pod("unmatched", ["sleep", "3600"], nodeSelector={"tiphys.test/colour": "red"}),
            pod("huge", ["sleep", "3600"], container=huge),
            _host_port("one-address", "127.0.0.1"),
            _host_port("other-protocol", "127.0.0.1", "UDP"),
        ])  # fmt: skip
        fits = ["pod/matching", "pod/other-protocol"]
        cluster.kubectl("wait", *fits, "--for=condition=PodScheduled", "-n", namespace, "--timeout=30s")
        stays = ["pod/unmatched", "pod/huge", "pod/one-address"]
        cluster.kubectl("wait", *stays, "--for=condition=PodScheduled=false", "-n", namespace, "--timeout=30s")
    finally:
        cluster.kubectl("label", "node", node, "tiphys.test/colour-")
    said = {name: _condition(cluster, namespace, name) for name in ("unmatched", "huge", "one-address")}
    assert {each["reason"] for each in said.values()} == {"Unschedulable"}
    assert "1 node(s) didn't match Pod's node affinity/selector" in said["unmatched"]["message"]
    assert "1 Insufficient cpu" in said["huge"]["message"]
    assert "1 node(s) didn't have free ports for the requested pod ports" in said["one-address"]["message"]

"""What the cluster must be for all the rest."""

from __future__ import annotations

from tests.e2e.hosts import HostsCluster


def test_there_are_two_nodes_that_take_any_pod(hosts_cluster: HostsCluster) -> None:
    """'[sig-architecture] Conformance Tests should have at least two untainted nodes [Conformance]'"""
    nodes = hosts_cluster.get("nodes")["items"]
    untainted = [
        node for node in nodes if not any(taint["effect"] == "NoSchedule" for taint in node["spec"].get("taints") or [])
    ]
    assert len(untainted) >= 2

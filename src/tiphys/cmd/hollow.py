"""Hollow nodes with a cluster's settings: nodes that answer and run nothing."""

from __future__ import annotations

from tiphys.client.client import Client
from tiphys.cmd.config import ClusterConfig
from tiphys.kubelet.hollow import HollowNodes


def hollow_nodes(client: Client, config: ClusterConfig) -> HollowNodes:
    """As many as the cluster was started with."""
    return HollowNodes(client, config.hollow_nodes)

"""The hollow nodes of `tiphys up --hollow`."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from tiphys.client.client import Client
from tiphys.cmd.config import ClusterConfig
from tiphys.kubelet.hollow import HollowNodes


def hollow_nodes(client: Client, config: ClusterConfig) -> Callable[[], Awaitable[None]]:
    """What runs `config.hollow_nodes` nodes that answer for their pods and run nothing."""
    return HollowNodes(client, config.hollow_nodes).run

"""What the cluster's DNS needs to know."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class DnsConfig:
    """`node_name` is the node it runs on: it listens on port 53 of that node's pod gateway, where pods alone come by.

    `service_name` in `namespace` is the Service whose endpoint it becomes.
    """

    node_name: str
    cluster_domain: str = "cluster.local"
    namespace: str = "kube-system"
    service_name: str = "kube-dns"
    port: int = 53
    ttl_seconds: int = 5
    """Of answers, positive and negative: how long a client may believe what was true a moment ago."""
    resolv_conf: Path = Path("/etc/resolv.conf")
    """Where names outside the cluster are asked; none there: such questions are refused."""
    forward_timeout_seconds: float = 2.0
    forward_pause_seconds: float = 10.0
    """How long an upstream server that did not answer is left alone."""

"""What a node's proxy needs to know."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ProxyConfig:
    """``cluster_id`` tells this cluster's table from another's on the host; the CIDRs are the cluster's.

    ``health_address`` and ``health_port`` serve /healthz (port 0: not at all); health checks of Services with
    ``externalTrafficPolicy: Local`` are always served, on their own ports.
    """

    cluster_id: str
    node_name: str
    cluster_cidr: str
    service_cidr: str
    zone: str = ""
    health_address: str = "0.0.0.0"
    health_port: int = 0

    @property
    def table(self) -> str:
        return f"tiphys-proxy-{self.cluster_id}"

"""What a node's proxy needs to know."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ProxyConfig:
    """``cluster_id`` tells this cluster's table from another's on the host; the CIDRs are the cluster's.

    ``health_address`` and ``health_port`` serve /healthz (port 0: not at all); health checks of Services with
    ``externalTrafficPolicy: Local`` are always served, on their own ports. ``load_balancer_cidr`` are the addresses
    that nodes answer for on the link of ``node_ip`` ("": none); nodes hear of each other on UDP ``heartbeat_port``.
    """

    cluster_id: str
    node_name: str
    cluster_cidr: str
    service_cidr: str
    zone: str = ""
    health_address: str = "0.0.0.0"
    health_port: int = 0
    node_ip: str = ""
    load_balancer_cidr: str = ""
    heartbeat_port: int = 7946

    @property
    def table(self) -> str:
        return f"tiphys-proxy-{self.cluster_id}"

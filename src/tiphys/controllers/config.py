"""What the controller manager is told at start; names and defaults are upstream's flags'."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ControllerManagerConfig:
    """`controllers` are names to run: ``*`` is all, ``-name`` leaves one out."""

    controllers: tuple[str, ...] = ("*",)
    leader_elect: bool = False
    identity: str = "tiphys"
    cluster_cidr: str = "10.244.0.0/16"
    """Where nodes' pod CIDRs come from; empty: none are given."""
    node_cidr_mask_size: int = 24
    root_ca: bytes = b""
    """The PEM certificates that pods verify the apiserver by; empty: no ``kube-root-ca.crt``."""
    cluster_signing_certificate: bytes = b""
    cluster_signing_key: bytes = b""
    """The authority that signs certificate signing requests, PEM; empty: none are signed."""
    cluster_signing_duration_seconds: float = 365 * 24 * 3600.0
    """The longest a signed certificate is valid, and how long it is when its request does not say."""
    node_monitor_period_seconds: float = 5.0
    node_monitor_grace_period_seconds: float = 50.0
    node_eviction_rate: float = 0.1
    """Nodes a second whose pods are marked for eviction once they are unreachable."""
    terminated_pod_gc_threshold: int = 12500
    concurrent_namespace_syncs: int = 10
    load_balancer_cidr: str = ""
    """Where Services of type LoadBalancer get addresses from: ranges by comma; "": the nodes' own; "none"."""
    reserved_node_ports: tuple[int, ...] = (10250, 6443)
    """TCP ports of the nodes' own servers, which no Service may have on the nodes' addresses."""

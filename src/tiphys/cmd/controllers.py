"""The controller manager with a cluster's settings."""

from __future__ import annotations

import uuid

from tiphys.client.client import Client
from tiphys.cmd.config import ClusterConfig
from tiphys.controllers.config import ControllerManagerConfig
from tiphys.controllers.manager import ControllerManager


def controller_manager(client: Client, config: ClusterConfig) -> ControllerManager:
    """All controllers."""
    authority = (config.pki_dir / "ca.crt").read_bytes()
    return ControllerManager(
        client,
        ControllerManagerConfig(
            leader_elect=config.leader_elect,
            identity=f"{config.node_name}_{uuid.uuid4()}",
            cluster_cidr=config.pod_cidr,
            node_monitor_grace_period_seconds=float(config.node_monitor_grace_period_seconds),
            load_balancer_cidr=config.load_balancer_cidr,
            reserved_node_ports=(config.kubelet_port, config.secure_port),
            root_ca=authority,
            cluster_signing_certificate=authority,
            cluster_signing_key=(config.pki_dir / "ca.key").read_bytes(),
        ),
    )

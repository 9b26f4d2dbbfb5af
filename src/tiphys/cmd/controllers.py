"""The controller manager with a cluster's settings."""

from __future__ import annotations

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
            identity=config.node_name,
            cluster_cidr=config.pod_cidr,
            root_ca=authority,
            cluster_signing_certificate=authority,
            cluster_signing_key=(config.pki_dir / "ca.key").read_bytes(),
        ),
    )

"""What a node's pod network is made from."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class NodeNetworkConfig:
    """``cluster_id`` (eight hex digits) tells this cluster's links and tables from another's on the same host.

    ``cluster_cidr`` is the range of all pods of all nodes: traffic to it keeps the pod's own address, other traffic
    leaves with the node's. ``service_cidr`` gets a route, so that Services work on a host without a default one.
    ``cni_conf_dir`` is where the container runtime looks; ``state_dir`` keeps addresses in use,
    ``host_state_dir``, which all clusters share, what the host's settings were before the first of them.
    ``backend`` is how pods reach other nodes': ``vxlan`` through a tunnel of UDP port ``vxlan_port`` between the nodes'
    addresses, or ``routes`` where all nodes share a link. ``node_ip`` tells whose MTU pods must fit.
    """

    cluster_id: str
    cluster_cidr: str
    cni_conf_dir: Path
    state_dir: Path
    service_cidr: str = ""
    host_state_dir: Path = Path("/run/tiphys")
    node_name: str = ""
    node_ip: str = ""
    backend: str = "vxlan"
    vxlan_port: int = 8472

    @property
    def name(self) -> str:
        """Of the CNI network, the bridge and the nft table; 15 bytes, the most a link's name may have."""
        return f"tiphys-{self.cluster_id}"

    @property
    def host_ports_table(self) -> str:
        return f"tiphys-ports-{self.cluster_id}"

    @property
    def tunnel_name(self) -> str:
        return f"tvxlan-{self.cluster_id}"

    @property
    def policies_table(self) -> str:
        return f"tiphys-policies-{self.cluster_id}"

"""The CNI configuration of a node: a bridge with an address of each pod's own, from the node's podCIDR."""

from __future__ import annotations

import ipaddress
import json
from pathlib import Path

CNI_VERSION = "1.0.0"


def gateway(pod_cidr: str) -> str:
    """The bridge's address on the node: the first of its podCIDR."""
    return str(ipaddress.ip_network(pod_cidr)[1])


def conflist(name: str, pod_cidr: str, state_dir: Path, mtu_bytes: int) -> bytes:
    """The file the container runtime reads. Masquerading and host ports are nftables' work, not the plugins'.

    The plugins would do them by iptables, which need not be there and leaves its tables behind.
    """
    network = ipaddress.ip_network(pod_cidr)
    bridge = {
        "type": "bridge",
        "bridge": name,
        "isGateway": True,
        "isDefaultGateway": True,
        "ipMasq": False,
        "hairpinMode": True,
        "ipam": {
            "type": "host-local",
            "dataDir": str(state_dir / "addresses"),
            "ranges": [[{"subnet": str(network), "gateway": gateway(pod_cidr)}]],
        },
    }
    if mtu_bytes:
        bridge["mtu"] = mtu_bytes
    return json.dumps({"cniVersion": CNI_VERSION, "name": name, "plugins": [bridge]}, indent=2).encode() + b"\n"

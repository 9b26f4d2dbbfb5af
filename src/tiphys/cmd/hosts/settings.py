"""The settings of each host of a cluster, from the cluster's. Pure."""

from __future__ import annotations

from typing import Any

import msgspec

from tiphys.cmd.config import ClusterConfig
from tiphys.cmd.etcd import CLIENT_PORT, PEER_PORT
from tiphys.cmd.hosts.plan import Host, Hosts
from tiphys.cmd.hosts.record import directory


def machine_settings(config: ClusterConfig, hosts: Hosts) -> ClusterConfig:
    """The machine's own: the control plane, or, where that has hosts, the way to it."""
    shared = msgspec.structs.replace(
        config,
        node_ip=hosts.machine_address,
        load_balancer_cidr=config.load_balancer_cidr or hosts.load_balancer_cidr,
        server_urls=server_urls(config, hosts),
    )
    if hosts.of("server"):
        return msgspec.structs.replace(shared, role="balancer", balancer_port=config.secure_port)
    return msgspec.structs.replace(shared, role="server", **_etcd_clients(shared, hosts))


def host_settings(config: ClusterConfig, hosts: Hosts, host: Host) -> ClusterConfig:
    """Those of a control plane's or a store's host; `config` is the machine's. (A worker gets its own by joining.)"""
    servers = hosts.of("server")
    own = msgspec.structs.replace(
        config,
        data_dir=str(directory(config, host)),
        node_name=host.name,
        node_ip=host.address,
        role=host.role,
        balancer_port=config.secure_port if len(servers) > 1 else 0,
        server_names=(hosts.machine_address, *(other.address for other in servers)),
        leader_elect=len(servers) > 1,
        etcd_member=host.name if host.etcd else "",
        etcd_initial_cluster=tuple(f"{one.name}=https://{one.address}:{PEER_PORT}" for one in hosts.etcd),
    )
    return msgspec.structs.replace(own, **_etcd_clients(own, hosts))


def server_urls(config: ClusterConfig, hosts: Hosts) -> tuple[str, ...]:
    """Every apiserver as a host reaches it."""
    addresses = [host.address for host in hosts.of("server")] or [hosts.machine_address]
    return tuple(f"https://{address}:{config.secure_port}" for address in addresses)


def _etcd_clients(config: ClusterConfig, hosts: Hosts) -> dict[str, Any]:
    """How an apiserver with these settings reaches the store, if it is etcd."""
    if not hosts.etcd:
        return {}
    folder = config.pki_dir / "etcd"
    return {
        "etcd_servers": tuple(f"https://{host.address}:{CLIENT_PORT}" for host in hosts.etcd),
        "etcd_ca": str(folder / "ca.crt"),
        "etcd_certificate": str(folder / "client.crt"),
        "etcd_key": str(folder / "client.key"),
    }

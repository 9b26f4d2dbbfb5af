"""All hosts of a cluster gone from the machine: processes, namespaces, cables, mounts, cgroups. Their disks stay."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from tiphys.cmd.config import ClusterConfig
from tiphys.cmd.hosts import record, underlay
from tiphys.cmd.hosts.power import shut_down


def take_down(config: ClusterConfig) -> None:
    """End every host, then the network between them. Idempotent. Raises ConfigError for what does not end."""
    hosts = record.require(config)
    with ThreadPoolExecutor(max(len(hosts.hosts), 1)) as pool:
        list(pool.map(lambda host: shut_down(config, hosts, host), hosts.hosts))
    underlay.remove_bridge(hosts)

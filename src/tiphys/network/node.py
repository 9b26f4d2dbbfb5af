"""The pod network of one node: its bridge, its CNI configuration, its way out; and the removal of them."""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path

from tiphys.base import nft
from tiphys.network import cni, forward_policy, links, masquerade, sysctl, topology, tunnel
from tiphys.network.config import NodeNetworkConfig

CNI_RESULTS = Path("/var/lib/cni/results")  # libcni's cache, fixed in it


class NodeNetwork:
    """Pod networking on this node. Works with no default route; another cluster on the host is not disturbed."""

    def __init__(self, config: NodeNetworkConfig) -> None:
        self._config = config
        # All clusters of a host share the record: the last to leave must know what the first one found. The host's
        # settings and /run both end with a reboot; each network namespace has settings of its own.
        self._sysctl_record = config.host_state_dir / f"sysctl-before-{_network_namespace()}.json"
        self._conflist = config.cni_conf_dir / "10-tiphys.conflist"

    async def ensure(self, pod_cidr: str) -> None:
        """Make the network for this podCIDR; pods can be started when it returns. Idempotent, repairs what is amiss.

        Raises SysctlError, LinkError, NftError or OSError.
        """
        name = self._config.name
        sysctl.ensure(self._sysctl_record)
        mtu_bytes = await links.uplink_mtu_bytes(self._config.node_ip)
        if mtu_bytes and self._config.backend == topology.VXLAN:
            mtu_bytes -= topology.OVERHEAD_BYTES
        await links.ensure_bridge(name, cni.gateway(pod_cidr), pod_cidr, mtu_bytes)
        if self._config.service_cidr:
            await links.ensure_route(self._config.service_cidr, cni.gateway(pod_cidr))
        await nft.apply(masquerade.script(name, pod_cidr, self._config.cluster_cidr))
        await forward_policy.ensure(name, self._config.cluster_cidr)
        await asyncio.to_thread(self._write, cni.conflist(name, pod_cidr, self._config.state_dir, mtu_bytes))

    async def cleanup(self) -> None:
        """Remove all that ``ensure`` and the plugins made; pods must be gone. Idempotent."""
        name = self._config.name
        self._conflist.unlink(missing_ok=True)
        if self._config.service_cidr:
            await links.delete_route(self._config.service_cidr)
        await tunnel.cleanup(self._config.tunnel_name, self._config.cluster_cidr)
        await links.delete_bridge(name)
        with contextlib.suppress(nft.NftError, TimeoutError):
            await forward_policy.restore(name, self._config.cluster_cidr)
        for table in (name, self._config.host_ports_table, self._config.policies_table):
            with contextlib.suppress(nft.NftError):
                if await nft.table_exists(masquerade.FAMILY, table):
                    await nft.apply(nft.delete_table(masquerade.FAMILY, table))
        if not await links.other_bridges(name):
            sysctl.restore(self._sysctl_record)
        with contextlib.suppress(OSError):
            self._config.host_state_dir.rmdir()  # only when empty
        await asyncio.to_thread(self._forget)

    def _write(self, content: bytes) -> None:
        """The runtime watches the folder: the file must appear whole, and only change when it differs."""
        self._conflist.parent.mkdir(parents=True, exist_ok=True)
        if self._conflist.exists() and self._conflist.read_bytes() == content:
            return
        partial = self._conflist.with_suffix(".partial")
        partial.write_bytes(content)
        partial.replace(self._conflist)

    def _forget(self) -> None:
        for address in (self._config.state_dir / "addresses").glob("*/*"):
            address.unlink(missing_ok=True)
        for result in CNI_RESULTS.glob(f"{self._config.name}-*"):
            result.unlink(missing_ok=True)
        for folder in (CNI_RESULTS, CNI_RESULTS.parent):
            with contextlib.suppress(OSError):
                folder.rmdir()  # only when empty: another runtime may use it


def _network_namespace() -> int:
    return Path("/proc/thread-self/ns/net").stat().st_ino

"""Pod traffic between hosts: keeps this host's ways to other nodes' pods true.

Node objects ──► peers ──► wanted entries (pure) ──► difference ──► kernel
                                                        ▲
someone else's change, heard from the kernel ──► what the kernel really has
"""

from __future__ import annotations

import asyncio

from tiphys.api.types.core_v1 import Node
from tiphys.base.backoff import Backoff
from tiphys.base.logging import get_logger
from tiphys.base.tasks import Supervisor
from tiphys.client.client import Client
from tiphys.client.informer import Informer
from tiphys.network import tunnel
from tiphys.network.config import NodeNetworkConfig
from tiphys.network.link_watch import LinkWatch
from tiphys.network.links import LinkError
from tiphys.network.topology import Device, Entry, Peer, Wanted, internal_address, peers, vni_of, wanted

GATHER_SECONDS = 0.05
"""How long changes are gathered: nodes come in bursts, and one change is announced by several messages."""
_logger = get_logger(__name__)


class PodRoutes:
    """Lets this host reach the pods of all other nodes. ``run`` until cancelled; what it made stays then, so that a
    restart is not felt; ``cleanup`` (also part of ``NodeNetwork.cleanup``) removes it.

    Runs on nodes, and with ``node_name`` "" on control-plane hosts that are none, whose apiserver must reach pods too.
    """

    def __init__(self, client: Client, network_config: NodeNetworkConfig, node_name: str, node_ip: str) -> None:
        self._config = network_config
        self._node_name = node_name
        self._node_ip = node_ip
        self.nodes: Informer[Node] = Informer(client, Node)
        self._known: dict[str, tuple[str, str]] = {}
        self._told: set[Entry] = set()
        self._certain = False
        """Whether the kernel is known to have what it was told."""
        self._device: Device | None = None
        self._unreachable: tuple[Peer, ...] = ()
        self._wake = asyncio.Event()
        self.synced = asyncio.Event()
        """Set while the kernel has all that is known."""
        self.nodes.add_handler(
            on_add=self._seen, on_update=lambda _, node: self._seen(node), on_delete=lambda node: self._gone(node)
        )

    async def run(self) -> None:
        async with Supervisor("pod-routes") as supervisor:
            supervisor.spawn(self.nodes.run, "nodes")
            await self.nodes.wait_synced()
            self._certain = False
            with LinkWatch(tunnel.ROUTE_PROTOCOL, self._disturbed) as watch:
                await self._keep_true(watch)

    async def cleanup(self) -> None:
        """Remove the tunnel and all routes. Idempotent."""
        await tunnel.cleanup(self._config.tunnel_name, self._config.cluster_cidr)

    # Nodes report their status every few minutes, or more often: only what matters here wakes us.
    def _seen(self, node: Node) -> None:
        name = node.metadata.name or ""
        facts = (node.spec.pod_cidr or "", internal_address(node))
        if self._known.get(name) != facts:
            self._known[name] = facts
            self._mark()

    def _gone(self, node: Node) -> None:
        self._known.pop(node.metadata.name or "", None)
        self._mark()

    def _mark(self) -> None:
        self.synced.clear()
        self._wake.set()

    def _disturbed(self) -> None:
        """Something changed in the kernel, perhaps by ourselves a moment ago: look what it has."""
        self._certain = False
        self._mark()

    async def _keep_true(self, watch: LinkWatch) -> None:
        backoff = Backoff(0.1, 2.0, 5.0)
        while True:
            self._wake.clear()
            try:
                await self._sync(watch)
            except (LinkError, TimeoutError, OSError) as error:
                self._certain = False
                delay_seconds = backoff.next_seconds()
                _logger.warning("routes to other nodes", error=str(error), again_in_seconds=round(delay_seconds, 2))
                await asyncio.sleep(delay_seconds)
                continue
            backoff.reset()
            if not self._wake.is_set():
                self.synced.set()
            await self._wake.wait()
            await asyncio.sleep(GATHER_SECONDS)

    async def _sync(self, watch: LinkWatch) -> None:
        config, name = self._config, self._config.tunnel_name
        below = await tunnel.underlay(self._node_ip)
        own = self.nodes.get(self._node_name) if self._node_name else None
        own_cidr = (own and own.spec.pod_cidr) or ""
        # A node without a range (yet) has no pods; a host that is no node needs ways to others' all the same.
        others = peers(self.nodes.list(), self._node_name) if own_cidr or not self._node_name else []
        target = wanted(
            others, own_cidr, self._node_ip, below, backend=config.backend,
            device_name=name, vni=vni_of(config.cluster_cidr), port=config.vxlan_port,
        )  # fmt: skip
        if not self._certain or target.device != self._device:
            self._certain = True  # until something is heard, even while this is being done
            await self._look(target, watch, below.link)
        told = self._told
        if target.entries != told:
            await tunnel.change(told, target.entries, name)
            _logger.info("routes to other nodes", nodes=len(self._known), changed=len(target.entries ^ told))
        self._told = set(target.entries)
        if target.unreachable != self._unreachable:
            self._unreachable = target.unreachable
            _logger.warning(
                "nodes on another link need the vxlan backend", nodes=[p.address for p in self._unreachable]
            )

    async def _look(self, target: Wanted, watch: LinkWatch, underlay: str) -> None:
        """Have the device as it should be, and read what the kernel has."""
        name, self._device = self._config.tunnel_name, None
        if target.device:
            await tunnel.ensure_device(target.device)
        else:
            await tunnel.delete_device(name)
        watch.links = {await tunnel.index(name), await tunnel.index(underlay)} - {0}
        self._told, self._device = await tunnel.entries(name, self._config.cluster_cidr), target.device

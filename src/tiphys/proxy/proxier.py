"""The shell of the proxy: hears of Services and endpoints, works out what changed, tells the kernel.

    informers ──► dirty Services ──► items (pure) ──► ledger ──► one nft transaction with what changed
                                                        │
    start, refusal, someone else's deletion ────────────┴──► one transaction that makes the whole table anew

Either way the kernel goes from one complete state to another: no packet meets half a table.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import time

from prometheus_client import Counter, Histogram

from tiphys.api.types.core_v1 import Node, Service
from tiphys.api.types.discovery_v1 import EndpointSlice
from tiphys.base import nft
from tiphys.base.backoff import Backoff
from tiphys.base.logging import get_logger
from tiphys.base.metrics import REGISTRY
from tiphys.base.nft_watch import TableWatch
from tiphys.base.tasks import Supervisor
from tiphys.client.client import Client
from tiphys.client.events import EventRecorder
from tiphys.client.informer import Informer
from tiphys.proxy import conntrack
from tiphys.proxy.announcer import Announcer
from tiphys.proxy.config import ProxyConfig
from tiphys.proxy.health import HealthServers, ServiceHealth
from tiphys.proxy.ledger import Ledger, Owner
from tiphys.proxy.ruleset import FAMILY, Changes, changes_script, full_script
from tiphys.proxy.services import items_of, local_endpoint_count

ZONE_LABEL = "topology.kubernetes.io/zone"
SERVICE_NAME_LABEL = "kubernetes.io/service-name"
NOT_OURS = "!service.kubernetes.io/service-proxy-name,!service.kubernetes.io/headless"
GATHER_SECONDS = 0.01
"""How long changes are gathered: a rollout's come in bursts, and one transaction costs as little as three changes."""
OWN_ECHO_SECONDS = 0.5
"""How long after our own transaction its announcements may still arrive."""
_logger = get_logger(__name__)

SYNC_SECONDS = Histogram(
    "kubeproxy_sync_proxy_rules_duration_seconds", "Time to bring changes to the kernel.", registry=REGISTRY
)
SYNC_FAILURES = Counter(
    "kubeproxy_sync_proxy_rules_nftables_sync_failures", "Transactions that nft refused.", registry=REGISTRY
)


class Proxier:
    """Routes this node's traffic to Services. ``run`` until cancelled; rules stay then, so that a restart is not felt;
    ``cleanup`` removes them.
    """

    def __init__(self, client: Client, config: ProxyConfig) -> None:
        self.config = config
        self.services: Informer[Service] = Informer(client, Service, label_selector=NOT_OURS)
        self.slices: Informer[EndpointSlice] = Informer(
            client, EndpointSlice, label_selector=NOT_OURS, indexes={"service": _service_of}
        )
        # Without addresses to announce only this node matters, for its zone.
        own = "" if config.load_balancer_cidr else f"metadata.name={config.node_name}"
        self.nodes: Informer[Node] = Informer(client, Node, field_selector=own)
        self._recorder = EventRecorder(client, "tiphys-speaker", config.node_name)
        self._announcer: Announcer | None = None
        if config.load_balancer_cidr and config.node_ip:
            self._announcer = Announcer(config, self.services, self.nodes, self._slices_of, self._recorder)
        self._ledger = Ledger()
        self._health = HealthServers(config.health_address)
        self._health_wanted: dict[int, ServiceHealth] = {}
        self._dirty: set[Owner] = set()
        self._wake = asyncio.Event()
        self._made_anew = True
        self._echo_until = 0.0
        self.synced = asyncio.Event()
        """Set whenever the kernel has all that is known; cleared while something waits."""
        self._listen()

    async def run(self) -> None:
        async with Supervisor("proxy") as supervisor:
            supervisor.spawn(self.services.run, "services")
            supervisor.spawn(self.slices.run, "endpointslices")
            supervisor.spawn(self.nodes.run, "nodes")
            try:
                if self.config.health_port:
                    await self._health.serve_own(self.config.health_port)
                await self.services.wait_synced()
                await self.slices.wait_synced()
                if self._announcer:
                    await self.nodes.wait_synced()
                    supervisor.spawn(self._announcer.run, "announcer")
                with TableWatch(self.config.table, self._disturbed):
                    await self._keep_synced()
            finally:
                await self._health.close()
                await self._recorder.close()

    # -- hearing -----------------------------------------------------------------------------------------------------

    def _listen(self) -> None:
        self.services.add_handler(
            on_add=self._service_changed,
            on_update=lambda _, new: self._service_changed(new),
            on_delete=self._service_changed,
        )
        self.slices.add_handler(
            on_add=self._slice_changed, on_update=self._slice_updated, on_delete=self._slice_changed
        )
        self.nodes.add_handler(
            on_add=self._node_changed, on_update=lambda _, new: self._node_changed(new), on_delete=self._node_changed
        )

    def _mark(self, owner: Owner) -> None:
        self._dirty.add(owner)
        self.synced.clear()
        self._wake.set()
        if self._announcer:
            self._announcer.look()

    def _node_changed(self, node: Node) -> None:
        if self._announcer:
            self._announcer.look()
        zone = node.metadata.labels.get(ZONE_LABEL, "")
        if node.metadata.name == self.config.node_name and zone != self.config.zone:
            self.config = dataclasses.replace(self.config, zone=zone)
            for service in self.services.list():
                self._service_changed(service)

    def _slices_of(self, service: Service) -> list[EndpointSlice]:
        return self.slices.by_index("service", f"{service.metadata.namespace}/{service.metadata.name}")

    def _service_changed(self, service: Service) -> None:
        self._mark((service.metadata.namespace or "", service.metadata.name or ""))

    def _slice_changed(self, slice_: EndpointSlice) -> None:
        for name in _service_of(slice_):
            namespace, _, service = name.partition("/")
            self._mark((namespace, service))

    def _slice_updated(self, old: EndpointSlice, new: EndpointSlice) -> None:
        self._slice_changed(old)
        self._slice_changed(new)

    def _disturbed(self) -> None:
        """Something was deleted from our table, perhaps by ourselves a moment ago."""
        if time.monotonic() > self._echo_until:
            _logger.warning("rules were deleted by someone else; the table is made anew", table=self.config.table)
            self._made_anew = True
            self.synced.clear()
            self._wake.set()

    # -- telling -----------------------------------------------------------------------------------------------------

    async def _keep_synced(self) -> None:
        backoff = Backoff(0.1, 2.0, 30.0)
        while True:
            self._wake.clear()
            try:
                await self._sync()
                backoff.reset()
                self._health.healthy = True
            except (nft.NftError, TimeoutError, OSError) as error:
                SYNC_FAILURES.inc()
                self._health.healthy = False
                self._made_anew = True
                delay_seconds = backoff.next_seconds()
                _logger.warning("nft transaction failed", error=str(error), again_in_seconds=round(delay_seconds, 2))
                await asyncio.sleep(delay_seconds)
                continue
            if not self._wake.is_set():
                self.synced.set()
            await self._wake.wait()
            await asyncio.sleep(GATHER_SECONDS)

    async def _sync(self) -> None:
        dirty, self._dirty = self._dirty, set()
        flows: list[conntrack.Flow] = []
        for owner in dirty:
            flows += self._recompute(owner)
        changes = self._ledger.changes()
        if not changes and not self._made_anew:
            return
        flows = conntrack.stale_flows(changes, flows)
        with SYNC_SECONDS.time():
            await self._tell(changes)
        self._ledger.accept()
        self._made_anew = False
        await conntrack.forget(flows)
        await self._health.update(dict(self._health_wanted))

    async def _tell(self, changes: Changes) -> None:
        self._echo_until = float("inf")
        try:
            if self._made_anew:
                script = await asyncio.to_thread(full_script, self.config, self._ledger.state())
            else:
                script = changes_script(self.config.table, changes)
            await nft.apply(script)
        finally:
            self._echo_until = time.monotonic() + OWN_ECHO_SECONDS

    def _recompute(self, owner: Owner) -> list[conntrack.Flow]:
        """Bring the ledger up to date with one Service; returns UDP flows of its affinity that became stale."""
        namespace, name = owner
        service = self.services.get(name, namespace)
        slices = self.slices.by_index("service", f"{namespace}/{name}")
        before = self._ledger.of(owner)
        after = items_of(service, slices, self.config)
        self._ledger.replace(owner, after)
        self._health_wanted = {
            port: state for port, state in self._health_wanted.items() if (state.namespace, state.name) != owner
        }
        if service is not None and service.spec.health_check_node_port:
            port = service.spec.health_check_node_port
            count = local_endpoint_count(service, slices, self.config)
            self._health_wanted[port] = ServiceHealth(namespace, name, port, count)
        return conntrack.affinity_flows(before, after)


async def cleanup(config: ProxyConfig) -> None:
    """Remove the cluster's table from this host. Idempotent."""
    with contextlib.suppress(nft.NftError):
        if await nft.table_exists(FAMILY, config.table):
            await nft.apply(nft.delete_table(FAMILY, config.table))


def _service_of(slice_: EndpointSlice) -> list[str]:
    name = slice_.metadata.labels.get(SERVICE_NAME_LABEL)
    return [f"{slice_.metadata.namespace}/{name}"] if name else []

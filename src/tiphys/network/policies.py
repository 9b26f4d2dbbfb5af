"""Enforces NetworkPolicies for the pods of one node. Costs nothing, and knows no pods, while there are no policies."""

from __future__ import annotations

import asyncio
import time
from typing import Any

from tiphys.api.types.core_v1 import Container, Namespace, Pod, PodSpec, PodStatus
from tiphys.api.types.meta_v1 import ObjectMeta
from tiphys.api.types.networking_v1 import NetworkPolicy
from tiphys.base import nft
from tiphys.base.backoff import Backoff
from tiphys.base.logging import get_logger
from tiphys.base.nft_watch import TableWatch
from tiphys.base.tasks import Supervisor
from tiphys.client.client import Client
from tiphys.client.informer import Informer
from tiphys.network.config import NodeNetworkConfig
from tiphys.network.policy_rules import FAMILY, compile_rules, script

GATHER_SECONDS = 0.05
"""How long changes are gathered: pods come in bursts."""
OWN_ECHO_SECONDS = 0.5
"""How long after our own transaction its announcements may still arrive."""
_logger = get_logger(__name__)


class NetworkPolicies:
    """``run`` until cancelled; the rules stay then. ``client`` may list policies, namespaces and all pods."""

    def __init__(self, client: Client, config: NodeNetworkConfig) -> None:
        self._client = client
        self._config = config
        self._policies: Informer[NetworkPolicy] = Informer(client, NetworkPolicy)
        self._wake = asyncio.Event()
        self._told: str | None = None
        self._echo_until = 0.0
        self.synced = asyncio.Event()
        """Set while the kernel has all that is known."""
        self._policies.add_handler(on_add=self._changed, on_update=self._updated, on_delete=self._changed)

    async def run(self) -> None:
        async with Supervisor("network-policies") as supervisor:
            supervisor.spawn(self._policies.run, "policies")
            await self._policies.wait_synced()
            self._told = None
            while True:
                if self._policies.list():
                    await self._enforce()
                await self._tell_until_told("")
                if not self._policies.list():
                    self._wake.clear()
                    self.synced.set()
                    await self._wake.wait()

    async def _enforce(self) -> None:
        """While there are policies: keep the table true."""
        pods: Informer[Pod] = Informer(self._client, Pod, transform=slim)
        namespaces: Informer[Namespace] = Informer(self._client, Namespace)
        for informer in (pods, namespaces):
            informer.add_handler(on_add=self._changed, on_update=self._updated, on_delete=self._changed)
        async with Supervisor("network-policies/pods") as supervisor:
            supervisor.spawn(pods.run, "pods")
            supervisor.spawn(namespaces.run, "namespaces")
            await pods.wait_synced()
            await namespaces.wait_synced()
            with TableWatch(self._config.policies_table, self._disturbed):
                while policies := self._policies.list():
                    self._wake.clear()
                    rules = compile_rules(policies, pods.list(), namespaces.list(), self._config.node_name)
                    await self._tell_until_told(script(self._config.policies_table, rules))
                    if not self._wake.is_set():
                        self.synced.set()
                    await self._wake.wait()
                    await asyncio.sleep(GATHER_SECONDS)

    def _changed(self, _: Any) -> None:
        self.synced.clear()
        self._wake.set()

    def _updated(self, old: Any, new: Any) -> None:
        same_labels = old.metadata.labels == new.metadata.labels
        same_rest = all(getattr(old, part, None) == getattr(new, part, None) for part in ("spec", "status"))
        if not (same_labels and same_rest):
            self._changed(new)

    def _disturbed(self) -> None:
        """Something was deleted from our table, perhaps by ourselves a moment ago."""
        if time.monotonic() > self._echo_until:
            _logger.warning("rules were deleted by someone else; the table is made anew")
            self._told = None
            self._changed(None)

    async def _tell_until_told(self, wanted: str) -> None:
        """ "" is no table at all: most nodes need none."""
        backoff = Backoff(0.1, 2.0, 30.0)
        while wanted != self._told:
            self._echo_until = float("inf")
            try:
                await nft.apply(wanted or nft.delete_table(FAMILY, self._config.policies_table))
                self._told = wanted
            except (nft.NftError, TimeoutError, OSError) as error:
                delay_seconds = backoff.next_seconds()
                _logger.warning("nft transaction failed", error=str(error), again_in_seconds=round(delay_seconds, 2))
                await asyncio.sleep(delay_seconds)
            finally:
                self._echo_until = time.monotonic() + OWN_ECHO_SECONDS


def slim(pod: Pod) -> Pod:
    """What rules are made from: all pods of the cluster are kept."""
    meta = pod.metadata
    return Pod(
        metadata=ObjectMeta(
            name=meta.name, namespace=meta.namespace, uid=meta.uid, labels=meta.labels,
            resource_version=meta.resource_version,
        ),
        spec=PodSpec(
            node_name=pod.spec.node_name, host_network=pod.spec.host_network,
            containers=tuple(Container(name=c.name, ports=c.ports) for c in pod.spec.containers if c.ports),
        ),
        status=PodStatus(phase=pod.status.phase, pod_ip=pod.status.pod_ip),
    )  # fmt: skip

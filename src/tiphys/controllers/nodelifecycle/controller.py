"""Follows nodes' heartbeats (their Leases and Ready conditions). One timer a node; nothing is polled."""

from __future__ import annotations

from typing import Final

import msgspec

from tiphys.api.errors import ApiError
from tiphys.api.types.coordination_v1 import Lease
from tiphys.api.types.core_v1 import Node, Pod
from tiphys.base.clock import rfc3339
from tiphys.client import NORMAL, WARNING, ObjectKey
from tiphys.controllers import conditions
from tiphys.controllers.nodelifecycle import reconcile
from tiphys.controllers.pods import BY_NODE, POD_INDEXES
from tiphys.controllers.runtime import Environment, KeyedController

LEASE_NAMESPACE: Final = "kube-node-lease"
STARTUP_GRACE_SECONDS: Final = 60.0
"""How long a node that never reported is waited for."""


class NodeLifecycleController(KeyedController):
    name = "node-lifecycle-controller"

    def __init__(self, environment: Environment) -> None:
        super().__init__()
        self._client = environment.client
        self._clock = environment.clock
        self._config = environment.config
        self._recorder = environment.recorder("node-controller")
        self._nodes = environment.informer(Node)
        self._pods = environment.informer(Pod)
        self._leases = environment.informers.of(Lease, namespace=LEASE_NAMESPACE)
        self._heard: dict[str, float] = {}
        self._next_eviction = 0.0
        self._pods.add_index(BY_NODE, POD_INDEXES[BY_NODE])
        self._nodes.add_handler(on_add=self._node_added, on_update=self._node_changed, on_delete=self._node_deleted)
        self._leases.add_handler(
            on_add=lambda lease: self._beat(lease.metadata.name or ""), on_update=self._lease_changed
        )
        # A pod may come to a node after the node was given up.
        self._pods.add_handler(on_update=self._pod_changed)

    async def sync(self, key: ObjectKey) -> None:
        node = self._nodes.get(key.name)
        if node is None:
            return
        remaining = self._remaining_seconds(node)
        if remaining > 0:
            self.queue.add_after(key, remaining)
        else:
            node = await self._give_up(node)
        if not reconcile.is_ready(node):
            await self._mark_pods(node)
        await self._taint(key, node)

    def _remaining_seconds(self, node: Node) -> float:
        now = self._clock.monotonic()
        heard = self._heard.setdefault(node.metadata.name or "", now)
        grace = self._config.node_monitor_grace_period_seconds
        if conditions.find(node.status.conditions, "Ready") is None:
            grace = max(grace, STARTUP_GRACE_SECONDS)
        connected = self._leases.connected_since
        if connected is None:
            # It is this side that hears nobody: silence says nothing about the node.
            return grace
        return max(heard, connected) + grace - now

    async def _give_up(self, node: Node) -> Node:
        wanted = reconcile.lost(node, self._clock.now())
        if wanted == node.status.conditions:
            return node
        was_ready = reconcile.is_ready(node)
        status = msgspec.structs.replace(node.status, conditions=wanted)
        updated = await self._client.update_status(msgspec.structs.replace(node, status=status))
        if was_ready:
            name = node.metadata.name
            text = f"Node {name} status is now: NodeNotReady"
            self._recorder.event(node, NORMAL, "NodeNotReady", text)
        return updated

    async def _mark_pods(self, node: Node) -> None:
        for pod in reconcile.pods_to_mark(self._pods.by_index(BY_NODE, node.metadata.name or "")):
            moment = rfc3339(self._clock.now())
            kept = tuple(
                msgspec.structs.replace(c, status="False", last_transition_time=moment) if c.type == "Ready" else c
                for c in pod.status.conditions
            )
            status = msgspec.structs.replace(pod.status, conditions=kept)
            try:
                await self._client.update_status(msgspec.structs.replace(pod, status=status))
            except ApiError as error:
                if error.code != 404:
                    raise
                continue
            self._recorder.event(pod, WARNING, "NodeNotReady", "Node is not ready")

    async def _taint(self, key: ObjectKey, node: Node) -> None:
        now = self._clock.monotonic()
        evict = False
        if reconcile.wants_eviction(node) and not reconcile.fully_disrupted(self._nodes.list()):
            if now < self._next_eviction:
                self.queue.add_after(key, self._next_eviction - now)
            else:
                evict = True
                self._next_eviction = now + 1.0 / self._config.node_eviction_rate
        wanted = reconcile.taints(node, evict=evict, now=self._clock.now())
        if wanted != node.spec.taints:
            spec = msgspec.structs.replace(node.spec, taints=wanted)
            await self._client.update(msgspec.structs.replace(node, spec=spec))

    def _beat(self, name: str) -> None:
        self._heard[name] = self._clock.monotonic()

    def _lease_changed(self, old: Lease, new: Lease) -> None:
        if old.spec.renew_time != new.spec.renew_time:
            self._beat(new.metadata.name or "")

    def _node_added(self, node: Node) -> None:
        self._beat(node.metadata.name or "")
        self.enqueue(node)

    def _node_changed(self, old: Node, new: Node) -> None:
        before = conditions.find(old.status.conditions, "Ready")
        after = conditions.find(new.status.conditions, "Ready")
        if after is not None and (before is None or before.last_heartbeat_time != after.last_heartbeat_time):
            self._beat(new.metadata.name or "")
        shown = [(c.type, c.status) for c in new.status.conditions]
        same = shown == [(c.type, c.status) for c in old.status.conditions]
        if not same or old.spec != new.spec:
            self.enqueue(new)
        if not same and (before is None or after is None or before.status != after.status):
            # Others may be evicted, or no longer, now that one more (or less) node is ready.
            for node in self._nodes.list():
                if reconcile.wants_eviction(node):
                    self.enqueue(node)

    def _node_deleted(self, node: Node) -> None:
        name = node.metadata.name or ""
        self._heard.pop(name, None)
        text = f"Node {name} event: Removing Node {name} from Controller"
        self._recorder.event(node, NORMAL, "RemovingNode", text)

    def _pod_changed(self, old: Pod, new: Pod) -> None:
        if old.spec.node_name or not new.spec.node_name:
            return
        node = self._nodes.get(new.spec.node_name)
        if node is not None and not reconcile.is_ready(node):
            self.enqueue(node)

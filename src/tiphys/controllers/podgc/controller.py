"""Collects pods that are garbage, when something happens that may make one so."""

from __future__ import annotations

from typing import Any, Final

from tiphys.api.errors import ApiError
from tiphys.api.types.core_v1 import Node, Pod
from tiphys.base.clock import rfc3339
from tiphys.client import ObjectKey, key_of
from tiphys.controllers.podgc.reconcile import (
    excess,
    is_orphaned,
    is_out_of_service,
    is_unscheduled_terminating,
)
from tiphys.controllers.pods import BY_NODE, POD_INDEXES, is_terminal
from tiphys.controllers.runtime import Environment, KeyedController

QUARANTINE_SECONDS: Final = 40.0
"""How long a node must be gone before its pods are removed: it may register again."""
_FINISHED: Final = ObjectKey("", "finished pods")
_SWEEP_SECONDS: Final = 20.0


class PodGCController(KeyedController):
    name = "pod-garbage-collector-controller"

    def __init__(self, environment: Environment) -> None:
        super().__init__()
        self._client = environment.client
        self._clock = environment.clock
        self._threshold = environment.config.terminated_pod_gc_threshold
        self._pods = environment.informer(Pod)
        self._nodes = environment.informer(Node)
        self._finished: set[ObjectKey] = set()
        self._gone_since: dict[str, float] = {}
        self._pods.add_index(BY_NODE, POD_INDEXES[BY_NODE])
        self._pods.add_handler(
            on_add=self._pod_seen, on_update=lambda _, new: self._pod_seen(new), on_delete=self._pod_deleted
        )
        self._nodes.add_handler(
            on_add=self._node_added,
            on_update=lambda _, new: self._node_changed(new),
            on_delete=self._node_deleted,
        )

    async def sync(self, key: ObjectKey) -> None:
        if key == _FINISHED:
            for finished in excess(self._pods.list(), self._threshold):
                await self._remove(finished, None)
            return
        pod = self._pods.get(key.name, key.namespace)
        if pod is None:
            return
        node_name = pod.spec.node_name or ""
        node = self._nodes.get(node_name)
        if is_unscheduled_terminating(pod) or is_out_of_service(pod, node):
            await self._remove(pod, None)
        elif is_orphaned(pod, () if node is None else (node_name,)):
            waited = self._clock.monotonic() - self._gone_since.setdefault(node_name, self._clock.monotonic())
            if waited < QUARANTINE_SECONDS:
                self.queue.add_after(key, QUARANTINE_SECONDS - waited)
            elif not await self._node_exists(node_name):
                await self._remove(pod, "PodGC: node no longer exists")

    async def _node_exists(self, name: str) -> bool:
        try:
            await self._client.get(Node, name)
        except ApiError as error:
            if error.code == 404:
                return False
            raise
        return True

    async def _remove(self, pod: Pod, message: str | None) -> None:
        name, namespace, uid = pod.metadata.name or "", pod.metadata.namespace or "", pod.metadata.uid or ""
        try:
            if not is_terminal(pod):
                change: dict[str, Any] = {"metadata": {"uid": uid}, "status": {"phase": "Failed"}}
                if message is not None:
                    condition = {
                        "type": "DisruptionTarget",
                        "status": "True",
                        "reason": "DeletionByPodGC",
                        "message": message,
                        "lastTransitionTime": rfc3339(self._clock.now()),
                    }
                    change["status"]["conditions"] = [condition]
                await self._client.patch(Pod, name, namespace, change, type="strategic", subresource="status")
            await self._client.delete(Pod, name, namespace, uid=uid, grace_period_seconds=0)
        except ApiError as error:
            if error.code not in (404, 409, 422):
                raise

    def _pod_seen(self, pod: Pod) -> None:
        key = key_of(pod)
        if is_terminal(pod):
            self._finished.add(key)
            if len(self._finished) > self._threshold > 0:
                # Sweeping sorts all finished pods: not once a pod.
                self.queue.add_after(_FINISHED, _SWEEP_SECONDS)
        if is_unscheduled_terminating(pod):
            self.queue.add(key)
        elif pod.spec.node_name and self._nodes.synced:
            node = self._nodes.get(pod.spec.node_name)
            if node is None or is_out_of_service(pod, node):
                self.queue.add(key)

    def _pod_deleted(self, pod: Pod) -> None:
        self._finished.discard(key_of(pod))

    def _node_added(self, node: Node) -> None:
        self._gone_since.pop(node.metadata.name or "", None)

    def _node_changed(self, node: Node) -> None:
        for pod in self._pods.by_index(BY_NODE, node.metadata.name or ""):
            if is_out_of_service(pod, node):
                self.enqueue(pod)

    def _node_deleted(self, node: Node) -> None:
        name = node.metadata.name or ""
        self._gone_since[name] = self._clock.monotonic()
        for pod in self._pods.by_index(BY_NODE, name):
            self.enqueue(pod)

    async def run(self) -> None:
        # Pods that came before their nodes were known, or whose nodes went while nobody looked.
        for pod in self._pods.list():
            self._pod_seen(pod)
        await super().run()

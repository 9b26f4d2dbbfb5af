"""Deletes pods that their node's NoExecute taints evict, each at its time."""

from __future__ import annotations

from typing import Final

from tiphys.api.errors import ApiError
from tiphys.api.types.core_v1 import Node, Pod
from tiphys.base.clock import rfc3339
from tiphys.client import NORMAL, ObjectKey, key_of
from tiphys.controllers.pods import BY_NODE, POD_INDEXES
from tiphys.controllers.runtime import Environment, KeyedController
from tiphys.controllers.tainteviction.reconcile import evict_at, no_execute

_SOON_SECONDS: Final = 0.001


class TaintEvictionController(KeyedController):
    """Its keys are pods: a node's change looks at each of its pods."""

    name = "taint-eviction-controller"

    def __init__(self, environment: Environment) -> None:
        super().__init__()
        self._client = environment.client
        self._clock = environment.clock
        self._recorder = environment.recorder("taint-eviction-controller")
        self._nodes = environment.informer(Node)
        self._pods = environment.informer(Pod)
        self._scheduled: set[ObjectKey] = set()
        self._pods.add_index(BY_NODE, POD_INDEXES[BY_NODE])
        self._nodes.add_handler(on_add=self._node_added, on_update=self._node_changed)
        self._pods.add_handler(on_add=self._pod_added, on_update=self._pod_changed, on_delete=self._pod_deleted)

    async def sync(self, key: ObjectKey) -> None:
        pod = self._pods.get(key.name, key.namespace)
        node = self._nodes.get(pod.spec.node_name or "") if pod else None
        if pod is None or node is None or pod.metadata.deletion_timestamp is not None:
            self._scheduled.discard(key)
            return
        now = self._clock.now()
        moment = evict_at(pod, no_execute(node), now)
        if moment is None:
            if key in self._scheduled:
                self._scheduled.discard(key)
                self._recorder.event(pod, NORMAL, "TaintManagerEviction", f"Cancelling deletion of Pod {key}")
            return
        if moment - now > _SOON_SECONDS:
            self._scheduled.add(key)
            self.queue.add_after(key, moment - now)
            return
        self._scheduled.discard(key)
        await self._evict(key, pod)

    async def _evict(self, key: ObjectKey, pod: Pod) -> None:
        self._recorder.event(pod, NORMAL, "TaintManagerEviction", f"Marking for deletion Pod {key}")
        condition = {
            "type": "DisruptionTarget",
            "status": "True",
            "reason": "DeletionByTaintManager",
            "message": "Taint manager: deleting due to NoExecute taint",
            "lastTransitionTime": rfc3339(self._clock.now()),
        }
        change = {"metadata": {"uid": pod.metadata.uid}, "status": {"conditions": [condition]}}
        try:
            await self._client.patch(Pod, key.name, key.namespace, change, type="strategic", subresource="status")
            await self._client.delete(Pod, key.name, key.namespace, uid=pod.metadata.uid or "")
        except ApiError as error:
            if error.code not in (404, 409, 422):
                raise

    def _node_added(self, node: Node) -> None:
        if no_execute(node):
            self._look_at_pods(node)

    def _node_changed(self, old: Node, new: Node) -> None:
        if no_execute(old) != no_execute(new):
            self._look_at_pods(new)

    def _look_at_pods(self, node: Node) -> None:
        for pod in self._pods.by_index(BY_NODE, node.metadata.name or ""):
            self.enqueue(pod)

    def _pod_added(self, pod: Pod) -> None:
        node = self._nodes.get(pod.spec.node_name or "")
        if node is not None and no_execute(node):
            self.enqueue(pod)

    def _pod_changed(self, old: Pod, new: Pod) -> None:
        if old.spec.node_name != new.spec.node_name or old.spec.tolerations != new.spec.tolerations:
            self._pod_added(new)

    def _pod_deleted(self, pod: Pod) -> None:
        self._scheduled.discard(key_of(pod))

"""Keeps a pod of each DaemonSet on every node that fits."""

from __future__ import annotations

import msgspec

from tiphys.api.selectors import Selector, from_label_selector
from tiphys.api.types.apps_v1 import ControllerRevision, DaemonSet
from tiphys.api.types.core_v1 import Node, Pod
from tiphys.client import NORMAL, WARNING, ObjectKey, key_of
from tiphys.controllers.daemonset.reconcile import BURST, Plan, made, plan, should_run, status
from tiphys.controllers.history import HASH_LABEL
from tiphys.controllers.namespaced import is_terminating_namespace
from tiphys.controllers.node_affinity import pinned_to
from tiphys.controllers.pod_owner import PodOwnerController
from tiphys.controllers.pods import FAILED
from tiphys.controllers.revision_keeper import RevisionKeeper
from tiphys.controllers.runtime import Environment


class DaemonSetController(PodOwnerController):
    name = "daemonset-controller"

    def __init__(self, environment: Environment) -> None:
        super().__init__(environment, DaemonSet, "daemonset-controller")
        self._nodes = environment.informer(Node)
        revisions = environment.informer(ControllerRevision)
        self._keeper = RevisionKeeper(self._client, revisions, HASH_LABEL)
        self._nodes.add_handler(on_add=self._node_added, on_update=self._node_changed, on_delete=self._node_added)

    def selector_of(self, owner: DaemonSet) -> Selector:
        return from_label_selector(owner.spec.selector)

    async def sync(self, key: ObjectKey) -> None:
        daemon_set = self._owners.get(key.name, key.namespace)
        if daemon_set is None:
            self._expectations.forget(key)
            return
        selector = from_label_selector(daemon_set.spec.selector)
        if selector.is_everything:
            text = "This daemon set is selecting all pods. A non-empty selector is required."
            self._recorder.event(daemon_set, WARNING, "SelectingAll", text)
            return
        if daemon_set.metadata.deletion_timestamp is not None:
            return
        revisions = await self._keeper.of(daemon_set, selector)
        labels = daemon_set.spec.template.metadata.labels
        current = await self._keeper.current(daemon_set, daemon_set.spec.template, revisions, labels)
        revision_hash = self._keeper.hash_of(current)
        settled = self.is_settled(key)
        pods = await self.claimed(daemon_set)
        by_node: dict[str, list[Pod]] = {}
        for pod in pods:
            by_node.setdefault(pinned_to(pod.spec), []).append(pod)
        nodes = self._nodes.list()
        now = self._clock.now()
        error: BaseException | None = None
        if settled:
            wanted = plan(daemon_set, nodes, by_node, revision_hash, now)
            error = await self._carry_out(key, daemon_set, wanted, revision_hash)
        reported, wait_seconds = status(daemon_set, nodes, by_node, revision_hash, now)
        if reported != daemon_set.status:
            await self._client.update_status(msgspec.structs.replace(daemon_set, status=reported))
        if wait_seconds is not None:
            self.queue.add_after(key, wait_seconds)
        used = {pod.metadata.labels.get(HASH_LABEL) for pod in pods} | {revision_hash}
        live = {r.metadata.name or "" for r in revisions if self._keeper.hash_of(r) in used}
        await self._keeper.trim(revisions, live, daemon_set.spec.revision_history_limit)
        if error is not None and not is_terminating_namespace(error):
            raise error

    async def _carry_out(
        self, key: ObjectKey, daemon_set: DaemonSet, wanted: Plan, revision_hash: str
    ) -> BaseException | None:
        for pod in wanted.finished:
            failed = pod.status.phase == FAILED
            kind, reason = ("failed", "FailedDaemonPod") if failed else ("succeeded", "SucceededDaemonPod")
            text = f"Found {kind} daemon pod {key_of(pod)} on node {pod.spec.node_name}, will try to kill it"
            self._recorder.event(daemon_set, WARNING if failed else NORMAL, reason, text)
        pods = [made(daemon_set, node, revision_hash) for node in wanted.create[:BURST]]
        _, failure = await self.create_pods(key, daemon_set, pods)
        return await self.delete_pods(key, daemon_set, wanted.delete[:BURST]) or failure

    def _node_added(self, node: Node) -> None:
        for daemon_set in self._owners.list():
            self.enqueue(daemon_set)

    def _node_changed(self, old: Node, new: Node) -> None:
        if old.metadata.labels == new.metadata.labels and old.spec.taints == new.spec.taints:
            return
        for daemon_set in self._owners.list():
            if should_run(daemon_set, old) != should_run(daemon_set, new):
                self.enqueue(daemon_set)

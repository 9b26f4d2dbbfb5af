"""Keeps a pod of each DaemonSet on every node that fits."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import msgspec

from tiphys.api.errors import ApiError
from tiphys.api.selectors import from_label_selector
from tiphys.api.types.apps_v1 import ControllerRevision, DaemonSet
from tiphys.api.types.core_v1 import Node, Pod
from tiphys.client import NORMAL, WARNING, ObjectKey, key_of
from tiphys.client.expectations import Expectations
from tiphys.client.ownership import claim, controller_of
from tiphys.controllers.batches import all_at_once, slow_start
from tiphys.controllers.daemonset.reconcile import BURST, Plan, made, plan, should_run, status
from tiphys.controllers.history import HASH_LABEL
from tiphys.controllers.namespaced import is_terminating_namespace
from tiphys.controllers.node_affinity import pinned_to
from tiphys.controllers.pods import BY_CONTROLLER, BY_ORPHANAGE, FAILED, POD_INDEXES
from tiphys.controllers.revision_keeper import RevisionKeeper
from tiphys.controllers.runtime import Environment, KeyedController


class DaemonSetController(KeyedController):
    name = "daemonset-controller"

    def __init__(self, environment: Environment) -> None:
        super().__init__()
        self._client = environment.client
        self._clock = environment.clock
        self._recorder = environment.recorder("daemonset-controller")
        self._expectations: Expectations[ObjectKey] = Expectations(environment.clock)
        self._sets = environment.informer(DaemonSet)
        self._pods = environment.informer(Pod)
        self._nodes = environment.informer(Node)
        revisions = environment.informer(ControllerRevision)
        self._keeper = RevisionKeeper(self._client, revisions, HASH_LABEL)
        for name, indexer in POD_INDEXES.items():
            self._pods.add_index(name, indexer)
        self._sets.add_handler(on_add=self.enqueue, on_update=self.enqueue_changed, on_delete=self._set_deleted)
        self._pods.add_handler(on_add=self._pod_added, on_update=self._pod_changed, on_delete=self._pod_deleted)
        self._nodes.add_handler(on_add=self._node_added, on_update=self._node_changed, on_delete=self._node_added)

    async def sync(self, key: ObjectKey) -> None:
        daemon_set = self._sets.get(key.name, key.namespace)
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
        settled = self._expectations.satisfied(key)
        if not settled:
            self.queue.add_after(key, self._expectations.seconds_left(key))
        orphans = self._pods.by_index(BY_ORPHANAGE, key.namespace)
        candidates = [*self._pods.by_index(BY_CONTROLLER, daemon_set.metadata.uid or ""), *orphans]
        pods = await claim(self._client, daemon_set, selector, Pod, candidates)
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
        nodes = wanted.create[:BURST]
        doomed = wanted.delete[:BURST]
        self._expectations.expect_creations(key, len(nodes))
        self._expectations.expect_deletions(key, [pod.metadata.uid or "" for pod in doomed])
        tried = 0

        async def create(index: int) -> None:
            nonlocal tried
            tried += 1
            try:
                pod = await self._client.create(made(daemon_set, nodes[index], revision_hash))
            except BaseException as error:
                self._expectations.creation_failed(key, error)
                if isinstance(error, Exception) and not is_terminating_namespace(error):
                    self._recorder.event(daemon_set, WARNING, "FailedCreate", f"Error creating: {error}")
                raise
            self._recorder.event(daemon_set, NORMAL, "SuccessfulCreate", f"Created pod: {pod.metadata.name}")

        _, failure = await slow_start(len(nodes), create)
        self._expectations.creation_observed(key, len(nodes) - tried)
        return await all_at_once([self._deletion(key, daemon_set, pod) for pod in doomed]) or failure

    def _deletion(self, key: ObjectKey, daemon_set: DaemonSet, pod: Pod) -> Callable[[], Awaitable[None]]:
        async def delete() -> None:
            name, uid = pod.metadata.name or "", pod.metadata.uid or ""
            try:
                await self._client.delete(Pod, name, key.namespace, uid=uid)
            except BaseException as error:
                self._expectations.deletion_observed(key, uid)
                if isinstance(error, ApiError) and error.code in (404, 409):
                    return
                if isinstance(error, Exception):
                    self._recorder.event(daemon_set, WARNING, "FailedDelete", f"Error deleting: {error}")
                raise
            self._recorder.event(daemon_set, NORMAL, "SuccessfulDelete", f"Deleted pod: {name}")

        return delete

    def _set_deleted(self, daemon_set: DaemonSet) -> None:
        self._expectations.forget(key_of(daemon_set))

    def _owner_key(self, pod: Pod) -> ObjectKey | None:
        reference = controller_of(pod)
        if reference is None or reference.kind != "DaemonSet":
            return None
        owner = self._sets.get(reference.name, pod.metadata.namespace or "")
        return key_of(owner) if owner is not None and owner.metadata.uid == reference.uid else None

    def _pod_added(self, pod: Pod) -> None:
        if pod.metadata.deletion_timestamp is not None:
            self._pod_deleted(pod)
            return
        key = self._owner_key(pod)
        if key is not None:
            self._expectations.creation_observed(key)
            self.queue.add(key)
        elif controller_of(pod) is None:
            self._enqueue_matching(pod)

    def _pod_changed(self, old: Pod, new: Pod) -> None:
        key = self._owner_key(new)
        if key is None:
            if controller_of(new) is None and (controller_of(old) or old.metadata.labels != new.metadata.labels):
                self._enqueue_matching(new)
            return
        if new.metadata.deletion_timestamp is not None:
            self._expectations.deletion_observed(key, new.metadata.uid or "")
        self.queue.add(key)

    def _pod_deleted(self, pod: Pod) -> None:
        key = self._owner_key(pod)
        if key is not None:
            self._expectations.deletion_observed(key, pod.metadata.uid or "")
            self.queue.add(key)

    def _enqueue_matching(self, pod: Pod) -> None:
        for daemon_set in self._sets.list(pod.metadata.namespace or ""):
            selector = from_label_selector(daemon_set.spec.selector)
            if not selector.is_everything and selector.matches(pod.metadata.labels):
                self.enqueue(daemon_set)

    def _node_added(self, node: Node) -> None:
        for daemon_set in self._sets.list():
            self.enqueue(daemon_set)

    def _node_changed(self, old: Node, new: Node) -> None:
        if old.metadata.labels == new.metadata.labels and old.spec.taints == new.spec.taints:
            return
        for daemon_set in self._sets.list():
            if should_run(daemon_set, old) != should_run(daemon_set, new):
                self.enqueue(daemon_set)

"""Keeps each ReplicaSet (or ReplicationController) at its number of pods."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from tiphys.api.errors import ApiError
from tiphys.api.types.core_v1 import Pod
from tiphys.client import NORMAL, WARNING, ObjectKey, key_of
from tiphys.client.expectations import Expectations
from tiphys.client.ownership import claim, controller_of
from tiphys.client.view import view_of
from tiphys.controllers.batches import all_at_once, slow_start
from tiphys.controllers.namespaced import is_terminating_namespace
from tiphys.controllers.pods import BY_CONTROLLER, BY_ORPHANAGE, POD_INDEXES, is_active, pod_from_template
from tiphys.controllers.replicaset import reconcile
from tiphys.controllers.replicaset.kinds import ReplicaSets, ReplicationControllers, SetKind
from tiphys.controllers.runtime import Environment, KeyedController

_OWNER_INDEX = "owner-uid"


class _SetController(KeyedController):
    """The loop of one kind. Expectations keep it from acting twice on what its informers do not show yet."""

    kind: SetKind

    def __init__(self, environment: Environment) -> None:
        super().__init__()
        self._client = environment.client
        self._clock = environment.clock
        self._recorder = environment.recorder(self.kind.component)
        self._expectations: Expectations[ObjectKey] = Expectations(environment.clock)
        self._sets = environment.informer(self.kind.type)
        self._pods = environment.informer(Pod)
        for name, indexer in POD_INDEXES.items():
            self._pods.add_index(name, indexer)
        self._sets.add_index(_OWNER_INDEX, POD_INDEXES[BY_CONTROLLER])
        self._sets.add_handler(on_add=self.enqueue, on_update=self._set_changed, on_delete=self._set_deleted)
        self._pods.add_handler(on_add=self._pod_added, on_update=self._pod_changed, on_delete=self._pod_deleted)

    async def sync(self, key: ObjectKey) -> None:
        owner = self._sets.get(key.name, key.namespace)
        if owner is None:
            self._expectations.forget(key)
            return
        settled = self._expectations.satisfied(key)
        if not settled:
            self.queue.add_after(key, self._expectations.seconds_left(key))
        pods = await claim(self._client, owner, self.kind.selector(owner), Pod, self._candidates(owner))
        desired = self.kind.desired(owner)
        failure: tuple[str, str] | None = None
        error: BaseException | None = None
        if settled and owner.metadata.deletion_timestamp is None:
            plan = reconcile.plan(desired, pods, self._ranks(owner, pods), self._clock.now())
            if plan.create:
                error = await self._create(key, owner, plan.create)
                failure = ("FailedCreate", str(error)) if error else None
            elif plan.delete:
                error = await self._delete(key, owner, plan.delete)
                failure = ("FailedDelete", str(error)) if error else None
        await self._report(key, owner, desired, pods, failure)
        if error is not None and not is_terminating_namespace(error):
            raise error

    def _candidates(self, owner: Any) -> list[Pod]:
        orphans = self._pods.by_index(BY_ORPHANAGE, owner.metadata.namespace or "")
        return [*self._pods.by_index(BY_CONTROLLER, owner.metadata.uid or ""), *orphans]

    def _ranks(self, owner: Any, pods: list[Pod]) -> dict[str, int]:
        ranks: dict[str, int] = {}
        reference = controller_of(owner)
        related = list(pods)
        if reference is not None:
            for sibling in self._sets.by_index(_OWNER_INDEX, reference.uid):
                if sibling.metadata.uid != owner.metadata.uid:
                    related += self._pods.by_index(BY_CONTROLLER, sibling.metadata.uid or "")
        for pod in related:
            if is_active(pod) and pod.spec.node_name:
                ranks[pod.spec.node_name] = ranks.get(pod.spec.node_name, 0) + 1
        return ranks

    async def _create(self, key: ObjectKey, owner: Any, count: int) -> BaseException | None:
        template = self.kind.desired(owner).template
        if template is None:
            return None
        pod = pod_from_template(template, owner)

        async def create(_: int) -> None:
            try:
                made = await self._client.create(pod)
            except BaseException as error:
                self._expectations.creation_failed(key, error)
                if isinstance(error, Exception) and not is_terminating_namespace(error):
                    self._recorder.event(owner, WARNING, "FailedCreate", f"Error creating: {error}")
                raise
            self._recorder.event(owner, NORMAL, "SuccessfulCreate", f"Created pod: {made.metadata.name}")

        # Expected before asked for: the informer may hear of a pod before the answer to its creation arrives.
        self._expectations.expect_creations(key, count)
        tried = 0

        async def counted(index: int) -> None:
            nonlocal tried
            tried += 1
            await create(index)

        _, error = await slow_start(count, counted)
        self._expectations.creation_observed(key, count - tried)
        return error

    async def _delete(self, key: ObjectKey, owner: Any, pods: tuple[Pod, ...]) -> BaseException | None:
        self._expectations.expect_deletions(key, [pod.metadata.uid or "" for pod in pods])

        def deletion(pod: Pod) -> Callable[[], Awaitable[None]]:
            async def delete() -> None:
                name, uid = pod.metadata.name or "", pod.metadata.uid or ""
                try:
                    await self._client.delete(Pod, name, key.namespace, uid=uid)
                except BaseException as error:
                    self._expectations.deletion_observed(key, uid)
                    if isinstance(error, ApiError) and error.code in (404, 409):
                        return
                    if isinstance(error, Exception):
                        self._recorder.event(owner, WARNING, "FailedDelete", f"Error deleting: {error}")
                    raise
                self._recorder.event(owner, NORMAL, "SuccessfulDelete", f"Deleted pod: {name}")

            return delete

        return await all_at_once([deletion(pod) for pod in pods])

    async def _report(
        self,
        key: ObjectKey,
        owner: Any,
        desired: reconcile.Desired,
        pods: list[Pod],
        failure: tuple[str, str] | None,
    ) -> None:
        now = self._clock.now()
        observed = reconcile.observe(desired, pods, now)
        current = self.kind.status_of(owner)
        status = reconcile.status(desired, observed, current, failure, now)
        updated = self.kind.with_status(owner, status)
        if updated.status != owner.status:
            await self._client.update_status(updated)
        if observed.look_again_seconds is not None:
            self.queue.add_after(key, observed.look_again_seconds)

    def _set_changed(self, old: Any, new: Any) -> None:
        self.enqueue(new)

    def _set_deleted(self, owner: Any) -> None:
        self._expectations.forget(key_of(owner))
        self.enqueue(owner)

    def _owner_key(self, pod: Pod) -> ObjectKey | None:
        reference = controller_of(pod)
        view = view_of(self.kind.type)
        if reference is None or reference.kind != view.resource.kind:
            return None
        owner = self._sets.get(reference.name, pod.metadata.namespace or "")
        if owner is None or owner.metadata.uid != reference.uid:
            return None
        return key_of(owner)

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
        if new.metadata.deletion_timestamp is not None and old.metadata.deletion_timestamp is None:
            # A pod being deleted counts as deleted: its replacement need not wait for its containers to stop.
            self._pod_deleted(new)
            return
        for pod in (old, new):
            key = self._owner_key(pod)
            if key is not None:
                self.queue.add(key)
        if controller_of(new) is None and (controller_of(old) or old.metadata.labels != new.metadata.labels):
            self._enqueue_matching(new)

    def _pod_deleted(self, pod: Pod) -> None:
        key = self._owner_key(pod)
        if key is not None:
            self._expectations.deletion_observed(key, pod.metadata.uid or "")
            self.queue.add(key)

    def _enqueue_matching(self, pod: Pod) -> None:
        for owner in self._sets.list(pod.metadata.namespace or ""):
            if self.kind.selector(owner).matches(pod.metadata.labels):
                self.enqueue(owner)


class ReplicaSetController(_SetController):
    name = "replicaset-controller"
    kind = ReplicaSets()


class ReplicationControllerController(_SetController):
    name = "replicationcontroller-controller"
    kind = ReplicationControllers()

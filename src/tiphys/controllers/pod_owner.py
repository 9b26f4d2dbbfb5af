"""What controllers whose objects own pods have in common: hearing of the pods, making them and deleting them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from tiphys.api.errors import ApiError
from tiphys.api.selectors import Selector
from tiphys.api.types.core_v1 import Pod
from tiphys.client import NORMAL, WARNING, Informer, ObjectKey, key_of
from tiphys.client.expectations import Expectations
from tiphys.client.ownership import claim, controller_of
from tiphys.client.view import view_of
from tiphys.controllers.batches import all_at_once, slow_start
from tiphys.controllers.namespaced import is_terminating_namespace
from tiphys.controllers.pods import BY_CONTROLLER, BY_ORPHANAGE, POD_INDEXES
from tiphys.controllers.runtime import Environment, KeyedController


class PodOwnerController(KeyedController):
    """Looks at an owner when one of its pods changes, and at those who may adopt a pod that has none.

    Expectations keep it from acting twice on what its informer does not show yet: ask `is_settled` before acting.
    """

    def __init__(self, environment: Environment, kind: type[Any], component: str) -> None:
        super().__init__()
        self._client = environment.client
        self._clock = environment.clock
        self._recorder = environment.recorder(component)
        self._expectations: Expectations[ObjectKey] = Expectations(environment.clock)
        self._kind = view_of(kind).resource.kind
        self._owners: Informer[Any] = environment.informer(kind)
        self._pods = environment.informer(Pod)
        for name, indexer in POD_INDEXES.items():
            self._pods.add_index(name, indexer)
        self._owners.add_handler(on_add=self.enqueue, on_update=self.enqueue_changed, on_delete=self._owner_deleted)
        self._pods.add_handler(on_add=self._pod_added, on_update=self._pod_changed, on_delete=self._pod_deleted)

    def selector_of(self, owner: Any) -> Selector:
        """Which pods are the owner's. One that selects everything counts as a mistake and adopts nothing."""
        raise NotImplementedError

    def may_own(self, owner: Any, pod: Pod) -> bool:
        """Whether an orphan that the selector matches could be the owner's."""
        return True

    def is_settled(self, key: ObjectKey) -> bool:
        """Whether the informer shows all that was asked for; if not, the key is looked at again in time."""
        if self._expectations.satisfied(key):
            return True
        self.queue.add_after(key, self._expectations.seconds_left(key))
        return False

    def owned(self, owner: Any) -> list[Pod]:
        """The pods that name the owner as their controller."""
        return self._pods.by_index(BY_CONTROLLER, owner.metadata.uid or "")

    async def claimed(self, owner: Any) -> list[Pod]:
        """The pods the owner controls, after adopting and releasing what it should."""
        orphans = self._pods.by_index(BY_ORPHANAGE, owner.metadata.namespace or "")
        candidates = [*self.owned(owner), *(pod for pod in orphans if self.may_own(owner, pod))]
        return await claim(self._client, owner, self.selector_of(owner), Pod, candidates)

    async def create_pods(self, key: ObjectKey, owner: Any, pods: Sequence[Pod]) -> tuple[int, BaseException | None]:
        """Create `pods` in batches that grow; how many succeeded, and the first failure."""
        # Expected before asked for: the informer may hear of a pod before the answer to its creation arrives.
        self._expectations.expect_creations(key, len(pods))
        tried = 0

        async def create(index: int) -> None:
            nonlocal tried
            tried += 1
            try:
                made = await self._client.create(pods[index])
            except BaseException as error:
                self._expectations.creation_failed(key, error)
                if isinstance(error, Exception) and not is_terminating_namespace(error):
                    self._recorder.event(owner, WARNING, "FailedCreate", f"Error creating: {error}")
                raise
            self._recorder.event(owner, NORMAL, "SuccessfulCreate", f"Created pod: {made.metadata.name}")

        created, error = await slow_start(len(pods), create)
        self._expectations.creation_observed(key, len(pods) - tried)
        return created, error

    async def delete_pods(
        self,
        key: ObjectKey,
        owner: Any,
        pods: Sequence[Pod],
        *,
        before: Callable[[Pod], Awaitable[None]] | None = None,
    ) -> BaseException | None:
        """Delete `pods` at once, each after ``before(pod)``; the first failure. One that is gone already is none."""
        self._expectations.expect_deletions(key, [pod.metadata.uid or "" for pod in pods])

        def deletion(pod: Pod) -> Callable[[], Awaitable[None]]:
            async def delete() -> None:
                name, uid = pod.metadata.name or "", pod.metadata.uid or ""
                try:
                    if before is not None:
                        await before(pod)
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

    def owner_key(self, pod: Pod) -> ObjectKey | None:
        """The key of the owner that controls the pod, if it is one of ours and there."""
        reference = controller_of(pod)
        if reference is None or reference.kind != self._kind:
            return None
        owner = self._owners.get(reference.name, pod.metadata.namespace or "")
        return key_of(owner) if owner is not None and owner.metadata.uid == reference.uid else None

    def _owner_deleted(self, owner: Any) -> None:
        self._expectations.forget(key_of(owner))
        self.enqueue(owner)

    def _pod_added(self, pod: Pod) -> None:
        if pod.metadata.deletion_timestamp is not None:
            self._pod_deleted(pod)
            return
        key = self.owner_key(pod)
        if key is not None:
            self._expectations.creation_observed(key)
            self.queue.add(key)
        elif controller_of(pod) is None:
            self._enqueue_matching(pod)

    def _pod_changed(self, old: Pod, new: Pod) -> None:
        key = self.owner_key(new)
        if key is not None:
            if new.metadata.deletion_timestamp is not None and old.metadata.deletion_timestamp is None:
                # A pod being deleted counts as deleted: its replacement need not wait for its containers to stop.
                self._expectations.deletion_observed(key, new.metadata.uid or "")
            self.queue.add(key)
        before = controller_of(old)
        if before != controller_of(new):
            former = self.owner_key(old)
            if former is not None:
                self.queue.add(former)
        if controller_of(new) is None and (before or old.metadata.labels != new.metadata.labels):
            self._enqueue_matching(new)

    def _pod_deleted(self, pod: Pod) -> None:
        key = self.owner_key(pod)
        if key is not None:
            self._expectations.deletion_observed(key, pod.metadata.uid or "")
            self.queue.add(key)

    def _enqueue_matching(self, pod: Pod) -> None:
        for owner in self._owners.list(pod.metadata.namespace or ""):
            selector = self.selector_of(owner)
            if not selector.is_everything and selector.matches(pod.metadata.labels) and self.may_own(owner, pod):
                self.enqueue(owner)

"""Runs Jobs: makes their pods, counts how they end, and reports."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Final

import msgspec

from tiphys.api.errors import ApiError
from tiphys.api.selectors import Selector, from_label_selector
from tiphys.api.types.batch_v1 import Job
from tiphys.api.types.core_v1 import Pod
from tiphys.client import ObjectKey, key_of
from tiphys.controllers.batches import all_at_once
from tiphys.controllers.job.outcome import is_finished
from tiphys.controllers.job.pods import FINALIZER, is_tracked
from tiphys.controllers.job.reconcile import decide
from tiphys.controllers.namespaced import is_terminating_namespace
from tiphys.controllers.pod_owner import PodOwnerController
from tiphys.controllers.runtime import Environment

MANAGER: Final = "kubernetes.io/job-controller"
_UNKNOWN_VERSION: Final = 2**63
_ABANDONED: Final = ObjectKey("", "pods of Jobs that are gone")


class JobController(PodOwnerController):
    name = "job-controller"

    def __init__(self, environment: Environment) -> None:
        super().__init__(environment, Job, "job-controller")
        self._written: dict[ObjectKey, int] = {}
        self._abandoned_pods: dict[ObjectKey, Pod] = {}

    def selector_of(self, owner: Job) -> Selector:
        return from_label_selector(owner.spec.selector)

    async def sync(self, key: ObjectKey) -> None:
        if key == _ABANDONED:
            await self._release_abandoned()
            return
        job = await self._fresh(key)
        if job is None:
            self._expectations.forget(key)
            self._written.pop(key, None)
            return
        if (job.spec.managed_by or MANAGER) != MANAGER:
            return
        if is_finished(job) or job.metadata.deletion_timestamp is not None:
            await self._release([pod for pod in self.owned(job) if is_tracked(pod)])
            return
        may_act = self.is_settled(key)
        decision = decide(job, await self.claimed(job), may_act=may_act, now=self._clock.now())
        # Without its finalizer first: a pod that the controller itself removes is not counted.
        error = await self.delete_pods(key, job, decision.delete, before=self._remove_finalizer)
        created, failure = await self.create_pods(key, job, decision.create)
        status = decision.status
        if created < len(decision.create):
            active = (status.active or 0) - len(decision.create) + created
            status = msgspec.structs.replace(status, active=active or None)
        if status != job.status:
            await self._write_status(key, msgspec.structs.replace(job, status=status))
            for type_, reason, message in decision.events:
                self._recorder.event(job, type_, reason, message)
        await self._release(list(decision.release))
        if decision.look_again_seconds is not None:
            self.queue.add_after(key, decision.look_again_seconds)
        error = error or failure
        if error is not None and not is_terminating_namespace(error):
            raise error

    async def _fresh(self, key: ObjectKey) -> Job | None:
        """The Job with all that was written of it here: counting on from an older status would count anew."""
        job = self._owners.get(key.name, key.namespace)
        if job is None or int(job.metadata.resource_version or 0) >= self._written.get(key, 0):
            return job
        try:
            return await self._client.get(Job, key.name, key.namespace)
        except ApiError as error:
            if error.code == 404:
                return None
            raise

    async def _write_status(self, key: ObjectKey, job: Job) -> None:
        # Until the answer is here the write may have happened, as far as anyone knows.
        before = self._written.get(key, 0)
        self._written[key] = _UNKNOWN_VERSION
        try:
            written = await self._client.update_status(job)
        except ApiError:
            self._written[key] = before
            raise
        self._written[key] = int(written.metadata.resource_version or 0)

    async def _release(self, pods: list[Pod]) -> None:
        def removal(pod: Pod) -> Callable[[], Awaitable[None]]:
            return lambda: self._remove_finalizer(pod)

        error = await all_at_once([removal(pod) for pod in pods])
        if error is not None:
            raise error

    async def _remove_finalizer(self, pod: Pod) -> None:
        if not is_tracked(pod):
            return
        change: dict[str, Any] = {
            "metadata": {"uid": pod.metadata.uid, "$deleteFromPrimitiveList/finalizers": [FINALIZER]}
        }
        try:
            await self._client.patch(
                Pod, pod.metadata.name or "", pod.metadata.namespace or "", change, type="strategic"
            )
        except ApiError as error:
            if error.code not in (404, 409, 422):
                raise

    def _owner_deleted(self, owner: Job) -> None:
        super()._owner_deleted(owner)
        self._written.pop(key_of(owner), None)
        for pod in self.owned(owner):
            self._abandoned(pod)

    def _pod_added(self, pod: Pod) -> None:
        super()._pod_added(pod)
        self._abandoned(pod)

    def _pod_changed(self, old: Pod, new: Pod) -> None:
        super()._pod_changed(old, new)
        self._abandoned(new)

    def _abandoned(self, pod: Pod) -> None:
        """The pod's Job may be gone: then its finalizer holds nothing any more and goes, lest the pod stay for ever."""
        if is_tracked(pod) and pod.metadata.deletion_timestamp is not None and self.owner_key(pod) is None:
            self._abandoned_pods[key_of(pod)] = pod
            self.queue.add(_ABANDONED)

    async def _release_abandoned(self) -> None:
        waiting, self._abandoned_pods = self._abandoned_pods, {}
        gone = [pod for pod in waiting.values() if self.owner_key(pod) is None]
        try:
            await self._release(gone)
        except (ApiError, OSError, TimeoutError):
            self._abandoned_pods = {**waiting, **self._abandoned_pods}
            raise

"""Runs Jobs: makes their pods, counts how they end, and reports."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Final

import msgspec

from tiphys.api.errors import ApiError
from tiphys.api.selectors import from_label_selector
from tiphys.api.types.batch_v1 import Job
from tiphys.api.types.core_v1 import Pod
from tiphys.client import NORMAL, WARNING, ObjectKey, key_of
from tiphys.client.expectations import Expectations
from tiphys.client.ownership import claim, controller_of
from tiphys.controllers.batches import all_at_once, slow_start
from tiphys.controllers.job.outcome import is_finished
from tiphys.controllers.job.pods import FINALIZER, is_tracked
from tiphys.controllers.job.reconcile import decide
from tiphys.controllers.namespaced import is_terminating_namespace
from tiphys.controllers.pods import BY_CONTROLLER, BY_ORPHANAGE, POD_INDEXES
from tiphys.controllers.runtime import Environment, KeyedController

MANAGER: Final = "kubernetes.io/job-controller"
_UNKNOWN_VERSION: Final = 2**63
_ABANDONED: Final = ObjectKey("", "pods of Jobs that are gone")


class JobController(KeyedController):
    name = "job-controller"

    def __init__(self, environment: Environment) -> None:
        super().__init__()
        self._client = environment.client
        self._clock = environment.clock
        self._recorder = environment.recorder("job-controller")
        self._expectations: Expectations[ObjectKey] = Expectations(environment.clock)
        self._written: dict[ObjectKey, int] = {}
        self._abandoned_pods: dict[ObjectKey, Pod] = {}
        self._jobs = environment.informer(Job)
        self._pods = environment.informer(Pod)
        for name, indexer in POD_INDEXES.items():
            self._pods.add_index(name, indexer)
        self._jobs.add_handler(on_add=self.enqueue, on_update=self.enqueue_changed, on_delete=self._job_deleted)
        self._pods.add_handler(on_add=self._pod_added, on_update=self._pod_changed, on_delete=self._pod_deleted)

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
            await self._release([pod for pod in self._owned(job) if is_tracked(pod)])
            return
        may_act = self._expectations.satisfied(key)
        if not may_act:
            self.queue.add_after(key, self._expectations.seconds_left(key))
        orphans = self._pods.by_index(BY_ORPHANAGE, key.namespace)
        selector = from_label_selector(job.spec.selector)
        pods = await claim(self._client, job, selector, Pod, [*self._owned(job), *orphans])
        decision = decide(job, pods, may_act=may_act, now=self._clock.now())
        error = await self._delete(key, job, decision.delete)
        created, failure = await self._create(key, job, decision.create)
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
        job = self._jobs.get(key.name, key.namespace)
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

    def _owned(self, job: Job) -> list[Pod]:
        return self._pods.by_index(BY_CONTROLLER, job.metadata.uid or "")

    async def _create(self, key: ObjectKey, job: Job, pods: tuple[Pod, ...]) -> tuple[int, BaseException | None]:
        if not pods:
            return 0, None
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
                    self._recorder.event(job, WARNING, "FailedCreate", f"Error creating: {error}")
                raise
            self._recorder.event(job, NORMAL, "SuccessfulCreate", f"Created pod: {made.metadata.name}")

        created, error = await slow_start(len(pods), create)
        self._expectations.creation_observed(key, len(pods) - tried)
        return created, error

    async def _delete(self, key: ObjectKey, job: Job, pods: tuple[Pod, ...]) -> BaseException | None:
        if not pods:
            return None
        self._expectations.expect_deletions(key, [pod.metadata.uid or "" for pod in pods])

        def deletion(pod: Pod) -> Callable[[], Awaitable[None]]:
            async def delete() -> None:
                name, uid = pod.metadata.name or "", pod.metadata.uid or ""
                try:
                    # Without its finalizer first: a pod that the controller itself removes is not counted.
                    await self._remove_finalizer(pod)
                    await self._client.delete(Pod, name, key.namespace, uid=uid)
                except BaseException as error:
                    self._expectations.deletion_observed(key, uid)
                    if isinstance(error, ApiError) and error.code in (404, 409):
                        return
                    if isinstance(error, Exception):
                        self._recorder.event(job, WARNING, "FailedDelete", f"Error deleting: {error}")
                    raise
                self._recorder.event(job, NORMAL, "SuccessfulDelete", f"Deleted pod: {name}")

            return delete

        return await all_at_once([deletion(pod) for pod in pods])

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

    def _job_deleted(self, job: Job) -> None:
        self._expectations.forget(key_of(job))
        self._written.pop(key_of(job), None)
        for pod in self._owned(job):
            self._abandoned(pod)

    def _abandoned(self, pod: Pod) -> None:
        """The pod's Job may be gone: then its finalizer holds nothing any more and goes, lest the pod stay for ever."""
        if is_tracked(pod) and pod.metadata.deletion_timestamp is not None:
            self._abandoned_pods[key_of(pod)] = pod
            self.queue.add(_ABANDONED)

    async def _release_abandoned(self) -> None:
        waiting, self._abandoned_pods = self._abandoned_pods, {}
        gone = [pod for pod in waiting.values() if self._owner_key(pod) is None]
        try:
            await self._release(gone)
        except (ApiError, OSError, TimeoutError):
            self._abandoned_pods = {**waiting, **self._abandoned_pods}
            raise

    def _owner_key(self, pod: Pod) -> ObjectKey | None:
        reference = controller_of(pod)
        if reference is None or reference.kind != "Job":
            return None
        job = self._jobs.get(reference.name, pod.metadata.namespace or "")
        return key_of(job) if job is not None and job.metadata.uid == reference.uid else None

    def _pod_added(self, pod: Pod) -> None:
        if pod.metadata.deletion_timestamp is not None:
            self._pod_deleted(pod)
            self._abandoned(pod)
            return
        key = self._owner_key(pod)
        if key is not None:
            self._expectations.creation_observed(key)
            self.queue.add(key)

    def _pod_changed(self, old: Pod, new: Pod) -> None:
        key = self._owner_key(new)
        if key is None:
            self._abandoned(new)
            return
        if new.metadata.deletion_timestamp is not None:
            self._expectations.deletion_observed(key, new.metadata.uid or "")
        self.queue.add(key)

    def _pod_deleted(self, pod: Pod) -> None:
        key = self._owner_key(pod)
        if key is not None:
            self._expectations.deletion_observed(key, pod.metadata.uid or "")
            self.queue.add(key)

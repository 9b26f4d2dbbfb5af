"""Deletes Jobs, and with them their pods, when their time to live after finishing is over."""

from __future__ import annotations

from tiphys.api.errors import ApiError
from tiphys.api.types.batch_v1 import Job
from tiphys.client import ObjectKey
from tiphys.controllers.runtime import Environment, KeyedController
from tiphys.controllers.ttlafterfinished.reconcile import expires_at


class TTLAfterFinishedController(KeyedController):
    name = "ttl-after-finished-controller"

    def __init__(self, environment: Environment) -> None:
        super().__init__()
        self._client = environment.client
        self._clock = environment.clock
        self._jobs = environment.informer(Job)
        self._jobs.add_handler(on_add=self._job_seen, on_update=lambda _, new: self._job_seen(new))

    async def sync(self, key: ObjectKey) -> None:
        job = self._jobs.get(key.name, key.namespace)
        moment = expires_at(job) if job else None
        if job is None or moment is None:
            return
        remaining = moment - self._clock.now()
        if remaining > 0:
            self.queue.add_after(key, remaining)
            return
        # The cache may be old, and the time to live may have been raised: what is stored decides.
        try:
            fresh = await self._client.get(Job, key.name, key.namespace)
            moment = expires_at(fresh)
            if fresh.metadata.uid != job.metadata.uid or moment is None:
                return
            if moment > self._clock.now():
                self.queue.add_after(key, moment - self._clock.now())
                return
            await self._client.delete(
                Job,
                key.name,
                key.namespace,
                uid=fresh.metadata.uid or "",
                resource_version=fresh.metadata.resource_version or "",
                propagation_policy="Foreground",
            )
        except ApiError as error:
            if error.code != 404:
                raise

    def _job_seen(self, job: Job) -> None:
        if expires_at(job) is not None:
            self.enqueue(job)

"""Follows CronJobs and their Jobs; starts, replaces and deletes Jobs."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, tzinfo
from pathlib import Path
from typing import Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import msgspec

from tiphys.api.errors import ApiError
from tiphys.api.types.batch_v1 import CronJob, CronJobStatus, Job
from tiphys.client import ObjectKey
from tiphys.client.ownership import controller_index, controller_of
from tiphys.controllers.cronjob.reconcile import Decision, decide, is_finished, started
from tiphys.controllers.namespaced import is_terminating_namespace
from tiphys.controllers.runtime import Environment, KeyedController

_LOCAL_TIME: Final = Path("/etc/localtime")
_BY_OWNER: Final = "controller-uid"


class CronJobController(KeyedController):
    """A CronJob is looked at when it or its Jobs change, and when it is due."""

    name = "cronjob-controller"

    def __init__(self, environment: Environment, *, local_zone: Callable[[], tzinfo] | None = None) -> None:
        super().__init__()
        self._client = environment.client
        self._clock = environment.clock
        self._recorder = environment.recorder("cronjob-controller")
        self._local_zone = (local_zone or local_zone_of_host)()
        self._cron_jobs = environment.informer(CronJob)
        self._jobs = environment.informer(Job)
        self._jobs.add_index(_BY_OWNER, controller_index)
        self._cron_jobs.add_handler(on_add=self.enqueue, on_update=self.enqueue_changed)
        self._jobs.add_handler(on_add=self._job_seen, on_update=self._job_changed, on_delete=self._job_seen)

    async def sync(self, key: ObjectKey) -> None:
        cached = self._cron_jobs.get(key.name, key.namespace)
        if cached is None:
            return
        # What was started is known from the status: an old one would start it again.
        try:
            cron_job = await self._client.get(CronJob, key.name, key.namespace)
        except ApiError as error:
            if error.code == 404:
                return
            raise
        jobs = self._jobs.by_index(_BY_OWNER, cron_job.metadata.uid or "")
        zone, zone_error = self._zone(cron_job)
        gone = await self._gone(cron_job, jobs)
        decision = decide(cron_job, jobs, gone, zone, zone_error, self._clock.now())
        for type_, reason, message in decision.events:
            self._recorder.event(cron_job, type_, reason, message)
        status = await self._start(cron_job, decision)
        if status != cron_job.status:
            await self._client.update_status(msgspec.structs.replace(cron_job, status=status))
        for job in decision.delete:
            await self._delete(cron_job, job.metadata.name or "", job.metadata.uid or "")
        if decision.look_again_seconds is not None:
            self.queue.add_after(key, decision.look_again_seconds)

    async def _start(self, cron_job: CronJob, decision: Decision) -> CronJobStatus:
        """Create the Job that is due, if one is; returns the status that then holds."""
        if decision.create is None:
            return decision.status
        replaced = set()
        for reference in decision.replace:
            await self._delete(cron_job, reference.name or "", reference.uid or "")
            replaced.add(reference.uid or "")
        try:
            job = await self._client.create(decision.create)
        except ApiError as error:
            if is_terminating_namespace(error):
                return decision.status
            if error.reason != "AlreadyExists":
                self._recorder.event(cron_job, "Warning", "FailedCreate", f"Error creating job: {error.message}")
                raise
            return await self._started_before(cron_job, decision, replaced)
        self._recorder.event(cron_job, "Normal", "SuccessfulCreate", f"Created job {job.metadata.name}")
        return started(decision.status, job, decision.scheduled, replaced)

    async def _started_before(self, cron_job: CronJob, decision: Decision, replaced: set[str]) -> CronJobStatus:
        """The Job is there: made by us before its start was written down, or by somebody else."""
        assert decision.create is not None
        meta = decision.create.metadata
        job = await self._client.get(Job, meta.name or "", meta.namespace or "")
        owner = controller_of(job)
        if owner is None or owner.uid != cron_job.metadata.uid:
            text = f'Error creating job: jobs.batch "{meta.name}" already exists'
            self._recorder.event(cron_job, "Warning", "FailedCreate", text)
            return decision.status
        status = started(decision.status, job, decision.scheduled, replaced)
        if is_finished(job):
            active = tuple(reference for reference in status.active if reference.uid != job.metadata.uid)
            status = msgspec.structs.replace(status, active=active)
        return status

    async def _delete(self, cron_job: CronJob, name: str, uid: str) -> None:
        namespace = cron_job.metadata.namespace or ""
        try:
            await self._client.delete(Job, name, namespace, uid=uid, propagation_policy="Background")
        except ApiError as error:
            if error.code in (404, 409):
                return
            self._recorder.event(cron_job, "Warning", "FailedDelete", f"Deleted job: {error.message}")
            raise
        self._recorder.event(cron_job, "Normal", "SuccessfulDelete", f"Deleted job {name}")

    async def _gone(self, cron_job: CronJob, jobs: list[Job]) -> set[str]:
        """The uids of active Jobs that do not exist; asked for, since a cache may not show a new one yet."""
        known = {job.metadata.uid for job in jobs}
        missing = set()
        for reference in cron_job.status.active:
            if reference.uid in known:
                continue
            try:
                found = await self._client.get(Job, reference.name or "", cron_job.metadata.namespace or "")
            except ApiError as error:
                if error.code != 404:
                    raise
                missing.add(reference.uid or "")
            else:
                if found.metadata.uid != reference.uid:
                    missing.add(reference.uid or "")
        return missing

    def _zone(self, cron_job: CronJob) -> tuple[tzinfo | None, str]:
        name = cron_job.spec.time_zone
        if not name:
            return self._local_zone, ""
        try:
            return ZoneInfo(name), ""
        except (ZoneInfoNotFoundError, OSError, ValueError) as error:
            return None, str(error)

    def _job_seen(self, job: Job) -> None:
        owner = controller_of(job)
        if owner is not None and owner.kind == "CronJob":
            self.queue.add(ObjectKey(job.metadata.namespace or "", owner.name))

    def _job_changed(self, old: Job, new: Job) -> None:
        # Pods come and go; only the end of a Job, or of its owner's control, matters here.
        if is_finished(old) != is_finished(new) or controller_of(old) != controller_of(new):
            self._job_seen(new)


def local_zone_of_host() -> tzinfo:
    """The time zone of schedules that name none."""
    try:
        with _LOCAL_TIME.open("rb") as file:
            return ZoneInfo.from_file(file)
    except (OSError, ValueError):
        return UTC

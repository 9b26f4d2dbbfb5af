"""What a CronJob needs now, given its Jobs and the time. Pure."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, tzinfo
from email.utils import format_datetime
from typing import Final

import msgspec

from tiphys.api import cron
from tiphys.api.types.batch_v1 import CronJob, CronJobStatus, Job
from tiphys.api.types.core_v1 import ObjectReference
from tiphys.api.types.meta_v1 import ObjectMeta
from tiphys.base.clock import rfc3339
from tiphys.client.ownership import controller_ref
from tiphys.controllers import conditions
from tiphys.controllers.cronjob.schedule import MANY_MISSED, due, next_after
from tiphys.controllers.pods import seconds_of

SCHEDULED_AT: Final = "batch.kubernetes.io/cronjob-scheduled-timestamp"
#: Clocks are read a little late rather than early, which would find the schedule not due yet.
_LATE_SECONDS: Final = 0.1
Event = tuple[str, str, str]
"""Type, reason, message."""


@dataclass(frozen=True, slots=True)
class Decision:
    """Jobs to `delete` because they are old, to `replace` by the one to `create`.

    `status` is what holds before the creation; `started` adds it. `look_again_seconds` None: nothing will be due.
    """

    status: CronJobStatus
    create: Job | None = None
    scheduled: float = 0.0
    replace: tuple[ObjectReference, ...] = ()
    delete: tuple[Job, ...] = ()
    events: tuple[Event, ...] = ()
    look_again_seconds: float | None = None


def decide(
    cron_job: CronJob, jobs: Sequence[Job], gone: Collection[str], zone: tzinfo | None, zone_error: str, now: float
) -> Decision:
    """`jobs` are those the CronJob controls; `gone` the uids of active ones that no longer exist. `zone` None: the
    time zone is unknown, for the reason given."""
    status, events = _settled(cron_job, jobs, gone)
    delete = _old_jobs(cron_job, jobs)
    quiet = Decision(status, delete=delete, events=tuple(events))
    if cron_job.metadata.deletion_timestamp is not None:
        return quiet
    spec = cron_job.spec
    if zone is None:
        text = f'invalid timeZone: "{spec.time_zone}": {zone_error}'
        return Decision(status, delete=delete, events=(*events, ("Warning", "UnknownTimeZone", text)))
    try:
        schedule = cron.parse(spec.schedule)
    except ValueError as error:
        text = f'unparseable schedule: "{spec.schedule}" : {error}'
        return Decision(status, delete=delete, events=(*events, ("Warning", "UnparseableSchedule", text)))
    if spec.suspend:
        return quiet
    created = seconds_of(cron_job.metadata.creation_timestamp or rfc3339(now))
    last = seconds_of(status.last_schedule_time) if status.last_schedule_time else created
    deadline = spec.starting_deadline_seconds
    since = last if deadline is None else max(last, now - deadline)
    found = due(schedule, since, now, zone)
    following = next_after(schedule, now, zone)
    again = None if following is None else following - now + _LATE_SECONDS
    if found is None:
        return Decision(status, delete=delete, events=tuple(events), look_again_seconds=again)
    if found.missed > MANY_MISSED:
        text = "too many missed start times. Set or decrease .spec.startingDeadlineSeconds or check clock skew"
        events.append(("Warning", "TooManyMissedTimes", f"{text}: {found.missed}"))
    if deadline is not None and found.time + deadline < now:
        moment = format_datetime(datetime.fromtimestamp(found.time, zone))
        events.append(("Warning", "MissSchedule", f"Missed scheduled time to start a job: {moment}"))
        return Decision(status, delete=delete, events=tuple(events), look_again_seconds=again)
    if spec.concurrency_policy == "Forbid" and status.active:
        text = "Not starting job because prior execution is running and concurrency policy is Forbid"
        events.append(("Normal", "JobAlreadyActive", text))
        return Decision(status, delete=delete, events=tuple(events), look_again_seconds=again)
    replace = status.active if spec.concurrency_policy == "Replace" else ()
    return Decision(
        status,
        create=job_of(cron_job, found.time, zone),
        scheduled=found.time,
        replace=replace,
        delete=delete,
        events=tuple(events),
        look_again_seconds=again,
    )


def started(status: CronJobStatus, job: Job, scheduled: float, replaced: Collection[str]) -> CronJobStatus:
    """The status once `job` was created; `replaced` are uids of Jobs deleted for it."""
    reference = ObjectReference(
        kind="Job",
        api_version="batch/v1",
        namespace=job.metadata.namespace,
        name=job.metadata.name,
        uid=job.metadata.uid,
        resource_version=job.metadata.resource_version,
    )
    active = tuple(r for r in status.active if r.uid not in replaced and r.uid != job.metadata.uid)
    return msgspec.structs.replace(status, active=(*active, reference), last_schedule_time=rfc3339(scheduled))


def job_of(cron_job: CronJob, scheduled: float, zone: tzinfo) -> Job:
    """The Job of one scheduled time; its name tells the minute, so that no minute has two."""
    template, meta = cron_job.spec.job_template, cron_job.metadata
    local = datetime.fromtimestamp(scheduled, zone).isoformat().replace("+00:00", "Z")
    return Job(
        metadata=ObjectMeta(
            name=f"{meta.name}-{int(scheduled) // 60}",
            namespace=meta.namespace,
            labels=dict(template.metadata.labels),
            annotations={**template.metadata.annotations, SCHEDULED_AT: local},
            owner_references=(controller_ref(cron_job),),
        ),
        spec=template.spec,
    )


def is_finished(job: Job) -> bool:
    return finished_as(job) != ""


def finished_as(job: Job) -> str:
    """``Complete``, ``Failed``, or "" for a Job that is under way."""
    for kind in ("Complete", "Failed"):
        if conditions.is_true(job.status.conditions, kind):
            return kind
    return ""


def _settled(cron_job: CronJob, jobs: Sequence[Job], gone: Collection[str]) -> tuple[CronJobStatus, list[Event]]:
    """The status with what became of its Jobs, and what is to be said about it."""
    events: list[Event] = []
    status = cron_job.status
    active = list(status.active)
    listed = {reference.uid for reference in active}
    latest = status.last_successful_time
    for job in sorted(jobs, key=lambda job: job.metadata.name or ""):
        outcome, name = finished_as(job), job.metadata.name or ""
        if not outcome and job.metadata.uid not in listed:
            text = f"Saw a job that the controller did not create or forgot: {name}"
            events.append(("Warning", "UnexpectedJob", text))
        if outcome and job.metadata.uid in listed:
            active = [reference for reference in active if reference.uid != job.metadata.uid]
            events.append(("Normal", "SawCompletedJob", f"Saw completed job: {name}, condition: {outcome}"))
        completed = job.status.completion_time
        if outcome == "Complete" and completed and (not latest or seconds_of(completed) > seconds_of(latest)):
            latest = completed
    for reference in [reference for reference in active if reference.uid in gone]:
        active.remove(reference)
        events.append(("Normal", "MissingJob", f"Active job went missing: {reference.name}"))
    return msgspec.structs.replace(status, active=tuple(active), last_successful_time=latest), events


def _old_jobs(cron_job: CronJob, jobs: Sequence[Job]) -> tuple[Job, ...]:
    """Finished Jobs beyond the history limits, oldest first."""
    spec = cron_job.spec
    limits = {"Complete": spec.successful_jobs_history_limit, "Failed": spec.failed_jobs_history_limit}
    found: list[Job] = []
    for outcome, limit in limits.items():
        if limit is None:
            continue
        finished = [j for j in jobs if finished_as(j) == outcome and j.metadata.deletion_timestamp is None]
        finished.sort(key=lambda job: (job.status.start_time or "", job.metadata.name or ""))
        found += finished[: max(0, len(finished) - limit)]
    return tuple(found)

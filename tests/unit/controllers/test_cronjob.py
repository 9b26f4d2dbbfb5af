"""When CronJobs are due and what then happens."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, tzinfo
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tiphys.api.cron import parse
from tiphys.api.types.batch_v1 import (
    CronJob,
    CronJobSpec,
    CronJobStatus,
    Job,
    JobCondition,
    JobSpec,
    JobStatus,
    JobTemplateSpec,
)
from tiphys.api.types.core_v1 import ObjectReference
from tiphys.api.types.meta_v1 import ObjectMeta
from tiphys.base.clock import parse_rfc3339, rfc3339
from tiphys.controllers.cronjob.reconcile import Decision, decide, job_of, started
from tiphys.controllers.cronjob.schedule import due, next_after
from tiphys.testing import builders

BERLIN = ZoneInfo("Europe/Berlin")


def at(text: str) -> float:
    return parse_rfc3339(text)


@pytest.mark.parametrize(
    ("schedule", "after", "zone", "expected"),
    [
        ("* * * * *", "2026-01-01T00:00:00Z", UTC, "2026-01-01T00:01:00Z"),
        ("*/15 * * * *", "2026-01-01T00:44:59Z", UTC, "2026-01-01T00:45:00Z"),
        ("0 0 1 1 *", "2026-01-01T00:00:00Z", UTC, "2027-01-01T00:00:00Z"),
        ("30 4 29 2 *", "2026-01-01T00:00:00Z", UTC, "2028-02-29T04:30:00Z"),
        ("0 12 * * mon", "2026-01-01T00:00:00Z", UTC, "2026-01-05T12:00:00Z"),
        ("0 12 13 * fri", "2026-02-07T00:00:00Z", UTC, "2026-02-13T12:00:00Z"),
        ("0 12 13 * fri", "2026-02-13T12:00:00Z", UTC, "2026-02-20T12:00:00Z"),  # the 13th or a Friday
        ("@hourly", "2026-01-01T00:00:00Z", UTC, "2026-01-01T01:00:00Z"),
        ("@every 90s", "2026-01-01T00:00:00Z", UTC, "2026-01-01T00:01:30Z"),
        ("0 8 * * *", "2026-07-01T00:00:00Z", BERLIN, "2026-07-01T06:00:00Z"),
        ("0 8 * * *", "2026-01-01T00:00:00Z", BERLIN, "2026-01-01T07:00:00Z"),
        ("30 2 * * *", "2026-03-28T12:00:00Z", BERLIN, "2026-03-30T00:30:00Z"),  # an hour that is skipped
        ("30 2 * * *", "2026-10-25T00:30:00Z", BERLIN, "2026-10-25T01:30:00Z"),  # one that comes twice
        ("0 * * * *", "2026-03-29T00:00:00Z", BERLIN, "2026-03-29T01:00:00Z"),
    ],
)
def test_the_next_time(schedule: str, after: str, zone: tzinfo, expected: str) -> None:
    found = next_after(parse(schedule), at(after), zone)
    assert found is not None and rfc3339(found) == expected


def test_the_thirtieth_of_february_never_comes() -> None:
    assert next_after(parse("0 0 30 2 *"), at("2026-01-01T00:00:00Z"), UTC) is None


FIELDS = st.tuples(
    st.sampled_from(["*", "*/7", "0", "5,35", "10-20"]),
    st.sampled_from(["*", "*/5", "0", "2,3", "22-23"]),
    st.sampled_from(["*", "1", "15", "28-31"]),
    st.sampled_from(["*", "2", "3,10", "*/4"]),
    st.sampled_from(["*", "0", "1-5", "sat"]),
)
MOMENTS = st.integers(int(at("2025-01-01T00:00:00Z")), int(at("2029-01-01T00:00:00Z")))
ZONES = st.sampled_from([UTC, BERLIN, ZoneInfo("America/St_Johns"), ZoneInfo("Australia/Lord_Howe")])


@given(FIELDS, MOMENTS, ZONES)
def test_the_next_time_is_the_first_minute_that_fits(fields: tuple[str, ...], after: int, zone: tzinfo) -> None:
    schedule = parse(" ".join(fields))

    def fits(time: float) -> bool:
        local = datetime.fromtimestamp(time, zone)
        day, weekday = local.day in schedule.days, local.isoweekday() % 7 in schedule.weekdays
        right_day = (day or weekday) if schedule.either_day else (day and weekday)
        right_hour = local.hour in schedule.hours and local.minute in schedule.minutes
        return local.month in schedule.months and right_day and right_hour

    found = next_after(schedule, after, zone)
    assert found is not None and found > after and fits(found)
    # Of the minutes between, the last day's are looked at one by one.
    first = max(after // 60 * 60 + 60, int(found) - 86400)
    assert not any(fits(minute) for minute in range(first, int(found), 60))


@given(st.sampled_from(["* * * * *", "*/5 * * * *", "0 3 * * *", "@every 10m"]), st.integers(0, 40 * 86400))
def test_what_is_due_is_the_latest_time_that_has_come(text: str, seconds: int) -> None:
    since, schedule = at("2026-01-01T00:00:07Z"), parse(text)
    now = since + seconds
    found = due(schedule, since, now, UTC)
    if found is None:
        first = next_after(schedule, since, UTC)
        assert first is not None and first > now
        return
    following = next_after(schedule, found.time, UTC)
    assert since < found.time <= now and following is not None and following > now


NOW = at("2026-01-01T00:10:30Z")
DUE = at("2026-01-01T00:10:00Z")


def cron_job(status: CronJobStatus | None = None, **spec: Any) -> CronJob:
    template = JobTemplateSpec(
        metadata=ObjectMeta(labels={"a": "b"}, annotations={"c": "d"}), spec=JobSpec(template=builders.template())
    )
    fields = {"schedule": "*/10 * * * *", "concurrency_policy": "Allow", "job_template": template} | spec
    created = rfc3339(at("2026-01-01T00:05:00Z"))
    return CronJob(
        metadata=ObjectMeta(name="tick", namespace="x", uid="U", creation_timestamp=created),
        spec=CronJobSpec(**fields),
        status=status or CronJobStatus(),
    )


def job(name: str, outcome: str = "", *, uid: str = "", started_at: str = "", completed: str | None = None) -> Job:
    conditions = (JobCondition(type=outcome, status="True"),) if outcome else ()
    return Job(
        metadata=ObjectMeta(name=name, namespace="x", uid=uid or name),
        status=JobStatus(conditions=conditions, start_time=started_at or None, completion_time=completed),
    )


def active(*names: str) -> CronJobStatus:
    return CronJobStatus(active=tuple(ObjectReference(kind="Job", name=name, uid=name) for name in names))


def decided(subject: CronJob, *jobs: Job, gone: tuple[str, ...] = (), now: float = NOW) -> Decision:
    return decide(subject, jobs, gone, UTC, "", now)


def reasons(decision: Decision) -> list[str]:
    return [reason for _, reason, _ in decision.events]


def test_a_job_is_made_when_it_is_due() -> None:
    decision = decided(cron_job())
    made = decision.create
    assert made is not None and decision.scheduled == DUE
    assert made.metadata.name == f"tick-{int(DUE) // 60}"
    assert made.metadata.labels == {"a": "b"}
    assert made.metadata.annotations == {
        "c": "d",
        "batch.kubernetes.io/cronjob-scheduled-timestamp": "2026-01-01T00:10:00Z",
    }
    (owner,) = made.metadata.owner_references
    assert (owner.kind, owner.name, owner.uid, owner.controller) == ("CronJob", "tick", "U", True)
    assert decision.look_again_seconds is not None and 570 <= decision.look_again_seconds <= 571
    status = started(decision.status, made, decision.scheduled, ())
    assert status.last_schedule_time == rfc3339(DUE) and status.active[0].name == made.metadata.name
    assert decided(cron_job(status)).create is None, "once a time"


def test_time_zones_are_told_in_the_annotation() -> None:
    made = job_of(cron_job(), DUE, BERLIN)
    assert made.metadata.annotations["batch.kubernetes.io/cronjob-scheduled-timestamp"] == "2026-01-01T01:10:00+01:00"


def test_policies_for_jobs_that_still_run() -> None:
    running = job("tick-1")
    forbidden = decided(cron_job(active("tick-1"), concurrency_policy="Forbid"), running)
    assert forbidden.create is None and reasons(forbidden) == ["JobAlreadyActive"]
    replaced = decided(cron_job(active("tick-1"), concurrency_policy="Replace"), running)
    assert replaced.create is not None and [r.name for r in replaced.replace] == ["tick-1"]
    assert decided(cron_job(active("tick-1")), running).create is not None


def test_a_suspended_one_starts_nothing_and_one_that_is_too_late_says_so() -> None:
    assert decided(cron_job(suspend=True)).create is None
    late = decided(cron_job(starting_deadline_seconds=20))
    assert late.create is None
    assert decided(cron_job(starting_deadline_seconds=60)).create is not None


def test_many_missed_times_start_one_job_and_a_warning() -> None:
    status = CronJobStatus(last_schedule_time=rfc3339(NOW - 30 * 86400))
    decision = decided(cron_job(status))
    assert decision.create is not None and decision.scheduled == DUE
    assert reasons(decision) == ["TooManyMissedTimes"]


def test_what_cannot_be_understood_is_told() -> None:
    assert reasons(decided(cron_job(schedule="nonsense"))) == ["UnparseableSchedule"]
    unknown = decide(cron_job(time_zone="Mars/Base"), (), (), None, "no such zone", NOW)
    assert unknown.events == (("Warning", "UnknownTimeZone", 'invalid timeZone: "Mars/Base": no such zone'),)


def test_the_status_follows_the_jobs() -> None:
    done = job("tick-1", "Complete", completed="2026-01-01T00:09:00Z")
    decision = decided(cron_job(active("tick-1", "tick-2")), done, gone=("tick-2",))
    assert decision.status.active == () and decision.status.last_successful_time == "2026-01-01T00:09:00Z"
    assert reasons(decision) == ["SawCompletedJob", "MissingJob"]
    assert reasons(decided(cron_job(), job("stranger")))[:1] == ["UnexpectedJob"]
    failed = decided(cron_job(active("tick-1")), job("tick-1", "Failed"))
    assert failed.status.active == () and failed.status.last_successful_time is None


def test_old_jobs_go() -> None:
    jobs = [job(f"ok-{n}", "Complete", started_at=f"2026-01-01T00:0{n}:00Z") for n in range(5)]
    jobs += [job(f"bad-{n}", "Failed", started_at=f"2026-01-01T00:0{n}:00Z") for n in range(3)]
    subject = cron_job(successful_jobs_history_limit=3, failed_jobs_history_limit=1)
    assert {old.metadata.name for old in decided(subject, *jobs).delete} == {"ok-0", "ok-1", "bad-0", "bad-1"}
    none = cron_job(successful_jobs_history_limit=0, failed_jobs_history_limit=0)
    assert len(decided(none, *jobs).delete) == 8


def test_a_year_of_minutes_is_quickly_gone_through() -> None:
    started_at = datetime(2025, 1, 1, tzinfo=UTC)
    found = due(parse("* * * * *"), started_at.timestamp(), (started_at + timedelta(days=365)).timestamp(), UTC)
    assert found is not None and found.time == (started_at + timedelta(days=365)).timestamp() and found.missed > 100_000

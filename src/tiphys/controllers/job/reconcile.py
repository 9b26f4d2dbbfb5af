"""What to do for a Job now: pods to make and to delete, and the status to report. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import msgspec

from tiphys.api.types.batch_v1 import Job, JobCondition, JobStatus, UncountedTerminatedPods
from tiphys.api.types.core_v1 import Pod
from tiphys.base.clock import rfc3339
from tiphys.controllers import conditions
from tiphys.controllers.job import failure_policy, indexes, outcome
from tiphys.controllers.job.counting import Tally, tally
from tiphys.controllers.job.outcome import Outcome
from tiphys.controllers.job.pods import finished_at, is_indexed, made, replaces_failed_only
from tiphys.controllers.pods import SUCCEEDED, is_ready

BACKOFF_SECONDS: Final = 10.0
BACKOFF_SECONDS_MAXIMUM: Final = 600.0
MAX_CREATED: Final = 500
"""Pods made in one go at most."""


@dataclass(frozen=True, slots=True)
class Decision:
    """First `delete` and `create`, then write `status`, then take the finalizer off `release`.

    `events` are (type, reason, message). `look_again_seconds`: when only time will have passed.
    """

    status: JobStatus
    create: tuple[Pod, ...] = ()
    delete: tuple[Pod, ...] = ()
    release: tuple[Pod, ...] = ()
    events: tuple[tuple[str, str, str], ...] = ()
    look_again_seconds: float | None = None


def decide(job: Job, pods: Sequence[Pod], *, may_act: bool, now: float) -> Decision:
    """The next step for a Job that is not finished, which controls `pods`.

    `may_act`: whether `pods` shows all that was asked for before; otherwise nothing is created or deleted.
    """
    found = tally(job, pods)
    end = outcome.decide(job, found, now)
    events: list[tuple[str, str, str]] = []
    kept, start_time = _suspension(job, end, events, now)
    create: tuple[Pod, ...] = ()
    delete: tuple[Pod, ...] = ()
    wait_seconds: float | None = None
    if may_act:
        if end is not None or job.spec.suspend:
            delete = tuple(found.active)
        else:
            create, delete, wait_seconds = _scale(job, pods, found, now)
    active = len(found.active) + len(create) - len(delete) if may_act else len(found.active)
    completion_time = None
    if end is not None:
        kept = _with_end(kept, end, now)
        # Not before every pod is counted: nobody looks at a finished Job again.
        uncounted = found.release or found.uncounted_succeeded or found.uncounted_failed
        if not (found.active or found.terminating or delete or uncounted):
            kept, completion_time = _over(kept, end, events, now)
    status = _status(job, found, kept, start_time, completion_time, active)
    left = outcome.deadline_seconds_left(job, now) if end is None else None
    waits = [seconds for seconds in (wait_seconds, left) if seconds is not None]
    return Decision(
        status, create, delete, tuple(found.release), tuple(events), max(0.0, min(waits)) if waits else None
    )


def _suspension(
    job: Job, end: Outcome | None, events: list[tuple[str, str, str]], now: float
) -> tuple[tuple[JobCondition, ...], str | None]:
    kept, start_time = job.status.conditions, job.status.start_time
    noted = conditions.find(kept, outcome.SUSPENDED)
    suspended = noted is not None and noted.status == "True"
    if end is not None:
        return kept, start_time
    if job.spec.suspend:
        if not suspended:
            kept = conditions.with_condition(
                kept, outcome.condition(outcome.SUSPENDED, "JobSuspended", "Job suspended", now)
            )
            events.append(("Normal", "Suspended", "Job suspended"))
        return kept, None
    if suspended:
        fresh = outcome.condition(outcome.SUSPENDED, "JobResumed", "Job resumed", now, "False")
        kept = conditions.with_condition(kept, fresh)
        events.append(("Normal", "Resumed", "Job resumed"))
        return kept, rfc3339(now)
    return kept, start_time or rfc3339(now)


def _scale(
    job: Job, pods: Sequence[Pod], found: Tally, now: float
) -> tuple[tuple[Pod, ...], tuple[Pod, ...], float | None]:
    parallelism = 1 if job.spec.parallelism is None else job.spec.parallelism
    active = len(found.active)
    if job.spec.completions is None:
        wanted = active if found.total_succeeded > 0 else parallelism
    else:
        wanted = min(parallelism, max(0, job.spec.completions - found.total_succeeded))
    doubles = _surplus_of_index(job, found.active)
    excess = max(0, active - len(doubles) - wanted)
    if excess or doubles:
        rest = [pod for pod in found.active if pod not in doubles]
        rest.sort(key=lambda pod: (bool(pod.spec.node_name), is_ready(pod), pod.metadata.creation_timestamp or ""))
        return (), (*doubles, *rest[:excess]), None
    missing = wanted - active - (found.terminating if replaces_failed_only(job) else 0)
    if missing <= 0:
        return (), (), None
    if is_indexed(job):
        return _create_indexed(job, found, min(missing, MAX_CREATED), now)
    wait = _backoff_seconds(pods, found.failed_pods, now)
    if wait > 0:
        return (), (), wait
    return tuple(made(job, None, 0, 0) for _ in range(min(missing, MAX_CREATED))), (), None


def _surplus_of_index(job: Job, active: Sequence[Pod]) -> tuple[Pod, ...]:
    if not is_indexed(job):
        return ()
    seen: set[int] = set()
    surplus = []
    for pod in sorted(active, key=lambda pod: (not is_ready(pod), pod.metadata.creation_timestamp or "")):
        index = indexes.index_of(pod)
        if index is None or index in seen or index >= (job.spec.completions or 0):
            surplus.append(pod)
        else:
            seen.add(index)
    return tuple(surplus)


def _create_indexed(
    job: Job, found: Tally, count: int, now: float
) -> tuple[tuple[Pod, ...], tuple[Pod, ...], float | None]:
    taken = {indexes.index_of(pod) for pod in found.active} | found.succeeded_indexes | found.failed_indexes
    failed_of: dict[int, list[Pod]] = {}
    for pod in found.failed_pods:
        index = indexes.index_of(pod)
        if index is not None:
            failed_of.setdefault(index, []).append(pod)
    per_index = job.spec.backoff_limit_per_index is not None
    shared_wait = 0.0 if per_index else _backoff_seconds((), found.failed_pods, now)
    create: list[Pod] = []
    waits: list[float] = []
    for index in range(job.spec.completions or 0):
        if index in taken:
            continue
        if len(create) >= count:
            break
        failures = failed_of.get(index, [])
        wait = _backoff_seconds((), failures, now, _counted_failures(job, failures)) if per_index else shared_wait
        if wait > 0:
            waits.append(wait)
            continue
        create.append(made(job, index, *_counts_after(job, failures)))
    return tuple(create), (), min(waits) if waits else None


def _counts_after(job: Job, failures: Sequence[Pod]) -> tuple[int, int]:
    """(failures, ignored failures) that the next pod of an index carries."""
    if not failures:
        return 0, 0
    last = max(failures, key=lambda pod: pod.metadata.creation_timestamp or "")
    ignored = failure_policy.judge(job.spec.pod_failure_policy, last).action == failure_policy.IGNORE
    return (
        indexes.count_of(last, indexes.FAILURE_COUNT) + (not ignored),
        indexes.count_of(last, indexes.IGNORED_FAILURE_COUNT) + ignored,
    )


def _counted_failures(job: Job, failures: Sequence[Pod]) -> int:
    return sum(_counts_after(job, failures))


def _backoff_seconds(pods: Sequence[Pod], failed: Sequence[Pod], now: float, failures: int | None = None) -> float:
    """How long to wait before the next pod: longer after each failure since the last success."""
    if not failed:
        return 0.0
    ends = sorted(finished_at(pod, now) for pod in failed)
    last_success = max((finished_at(pod, now) for pod in pods if pod.status.phase == SUCCEEDED), default=0.0)
    recent = [end for end in ends if end >= last_success]
    if not recent:
        return 0.0
    count = len(recent) if failures is None else max(1, failures)
    delay: float = min(BACKOFF_SECONDS * 2.0 ** min(count - 1, 16), BACKOFF_SECONDS_MAXIMUM)
    return max(0.0, recent[-1] + delay - now)


def _with_end(kept: tuple[JobCondition, ...], end: Outcome, now: float) -> tuple[JobCondition, ...]:
    interim = outcome.SUCCESS_CRITERIA_MET if end.type == outcome.COMPLETE else outcome.FAILURE_TARGET
    if conditions.is_true(kept, interim):
        return kept
    return conditions.with_condition(kept, outcome.condition(interim, end.reason, end.message, now))


def _over(
    kept: tuple[JobCondition, ...], end: Outcome, events: list[tuple[str, str, str]], now: float
) -> tuple[tuple[JobCondition, ...], str | None]:
    kept = conditions.with_condition(kept, outcome.condition(end.type, end.reason, end.message, now))
    if end.type == outcome.COMPLETE:
        events.append(("Normal", "Completed", "Job completed"))
        return kept, rfc3339(now)
    events.append(("Warning", end.reason, end.message))
    return kept, None


def _status(
    job: Job,
    found: Tally,
    kept: tuple[JobCondition, ...],
    start_time: str | None,
    completion_time: str | None,
    active: int,
) -> JobStatus:
    indexed = is_indexed(job)
    per_index = indexed and job.spec.backoff_limit_per_index is not None
    return msgspec.structs.replace(
        job.status,
        active=active or None,
        ready=found.ready,
        terminating=found.terminating,
        succeeded=found.succeeded or None,
        failed=found.failed or None,
        completed_indexes=(indexes.render(found.succeeded_indexes) or None) if indexed else None,
        failed_indexes=indexes.render(found.failed_indexes) if per_index else None,
        uncounted_terminated_pods=UncountedTerminatedPods(
            succeeded=tuple(found.uncounted_succeeded), failed=tuple(found.uncounted_failed)
        ),
        conditions=kept,
        start_time=start_time,
        completion_time=completion_time or job.status.completion_time,
    )

"""Whether a Job is over, and how: its conditions. Pure.

A Job first meets its end (SuccessCriteriaMet, FailureTarget: its pods are deleted) and, once no pod is left running, is
Complete or Failed.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

from tiphys.api.types.batch_v1 import Job, JobCondition, SuccessPolicyRule
from tiphys.api.types.core_v1 import Pod
from tiphys.base.clock import rfc3339
from tiphys.controllers import conditions
from tiphys.controllers.job import indexes
from tiphys.controllers.job.counting import Tally
from tiphys.controllers.job.pods import is_indexed
from tiphys.controllers.pods import seconds_of

COMPLETE: Final = "Complete"
FAILED: Final = "Failed"
SUSPENDED: Final = "Suspended"
SUCCESS_CRITERIA_MET: Final = "SuccessCriteriaMet"
FAILURE_TARGET: Final = "FailureTarget"


class Outcome(NamedTuple):
    """How a Job ends: `type` is Complete or Failed."""

    type: str
    reason: str
    message: str


def is_finished(job: Job) -> bool:
    """Whether the Job is Complete or Failed."""
    return conditions.is_true(job.status.conditions, COMPLETE) or conditions.is_true(job.status.conditions, FAILED)


def condition(type: str, reason: str, message: str, now: float, status: str = "True") -> JobCondition:
    """A condition as of now."""
    moment = rfc3339(now)
    return JobCondition(
        type=type,
        status=status,
        reason=reason,
        message=message,
        last_probe_time=moment,
        last_transition_time=moment,
    )


def settled(job: Job) -> Outcome | None:
    """The end the Job has met already, if its conditions say so."""
    for interim, final in ((FAILURE_TARGET, FAILED), (SUCCESS_CRITERIA_MET, COMPLETE)):
        met = conditions.find(job.status.conditions, interim)
        if met is not None and met.status == "True":
            return Outcome(final, met.reason or "", met.message or "")
    return None


def decide(job: Job, tally: Tally, now: float) -> Outcome | None:
    """The end that the pods and the time amount to, or None while the Job goes on."""
    return settled(job) or _failure(job, tally, now) or _success(job, tally)


def deadline_seconds_left(job: Job, now: float) -> float | None:
    """Until ``activeDeadlineSeconds`` have passed; None without such a limit or before the start."""
    limit = job.spec.active_deadline_seconds
    if limit is None or not job.status.start_time or job.spec.suspend:
        return None
    return seconds_of(job.status.start_time) + limit - now


def _failure(job: Job, tally: Tally, now: float) -> Outcome | None:
    if tally.fail_job_message:
        return Outcome(FAILED, "PodFailurePolicy", tally.fail_job_message)
    limit = 6 if job.spec.backoff_limit is None else job.spec.backoff_limit
    if tally.total_failed > limit or _restarted_too_often(job, tally.active, limit):
        return Outcome(FAILED, "BackoffLimitExceeded", "Job has reached the specified backoff limit")
    left = deadline_seconds_left(job, now)
    if left is not None and left <= 0:
        return Outcome(FAILED, "DeadlineExceeded", "Job was active longer than specified deadline")
    return _index_failure(job, tally)


def _restarted_too_often(job: Job, active: Sequence[Pod], limit: int) -> bool:
    if job.spec.template.spec.restart_policy != "OnFailure":
        return False
    restarts = sum(
        status.restart_count
        for pod in active
        if pod.status.phase in ("Running", "Pending")
        for status in (*pod.status.init_container_statuses, *pod.status.container_statuses)
    )
    return restarts > 0 if limit == 0 else restarts >= limit


def _index_failure(job: Job, tally: Tally) -> Outcome | None:
    if not is_indexed(job) or job.spec.backoff_limit_per_index is None:
        return None
    limit = job.spec.max_failed_indexes
    if limit is not None and len(tally.failed_indexes) > limit:
        text = "Job has exceeded the specified maximal number of failed indexes"
        return Outcome(FAILED, "MaxFailedIndexesExceeded", text)
    done = len(tally.failed_indexes) + len(tally.succeeded_indexes)
    if tally.failed_indexes and done >= (job.spec.completions or 0):
        return Outcome(FAILED, "FailedIndexes", "Job has failed indexes")
    return None


def _success(job: Job, tally: Tally) -> Outcome | None:
    if is_indexed(job) and job.spec.success_policy is not None:
        for number, rule in enumerate(job.spec.success_policy.rules):
            if _meets(rule, tally.succeeded_indexes, job.spec.completions or 0):
                return Outcome(COMPLETE, "SuccessPolicy", f"Matched rules at index {number}")
    text = "Reached expected number of succeeded pods"
    if job.spec.completions is None:
        # A work queue: once one pod has succeeded none is added, and the rest finish by themselves.
        done = tally.total_succeeded > 0 and not tally.active
    else:
        done = tally.total_succeeded >= job.spec.completions
    return Outcome(COMPLETE, "CompletionsReached", text) if done else None


def _meets(rule: SuccessPolicyRule, succeeded: set[int], completions: int) -> bool:
    if rule.succeeded_indexes is None:
        return len(succeeded) >= (rule.succeeded_count or 0)
    wanted = indexes.parse(rule.succeeded_indexes, completions)
    count = len(wanted) if rule.succeeded_count is None else rule.succeeded_count
    return len(wanted & succeeded) >= count

"""Checks of what the controller of a Job reports: it ends once, and what it counted only grows.

Rules are looked at when what they are about changes: a status that was bad before does not hold up the rest.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from tiphys.api.field_errors import FieldError, duplicate, invalid, required
from tiphys.api.types.batch_v1 import Job, JobStatus
from tiphys.api.validation import job_indexes
from tiphys.api.validation.metadata import check_metadata_update, check_not_negative

_TERMINAL: Final = ("Failed", "Complete", "FailureTarget")


def _is(status: JobStatus, kind: str) -> bool:
    return any(c.type == kind and c.status == "True" for c in status.conditions)


def _is_finished(status: JobStatus) -> bool:
    return _is(status, "Complete") or _is(status, "Failed")


def validate_job_status(new: Job, old: Job) -> list[FieldError]:
    """A Job whose status replaces that of `old`."""
    errors: list[FieldError] = []
    check_metadata_update(new.metadata, old.metadata, errors)
    _check_counts(new.status, errors)
    _check_uncounted(new.status, errors)
    _check_ends(new, old, errors)
    _check_indexes(new, old, errors)
    _check_pods(new, old, errors)
    _check_success(new, errors)
    _check_progress(new, old, errors)
    return errors


def _check_counts(status: JobStatus, errors: list[FieldError]) -> None:
    for value, name in (
        (status.active, "active"),
        (status.succeeded, "succeeded"),
        (status.failed, "failed"),
        (status.ready, "ready"),
        (status.terminating, "terminating"),
    ):
        check_not_negative(value, f"status.{name}", errors)


def _check_uncounted(status: JobStatus, errors: list[FieldError]) -> None:
    uncounted = status.uncounted_terminated_pods
    if uncounted is None:
        return
    seen: set[str] = set()
    for part, uids in (("succeeded", uncounted.succeeded), ("failed", uncounted.failed)):
        for index, uid in enumerate(uids):
            where = f"status.uncountedTerminatedPods.{part}[{index}]"
            if not uid:
                errors.append(invalid(where, uid, "must not be empty"))
            elif uid in seen:
                errors.append(duplicate(where, uid))
            seen.add(uid)


def _conditions(detail: str) -> FieldError:
    """A set of conditions that makes no sense; upstream leaves it out of the message."""
    return FieldError("FieldValueInvalid", "status.conditions", f"Invalid value: {detail}")


def _check_ends(new: Job, old: Job, errors: list[FieldError]) -> None:
    after, before = new.status, old.status

    def changed(*kinds: str) -> bool:
        return any(_is(after, kind) != _is(before, kind) for kind in kinds)

    complete, failed = _is(after, "Complete"), _is(after, "Failed")
    if complete and failed and changed("Complete", "Failed"):
        errors.append(_conditions("cannot set Complete=True and Failed=true conditions"))
    if complete and _is(after, "FailureTarget") and changed("Complete", "FailureTarget"):
        errors.append(_conditions("cannot set Complete=True and FailureTarget=true conditions"))
    _check_times(after, before, errors)
    if (
        failed
        and not _is(after, "FailureTarget")
        and (changed("Failed") or after.failed_indexes != before.failed_indexes)
    ):
        errors.append(_conditions("cannot set Failed=True condition without the FailureTarget=true condition"))
    if complete and not _is(after, "SuccessCriteriaMet") and changed("Complete", "SuccessCriteriaMet"):
        detail = "cannot set Complete=True condition without the SuccessCriteriaMet=true condition"
        errors.append(_conditions(detail))
    ended = _is_finished(after) != _is_finished(before)
    if not _is_finished(after):
        return
    if (after.active or 0) > 0 and (ended or after.active != before.active):
        errors.append(invalid("status.active", after.active, "active>0 is invalid for finished job"))
    if after.start_time is None and (ended or after.start_time != before.start_time):
        errors.append(required("status.startTime", "startTime is required for finished job"))
    uncounted = after.uncounted_terminated_pods
    if uncounted is None or not (ended or uncounted != before.uncounted_terminated_pods):
        return
    if uncounted.failed or uncounted.succeeded:
        value = {"Succeeded": uncounted.succeeded or None, "Failed": uncounted.failed or None}
        errors.append(invalid("status.uncountedTerminatedPods", value, "must be empty for finished job"))


def _check_times(after: JobStatus, before: JobStatus, errors: list[FieldError]) -> None:
    where = "status.completionTime"
    complete = _is(after, "Complete")
    moved = complete != _is(before, "Complete") or after.completion_time != before.completion_time
    if moved and after.completion_time is not None and not complete:
        detail = "cannot set completionTime when there is no Complete=True condition"
        errors.append(invalid(where, after.completion_time, detail))
    if moved and complete and after.completion_time is None:
        errors.append(required(where, "completionTime is required for Complete jobs"))
    if after.start_time is None or after.completion_time is None:
        return
    if after.completion_time < after.start_time and (
        after.start_time != before.start_time or after.completion_time != before.completion_time
    ):
        errors.append(invalid(where, after.completion_time, "must be equal to or after `startTime`"))


def _check_indexes(new: Job, old: Job, errors: list[FieldError]) -> None:
    status, spec = new.status, new.spec
    completed, failed = status.completed_indexes or "", status.failed_indexes
    completed_changed = completed != (old.status.completed_indexes or "")
    failed_changed = failed != old.status.failed_indexes
    completions = spec.completions
    if completions is not None and completed_changed:
        _check_format(completed, completions, "completedIndexes", errors)
    if completions is not None and failed_changed and failed is not None and spec.backoff_limit_per_index is not None:
        _check_format(failed, completions, "failedIndexes", errors)
    if completed and completed_changed and spec.completion_mode != "Indexed":
        detail = "cannot set non-empty completedIndexes when non-indexed completion mode"
        errors.append(invalid("status.completedIndexes", completed, detail))
    if failed is None:
        return
    if failed_changed and spec.backoff_limit_per_index is None:
        detail = "cannot set non-null failedIndexes when backoffLimitPerIndex is null"
        errors.append(invalid("status.failedIndexes", failed, detail))
    if completions is not None and (failed_changed or completed_changed):
        shared = job_indexes.first_overlap(completed, failed, completions)
        if shared is not None:
            detail = f"failedIndexes and completedIndexes overlap at index: {shared}"
            errors.append(invalid("status.failedIndexes", failed, detail))


def _check_format(text: str, completions: int, name: str, errors: list[FieldError]) -> None:
    try:
        job_indexes.count(text, completions)
    except ValueError as error:
        errors.append(invalid(f"status.{name}", text, f"error parsing {name}: {error}"))


def _check_pods(new: Job, old: Job, errors: list[FieldError]) -> None:
    after, before = new.status, old.status
    ended = _is_finished(after) != _is_finished(before)
    if _is_finished(after) and (after.terminating or 0) > 0 and (ended or after.terminating != before.terminating):
        errors.append(invalid("status.terminating", after.terminating, "terminating>0 is invalid for finished job"))
    if (after.ready or 0) > (after.active or 0) and (after.ready != before.ready or after.active != before.active):
        errors.append(invalid("status.ready", after.ready, "cannot set more ready pods than active"))


def _check_success(new: Job, errors: list[FieldError]) -> None:
    status = new.status
    met = _is(status, "SuccessCriteriaMet")
    if met and _is(status, "Failed"):
        errors.append(_conditions("cannot set SuccessCriteriaMet=True and Failed=true conditions"))
    if met and _is(status, "FailureTarget"):
        errors.append(_conditions("cannot set SuccessCriteriaMet=True and FailureTarget=true conditions"))
    if new.spec.success_policy is not None and not met and _is(status, "Complete"):
        detail = "cannot set Complete=True for Job with SuccessPolicy unless SuccessCriteriaMet=True"
        errors.append(_conditions(detail))


def _check_progress(new: Job, old: Job, errors: list[FieldError]) -> None:
    after, before, spec = new.status, old.status, new.spec
    lost: Callable[[str], bool] = lambda kind: _is(before, kind) and not _is(after, kind)  # noqa: E731
    errors.extend(_conditions(f"cannot disable the terminal {kind}=True condition") for kind in _TERMINAL if lost(kind))
    if (after.failed or 0) < (before.failed or 0):
        errors.append(invalid("status.failed", after.failed or 0, "cannot decrease the failed counter"))
    scalable = spec.completion_mode == "Indexed" and spec.completions == spec.parallelism
    if not scalable and (after.succeeded or 0) < (before.succeeded or 0):
        errors.append(invalid("status.succeeded", after.succeeded or 0, "cannot decrease the succeeded counter"))
    if None not in (after.completion_time, before.completion_time) and after.completion_time != before.completion_time:
        errors.append(invalid("status.completionTime", after.completion_time, "field is immutable"))
    if before.start_time is not None and after.start_time != before.start_time and not spec.suspend:
        errors.append(required("status.startTime", "startTime cannot be removed for unsuspended job"))
    if lost("SuccessCriteriaMet"):
        errors.append(_conditions("cannot disable the SuccessCriteriaMet=True condition"))
    met = _is(before, "SuccessCriteriaMet"), _is(after, "SuccessCriteriaMet")
    if _is(before, "Complete") and met == (False, True):
        detail = "cannot set SuccessCriteriaMet=True for Job already has Complete=true conditions"
        errors.append(_conditions(detail))

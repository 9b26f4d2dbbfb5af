"""Checks of Jobs and CronJobs."""

from __future__ import annotations

from typing import Any, Final

from msgspec.structs import replace

from tiphys.api import cron, names
from tiphys.api.field_errors import FieldError, invalid, not_supported, refuse, required
from tiphys.api.selectors import from_label_selector
from tiphys.api.strategy.jobs import (
    CONTROLLER_UID_LABEL,
    JOB_NAME_LABEL,
    LEGACY_CONTROLLER_UID_LABEL,
    LEGACY_JOB_NAME_LABEL,
)
from tiphys.api.types.batch_v1 import CronJob, CronJobSpec, Job, JobSpec
from tiphys.api.validation.formats import selector_value
from tiphys.api.validation.job_policies import check_failure_policy, check_success_policy
from tiphys.api.validation.metadata import check_immutable, check_metadata, check_metadata_update, check_not_negative
from tiphys.api.validation.pod_spec import check_template
from tiphys.api.validation.selectors import check_label_selector, is_well_formed
from tiphys.api.validation.time_zones import time_zone_problem

INDEXED: Final = "Indexed"
_MODES: Final = ("Indexed", "NonIndexed")
_INDEXED_MAXIMUM: Final = 100_000
_CRON_NAME_MAXIMUM: Final = 52
_NEEDS_INDEXED: Final = "requires indexed completion mode"
_REPLACEMENT: Final = ("Failed", "TerminatingOrFailed")
_CONCURRENCY: Final = ("Allow", "Forbid", "Replace")


def _job(obj: Job) -> list[FieldError]:
    errors: list[FieldError] = []
    check_metadata(obj.metadata, True, names.dns_subdomain, "metadata", errors)
    _check_generated(obj, errors)
    _check_selected(obj.spec, errors)
    return errors


def _check_generated(obj: Job, errors: list[FieldError]) -> None:
    """Labels and selector are what the server makes them, unless the user selects by hand."""
    selector = obj.spec.selector
    if obj.spec.manual_selector or selector is None:
        return
    uid, name = obj.metadata.uid or "", obj.metadata.name or ""
    labels = obj.spec.template.metadata.labels
    for key, expected in (
        (LEGACY_CONTROLLER_UID_LABEL, uid),
        (LEGACY_JOB_NAME_LABEL, name),
        (CONTROLLER_UID_LABEL, uid),
        (JOB_NAME_LABEL, name),
    ):
        path = f"spec.template.metadata.labels[{key}]"
        if key not in labels:
            errors.append(required(path, f"must be '{expected}'"))
        elif labels[key] != expected:
            errors.append(invalid(path, labels[key], f"must be '{expected}'"))
    generated = {LEGACY_CONTROLLER_UID_LABEL: uid, LEGACY_JOB_NAME_LABEL: name, CONTROLLER_UID_LABEL: uid}
    if is_well_formed(selector) and not from_label_selector(selector).matches({**generated, JOB_NAME_LABEL: name}):
        errors.append(invalid("spec.selector", selector_value(selector), "`selector` not auto-generated"))


def _check_selected(spec: JobSpec, errors: list[FieldError]) -> None:
    check_job_spec(spec, "spec", errors)
    if spec.selector is None:
        errors.append(required("spec.selector"))
        return
    before = len(errors)
    check_label_selector(spec.selector, "spec.selector", errors)
    labels = spec.template.metadata.labels
    if len(errors) == before and not from_label_selector(spec.selector).matches(labels):
        detail = "`selector` does not match template `labels`"
        errors.append(invalid("spec.template.metadata.labels", dict(sorted(labels.items())) or None, detail))


def check_job_spec(spec: JobSpec, path: str, errors: list[FieldError]) -> None:
    """What a Job, or the Jobs of a CronJob, are to do."""
    for value, name in (
        (spec.parallelism, "parallelism"),
        (spec.completions, "completions"),
        (spec.active_deadline_seconds, "activeDeadlineSeconds"),
        (spec.backoff_limit, "backoffLimit"),
        (spec.ttl_seconds_after_finished, "ttlSecondsAfterFinished"),
        (spec.backoff_limit_per_index, "backoffLimitPerIndex"),
        (spec.max_failed_indexes, "maxFailedIndexes"),
    ):
        check_not_negative(value, f"{path}.{name}", errors)
    if spec.managed_by is not None:
        refuse(names.domain_prefixed_path(spec.managed_by), spec.managed_by, f"{path}.managedBy", errors)
    _check_mode(spec, path, errors)
    if spec.pod_failure_policy is not None:
        check_failure_policy(spec, f"{path}.podFailurePolicy", errors)
    if spec.success_policy is not None:
        if spec.completion_mode != INDEXED:
            errors.append(invalid(f"{path}.successPolicy", spec.success_policy, _NEEDS_INDEXED))
        else:
            check_success_policy(spec, f"{path}.successPolicy", errors)
    _check_replacement(spec, path, errors)
    check_template(spec.template, f"{path}.template", errors)
    restart = spec.template.spec.restart_policy
    if restart == "Always":
        errors.append(required(f"{path}.template.spec.restartPolicy", 'valid values: "OnFailure", "Never"'))
    elif restart == "OnFailure" and spec.pod_failure_policy is not None:
        detail = 'only "Never" is supported when podFailurePolicy is specified'
        errors.append(invalid(f"{path}.template.spec.restartPolicy", restart, detail))


def _check_mode(spec: JobSpec, path: str, errors: list[FieldError]) -> None:
    mode = spec.completion_mode
    if mode is not None and mode not in _MODES:
        errors.append(not_supported(f"{path}.completionMode", mode, ("NonIndexed", "Indexed")))
    if mode == INDEXED:
        if spec.completions is None:
            errors.append(required(f"{path}.completions", "when completion mode is Indexed"))
        if spec.parallelism is not None and spec.parallelism > _INDEXED_MAXIMUM:
            detail = f"must be less than or equal to {_INDEXED_MAXIMUM} when completion mode is Indexed"
            errors.append(invalid(f"{path}.parallelism", spec.parallelism, detail))
        if spec.completions is not None and (spec.max_failed_indexes or 0) > spec.completions:
            detail = "must be less than or equal to completions"
            errors.append(invalid(f"{path}.maxFailedIndexes", spec.max_failed_indexes, detail))
    else:
        if spec.backoff_limit_per_index is not None:
            errors.append(invalid(f"{path}.backoffLimitPerIndex", spec.backoff_limit_per_index, _NEEDS_INDEXED))
        if spec.max_failed_indexes is not None:
            errors.append(invalid(f"{path}.maxFailedIndexes", spec.max_failed_indexes, _NEEDS_INDEXED))
    if spec.max_failed_indexes is not None and spec.backoff_limit_per_index is None and mode == INDEXED:
        errors.append(required(f"{path}.backoffLimitPerIndex", "when maxFailedIndexes is specified"))


def _check_replacement(spec: JobSpec, path: str, errors: list[FieldError]) -> None:
    policy = spec.pod_replacement_policy
    if policy is None:
        return
    where = f"{path}.podReplacementPolicy"
    if spec.pod_failure_policy is not None:
        if policy != "Failed":
            errors.append(not_supported(where, policy, ("Failed",)))
    elif policy not in _REPLACEMENT:
        errors.append(not_supported(where, policy, _REPLACEMENT))


def _job_update(new: Job, old: Job) -> list[FieldError]:
    errors: list[FieldError] = []
    check_metadata_update(new.metadata, old.metadata, errors)
    after, before = new.spec, old.spec
    _check_selected(after, errors)
    if after.completion_mode == INDEXED and after.completions != before.completions:
        if after.completions != after.parallelism:
            detail = "can only be modified in tandem with spec.parallelism"
            errors.append(invalid("spec.completions", after.completions, detail))
    else:
        check_immutable(after.completions, before.completions, "spec.completions", errors)
    if after.selector != before.selector:
        errors.append(invalid("spec.selector", selector_value(after.selector), "field is immutable"))
    _check_template_update(new, old, errors)
    check_immutable(after.completion_mode, before.completion_mode, "spec.completionMode", errors)
    check_immutable(after.pod_failure_policy, before.pod_failure_policy, "spec.podFailurePolicy", errors)
    check_immutable(after.backoff_limit_per_index, before.backoff_limit_per_index, "spec.backoffLimitPerIndex", errors)
    check_immutable(after.managed_by, before.managed_by, "spec.managedBy", errors)
    check_immutable(after.success_policy, before.success_policy, "spec.successPolicy", errors)
    return errors


def _check_template_update(new: Job, old: Job, errors: list[FieldError]) -> None:
    template, before = new.spec.template, old.spec.template
    if template == before:
        return
    munged = template
    if old.spec.suspend and old.status.start_time is None:
        # Where a Job that never ran will run may still be decided.
        spec = replace(
            munged.spec,
            node_selector=before.spec.node_selector,
            tolerations=before.spec.tolerations,
            scheduling_gates=before.spec.scheduling_gates,
            affinity=before.spec.affinity,
        )
        meta = replace(munged.metadata, labels=before.metadata.labels, annotations=before.metadata.annotations)
        munged = replace(munged, spec=spec, metadata=meta)
    check_immutable(munged, before, "spec.template", errors)


def _job_status(new: Job, old: Job) -> list[FieldError]:
    errors: list[FieldError] = []
    check_metadata_update(new.metadata, old.metadata, errors)
    status = new.status
    for value, name in (
        (status.active, "active"),
        (status.succeeded, "succeeded"),
        (status.failed, "failed"),
        (status.ready, "ready"),
        (status.terminating, "terminating"),
    ):
        check_not_negative(value, f"status.{name}", errors)
    finished = any(c.status == "True" and c.type in ("Complete", "Failed") for c in status.conditions)
    complete = any(c.status == "True" and c.type == "Complete" for c in status.conditions)
    if status.completion_time is not None and not complete:
        detail = "cannot set completionTime when there is no Complete=True condition"
        errors.append(invalid("status.completionTime", status.completion_time, detail))
    if finished and (status.active or 0) > 0:
        errors.append(invalid("status.active", status.active, "active>0 is invalid for finished job"))
    return errors


def _cron_job(obj: CronJob) -> list[FieldError]:
    errors: list[FieldError] = []
    check_metadata(obj.metadata, True, names.dns_subdomain, "metadata", errors)
    _check_cron_spec(obj.spec, "", errors)
    name = obj.metadata.name or ""
    if len(name) > _CRON_NAME_MAXIMUM:
        # The Jobs' names add an eleven-character time.
        errors.append(invalid("metadata.name", name, names.too_long_message(_CRON_NAME_MAXIMUM)))
    return errors


def _check_cron_spec(spec: CronJobSpec, known_zone: str | None, errors: list[FieldError]) -> None:
    if not spec.schedule:
        errors.append(required("spec.schedule"))
    elif "TZ" in spec.schedule:
        detail = "cannot use TZ or CRON_TZ in schedule, use timeZone field instead"
        errors.append(invalid("spec.schedule", spec.schedule, detail))
    else:
        try:
            cron.parse(spec.schedule)
        except ValueError as error:
            errors.append(invalid("spec.schedule", spec.schedule, str(error)))
    check_not_negative(spec.starting_deadline_seconds, "spec.startingDeadlineSeconds", errors)
    if spec.time_zone is not None and spec.time_zone != known_zone:
        problem = time_zone_problem(spec.time_zone)
        if problem:
            errors.append(invalid("spec.timeZone", spec.time_zone, problem))
    if not spec.concurrency_policy:
        errors.append(required("spec.concurrencyPolicy"))
    elif spec.concurrency_policy not in _CONCURRENCY:
        errors.append(not_supported("spec.concurrencyPolicy", spec.concurrency_policy, _CONCURRENCY))
    check_job_spec(spec.job_template.spec, "spec.jobTemplate.spec", errors)
    check_not_negative(spec.successful_jobs_history_limit, "spec.successfulJobsHistoryLimit", errors)
    check_not_negative(spec.failed_jobs_history_limit, "spec.failedJobsHistoryLimit", errors)


def _cron_job_update(new: CronJob, old: CronJob) -> list[FieldError]:
    errors: list[FieldError] = []
    check_metadata_update(new.metadata, old.metadata, errors)
    _check_cron_spec(new.spec, old.spec.time_zone, errors)
    return errors


CREATE: Final[dict[type, Any]] = {CronJob: _cron_job, Job: _job}
UPDATE: Final[dict[type, Any]] = {CronJob: _cron_job_update, Job: _job_update}
STATUS: Final[dict[type, Any]] = {Job: _job_status}

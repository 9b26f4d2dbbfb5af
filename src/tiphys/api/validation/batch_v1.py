"""Checks of Jobs and CronJobs."""

from __future__ import annotations

from typing import Any, Final

from tiphys.api import cron, names
from tiphys.api.field_errors import FieldError, invalid, not_supported, required, too_long
from tiphys.api.selectors import from_label_selector
from tiphys.api.strategy.jobs import (
    CONTROLLER_UID_LABEL,
    JOB_NAME_LABEL,
    LEGACY_CONTROLLER_UID_LABEL,
    LEGACY_JOB_NAME_LABEL,
)
from tiphys.api.types.batch_v1 import CronJob, CronJobSpec, Job, JobSpec
from tiphys.api.validation.formats import check_domain_prefixed_path, selector_value
from tiphys.api.validation.job_policies import check_failure_policy, check_success_policy
from tiphys.api.validation.job_status import validate_job_status
from tiphys.api.validation.job_updates import check_template_update
from tiphys.api.validation.metadata import check_immutable, check_metadata, check_metadata_update, check_not_negative
from tiphys.api.validation.pod_spec import check_template
from tiphys.api.validation.selectors import check_label_selector, is_well_formed
from tiphys.api.validation.time_zones import time_zone_problem

INDEXED: Final = "Indexed"
_MODES: Final = ("Indexed", "NonIndexed")
_INDEXED_MAXIMUM: Final = 100_000
_COMPLETIONS_SOFT_LIMIT: Final = 100_000
_MANY_MAXIMUM: Final = 10_000
_MANAGER_MAXIMUM: Final = 63
_CRON_NAME_MAXIMUM: Final = 52
_NEEDS_INDEXED: Final = "requires indexed completion mode"
_REPLACEMENT: Final = ("Failed", "TerminatingOrFailed")
_CONCURRENCY: Final = ("Allow", "Forbid", "Replace")


def _job(obj: Job) -> list[FieldError]:
    errors: list[FieldError] = []
    check_metadata(obj.metadata, True, names.dns_subdomain, "metadata", errors)
    _check_generated(obj, errors)
    _check_selected(obj.spec, errors)
    _check_host_names(obj, errors)
    return errors


def _check_host_names(obj: Job, errors: list[FieldError]) -> None:
    """Pods of an Indexed Job get host names that end in their index."""
    completions = obj.spec.completions or 0
    if obj.spec.completion_mode == INDEXED and completions > 0:
        longest = f"{obj.metadata.name}-{completions - 1}"
        if names.dns_label(longest):
            detail = f"will not able to create pod with invalid DNS label: {longest}"
            errors.append(invalid("metadata.name", obj.metadata.name or "", detail))


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
            errors.append(invalid(path, dict(sorted(labels.items())), f"must be '{expected}'"))
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
    if spec.max_failed_indexes is not None and spec.backoff_limit_per_index is None:
        errors.append(required(f"{path}.backoffLimitPerIndex", "when maxFailedIndexes is specified"))
    if spec.managed_by is not None:
        check_domain_prefixed_path(spec.managed_by, f"{path}.managedBy", errors)
        if len(spec.managed_by) > _MANAGER_MAXIMUM:
            errors.append(too_long(f"{path}.managedBy", _MANAGER_MAXIMUM))
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
    if not restart or restart == "Always":
        errors.append(required(f"{path}.template.spec.restartPolicy", 'valid values: "OnFailure", "Never"'))
    elif restart not in ("OnFailure", "Never"):
        errors.append(not_supported(f"{path}.template.spec.restartPolicy", restart, ("OnFailure", "Never")))
    elif restart != "Never" and spec.pod_failure_policy is not None:
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
        _check_failed_indexes(spec, path, errors)
    elif mode is None or mode == "NonIndexed":
        if spec.backoff_limit_per_index is not None:
            errors.append(invalid(f"{path}.backoffLimitPerIndex", spec.backoff_limit_per_index, _NEEDS_INDEXED))
        if spec.max_failed_indexes is not None:
            errors.append(invalid(f"{path}.maxFailedIndexes", spec.max_failed_indexes, _NEEDS_INDEXED))


def _check_failed_indexes(spec: JobSpec, path: str, errors: list[FieldError]) -> None:
    """Which indexes failed must fit into the status."""
    failed, completions = spec.max_failed_indexes, spec.completions
    where = f"{path}.maxFailedIndexes"
    if failed is not None:
        if completions is not None and failed > completions:
            errors.append(invalid(where, failed, "must be less than or equal to completions"))
        if failed > _INDEXED_MAXIMUM:
            errors.append(invalid(where, failed, f"must be less than or equal to {_INDEXED_MAXIMUM}"))
    if completions is None or completions <= _COMPLETIONS_SOFT_LIMIT or spec.backoff_limit_per_index is None:
        return
    detail = (
        f"must be less than or equal to {_MANY_MAXIMUM} when completions are above {_COMPLETIONS_SOFT_LIMIT} and used "
        "with backoff limit per index"
    )
    if failed is None:
        errors.append(required(where, f"must be specified when completions is above {_COMPLETIONS_SOFT_LIMIT}"))
    if spec.parallelism is not None and spec.parallelism > _MANY_MAXIMUM:
        errors.append(invalid(f"{path}.parallelism", spec.parallelism, detail))
    if failed is not None and failed > _MANY_MAXIMUM:
        errors.append(invalid(where, failed, detail))


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
    # Upstream checks the new Job as if it were made now, and then again as an update.
    errors = _job(new)
    check_metadata_update(new.metadata, old.metadata, errors)
    after, before = new.spec, old.spec
    _check_selected(after, errors)
    if after.completion_mode != INDEXED:
        check_immutable(after.completions, before.completions, "spec.completions", errors)
    elif after.completions not in (before.completions, after.parallelism) and after.completions is not None:
        detail = "can only be modified in tandem with spec.parallelism"
        errors.append(invalid("spec.completions", after.completions, detail))
    if after.selector != before.selector:
        errors.append(invalid("spec.selector", selector_value(after.selector), "field is immutable"))
    check_template_update(new, old, errors)
    check_immutable(after.completion_mode, before.completion_mode, "spec.completionMode", errors)
    check_immutable(after.pod_failure_policy, before.pod_failure_policy, "spec.podFailurePolicy", errors)
    check_immutable(after.backoff_limit_per_index, before.backoff_limit_per_index, "spec.backoffLimitPerIndex", errors)
    check_immutable(after.managed_by, before.managed_by, "spec.managedBy", errors)
    check_immutable(after.success_policy, before.success_policy, "spec.successPolicy", errors)
    return errors


def _cron_job(obj: CronJob) -> list[FieldError]:
    errors: list[FieldError] = []
    check_metadata(obj.metadata, True, names.dns_subdomain, "metadata", errors)
    _check_cron_spec(obj.spec, None, errors)
    name = obj.metadata.name or ""
    if len(name) > _CRON_NAME_MAXIMUM:
        # The Jobs' names add an eleven-character time.
        errors.append(invalid("metadata.name", name, names.too_long_message(_CRON_NAME_MAXIMUM)))
    return errors


def _check_cron_spec(spec: CronJobSpec, old: CronJobSpec | None, errors: list[FieldError]) -> None:
    if not spec.schedule:
        errors.append(required("spec.schedule"))
    else:
        _check_schedule(spec, old is not None and "TZ" in old.schedule, errors)
    check_not_negative(spec.starting_deadline_seconds, "spec.startingDeadlineSeconds", errors)
    if spec.time_zone is not None and (old is None or spec.time_zone != old.time_zone):
        problem = time_zone_problem(spec.time_zone)
        if problem:
            errors.append(invalid("spec.timeZone", spec.time_zone, problem))
    if not spec.concurrency_policy:
        errors.append(required("spec.concurrencyPolicy"))
    elif spec.concurrency_policy not in _CONCURRENCY:
        errors.append(not_supported("spec.concurrencyPolicy", spec.concurrency_policy, _CONCURRENCY))
    _check_job_template(spec.job_template.spec, errors)
    check_not_negative(spec.successful_jobs_history_limit, "spec.successfulJobsHistoryLimit", errors)
    check_not_negative(spec.failed_jobs_history_limit, "spec.failedJobsHistoryLimit", errors)


def _check_schedule(spec: CronJobSpec, had_zone: bool, errors: list[FieldError]) -> None:
    """When it runs. Zones in schedules are from before there was a field for them, and stay where they were."""
    schedule = spec.schedule
    try:
        cron.parse(_without_zone(schedule))
    except ValueError as error:
        errors.append(invalid("spec.schedule", schedule, str(error)))
    if "TZ" not in schedule:
        return
    if not had_zone:
        detail = "cannot use TZ or CRON_TZ in schedule, use timeZone field instead"
        errors.append(invalid("spec.schedule", schedule, detail))
    elif spec.time_zone is not None:
        detail = "cannot use both timeZone field and TZ or CRON_TZ in schedule"
        errors.append(invalid("spec.schedule", schedule, detail))


def _without_zone(schedule: str) -> str:
    zone, space, rest = schedule.partition(" ")
    return rest if space and zone.startswith(("TZ=", "CRON_TZ=")) else schedule


def _check_job_template(spec: JobSpec, errors: list[FieldError]) -> None:
    path = "spec.jobTemplate.spec"
    check_job_spec(spec, path, errors)
    if spec.selector is not None:
        detail = "`selector` will be auto-generated"
        errors.append(invalid(f"{path}.selector", selector_value(spec.selector), detail))
    if spec.manual_selector:
        errors.append(not_supported(f"{path}.manualSelector", True, ("nil", "false")))


def _cron_job_update(new: CronJob, old: CronJob) -> list[FieldError]:
    errors: list[FieldError] = []
    check_metadata_update(new.metadata, old.metadata, errors)
    _check_cron_spec(new.spec, old.spec, errors)
    return errors


CREATE: Final[dict[type, Any]] = {CronJob: _cron_job, Job: _job}
UPDATE: Final[dict[type, Any]] = {CronJob: _cron_job_update, Job: _job_update}
STATUS: Final[dict[type, Any]] = {Job: validate_job_status}

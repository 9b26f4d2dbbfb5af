"""Checks of what makes a Job fail or succeed early."""

from __future__ import annotations

from typing import Final

from tiphys.api.field_errors import FieldError, invalid, not_supported, quote, required, too_long, too_many
from tiphys.api.types.batch_v1 import (
    JobSpec,
    PodFailurePolicyOnExitCodesRequirement,
    PodFailurePolicyRule,
    SuccessPolicyRule,
)
from tiphys.api.validation import job_indexes
from tiphys.api.validation.metadata import check_label_name, check_not_negative

_RULES_MAXIMUM: Final = 20
_VALUES_MAXIMUM: Final = 255
_PATTERNS_MAXIMUM: Final = 20
_ACTIONS: Final = ("Count", "FailIndex", "FailJob", "Ignore")
_OPERATORS: Final = ("In", "NotIn")
_STATUSES: Final = ("False", "True", "Unknown")
_INDEXES_MAXIMUM_BYTES: Final = 64 * 1024


def check_failure_policy(spec: JobSpec, path: str, errors: list[FieldError]) -> None:
    """Rules on exit codes and conditions of failed pods."""
    policy = spec.pod_failure_policy
    assert policy is not None
    if len(policy.rules) > _RULES_MAXIMUM:
        errors.append(too_many(f"{path}.rules", len(policy.rules), _RULES_MAXIMUM))
    containers = {c.name for c in (*spec.template.spec.containers, *spec.template.spec.init_containers)}
    for index, rule in enumerate(policy.rules):
        _check_failure_rule(rule, spec, containers, f"{path}.rules[{index}]", errors)


def _check_failure_rule(
    rule: PodFailurePolicyRule, spec: JobSpec, containers: set[str], path: str, errors: list[FieldError]
) -> None:
    if not rule.action:
        errors.append(required(f"{path}.action", _valid(_ACTIONS)))
    elif rule.action == "FailIndex":
        if spec.backoff_limit_per_index is None:
            detail = "requires the backoffLimitPerIndex to be set"
            errors.append(invalid(f"{path}.action", rule.action, detail))
    elif rule.action not in _ACTIONS:
        errors.append(not_supported(f"{path}.action", rule.action, _ACTIONS))
    if rule.on_exit_codes is not None:
        _check_exit_codes(rule.on_exit_codes, containers, f"{path}.onExitCodes", errors)
    if len(rule.on_pod_conditions) > _PATTERNS_MAXIMUM:
        errors.append(too_many(f"{path}.onPodConditions", len(rule.on_pod_conditions), _PATTERNS_MAXIMUM))
    for index, pattern in enumerate(rule.on_pod_conditions):
        where = f"{path}.onPodConditions[{index}]"
        check_label_name(pattern.type, f"{where}.type", errors)
        if not pattern.status:
            errors.append(required(f"{where}.status", _valid(_STATUSES)))
        elif pattern.status not in _STATUSES:
            errors.append(not_supported(f"{where}.status", pattern.status, _STATUSES))
    if rule.on_exit_codes is not None and rule.on_pod_conditions:
        errors.append(_bad_rule(path, "specifying both OnExitCodes and OnPodConditions is not supported"))
    if rule.on_exit_codes is None and not rule.on_pod_conditions:
        errors.append(_bad_rule(path, "specifying one of OnExitCodes and OnPodConditions is required"))


def _bad_rule(path: str, detail: str) -> FieldError:
    """A rule that makes no sense; upstream leaves it out of the message."""
    return FieldError("FieldValueInvalid", path, f"Invalid value: {detail}")


def _valid(values: tuple[str, ...]) -> str:
    return f"valid values: [{' '.join(map(quote, values))}]"


def _check_exit_codes(
    codes: PodFailurePolicyOnExitCodesRequirement, containers: set[str], path: str, errors: list[FieldError]
) -> None:
    if not codes.operator:
        errors.append(required(f"{path}.operator", _valid(_OPERATORS)))
    elif codes.operator not in _OPERATORS:
        errors.append(not_supported(f"{path}.operator", codes.operator, _OPERATORS))
    if codes.container_name is not None and codes.container_name not in containers:
        detail = "must be one of the container or initContainer names in the pod template"
        errors.append(invalid(f"{path}.containerName", codes.container_name, detail))
    values = f"{path}.values"
    if not codes.values:
        errors.append(invalid(values, None, "at least one value is required"))
    elif len(codes.values) > _VALUES_MAXIMUM:
        errors.append(too_many(values, len(codes.values), _VALUES_MAXIMUM))
    seen: set[int] = set()
    ordered = True
    previous = None
    for index, value in enumerate(codes.values):
        if value == 0 and codes.operator == "In":
            errors.append(invalid(f"{values}[{index}]", value, "must not be 0 for the In operator"))
        if value in seen:
            errors.append(FieldError("FieldValueDuplicate", f"{values}[{index}]", f"Duplicate value: {value}"))
        seen.add(value)
        ordered = ordered and (previous is None or previous <= value)
        previous = value
    if not ordered:
        errors.append(invalid(values, list(codes.values), "must be ordered"))


def check_success_policy(spec: JobSpec, path: str, errors: list[FieldError]) -> None:
    """Which indexes are enough."""
    policy = spec.success_policy
    assert policy is not None
    if not policy.rules:
        errors.append(
            required(f"{path}.rules", "at least one rules must be specified when the successPolicy is specified")
        )
    if len(policy.rules) > _RULES_MAXIMUM:
        errors.append(too_many(f"{path}.rules", len(policy.rules), _RULES_MAXIMUM))
    for index, rule in enumerate(policy.rules):
        where = f"{path}.rules[{index}]"
        if rule.succeeded_count is None and rule.succeeded_indexes is None:
            detail = "at least one of succeededCount or succeededIndexes must be specified"
            errors.append(required(where, detail))
        total = 0
        if rule.succeeded_indexes is not None:
            text = rule.succeeded_indexes
            if len(text) > _INDEXES_MAXIMUM_BYTES:
                errors.append(too_long(f"{where}.succeededIndexes", _INDEXES_MAXIMUM_BYTES))
            try:
                total = job_indexes.count(text, spec.completions or 0)
            except ValueError as error:
                detail = f"error parsing succeededIndexes: {error}"
                errors.append(invalid(f"{where}.succeededIndexes", text, detail))
        if rule.succeeded_count is not None:
            _check_succeeded_count(rule, spec.completions or 0, total, f"{where}.succeededCount", errors)


def _check_succeeded_count(
    rule: SuccessPolicyRule, completions: int, total: int, path: str, errors: list[FieldError]
) -> None:
    wanted = rule.succeeded_count or 0
    check_not_negative(wanted, path, errors)
    least = "must be less than or equal to"
    if wanted > completions:
        errors.append(invalid(path, wanted, f"{least} {completions} (the number of specified completions)"))
    if rule.succeeded_indexes is not None and wanted > total:
        detail = f"{least} {total} (the number of indexes in the specified succeededIndexes field)"
        errors.append(invalid(path, wanted, detail))

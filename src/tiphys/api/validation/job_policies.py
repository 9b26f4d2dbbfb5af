"""Checks of what makes a Job fail or succeed early."""

from __future__ import annotations

import re
from typing import Final

from tiphys.api.field_errors import FieldError, invalid, not_supported, required, too_many
from tiphys.api.types.batch_v1 import JobSpec, PodFailurePolicyOnExitCodesRequirement, PodFailurePolicyRule
from tiphys.api.validation.metadata import check_label_name

_RULES_MAXIMUM: Final = 20
_VALUES_MAXIMUM: Final = 255
_PATTERNS_MAXIMUM: Final = 20
_ACTIONS: Final = ("Count", "FailIndex", "FailJob", "Ignore")
_OPERATORS: Final = ("In", "NotIn")
_STATUSES: Final = ("False", "True", "Unknown")
_match_intervals: Final = re.compile(r"\d+(-\d+)?(,\d+(-\d+)?)*").fullmatch


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
        errors.append(required(f"{path}.action", f"valid values: {list(_ACTIONS)}"))
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
            errors.append(required(f"{where}.status", f"valid values: {list(_STATUSES)}"))
        elif pattern.status not in _STATUSES:
            errors.append(not_supported(f"{where}.status", pattern.status, _STATUSES))
    if rule.on_exit_codes is not None and rule.on_pod_conditions:
        errors.append(invalid(path, rule, "specifying both OnExitCodes and OnPodConditions is not supported"))
    if rule.on_exit_codes is None and not rule.on_pod_conditions:
        errors.append(invalid(path, rule, "specifying one of OnExitCodes and OnPodConditions is required"))


def _check_exit_codes(
    codes: PodFailurePolicyOnExitCodesRequirement, containers: set[str], path: str, errors: list[FieldError]
) -> None:
    if codes.operator not in _OPERATORS:
        errors.append(not_supported(f"{path}.operator", codes.operator, _OPERATORS))
    if codes.container_name is not None and codes.container_name not in containers:
        detail = "must be one of the container or initContainer names in the pod template"
        errors.append(invalid(f"{path}.containerName", codes.container_name, detail))
    values = f"{path}.values"
    if not codes.values:
        errors.append(invalid(values, list(codes.values), "at least one value is required"))
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
        if rule.succeeded_indexes is not None and not _match_intervals(rule.succeeded_indexes):
            detail = "error parsing succeededIndexes: cannot convert string to integer for index"
            errors.append(invalid(f"{where}.succeededIndexes", rule.succeeded_indexes, detail))
        if rule.succeeded_count is not None:
            if rule.succeeded_count < 0:
                detail = "must be greater than or equal to 0"
                errors.append(invalid(f"{where}.succeededCount", rule.succeeded_count, detail))
            elif spec.completions is not None and rule.succeeded_count > spec.completions:
                detail = f"must be less than or equal to {spec.completions} (the number of specified completions)"
                errors.append(invalid(f"{where}.succeededCount", rule.succeeded_count, detail))

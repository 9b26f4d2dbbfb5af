"""Checks of PodDisruptionBudgets."""

from __future__ import annotations

from typing import Any, Final

from tiphys.api import names
from tiphys.api.field_errors import FieldError, invalid, not_supported
from tiphys.api.types.policy_v1 import PodDisruptionBudget, PodDisruptionBudgetSpec
from tiphys.api.validation.formats import check_at_most_100_percent, check_not_negative_or_percent, selector_value
from tiphys.api.validation.metadata import check_metadata, check_metadata_update, check_not_negative
from tiphys.api.validation.selectors import check_label_selector

_EVICTION: Final = ("AlwaysAllow", "IfHealthyBudget")


def _budget(obj: PodDisruptionBudget) -> list[FieldError]:
    errors: list[FieldError] = []
    check_metadata(obj.metadata, True, names.dns_subdomain, "metadata", errors)
    _check_spec(obj.spec, errors)
    return errors


def _budget_update(new: PodDisruptionBudget, old: PodDisruptionBudget) -> list[FieldError]:
    errors: list[FieldError] = []
    check_metadata_update(new.metadata, old.metadata, errors)
    _check_spec(new.spec, errors)
    return errors


def _check_spec(spec: PodDisruptionBudgetSpec, errors: list[FieldError]) -> None:
    if spec.min_available is not None and spec.max_unavailable is not None:
        value = {
            "MinAvailable": spec.min_available,
            "Selector": selector_value(spec.selector),
            "MaxUnavailable": spec.max_unavailable,
            "UnhealthyPodEvictionPolicy": spec.unhealthy_pod_eviction_policy,
        }
        errors.append(invalid("spec", value, "minAvailable and maxUnavailable cannot be both set"))
    for amount, name in ((spec.min_available, "minAvailable"), (spec.max_unavailable, "maxUnavailable")):
        check_not_negative_or_percent(amount, f"spec.{name}", errors)
        check_at_most_100_percent(amount, f"spec.{name}", errors)
    policy = spec.unhealthy_pod_eviction_policy
    if policy is not None and policy not in _EVICTION:
        errors.append(not_supported("spec.unhealthyPodEvictionPolicy", policy, _EVICTION))
    check_label_selector(spec.selector, "spec.selector", errors)


def _budget_status(new: PodDisruptionBudget, old: PodDisruptionBudget) -> list[FieldError]:
    errors: list[FieldError] = []
    check_metadata_update(new.metadata, old.metadata, errors)
    status = new.status
    check_not_negative(status.disruptions_allowed, "status.disruptionsAllowed", errors)
    check_not_negative(status.current_healthy, "status.currentHealthy", errors)
    check_not_negative(status.desired_healthy, "status.desiredHealthy", errors)
    check_not_negative(status.expected_pods, "status.expectedPods", errors)
    return errors


CREATE: Final[dict[type, Any]] = {PodDisruptionBudget: _budget}
UPDATE: Final[dict[type, Any]] = {PodDisruptionBudget: _budget_update}
STATUS: Final[dict[type, Any]] = {PodDisruptionBudget: _budget_status}

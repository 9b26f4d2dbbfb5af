"""Checks of autoscaling/v2."""

from __future__ import annotations

from typing import Any, Final

from tiphys.api import names
from tiphys.api.field_errors import FieldError, forbidden, invalid, not_supported, refuse, required
from tiphys.api.types.autoscaling_v2 import (
    HorizontalPodAutoscaler,
    HPAScalingRules,
    MetricIdentifier,
    MetricSpec,
    MetricTarget,
)
from tiphys.api.validation.metadata import check_metadata, check_metadata_update
from tiphys.api.validation.scaling import check_bounds, check_target
from tiphys.api.validation.selectors import check_label_selector

_SOURCES: Final = {
    "ContainerResource": ("container_resource", "containerResource"),
    "External": ("external", "external"),
    "Object": ("object", "object"),
    "Pods": ("pods", "pods"),
    "Resource": ("resource", "resource"),
}
_SELECT: Final = ("Disabled", "Max", "Min")
_POLICIES: Final = ("Percent", "Pods")
_WINDOW_MAXIMUM_SECONDS: Final = 3600
_PERIOD_MAXIMUM_SECONDS: Final = 1800
_POSITIVE: Final = "must be greater than zero"


def _autoscaler(obj: HorizontalPodAutoscaler) -> list[FieldError]:
    errors: list[FieldError] = []
    check_metadata(obj.metadata, True, names.dns_subdomain, "metadata", errors)
    _check_spec(obj, errors)
    return errors


def _autoscaler_update(new: HorizontalPodAutoscaler, old: HorizontalPodAutoscaler) -> list[FieldError]:
    errors: list[FieldError] = []
    check_metadata_update(new.metadata, old.metadata, errors)
    _check_spec(new, errors)
    return errors


def _check_spec(obj: HorizontalPodAutoscaler, errors: list[FieldError]) -> None:
    spec = obj.spec
    check_bounds(spec.min_replicas, spec.max_replicas, errors)
    check_target(spec.scale_target_ref, errors)
    for index, metric in enumerate(spec.metrics):
        _check_metric(metric, f"spec.metrics[{index}]", errors)
    if spec.behavior is not None:
        _check_rules(spec.behavior.scale_up, "spec.behavior.scaleUp", errors)
        _check_rules(spec.behavior.scale_down, "spec.behavior.scaleDown", errors)


def _check_metric(metric: MetricSpec, path: str, errors: list[FieldError]) -> None:
    if not metric.type:
        errors.append(required(f"{path}.type", "must specify a metric source type"))
    elif metric.type not in _SOURCES:
        errors.append(not_supported(f"{path}.type", metric.type, tuple(_SOURCES)))
    given = {kind: name for kind, (attribute, name) in _SOURCES.items() if getattr(metric, attribute) is not None}
    if len(given) > 1:
        for kind, name in given.items():
            if kind != metric.type:
                detail = "must populate the given metric source only"
                errors.append(forbidden(f"{path}.{name}", detail))
    if metric.type in _SOURCES and metric.type not in given:
        name = _SOURCES[metric.type][1]
        errors.append(required(f"{path}.{name}", "must populate information for the given metric source"))
    if metric.resource is not None:
        _check_resource(metric.resource.name, metric.resource.target, f"{path}.resource", errors)
    if metric.container_resource is not None:
        where = f"{path}.containerResource"
        _check_resource(metric.container_resource.name, metric.container_resource.target, where, errors)
        if not metric.container_resource.container:
            errors.append(required(f"{where}.container", "must specify a container"))
    if metric.pods is not None:
        _check_identifier(metric.pods.metric, f"{path}.pods.metric", errors)
        _check_target_value(metric.pods.target, f"{path}.pods.target", errors)
        if metric.pods.target.average_value is None:
            errors.append(required(f"{path}.pods.target.averageValue", "must specify a positive target averageValue"))
    if metric.object is not None:
        check_target(metric.object.described_object, errors, f"{path}.object.describedObject")
        _check_identifier(metric.object.metric, f"{path}.object.metric", errors)
        _check_target_value(metric.object.target, f"{path}.object.target", errors)
    if metric.external is not None:
        _check_identifier(metric.external.metric, f"{path}.external.metric", errors)
        _check_target_value(metric.external.target, f"{path}.external.target", errors)


def _check_identifier(identifier: MetricIdentifier, path: str, errors: list[FieldError]) -> None:
    if not identifier.name:
        errors.append(required(f"{path}.name"))
    else:
        refuse(names.path_segment(identifier.name), identifier.name, f"{path}.name", errors)
    check_label_selector(identifier.selector, f"{path}.selector", errors)


def _check_resource(name: str, target: MetricTarget, path: str, errors: list[FieldError]) -> None:
    if not name:
        errors.append(required(f"{path}.name", "must specify a resource name"))
    _check_target_value(target, f"{path}.target", errors)
    if target.average_utilization is None and target.average_value is None:
        detail = "must set either a target raw value or a target utilization"
        errors.append(required(f"{path}.target.averageUtilization", detail))
    if target.average_utilization is not None and target.average_value is not None:
        detail = "may not set both a target raw value and a target utilization"
        errors.append(forbidden(f"{path}.target.averageValue", detail))


def _check_target_value(target: MetricTarget, path: str, errors: list[FieldError]) -> None:
    if not target.type:
        errors.append(required(f"{path}.type", "must specify a metric target type"))
    elif target.type not in ("Utilization", "Value", "AverageValue"):
        detail = "must be either Utilization, Value, or AverageValue"
        errors.append(invalid(f"{path}.type", target.type, detail))
    if target.value is not None and target.value.milli <= 0:
        errors.append(invalid(f"{path}.value", target.value, "must be positive"))
    if target.average_value is not None and target.average_value.milli <= 0:
        errors.append(invalid(f"{path}.averageValue", target.average_value, "must be positive"))
    if target.average_utilization is not None and target.average_utilization < 1:
        errors.append(invalid(f"{path}.averageUtilization", target.average_utilization, "must be greater than 0"))


def _check_rules(rules: HPAScalingRules | None, path: str, errors: list[FieldError]) -> None:
    if rules is None:
        return
    window = rules.stabilization_window_seconds
    if window is not None:
        if window < 0:
            errors.append(
                invalid(f"{path}.stabilizationWindowSeconds", window, "must be greater than or equal to zero")
            )
        elif window > _WINDOW_MAXIMUM_SECONDS:
            detail = f"must be less than or equal to {_WINDOW_MAXIMUM_SECONDS}"
            errors.append(invalid(f"{path}.stabilizationWindowSeconds", window, detail))
    if rules.select_policy is not None and rules.select_policy not in _SELECT:
        errors.append(not_supported(f"{path}.selectPolicy", rules.select_policy, _SELECT))
    if not rules.policies:
        errors.append(required(f"{path}.policies", "must specify at least one Policy"))
    for index, policy in enumerate(rules.policies):
        where = f"{path}.policies[{index}]"
        if policy.type not in _POLICIES:
            errors.append(not_supported(f"{where}.type", policy.type, _POLICIES))
        if policy.value <= 0:
            errors.append(invalid(f"{where}.value", policy.value, _POSITIVE))
        if policy.period_seconds <= 0:
            errors.append(invalid(f"{where}.periodSeconds", policy.period_seconds, _POSITIVE))
        elif policy.period_seconds > _PERIOD_MAXIMUM_SECONDS:
            detail = f"must be less than or equal to {_PERIOD_MAXIMUM_SECONDS}"
            errors.append(invalid(f"{where}.periodSeconds", policy.period_seconds, detail))


CREATE: Final[dict[type, Any]] = {HorizontalPodAutoscaler: _autoscaler}
UPDATE: Final[dict[type, Any]] = {HorizontalPodAutoscaler: _autoscaler_update}

"""Checks of autoscaling/v2."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from tiphys.api import names
from tiphys.api.field_errors import FieldError, forbidden, invalid, not_supported, refuse, required
from tiphys.api.types.autoscaling_v2 import (
    ContainerResourceMetricSource,
    ExternalMetricSource,
    HorizontalPodAutoscaler,
    HPAScalingRules,
    MetricIdentifier,
    MetricSpec,
    MetricTarget,
    ObjectMetricSource,
    PodsMetricSource,
    ResourceMetricSource,
)
from tiphys.api.validation.metadata import check_metadata, check_metadata_update, check_not_negative
from tiphys.api.validation.resources import container_resource_name
from tiphys.api.validation.scaling import check_bounds, check_target

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


def _autoscaler_status(new: HorizontalPodAutoscaler, old: HorizontalPodAutoscaler) -> list[FieldError]:
    errors: list[FieldError] = []
    check_metadata_update(new.metadata, old.metadata, errors)
    check_not_negative(new.status.current_replicas, "status.currentReplicas", errors)
    check_not_negative(new.status.desired_replicas, "status.desiredReplicas", errors)
    return errors


def _check_spec(obj: HorizontalPodAutoscaler, errors: list[FieldError]) -> None:
    spec = obj.spec
    check_bounds(spec.min_replicas, spec.max_replicas, errors)
    check_target(spec.scale_target_ref, errors)
    for index, metric in enumerate(spec.metrics):
        _check_metric(metric, f"spec.metrics[{index}]", errors)
    if spec.min_replicas == 0 and not any(metric.type in ("Object", "External") for metric in spec.metrics):
        detail = "must specify at least one Object or External metric to support scaling to zero replicas"
        errors.append(forbidden("spec.metrics", detail))
    if spec.behavior is not None:
        _check_rules(spec.behavior.scale_up, "spec.behavior.scaleUp", errors)
        _check_rules(spec.behavior.scale_down, "spec.behavior.scaleDown", errors)


def _check_metric(metric: MetricSpec, path: str, errors: list[FieldError]) -> None:
    if not metric.type:
        errors.append(required(f"{path}.type", "must specify a metric source type"))
    if metric.type not in _SOURCES:
        errors.append(not_supported(f"{path}.type", metric.type, sorted(_SOURCES)))
    given = [name for name, (_, attribute, _) in _BY_FIELD.items() if getattr(metric, attribute) is not None]
    if given:
        # The first counts; of the others it is only said that they are too many.
        _, attribute, check = _BY_FIELD[given[0]]
        check(getattr(metric, attribute), f"{path}.{given[0]}", errors)
    expected = next((name for name, (kind, _, _) in _BY_FIELD.items() if kind == metric.type), "")
    if not expected:
        errors.append(not_supported(f"{path}.type", metric.type, sorted(_SOURCES)))
    elif expected not in given:
        errors.append(required(f"{path}.{expected}", "must populate information for the given metric source"))
    if len(given) != 1:
        detail = "must populate the given metric source only"
        errors.extend(forbidden(f"{path}.{name}", detail) for name in given if name != expected)


def _check_object(source: ObjectMetricSource, path: str, errors: list[FieldError]) -> None:
    check_target(source.described_object, errors, f"{path}.describedObject", is_scaled=False)
    _check_identifier(source.metric, f"{path}.metric", errors)
    _check_target_value(source.target, f"{path}.target", errors)
    if source.target.value is None and source.target.average_value is None:
        detail = "must set either a target value or averageValue"
        errors.append(required(f"{path}.target.averageValue", detail))


def _check_external(source: ExternalMetricSource, path: str, errors: list[FieldError]) -> None:
    _check_identifier(source.metric, f"{path}.metric", errors)
    target = source.target
    _check_target_value(target, f"{path}.target", errors)
    if target.value is None and target.average_value is None:
        detail = "must set either a target value for metric or a per-pod target"
        errors.append(required(f"{path}.target.averageValue", detail))
    if target.value is not None and target.average_value is not None:
        detail = "may not set both a target value for metric and a per-pod target"
        errors.append(forbidden(f"{path}.target.value", detail))


def _check_pods(source: PodsMetricSource, path: str, errors: list[FieldError]) -> None:
    _check_identifier(source.metric, f"{path}.metric", errors)
    _check_target_value(source.target, f"{path}.target", errors)
    if source.target.average_value is None:
        errors.append(required(f"{path}.target.averageValue", "must specify a positive target averageValue"))


def _check_resource(source: ResourceMetricSource, path: str, errors: list[FieldError]) -> None:
    if not source.name:
        errors.append(required(f"{path}.name", "must specify a resource name"))
    _check_resource_target(source.target, f"{path}.target", errors)


def _check_container_resource(source: ContainerResourceMetricSource, path: str, errors: list[FieldError]) -> None:
    if not source.name:
        errors.append(required(f"{path}.name", "must specify a resource name"))
    else:
        refuse(container_resource_name(source.name), source.name, f"{path}.name", errors)
    if not source.container:
        errors.append(required(f"{path}.container", "must specify a container"))
    else:
        refuse(names.dns_label(source.container), source.container, f"{path}.container", errors)
    _check_resource_target(source.target, f"{path}.target", errors)


_Check = Callable[[Any, str, list[FieldError]], None]
_BY_FIELD: Final[dict[str, tuple[str, str, _Check]]] = {
    "object": ("Object", "object", _check_object),
    "external": ("External", "external", _check_external),
    "pods": ("Pods", "pods", _check_pods),
    "resource": ("Resource", "resource", _check_resource),
    "containerResource": ("ContainerResource", "container_resource", _check_container_resource),
}
"""By wire name, in upstream's order: type, attribute and check."""
_SOURCES: Final = frozenset(kind for kind, _, _ in _BY_FIELD.values())


def _check_identifier(identifier: MetricIdentifier, path: str, errors: list[FieldError]) -> None:
    if not identifier.name:
        errors.append(required(f"{path}.name", "must specify a metric name"))
    else:
        refuse(names.path_segment(identifier.name), identifier.name, f"{path}.name", errors)


def _check_resource_target(target: MetricTarget, path: str, errors: list[FieldError]) -> None:
    _check_target_value(target, path, errors)
    if target.average_utilization is None and target.average_value is None:
        detail = "must set either a target raw value or a target utilization"
        errors.append(required(f"{path}.averageUtilization", detail))
    if target.average_utilization is not None and target.average_value is not None:
        detail = "may not set both a target raw value and a target utilization"
        errors.append(forbidden(f"{path}.averageValue", detail))


def _check_target_value(target: MetricTarget, path: str, errors: list[FieldError]) -> None:
    if not target.type:
        errors.append(required(f"{path}.type", "must specify a metric target type"))
    if target.type not in ("Utilization", "Value", "AverageValue"):
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
        if window > _WINDOW_MAXIMUM_SECONDS:
            detail = f"must be less than or equal to {_WINDOW_MAXIMUM_SECONDS}"
            errors.append(invalid(f"{path}.stabilizationWindowSeconds", window, detail))
    if rules.tolerance is not None and rules.tolerance.exact < 0:
        errors.append(invalid(f"{path}.tolerance", rules.tolerance, "must be greater or equal to zero"))
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
        if policy.period_seconds > _PERIOD_MAXIMUM_SECONDS:
            detail = f"must be less than or equal to {_PERIOD_MAXIMUM_SECONDS}"
            errors.append(invalid(f"{where}.periodSeconds", policy.period_seconds, detail))


CREATE: Final[dict[type, Any]] = {HorizontalPodAutoscaler: _autoscaler}
UPDATE: Final[dict[type, Any]] = {HorizontalPodAutoscaler: _autoscaler_update}
STATUS: Final[dict[type, Any]] = {HorizontalPodAutoscaler: _autoscaler_status}

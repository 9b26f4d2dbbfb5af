"""Defaults of autoscaling/v2: the CPU metric and the scaling rules."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from tiphys.api.types.autoscaling_v2 import (
    HorizontalPodAutoscaler,
    HPAScalingPolicy,
    HPAScalingRules,
    MetricSpec,
    MetricTarget,
    ResourceMetricSource,
)

TARGET_CPU_PERCENT: Final = 80
POLICY_PERIOD_SECONDS: Final = 15


def _horizontal_pod_autoscaler(obj: HorizontalPodAutoscaler) -> None:
    spec = obj.spec
    if spec.min_replicas is None:
        spec.min_replicas = 1
    if not spec.metrics:
        target = MetricTarget(type="Utilization", average_utilization=TARGET_CPU_PERCENT)
        spec.metrics = (MetricSpec(type="Resource", resource=ResourceMetricSource(name="cpu", target=target)),)
    if spec.behavior is not None:
        spec.behavior.scale_up = _with_policies(spec.behavior.scale_up, (_pods(4), _percent(100)), window_seconds=0)
        spec.behavior.scale_down = _with_policies(spec.behavior.scale_down, (_percent(100),), window_seconds=None)


def _pods(value: int) -> HPAScalingPolicy:
    return HPAScalingPolicy(type="Pods", value=value, period_seconds=POLICY_PERIOD_SECONDS)


def _percent(value: int) -> HPAScalingPolicy:
    return HPAScalingPolicy(type="Percent", value=value, period_seconds=POLICY_PERIOD_SECONDS)


def _with_policies(
    rules: HPAScalingRules | None, policies: tuple[HPAScalingPolicy, ...], *, window_seconds: int | None
) -> HPAScalingRules:
    rules = HPAScalingRules() if rules is None else rules
    if rules.select_policy is None:
        rules.select_policy = "Max"
    if rules.stabilization_window_seconds is None:
        rules.stabilization_window_seconds = window_seconds
    if not rules.policies:
        rules.policies = policies
    return rules


DEFAULTS: Final[dict[type, Callable[[Any], None]]] = {HorizontalPodAutoscaler: _horizontal_pod_autoscaler}

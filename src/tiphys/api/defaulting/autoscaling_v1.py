"""Defaults of autoscaling/v1."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from tiphys.api.types.autoscaling_v1 import HorizontalPodAutoscaler

METRICS_ANNOTATION: Final = "autoscaling.alpha.kubernetes.io/metrics"
TARGET_CPU_PERCENT: Final = 80


def _horizontal_pod_autoscaler(obj: HorizontalPodAutoscaler) -> None:
    spec = obj.spec
    if spec.min_replicas is None:
        spec.min_replicas = 1
    if spec.target_cpu_utilization_percentage is None and METRICS_ANNOTATION not in obj.metadata.annotations:
        spec.target_cpu_utilization_percentage = TARGET_CPU_PERCENT


DEFAULTS: Final[dict[type, Callable[[Any], None]]] = {
    HorizontalPodAutoscaler: _horizontal_pod_autoscaler,
}

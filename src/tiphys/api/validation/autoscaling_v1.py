"""Checks of autoscaling/v1: the older autoscaler, and Scale."""

from __future__ import annotations

from typing import Any, Final

from tiphys.api import names
from tiphys.api.field_errors import FieldError, invalid
from tiphys.api.types.autoscaling_v1 import HorizontalPodAutoscaler, Scale
from tiphys.api.validation.metadata import check_metadata, check_metadata_update, check_not_negative
from tiphys.api.validation.scaling import check_bounds, check_target


def _autoscaler(obj: HorizontalPodAutoscaler) -> list[FieldError]:
    errors: list[FieldError] = []
    check_metadata(obj.metadata, True, names.dns_subdomain, "metadata", errors)
    _check_spec(obj, errors)
    return errors


def _check_spec(obj: HorizontalPodAutoscaler, errors: list[FieldError]) -> None:
    spec = obj.spec
    check_bounds(spec.min_replicas, spec.max_replicas, errors)
    check_target(spec.scale_target_ref, errors)
    target = spec.target_cpu_utilization_percentage
    if target is not None and target < 1:
        where = "spec.metrics[0].resource.target.averageUtilization"
        errors.append(invalid(where, target, "must be greater than 0"))


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


def _scale(obj: Scale) -> list[FieldError]:
    errors: list[FieldError] = []
    check_not_negative(obj.spec.replicas, "spec.replicas", errors)
    return errors


def _scale_update(new: Scale, old: Scale) -> list[FieldError]:
    return _scale(new)


CREATE: Final[dict[type, Any]] = {HorizontalPodAutoscaler: _autoscaler, Scale: _scale}
UPDATE: Final[dict[type, Any]] = {HorizontalPodAutoscaler: _autoscaler_update, Scale: _scale_update}
STATUS: Final[dict[type, Any]] = {HorizontalPodAutoscaler: _autoscaler_status}

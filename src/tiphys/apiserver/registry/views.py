"""Kinds that are served in two forms and kept in one: the second form is converted on its way in and out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, NamedTuple

import msgspec

from tiphys.api import codec
from tiphys.api.field_errors import FieldError
from tiphys.api.scheme import Resource, by_gvk
from tiphys.api.validation.events import check_new_event, check_new_event_update

Data = dict[str, Any]
Convert = Callable[[Data], Data]
_METRICS: Final = "autoscaling.alpha.kubernetes.io/metrics"
_BEHAVIOR: Final = "autoscaling.alpha.kubernetes.io/behavior"
_CONDITIONS: Final = "autoscaling.alpha.kubernetes.io/conditions"
_CURRENT_METRICS: Final = "autoscaling.alpha.kubernetes.io/current-metrics"

# (path in core/v1, path in events.k8s.io/v1) of what is named differently.
_EVENT_NAMES: Final = (
    ("involvedObject", "regarding"),
    ("message", "note"),
    ("reportingComponent", "reportingController"),
    ("source", "deprecatedSource"),
    ("firstTimestamp", "deprecatedFirstTimestamp"),
    ("lastTimestamp", "deprecatedLastTimestamp"),
    ("count", "deprecatedCount"),
)


class View(NamedTuple):
    """How the objects kept as `stored` are served as `resource`. show, keep: take and give plain data they own.

    check_create, check_update: what else must hold for stored objects that are written through the view.
    """

    resource: Resource
    stored: Resource
    show: Convert
    keep: Convert
    check_create: Callable[[Any], list[FieldError]] | None = None
    check_update: Callable[[Any, Any], list[FieldError]] | None = None

    def shown(self, full: bytes) -> bytes:
        """A stored object's JSON in the view's form."""
        data = self.show(codec.decode_any(full))
        data = {"kind": self.resource.kind, "apiVersion": self.resource.api_version, **_without_type(data)}
        return codec.encode_any(data)

    def kept(self, obj: Any) -> Any:
        """A view's object as a stored kind's."""
        data = self.keep(codec.to_dict(obj))
        return codec.from_dict(self.stored.struct, _without_type(data))


def _without_type(data: Data) -> Data:
    return {name: value for name, value in data.items() if name not in ("kind", "apiVersion")}


def _show_event(data: Data) -> Data:
    return _renamed(data, dict(_EVENT_NAMES))


def _keep_event(data: Data) -> Data:
    return _renamed(data, {new: core for core, new in _EVENT_NAMES})


def _renamed(data: Data, names: dict[str, str]) -> Data:
    return {names.get(name, name): value for name, value in data.items()}


def _show_autoscaler(data: Data) -> Data:
    """v2 as v1: the CPU target is a field, what v1 has no field for becomes annotations."""
    spec, status = data.get("spec", {}), data.get("status", {})
    annotations = dict(data["metadata"].get("annotations", {}))
    others = []
    for metric in spec.pop("metrics", []):
        resource = metric.get("resource", {})
        target = resource.get("target", {})
        if resource.get("name") == "cpu" and target.get("averageUtilization") is not None:
            spec["targetCPUUtilizationPercentage"] = target["averageUtilization"]
        else:
            others.append(metric)
    current = status.pop("currentMetrics", [])
    for metric in current:
        if metric.get("resource", {}).get("name") == "cpu":
            value = metric["resource"].get("current", {}).get("averageUtilization")
            if value is not None:
                status["currentCPUUtilizationPercentage"] = value
    extras = (
        (_METRICS, others),
        (_BEHAVIOR, spec.pop("behavior", None)),
        (_CONDITIONS, status.pop("conditions", None)),
        (_CURRENT_METRICS, [m for m in current if m.get("resource", {}).get("name") != "cpu"]),
    )
    annotations |= {name: msgspec.json.encode(value).decode() for name, value in extras if value}
    if annotations:
        data["metadata"]["annotations"] = annotations
    status.setdefault("currentReplicas", 0)
    return data


def _keep_autoscaler(data: Data) -> Data:
    """v1 as v2, the inverse of `_show_autoscaler`."""
    spec, status = data.setdefault("spec", {}), data.setdefault("status", {})
    annotations = data["metadata"].get("annotations", {})
    metrics = _extra(annotations, _METRICS) or []
    target = spec.pop("targetCPUUtilizationPercentage", None)
    if target is not None:
        wanted = {"type": "Utilization", "averageUtilization": target}
        metrics = [{"type": "Resource", "resource": {"name": "cpu", "target": wanted}}, *metrics]
    if metrics:
        spec["metrics"] = metrics
    if behavior := _extra(annotations, _BEHAVIOR):
        spec["behavior"] = behavior
    current = _extra(annotations, _CURRENT_METRICS) or []
    utilization = status.pop("currentCPUUtilizationPercentage", None)
    if utilization is not None:
        measured = {"name": "cpu", "current": {"averageUtilization": utilization}}
        current = [{"type": "Resource", "resource": measured}, *current]
    if current:
        status["currentMetrics"] = current
    if conditions := _extra(annotations, _CONDITIONS):
        status["conditions"] = conditions
    return data


def _extra(annotations: dict[str, str], name: str) -> Any:
    text = annotations.pop(name, "")
    try:
        return msgspec.json.decode(text) if text else None
    except msgspec.DecodeError:
        return None


def views() -> tuple[View, ...]:
    """All of them."""
    return (
        View(
            _served("events.k8s.io", "v1", "Event"),
            _served("", "v1", "Event"),
            _show_event,
            _keep_event,
            check_new_event,
            check_new_event_update,
        ),
        View(
            _served("autoscaling", "v1", "HorizontalPodAutoscaler"),
            _served("autoscaling", "v2", "HorizontalPodAutoscaler"),
            _show_autoscaler,
            _keep_autoscaler,
        ),
    )


def _served(group: str, version: str, kind: str) -> Resource:
    resource = by_gvk(group, version, kind)
    assert resource is not None
    return resource

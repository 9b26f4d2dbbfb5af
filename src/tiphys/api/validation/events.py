"""Checks of events. Both APIs keep core events and refuse in core's field names; events.k8s.io is stricter."""

from __future__ import annotations

from typing import Final

from tiphys.api import names
from tiphys.api.field_errors import FieldError, invalid, refuse, required
from tiphys.api.types.core_v1 import Event
from tiphys.api.validation.metadata import check_immutable, check_metadata, check_metadata_update

_TEXT_MAXIMUM_BYTES: Final = 128
_NOTE_MAXIMUM_BYTES: Final = 1024
_SERIES_MINIMUM: Final = 2
_SYSTEM_NAMESPACES: Final = ("default", "kube-system")
_UNSET: Final = "needs to be unset"
_IMMUTABLE: Final = (
    ("involved_object", "involvedObject"),
    ("reason", "reason"),
    ("message", "message"),
    ("source", "source"),
    ("first_timestamp", "firstTimestamp"),
    ("last_timestamp", "lastTimestamp"),
    ("count", "count"),
    ("type", "type"),
    ("event_time", "eventTime"),
    ("action", "action"),
    ("related", "related"),
    ("reporting_component", "reportingController"),
    ("reporting_instance", "reportingInstance"),
)


def validate_event(obj: Event) -> list[FieldError]:
    """An event made through either API: about something in its namespace; with eventTime, also who says what of it."""
    errors: list[FieldError] = []
    _check_event(obj, errors)
    check_metadata(obj.metadata, True, names.path_segment, "metadata", errors)
    return errors


def validate_event_update(new: Event, old: Event) -> list[FieldError]:
    """An event changed through either API: what it says now must make sense."""
    errors: list[FieldError] = []
    check_metadata_update(new.metadata, old.metadata, errors)
    _check_event(new, errors)
    return errors


def check_new_event(obj: Event) -> list[FieldError]:
    """What else there is to an event made through events.k8s.io: none of the old fields, and a time."""
    errors: list[FieldError] = []
    if obj.metadata.name:
        refuse(names.dns_subdomain(obj.metadata.name), obj.metadata.name, "metadata.name", errors)
    _check_series(obj, errors)
    if not obj.event_time:
        errors.append(required("eventTime"))
    if obj.type not in ("Normal", "Warning"):
        errors.append(invalid("type", "", f"has invalid value: {obj.type or ''}"))
    for value, name in (
        (obj.first_timestamp, "firstTimestamp"),
        (obj.last_timestamp, "lastTimestamp"),
        (obj.count, "count"),
        (obj.source.component or obj.source.host, "source"),
    ):
        if value:
            errors.append(invalid(name, "", _UNSET))
    return errors


def check_new_event_update(new: Event, old: Event) -> list[FieldError]:
    """What else there is to an event changed through events.k8s.io: only the series goes on."""
    errors: list[FieldError] = []
    if new.series != old.series:
        _check_series(new, errors)
    for attribute, name in _IMMUTABLE:
        check_immutable(getattr(new, attribute), getattr(old, attribute), name, errors)
    return errors


def _check_event(obj: Event, errors: list[FieldError]) -> None:
    namespace, involved = obj.metadata.namespace or "", obj.involved_object.namespace or ""
    if not obj.event_time:
        matches = namespace in ("", "default") if not involved else namespace == involved
    else:
        matches = bool(involved) or namespace in _SYSTEM_NAMESPACES
    if not matches:
        errors.append(invalid("involvedObject.namespace", involved, "does not match event.namespace"))
    if obj.event_time:
        _check_told(obj, errors)
    refuse(names.dns_subdomain(namespace), namespace, "namespace", errors)


def _check_told(obj: Event, errors: list[FieldError]) -> None:
    """Who says what happened."""
    controller = obj.reporting_component or ""
    if not controller:
        errors.append(required("reportingController"))
    refuse(names.qualified_name(controller), controller, "reportingController", errors)
    for value, name in (
        (obj.reporting_instance, "reportingInstance"),
        (obj.action, "action"),
        (obj.reason, "reason"),
    ):
        if not value:
            errors.append(required(name))
        elif len(value.encode()) > _TEXT_MAXIMUM_BYTES:
            errors.append(invalid(name, "", f"can have at most {_TEXT_MAXIMUM_BYTES} characters"))
    if len((obj.message or "").encode()) > _NOTE_MAXIMUM_BYTES:
        errors.append(invalid("message", "", f"can have at most {_NOTE_MAXIMUM_BYTES} characters"))


def _check_series(obj: Event, errors: list[FieldError]) -> None:
    if obj.series is None:
        return
    if (obj.series.count or 0) < _SERIES_MINIMUM:
        errors.append(invalid("series.count", "", f"should be at least {_SERIES_MINIMUM}"))
    if not obj.series.last_observed_time:
        errors.append(required("series.lastObservedTime"))

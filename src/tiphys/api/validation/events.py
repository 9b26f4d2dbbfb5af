"""Checks of events, written through either of their two APIs."""

from __future__ import annotations

from typing import Final

from tiphys.api import names
from tiphys.api.field_errors import FieldError, invalid, refuse, required
from tiphys.api.types.core_v1 import Event
from tiphys.api.types.events_v1 import Event as NewEvent
from tiphys.api.validation.metadata import check_immutable, check_metadata, check_metadata_update

_TEXT_MAXIMUM: Final = 128
_NOTE_MAXIMUM_BYTES: Final = 1024
_MISMATCH: Final = "does not match event.namespace"


def _check_namespace(namespace: str, involved: str, path: str, errors: list[FieldError]) -> None:
    matches = namespace in ("", "default") if not involved else namespace == involved
    if not matches:
        errors.append(invalid(path, involved, _MISMATCH))


def validate_event(obj: Event) -> list[FieldError]:
    """An event of the core API: about something in its namespace."""
    errors: list[FieldError] = []
    _check_namespace(
        obj.metadata.namespace or "", obj.involved_object.namespace or "", "involvedObject.namespace", errors
    )
    check_metadata(obj.metadata, True, names.dns_subdomain, "metadata", errors)
    return errors


def validate_event_update(new: Event, old: Event) -> list[FieldError]:
    """Counts and times change; what happened to what does not."""
    errors: list[FieldError] = []
    check_metadata_update(new.metadata, old.metadata, errors)
    return errors


def validate_new_event(obj: NewEvent) -> list[FieldError]:
    """An event of events.k8s.io: who says what happened, and when."""
    errors: list[FieldError] = []
    check_metadata(obj.metadata, True, names.dns_subdomain, "metadata", errors)
    _check_namespace(obj.metadata.namespace or "", obj.regarding.namespace or "", "regarding.namespace", errors)
    if not obj.event_time:
        errors.append(required("eventTime"))
    if not obj.reporting_controller:
        errors.append(required("reportingController"))
    refuse(
        names.qualified_name(obj.reporting_controller or ""),
        obj.reporting_controller or "",
        "reportingController",
        errors,
    )
    for value, name in (
        (obj.reporting_instance, "reportingInstance"),
        (obj.action, "action"),
        (obj.reason, "reason"),
    ):
        if not value:
            errors.append(required(name))
        elif len(value) > _TEXT_MAXIMUM:
            errors.append(invalid(name, "", f"can have at most {_TEXT_MAXIMUM} characters"))
    if obj.note and len(obj.note.encode()) > _NOTE_MAXIMUM_BYTES:
        errors.append(invalid("message", "", f"can have at most {_NOTE_MAXIMUM_BYTES} characters"))
    if obj.type not in ("Normal", "Warning"):
        errors.append(invalid("type", "", f"has invalid value: {obj.type or ''}"))
    return errors


def validate_new_event_update(new: NewEvent, old: NewEvent) -> list[FieldError]:
    """Only the series goes on."""
    errors: list[FieldError] = []
    check_metadata_update(new.metadata, old.metadata, errors)
    for attribute, name in (
        ("regarding", "regarding"),
        ("reason", "reason"),
        ("reporting_controller", "reportingController"),
        ("reporting_instance", "reportingInstance"),
        ("action", "action"),
        ("related", "related"),
        ("note", "note"),
        ("type", "type"),
        ("event_time", "eventTime"),
    ):
        check_immutable(getattr(new, attribute), getattr(old, attribute), name, errors)
    return errors

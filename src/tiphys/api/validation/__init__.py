"""Whether an object may be stored: upstream's rules in upstream's words, as field errors.

Each check gets the new object after defaulting and `tiphys.api.strategy` (and the old one, where there is one) and
returns what is wrong with it, empty if nothing is: `tiphys.api.errors.invalid` makes the answer. Nothing is changed.

A module is named as the module of the types it knows and lists them in ``CREATE``, ``UPDATE``, ``STATUS`` and
``PARTS``; it is imported at first use.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any, Final

from tiphys.api.field_errors import FieldError
from tiphys.api.types.model import Model
from tiphys.api.validation.metadata import validate_metadata, validate_metadata_update

__all__ = [
    "FieldError",
    "validate_create",
    "validate_metadata",
    "validate_metadata_update",
    "validate_part_update",
    "validate_status_update",
    "validate_update",
]

Create = Callable[[Any], list[FieldError]]
Update = Callable[[Any, Any], list[FieldError]]

_create: Final[dict[type, Create | None]] = {}
_update: Final[dict[type, Update | None]] = {}
_status: Final[dict[type, Update | None]] = {}
_parts: Final[dict[type, dict[str, Update] | None]] = {}
_MODULES: Final = frozenset(
    {
        "admissionregistration_v1",
        "apiextensions_v1",
        "apiregistration_v1",
        "apps_v1",
        "authentication_v1",
        "autoscaling_v1",
        "autoscaling_v2",
        "batch_v1",
        "certificates_v1",
        "coordination_v1",
        "core_v1",
        "discovery_v1",
        "flowcontrol_v1",
        "networking_v1",
        "node_v1",
        "policy_v1",
        "rbac_v1",
        "resource_v1",
        "scheduling_v1",
        "storage_v1",
    }
)


def validate_create(obj: Model) -> list[FieldError]:
    """What is wrong with a new object."""
    kind = type(obj)
    try:
        check = _create[kind]
    except KeyError:
        check = _create[kind] = _find(kind, "CREATE")
    return check(obj) if check is not None else validate_metadata(obj)


def validate_update(new: Model, old: Model) -> list[FieldError]:
    """What is wrong with an object that replaces `old`, immutable fields included."""
    kind = type(new)
    try:
        check = _update[kind]
    except KeyError:
        check = _update[kind] = _find(kind, "UPDATE")
    return check(new, old) if check is not None else validate_metadata_update(new, old)


def validate_status_update(new: Model, old: Model) -> list[FieldError]:
    """What is wrong with an object whose status replaces that of `old`."""
    kind = type(new)
    try:
        check = _status[kind]
    except KeyError:
        check = _status[kind] = _find(kind, "STATUS")
    return check(new, old) if check is not None else validate_metadata_update(new, old)


def validate_part_update(subresource: str, new: Model, old: Model) -> list[FieldError]:
    """What is wrong with an object of which a subresource (not status) replaces one part."""
    kind = type(new)
    try:
        parts = _parts[kind]
    except KeyError:
        parts = _parts[kind] = _find(kind, "PARTS")
    check = parts.get(subresource) if parts is not None else None
    return check(new, old) if check is not None else validate_metadata_update(new, old)


def _find(kind: type, table: str) -> Any:
    module = kind.__module__.rpartition(".")[2]
    if module not in _MODULES:
        return None
    tables: dict[type, Any] = getattr(import_module(f"{__name__}.{module}"), table, {})
    return tables.get(kind)

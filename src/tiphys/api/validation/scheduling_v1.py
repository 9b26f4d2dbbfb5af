"""Checks of PriorityClasses."""

from __future__ import annotations

from typing import Any, Final

from tiphys.api import names
from tiphys.api.field_errors import FieldError, forbidden, not_supported
from tiphys.api.types.scheduling_v1 import PriorityClass
from tiphys.api.validation.metadata import check_immutable, check_metadata, check_metadata_update

USER_MAXIMUM: Final = 1_000_000_000
_SYSTEM: Final = {"system-cluster-critical": 2_000_000_000, "system-node-critical": 2_000_001_000}
_POLICIES: Final = ("PreemptLowerPriority", "Never")


def _priority_class(obj: PriorityClass) -> list[FieldError]:
    errors: list[FieldError] = []
    check_metadata(obj.metadata, False, names.dns_subdomain, "metadata", errors)
    name, value = obj.metadata.name or "", obj.value or 0
    if name.startswith("system-"):
        if _SYSTEM.get(name) != value:
            detail = "priority class names with 'system-' prefix are reserved for system use only"
            if name in _SYSTEM:
                detail += f". error: value of {name} PriorityClass must be {_SYSTEM[name]}"
            else:
                detail += f". error: {name} is not a known system priority class"
            errors.append(forbidden("metadata.name", detail))
    elif value > USER_MAXIMUM:
        detail = f"maximum allowed value of a user defined priority is {USER_MAXIMUM}"
        errors.append(forbidden("value", detail))
    if obj.preemption_policy is not None and obj.preemption_policy not in _POLICIES:
        errors.append(not_supported("preemptionPolicy", obj.preemption_policy, _POLICIES))
    return errors


def _priority_class_update(new: PriorityClass, old: PriorityClass) -> list[FieldError]:
    errors: list[FieldError] = []
    check_metadata_update(new.metadata, old.metadata, errors)
    if (new.value or 0) != (old.value or 0):
        errors.append(forbidden("value", "may not be changed in an update."))
    check_immutable(new.preemption_policy, old.preemption_policy, "preemptionPolicy", errors)
    return errors


CREATE: Final[dict[type, Any]] = {PriorityClass: _priority_class}
UPDATE: Final[dict[type, Any]] = {PriorityClass: _priority_class_update}

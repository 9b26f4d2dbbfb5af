"""What the versions of the autoscaler check alike."""

from __future__ import annotations

from typing import Any

from tiphys.api import names
from tiphys.api.field_errors import FieldError, invalid, refuse, required


def check_bounds(minimum: int | None, maximum: int, errors: list[FieldError]) -> None:
    """How few and how many replicas there may be."""
    if minimum is not None and minimum < 1:
        errors.append(invalid("spec.minReplicas", minimum, "must be greater than or equal to 1"))
    if maximum < 1:
        errors.append(invalid("spec.maxReplicas", maximum, "must be greater than 0"))
    if minimum is not None and maximum < minimum:
        errors.append(invalid("spec.maxReplicas", maximum, "must be greater than or equal to `minReplicas`"))


def check_target(
    reference: Any, errors: list[FieldError], path: str = "spec.scaleTargetRef", *, is_scaled: bool = True
) -> None:
    """An object by kind and name; one that `is_scaled` has a group, as no core kind but one can be scaled."""
    for value, name in ((reference.kind, "kind"), (reference.name, "name")):
        if not value:
            errors.append(required(f"{path}.{name}"))
        else:
            refuse(names.path_segment(value), value, f"{path}.{name}", errors)
    version = reference.api_version or ""
    if version.count("/") > 1:
        errors.append(invalid(f"{path}.apiVersion", version, f"unexpected GroupVersion string: {version}"))
    elif is_scaled and "/" not in version and reference.kind != "ReplicationController":
        errors.append(invalid(f"{path}.apiVersion", version, "apiVersion must specify API group"))

"""Checks of RuntimeClasses."""

from __future__ import annotations

from typing import Any, Final

from tiphys.api import names
from tiphys.api.field_errors import FieldError, refuse, required
from tiphys.api.types.node_v1 import RuntimeClass
from tiphys.api.validation.metadata import check_immutable, check_labels, check_metadata, check_metadata_update
from tiphys.api.validation.placement import check_tolerations
from tiphys.api.validation.resources import check_quantity, container_resource_name


def _runtime_class(obj: RuntimeClass) -> list[FieldError]:
    errors: list[FieldError] = []
    check_metadata(obj.metadata, False, names.dns_subdomain, "metadata", errors)
    if not obj.handler:
        errors.append(required("handler"))
    else:
        refuse(names.dns_label(obj.handler), obj.handler, "handler", errors)
    if obj.overhead is not None:
        for name, quantity in obj.overhead.pod_fixed.items():
            path = f"overhead.podFixed.limits[{name}]"
            refuse(container_resource_name(name), name, path, errors)
            check_quantity(name, quantity, path, errors)
    if obj.scheduling is not None:
        check_labels(obj.scheduling.node_selector, "scheduling.nodeSelector", errors)
        check_tolerations(obj.scheduling.tolerations, "scheduling.tolerations", errors)
    return errors


def _runtime_class_update(new: RuntimeClass, old: RuntimeClass) -> list[FieldError]:
    errors: list[FieldError] = []
    check_metadata_update(new.metadata, old.metadata, errors)
    check_immutable(new.handler, old.handler, "handler", errors)
    return errors


CREATE: Final[dict[type, Any]] = {RuntimeClass: _runtime_class}
UPDATE: Final[dict[type, Any]] = {RuntimeClass: _runtime_class_update}

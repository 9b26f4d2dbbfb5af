"""Checks of what subresources change of a running Pod: its ephemeral containers, its resources."""

from __future__ import annotations

from typing import Final

from msgspec.structs import replace

from tiphys.api.field_errors import FieldError, forbidden, invalid, quote
from tiphys.api.strategy.qos import qos_class
from tiphys.api.types.core_v1 import Container, Pod
from tiphys.api.validation.metadata import check_metadata_update
from tiphys.api.validation.pod_spec import check_pod_spec

_MIRROR: Final = "kubernetes.io/config.mirror"
_RESIZABLE: Final = frozenset({"cpu", "memory"})


def validate_ephemeral_containers_update(new: Pod, old: Pod) -> list[FieldError]:
    """More ephemeral containers, never fewer or others."""
    errors: list[FieldError] = []
    check_metadata_update(new.metadata, old.metadata, errors)
    check_pod_spec(new.spec, "spec", errors, is_pod=True)
    after = {container.name: container for container in new.spec.ephemeral_containers}
    for container in old.spec.ephemeral_containers:
        what = f"existing ephemeral containers {quote(container.name)}"
        if container.name not in after:
            errors.append(forbidden("spec.ephemeralContainers", f"{what} may not be removed\n"))
        elif after[container.name] != container:
            errors.append(forbidden("spec.ephemeralContainers", f"{what} may not be changed\n"))
    return errors


def validate_resize(new: Pod, old: Pod) -> list[FieldError]:
    """CPU and memory of containers, within the pod's class of service."""
    errors: list[FieldError] = []
    if _MIRROR in old.metadata.annotations:
        return [forbidden("[]", "static pods cannot be resized")]
    if old.spec.os is not None and old.spec.os.name == "windows":
        return [forbidden("[]", "windows pods cannot be resized")]
    check_metadata_update(new.metadata, old.metadata, errors)
    check_pod_spec(new.spec, "spec", errors, is_pod=True)
    if qos_class(new.spec) != (old.status.qos_class or qos_class(old.spec)):
        detail = "Pod QOS Class may not change as a result of resizing"
        errors.append(invalid("spec", new.status.qos_class or "", detail))
    if len(new.spec.containers) != len(old.spec.containers):
        errors.append(forbidden("spec.containers", "containers may not be added or removed"))
        return errors
    for index, (after, before) in enumerate(zip(new.spec.containers, old.spec.containers, strict=True)):
        _check_container(after, before, f"spec.containers[{index}].resources", errors)
    kept = tuple(
        replace(after, resources=before.resources, resize_policy=before.resize_policy)
        for after, before in zip(new.spec.containers, old.spec.containers, strict=True)
    )
    if replace(new.spec, containers=kept) != old.spec:
        errors.append(forbidden("spec", "only cpu and memory resources are mutable"))
    return errors


def _check_container(new: Container, old: Container, path: str, errors: list[FieldError]) -> None:
    sides = (
        ("requests", new.resources.requests, old.resources.requests),
        ("limits", new.resources.limits, old.resources.limits),
    )
    for side, after, before in sides:
        for name in before:
            if name not in after:
                errors.append(forbidden(f"{path}.{side}", f"resource {side} cannot be removed"))
                break
        if any(after.get(name) != before.get(name) for name in after.keys() | before.keys() if name not in _RESIZABLE):
            errors.append(forbidden(path, "only cpu and memory resources are mutable"))

"""Checks of what subresources change of a running Pod: its ephemeral containers, its resources."""

from __future__ import annotations

from typing import Final

from msgspec.structs import replace

from tiphys.api.field_errors import FieldError, forbidden, invalid, quote
from tiphys.api.quantity import Quantity
from tiphys.api.strategy.qos import qos_class
from tiphys.api.types.core_v1 import Container, Pod, PodSpec, ResourceRequirements
from tiphys.api.validation.differences import describe_difference
from tiphys.api.validation.metadata import check_metadata_update
from tiphys.api.validation.pod_annotations import MIRROR
from tiphys.api.validation.pods import check_annotation_update, check_pod

_RESIZABLE: Final = ("cpu", "memory")
_ONLY_CPU_AND_MEMORY: Final = "only cpu and memory resources are mutable"


def validate_ephemeral_containers_update(new: Pod, old: Pod) -> list[FieldError]:
    """More ephemeral containers, never fewer or others."""
    if MIRROR in old.metadata.annotations:
        return [forbidden("[]", "static pods do not support ephemeral containers")]
    errors: list[FieldError] = []
    check_metadata_update(new.metadata, old.metadata, errors)
    check_pod(new, errors)
    check_annotation_update(new, old, errors)
    after = {container.name: container for container in new.spec.ephemeral_containers}
    for container in old.spec.ephemeral_containers:
        what = f"existing ephemeral containers {quote(container.name)}"
        if container.name not in after:
            errors.append(forbidden("spec.ephemeralContainers", f"{what} may not be removed\n"))
        elif after[container.name] != container:
            difference = describe_difference(after[container.name], container)
            errors.append(forbidden("spec.ephemeralContainers", f"{what} may not be changed\n{difference}"))
    return errors


def validate_resize(new: Pod, old: Pod) -> list[FieldError]:
    """CPU and memory of containers that run on, within the pod's class of service."""
    if MIRROR in old.metadata.annotations:
        return [forbidden("[]", "static pods cannot be resized")]
    if old.spec.os is not None and old.spec.os.name == "windows":
        return [forbidden("[]", "windows pods cannot be resized")]
    errors: list[FieldError] = []
    check_metadata_update(new.metadata, old.metadata, errors)
    check_pod(new, errors)
    if qos_class(new.spec) != (old.status.qos_class or qos_class(old.spec)):
        detail = "Pod QOS Class may not change as a result of resizing"
        errors.append(invalid("spec", new.status.qos_class or "", detail))
    if not _can_node_resize(old):
        errors.append(forbidden("spec", "Pod running on node without support for resize"))
    if any(_says(pod.spec.resources) for pod in (new, old)):
        detail = (
            "resize of pods with pod-level resources is forbidden when "
            "InPlacePodLevelResourcesVerticalScalingEnabled feature gate is disabled"
        )
        errors.append(forbidden("[]", detail))
        return errors
    before = len(errors)
    _check_order(new.spec.containers, old.spec.containers, "containers", errors)
    _check_order(new.spec.init_containers, old.spec.init_containers, "initContainers", errors)
    if len(errors) > before:
        return errors
    _check_resources(new.spec, old.spec, errors)
    return errors


def _can_node_resize(pod: Pod) -> bool:
    """Whether the node tells what its containers have; one that runs nothing yet is given the benefit of doubt."""
    for status in pod.status.container_statuses:
        if status.state.running is not None:
            return status.resources is not None
    return True


def _says(resources: ResourceRequirements | None) -> bool:
    return resources is not None and bool(resources.requests or resources.limits)


def _check_order(new: tuple[Container, ...], old: tuple[Container, ...], name: str, errors: list[FieldError]) -> None:
    if len(new) != len(old):
        errors.append(forbidden(f"spec.{name}", f"{name} may not be added or removed on resize"))
        return
    for index, (after, before) in enumerate(zip(new, old, strict=True)):
        if after.name != before.name:
            detail = f"{name} may not be renamed or reordered on resize"
            errors.append(forbidden(f"spec.{name}[{index}].name", detail))


def _check_resources(new: PodSpec, old: PodSpec, errors: list[FieldError]) -> None:
    init = tuple(zip(new.init_containers, old.init_containers, strict=True))
    regular = tuple(zip(new.containers, old.containers, strict=True))
    for index, (after, before) in enumerate(init):
        if before.restart_policy == "Always":
            _check_nothing_removed(after, before, f"spec.initContainers[{index}].resources", errors)
    for index, (after, before) in enumerate(regular):
        _check_nothing_removed(after, before, f"spec.containers[{index}].resources", errors)
    for after, before in regular:
        if _with_old_amounts(after, before) != before:
            errors.append(forbidden("spec", _ONLY_CPU_AND_MEMORY))
    for after, before in init:
        if after.restart_policy == "Always":
            if _with_old_amounts(after, before) != before:
                errors.append(forbidden("spec", "only cpu and memory resources for sidecar containers are mutable"))
        elif after != before:
            errors.append(forbidden("spec", "resources for non-sidecar init containers are immutable"))
    same = replace(new, containers=old.containers, init_containers=old.init_containers)
    if not errors and same != old:
        errors.append(forbidden("spec", _ONLY_CPU_AND_MEMORY))


def _check_nothing_removed(new: Container, old: Container, path: str, errors: list[FieldError]) -> None:
    for side, after, before in (
        ("requests", new.resources.requests, old.resources.requests),
        ("limits", new.resources.limits, old.resources.limits),
    ):
        if before.keys() - after.keys():
            errors.append(forbidden(f"{path}.{side}", f"resource {side} cannot be removed"))


def _with_old_amounts(new: Container, old: Container) -> Container:
    """The new container with the CPU and memory of the old one."""
    resources = ResourceRequirements(
        limits=_mixed(new.resources.limits, old.resources.limits),
        requests=_mixed(new.resources.requests, old.resources.requests),
    )
    return replace(new, resources=resources)


def _mixed(new: dict[str, Quantity], old: dict[str, Quantity]) -> dict[str, Quantity]:
    mixed = {name: quantity for name, quantity in new.items() if name not in _RESIZABLE}
    mixed.update((name, old[name]) for name in _RESIZABLE if name in old)
    return mixed

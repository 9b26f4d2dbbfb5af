"""Checks of Pods: what only they have to satisfy, and what little of them may change."""

from __future__ import annotations

from typing import Final

from msgspec.structs import replace

from tiphys.api import names
from tiphys.api.field_errors import FieldError, forbidden, invalid, not_supported, required
from tiphys.api.types.core_v1 import Binding, Container, Pod, PodSpec, Toleration
from tiphys.api.validation.containers import check_image_text
from tiphys.api.validation.differences import describe_difference
from tiphys.api.validation.formats import INT32_MAXIMUM
from tiphys.api.validation.gates import without_gated_changes
from tiphys.api.validation.metadata import check_metadata, check_metadata_update
from tiphys.api.validation.placement import check_tolerations
from tiphys.api.validation.pod_annotations import (
    MIRROR,
    check_annotation_changes,
    check_pod_annotations,
    check_profiles_agree,
)
from tiphys.api.validation.pod_spec import check_pod_spec

_UPDATABLE: Final = (
    "`spec.containers[*].image`,`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` (only "
    "additions to existing tolerations),`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was "
    "previously negative)"
)
_NO_ADD: Final = "pod updates may not add or remove containers"


def validate_pod(pod: Pod) -> list[FieldError]:
    """A new Pod."""
    errors: list[FieldError] = []
    check_pod(pod, errors)
    if pod.spec.ephemeral_containers:
        errors.append(forbidden("spec.ephemeralContainers", "cannot be set on create"))
    if pod.spec.node_name and pod.spec.scheduling_gates:
        errors.append(forbidden("spec.nodeName", "cannot be set until all schedulingGates have been cleared"))
    if pod.metadata.annotations:
        check_profiles_agree(pod.metadata, pod.spec, "spec", errors)
    return errors


def check_pod(pod: Pod, errors: list[FieldError]) -> None:
    """Metadata and spec of a Pod, new or changed."""
    spec, meta = pod.spec, pod.metadata
    check_metadata(meta, True, names.dns_subdomain, "metadata", errors)
    if meta.annotations:
        check_pod_annotations(meta.annotations, spec, "metadata.annotations", errors)
    check_pod_spec(spec, "spec", errors, is_pod=True, pod_name=meta.name or "")
    if spec.resource_claims and MIRROR in meta.annotations:
        errors.append(forbidden("[]", "static pods do not support resource claims"))
    if not spec.service_account_name:
        for index, volume in enumerate(spec.volumes):
            if volume.projected is not None:
                for position, source in enumerate(volume.projected.sources):
                    if source.service_account_token is not None:
                        where = f"spec.volumes[{index}].projected.sources[{position}].serviceAccountToken"
                        errors.append(forbidden(where, "must not be specified when serviceAccountName is not set"))
    for index, container in enumerate(spec.containers):
        check_image_text(container, f"spec.containers[{index}]", errors)
    for index, container in enumerate(spec.init_containers):
        check_image_text(container, f"spec.initContainers[{index}]", errors)


def validate_pod_update(new: Pod, old: Pod) -> list[FieldError]:
    """A Pod that replaces `old`: images, deadline, more tolerations, fewer gates."""
    errors: list[FieldError] = []
    check_metadata_update(new.metadata, old.metadata, errors)
    if new.spec == old.spec:
        _check_same_spec(new, old, errors)
        return errors
    check_pod(new, errors)
    check_annotation_update(new, old, errors)
    for after, before, path in (
        (new.spec.containers, old.spec.containers, "spec.containers"),
        (new.spec.init_containers, old.spec.init_containers, "spec.initContainers"),
    ):
        if len(after) != len(before):
            errors.append(forbidden(path, _NO_ADD))
            return errors
        for index, container in enumerate(after):
            if not container.image:
                errors.append(required(f"{path}[{index}].image"))
            check_image_text(container, f"{path}[{index}]", errors)
    if _check_deadline(new.spec, old.spec, errors):
        return errors
    _check_tolerations(new.spec.tolerations, old.spec.tolerations, errors)
    _check_gates(new.spec, old.spec, errors)
    munged = _without_changeable(new.spec, old.spec)
    if old.spec.scheduling_gates:
        munged = without_gated_changes(munged, old.spec, errors)
    if munged != old.spec:
        detail = f"pod updates may not change fields other than {_UPDATABLE}\n{describe_difference(munged, old.spec)}"
        errors.append(forbidden("spec", detail))
    return errors


def _check_same_spec(new: Pod, old: Pod, errors: list[FieldError]) -> None:
    """What stays was checked before; of metadata what Pods look at again."""
    check_metadata(new.metadata, True, names.dns_subdomain, "metadata", errors)
    if new.metadata.annotations or old.metadata.annotations:
        check_pod_annotations(new.metadata.annotations, new.spec, "metadata.annotations", errors)
        check_annotation_update(new, old, errors)


def check_annotation_update(new: Pod, old: Pod, errors: list[FieldError]) -> None:
    """Annotations that replace others."""
    if new.metadata.annotations != old.metadata.annotations:
        where = "metadata.annotations"
        check_annotation_changes(new.metadata.annotations, old.metadata.annotations, where, errors)
        check_pod_annotations(new.metadata.annotations, new.spec, where, errors)


def _check_deadline(new: PodSpec, old: PodSpec, errors: list[FieldError]) -> bool:
    """Returns whether there is no more to say."""
    after, before = new.active_deadline_seconds, old.active_deadline_seconds
    where = "spec.activeDeadlineSeconds"
    if after is None:
        if before is not None:
            errors.append(invalid(where, after, "must not update from a positive integer to nil value"))
        return False
    if not 0 <= after <= INT32_MAXIMUM:
        errors.append(invalid(where, after, names.range_message(0, INT32_MAXIMUM)))
        return True
    if before is not None and before < after:
        errors.append(invalid(where, after, "must be less than or equal to previous value"))
        return True
    return False


def _check_gates(new: PodSpec, old: PodSpec, errors: list[FieldError]) -> None:
    before = {gate.name for gate in old.scheduling_gates}
    for index, gate in enumerate(new.scheduling_gates):
        if gate.name not in before:
            detail = f"only deletion is allowed, but found new scheduling gate '{gate.name}'"
            errors.append(forbidden(f"spec.schedulingGates[{index}].name", detail))


def _check_tolerations(new: tuple[Toleration, ...], old: tuple[Toleration, ...], errors: list[FieldError]) -> None:
    unbounded = {(t.key, t.operator, t.value, t.effect) for t in new}
    for toleration in old:
        if (toleration.key, toleration.operator, toleration.value, toleration.effect) not in unbounded:
            detail = "existing toleration can not be modified except its tolerationSeconds"
            errors.append(forbidden("spec.tolerations", detail))
            return
    if new != old:
        check_tolerations(new, "spec.tolerations", errors)


def _without_changeable(new: PodSpec, old: PodSpec) -> PodSpec:
    """The new spec with the old one's values where a change is allowed."""
    grace = new.termination_grace_period_seconds
    if old.termination_grace_period_seconds is not None and old.termination_grace_period_seconds < 0 and grace == 1:
        grace = old.termination_grace_period_seconds
    return replace(
        new,
        containers=_with_images(new.containers, old.containers),
        init_containers=_with_images(new.init_containers, old.init_containers),
        active_deadline_seconds=old.active_deadline_seconds,
        tolerations=old.tolerations,
        scheduling_gates=old.scheduling_gates,
        termination_grace_period_seconds=grace,
    )


def _with_images(new: tuple[Container, ...], old: tuple[Container, ...]) -> tuple[Container, ...]:
    return tuple(replace(after, image=before.image) for after, before in zip(new, old, strict=True))


def validate_binding(binding: Binding) -> list[FieldError]:
    """A pod's assignment to a node."""
    errors: list[FieldError] = []
    if binding.target.kind and binding.target.kind != "Node":
        errors.append(not_supported("target.kind", binding.target.kind, ("Node", "<empty>")))
    if not binding.target.name:
        errors.append(required("target.name"))
    return errors

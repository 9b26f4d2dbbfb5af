"""Checks of Pods: what only they have to satisfy, and what little of them may change."""

from __future__ import annotations

from typing import Final

from msgspec.structs import replace

from tiphys.api import names
from tiphys.api.field_errors import FieldError, forbidden, invalid, not_supported, refuse, required
from tiphys.api.types.core_v1 import Binding, Container, ContainerStatus, Pod, PodSpec, Toleration
from tiphys.api.validation.differences import describe_difference
from tiphys.api.validation.formats import INT32_MAXIMUM, check_ip
from tiphys.api.validation.metadata import check_metadata, check_metadata_update
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
    check_metadata(pod.metadata, True, names.dns_subdomain, "metadata", errors)
    _check_pod(pod, errors)
    if pod.spec.ephemeral_containers:
        errors.append(forbidden("spec.ephemeralContainers", "cannot be set on create"))
    if pod.spec.node_name and pod.spec.scheduling_gates:
        errors.append(forbidden("spec.nodeName", "cannot be set until all schedulingGates have been cleared"))
    return errors


def _check_pod(pod: Pod, errors: list[FieldError]) -> None:
    spec = pod.spec
    check_pod_spec(spec, "spec", errors, is_pod=True)
    if not spec.service_account_name:
        for index, volume in enumerate(spec.volumes):
            if volume.projected is not None:
                for position, source in enumerate(volume.projected.sources):
                    if source.service_account_token is not None:
                        where = f"spec.volumes[{index}].projected.sources[{position}].serviceAccountToken"
                        errors.append(forbidden(where, "must not be specified when serviceAccountName is not set"))
    _check_images(spec.containers, "spec.containers", errors)
    if spec.init_containers:
        _check_images(spec.init_containers, "spec.initContainers", errors)


def _check_images(containers: tuple[Container, ...], path: str, errors: list[FieldError]) -> None:
    for index, container in enumerate(containers):
        image = container.image
        if image and (image[0].isspace() or image[-1].isspace()):
            detail = "must not have leading or trailing whitespace"
            errors.append(invalid(f"{path}[{index}].image", image, detail))


def validate_pod_update(new: Pod, old: Pod) -> list[FieldError]:
    """A Pod that replaces `old`: images, deadline, more tolerations, fewer gates."""
    errors: list[FieldError] = []
    check_metadata_update(new.metadata, old.metadata, errors)
    if new.spec == old.spec:
        return errors
    _check_pod(new, errors)
    for after, before, path in (
        (new.spec.containers, old.spec.containers, "spec.containers"),
        (new.spec.init_containers, old.spec.init_containers, "spec.initContainers"),
    ):
        if len(after) != len(before):
            errors.append(forbidden(path, _NO_ADD))
            return errors
        errors.extend(required(f"{path}[{i}].image") for i, container in enumerate(after) if not container.image)
    _check_deadline(new.spec, old.spec, errors)
    _check_tolerations(new.spec.tolerations, old.spec.tolerations, errors)
    before_gates = {gate.name for gate in old.spec.scheduling_gates}
    for index, gate in enumerate(new.spec.scheduling_gates):
        if gate.name not in before_gates:
            detail = f"only deletion is allowed, but found new scheduling gate '{gate.name}'"
            errors.append(forbidden(f"spec.schedulingGates[{index}]", detail))
    munged = _without_changeable(new.spec, old.spec)
    if munged != old.spec:
        detail = f"pod updates may not change fields other than {_UPDATABLE}\n{describe_difference(munged, old.spec)}"
        errors.append(forbidden("spec", detail))
    return errors


def _check_deadline(new: PodSpec, old: PodSpec, errors: list[FieldError]) -> None:
    after, before = new.active_deadline_seconds, old.active_deadline_seconds
    where = "spec.activeDeadlineSeconds"
    if after is not None:
        if not 0 <= after <= INT32_MAXIMUM:
            errors.append(invalid(where, after, names.range_message(0, INT32_MAXIMUM)))
        elif before is not None and before < after:
            errors.append(invalid(where, after, "must be less than or equal to previous value"))
    elif before is not None:
        errors.append(invalid(where, after, "must not update from a positive integer to nil value"))


def _check_tolerations(new: tuple[Toleration, ...], old: tuple[Toleration, ...], errors: list[FieldError]) -> None:
    unbounded = {(t.key, t.operator, t.value, t.effect) for t in new}
    for toleration in old:
        if (toleration.key, toleration.operator, toleration.value, toleration.effect) not in unbounded:
            detail = "existing toleration can not be modified except its tolerationSeconds"
            errors.append(forbidden("spec.tolerations", detail))
            return


def _without_changeable(new: PodSpec, old: PodSpec) -> PodSpec:
    """The new spec with the old one's values where a change is allowed."""
    grace = new.termination_grace_period_seconds
    if old.termination_grace_period_seconds is not None and old.termination_grace_period_seconds < 0 and grace == 1:
        grace = old.termination_grace_period_seconds
    munged = replace(
        new,
        containers=_with_images(new.containers, old.containers),
        init_containers=_with_images(new.init_containers, old.init_containers),
        active_deadline_seconds=old.active_deadline_seconds,
        tolerations=old.tolerations,
        scheduling_gates=old.scheduling_gates,
        termination_grace_period_seconds=grace,
    )
    if old.scheduling_gates:
        selected = munged.node_selector
        if all(selected.get(key) == value for key, value in old.node_selector.items()):
            munged = replace(munged, node_selector=old.node_selector)
        munged = _with_gated_affinity(munged, old)
    return munged


def _with_gated_affinity(new: PodSpec, old: PodSpec) -> PodSpec:
    """A gated pod's node affinity may become stricter: terms may be added to nothing, and gain requirements."""
    after = new.affinity.node_affinity if new.affinity is not None else None
    before = old.affinity.node_affinity if old.affinity is not None else None
    if after is None or after == before:
        return new
    required_after = after.required_during_scheduling_ignored_during_execution
    required_before = before.required_during_scheduling_ignored_during_execution if before is not None else None
    if required_before is not None:
        if required_after is None or len(required_after.node_selector_terms) != len(
            required_before.node_selector_terms
        ):
            return new
        for term, earlier in zip(required_after.node_selector_terms, required_before.node_selector_terms, strict=True):
            if not set(map(repr, earlier.match_expressions)) <= set(map(repr, term.match_expressions)):
                return new
            if not set(map(repr, earlier.match_fields)) <= set(map(repr, term.match_fields)):
                return new
    return replace(new, affinity=old.affinity)


def _with_images(new: tuple[Container, ...], old: tuple[Container, ...]) -> tuple[Container, ...]:
    return tuple(replace(after, image=before.image) for after, before in zip(new, old, strict=True))


def validate_pod_status(new: Pod, old: Pod) -> list[FieldError]:
    """What a kubelet reports."""
    errors: list[FieldError] = []
    check_metadata_update(new.metadata, old.metadata, errors)
    if new.spec.node_name != old.spec.node_name:
        errors.append(forbidden("status.nodeName", "may not be changed directly"))
    name = new.status.nominated_node_name
    if name and name != old.status.nominated_node_name:
        refuse(names.dns_subdomain(name), name, "status.nominatedNodeName", errors)
    _check_transitions(
        new.status.container_statuses, old.status.container_statuses, old.spec, "status.containerStatuses", errors
    )
    _check_init_transitions(new, old, errors)
    if new.status.pod_ips != old.status.pod_ips:
        _check_addresses(new, errors)
    return errors


def _check_transitions(
    new: tuple[ContainerStatus, ...],
    old: tuple[ContainerStatus, ...],
    spec: PodSpec,
    path: str,
    errors: list[FieldError],
) -> None:
    if spec.restart_policy == "Always" or new == old:
        return
    ended = {status.name: status for status in old if status.state.terminated is not None}
    restarting = {c.name for c in spec.containers if c.restart_policy is not None or c.restart_policy_rules}
    for index, status in enumerate(new):
        before = ended.get(status.name)
        if before is None or status.state.terminated is not None or status.name in restarting:
            continue
        terminated = before.state.terminated
        assert terminated is not None
        if spec.restart_policy == "OnFailure" and terminated.exit_code != 0:
            continue
        errors.append(forbidden(f"{path}[{index}].state", "may not be transitioned to non-terminated state"))


def _check_init_transitions(new: Pod, old: Pod, errors: list[FieldError]) -> None:
    if new.status.init_container_statuses == old.status.init_container_statuses:
        return
    sidecars = {c.name for c in old.spec.init_containers if c.restart_policy == "Always"}
    ended = {
        status.name
        for status in old.status.init_container_statuses
        if status.state.terminated is not None
        and (status.state.terminated.exit_code == 0 or old.spec.restart_policy == "Never")
    }
    for index, status in enumerate(new.status.init_container_statuses):
        if status.name in ended and status.name not in sidecars and status.state.terminated is None:
            where = f"status.initContainerStatuses[{index}].state"
            errors.append(forbidden(where, "may not be transitioned to non-terminated state"))


def _check_addresses(pod: Pod, errors: list[FieldError]) -> None:
    seen: set[int] = set()
    for index, address in enumerate(pod.status.pod_ips):
        parsed = check_ip(address.ip, f"status.podIPs[{index}]", errors)
        if parsed is not None:
            if parsed.version in seen:
                detail = "may specify no more than one IP for each IP family"
                errors.append(invalid("status.podIPs", [a.ip for a in pod.status.pod_ips], detail))
                return
            seen.add(parsed.version)


def validate_binding(binding: Binding) -> list[FieldError]:
    """A pod's assignment to a node."""
    errors: list[FieldError] = []
    if binding.target.kind and binding.target.kind != "Node":
        errors.append(not_supported("target.kind", binding.target.kind, ("Node", "<empty>")))
    if not binding.target.name:
        errors.append(required("target.name"))
    return errors

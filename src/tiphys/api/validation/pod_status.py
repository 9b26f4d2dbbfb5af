"""Checks of what a kubelet (or the scheduler) reports of a Pod."""

from __future__ import annotations

from typing import Any, Final

from tiphys.api import names
from tiphys.api.field_errors import FieldError, duplicate, forbidden, invalid, not_supported, refuse
from tiphys.api.types.core_v1 import Container, ContainerStatus, Pod, PodSpec
from tiphys.api.validation.formats import check_id, check_ip
from tiphys.api.validation.metadata import check_immutable, check_metadata_update
from tiphys.api.validation.pods import check_annotation_update

_COUNT: Final = "must be a non-negative integer"
_SYSTEM_CONDITIONS: Final = frozenset({"PodScheduled", "Ready", "Initialized"})
_HEALTH: Final = ("Healthy", "Unhealthy", "Unknown")
_NOT_AGAIN: Final = "may not be transitioned to non-terminated state"


def validate_pod_status(new: Pod, old: Pod) -> list[FieldError]:
    """A Pod whose status replaces that of `old`."""
    errors: list[FieldError] = []
    check_metadata_update(new.metadata, old.metadata, errors)
    if new.metadata.annotations != old.metadata.annotations:
        check_annotation_update(new, old, errors)
    after, before = new.status, old.status
    _check_conditions(new, errors)
    if new.spec.node_name != old.spec.node_name:
        errors.append(forbidden("status.nodeName", "may not be changed directly"))
    _check_nominated(new, old, errors)
    if (after.observed_generation or 0) < 0:
        errors.append(invalid("status.observedGeneration", after.observed_generation, _COUNT))
    check_immutable(after.qos_class, before.qos_class, "status.qosClass", errors)
    if not _may_restart_all(old.spec):
        for part, statuses, earlier, containers in (
            ("containerStatuses", after.container_statuses, before.container_statuses, old.spec.containers),
            (
                "initContainerStatuses",
                after.init_container_statuses,
                before.init_container_statuses,
                old.spec.init_containers,
            ),
        ):
            if statuses is not earlier:
                _check_transitions(statuses, earlier, containers, old.spec, f"status.{part}", errors)
    where = "status.ephemeralContainerStatuses"
    _check_transitions(after.ephemeral_container_statuses, before.ephemeral_container_statuses, (), None, where, errors)
    if after.resource_claim_statuses:
        _check_claims(new, errors)
    if after.pod_ips != before.pod_ips:
        _check_addresses([a.ip for a in after.pod_ips], [a.ip for a in before.pod_ips], "status.podIPs", errors)
    if after.host_ips != before.host_ips and after.host_ips:
        if after.host_ip != after.host_ips[0].ip:
            errors.append(invalid("status.hostIPs[0].ip", after.host_ips[0].ip, "must be equal to `hostIP`"))
        _check_addresses([a.ip for a in after.host_ips], [a.ip for a in before.host_ips], "status.hostIPs", errors)
    _check_containers(new, errors)
    return errors


def _check_conditions(pod: Pod, errors: list[FieldError]) -> None:
    for index, condition in enumerate(pod.status.conditions):
        if (condition.observed_generation or 0) < 0:
            where = f"status.conditions[{index}].observedGeneration"
            errors.append(invalid(where, condition.observed_generation, _COUNT))
        if condition.type not in _SYSTEM_CONDITIONS:
            refuse(names.qualified_name(condition.type), condition.type, f"status.conditions[{index}].Type", errors)


def _check_nominated(new: Pod, old: Pod, errors: list[FieldError]) -> None:
    name = new.status.nominated_node_name
    if name and name != old.status.nominated_node_name:
        where = "status.nominatedNodeName"
        refuse(names.dns_subdomain(name), name, where, errors)
        if old.spec.node_name:
            errors.append(forbidden(where, "may not be set on pods that are already bound to a node"))


def _may_restart_all(spec: PodSpec) -> bool:
    return any(
        rule.action == "RestartAllContainers"
        for container in (*spec.containers, *spec.init_containers)
        for rule in container.restart_policy_rules
    )


def _check_transitions(
    new: tuple[ContainerStatus, ...],
    old: tuple[ContainerStatus, ...],
    containers: tuple[Container, ...],
    spec: PodSpec | None,
    path: str,
    errors: list[FieldError],
) -> None:
    """What ended runs again only if it is restarted; without a `spec` nothing is."""
    for index, status in enumerate(old):
        ended = status.state.terminated
        if ended is None:
            continue
        later = next((s for s in new if s.name == status.name), None)
        if later is None or later.state.terminated is not None:
            continue
        container = next((c for c in containers if c.name == status.name), None)
        if container is None or spec is None or not restarts(container, spec, ended.exit_code):
            errors.append(forbidden(f"{path}[{index}].state", _NOT_AGAIN))


def restarts(container: Container, spec: PodSpec, exit_code: int) -> bool:
    """Whether a container that ended with `exit_code` is started again: by its rules, its policy, the pod's."""
    policy = spec.restart_policy
    if container.restart_policy is not None:
        for rule in container.restart_policy_rules:
            codes = rule.exit_codes
            if codes is not None and (exit_code in codes.values) == (codes.operator == "In"):
                if rule.action == "Restart":
                    return True
                break
        policy = container.restart_policy
    return policy == "Always" or (policy == "OnFailure" and exit_code != 0)


def _check_addresses(new: list[str], old: list[str], path: str, errors: list[FieldError]) -> None:
    parsed = [check_ip(text, f"{path}[{index}]", errors, old) for index, text in enumerate(new)]
    if len(new) > 1:
        versions = [address.version for address in parsed if address is not None]
        if len(new) > 2 or sorted(versions) != [4, 6]:
            shown = [{"IP": text} for text in new]
            errors.append(invalid(path, shown, "may specify no more than one IP for each IP family"))


def _check_claims(pod: Pod, errors: list[FieldError]) -> None:
    known = {claim.name for claim in pod.spec.resource_claims}
    seen: set[str] = set()
    for index, status in enumerate(pod.status.resource_claim_statuses):
        where = f"status.resourceClaimStatuses[{index}].name"
        if status.name not in known:
            errors.append(invalid(where, status.name, "must match the name of an entry in `spec.resourceClaims`"))
        if status.name in seen:
            errors.append(duplicate(where, status.name))
        seen.add(status.name)
        if status.resource_claim_name is not None:
            refuse(names.dns_subdomain(status.resource_claim_name), status.resource_claim_name, where, errors)


def _check_containers(pod: Pod, errors: list[FieldError]) -> None:
    windows = pod.spec.os is not None and pod.spec.os.name == "windows"
    status = pod.status
    for part, statuses, containers in (
        ("containerStatuses", status.container_statuses, pod.spec.containers),
        ("initContainerStatuses", status.init_container_statuses, pod.spec.init_containers),
        ("ephemeralContainerStatuses", status.ephemeral_container_statuses, ()),
    ):
        for index, container in enumerate(statuses):
            where = f"status.{part}[{index}]"
            user = container.user.linux if container.user is not None else None
            if user is not None:
                if windows:
                    errors.append(forbidden(f"{where}.user.linux", "cannot be set for a windows pod"))
                else:
                    _check_user(user, f"{where}.user.linux", errors)
            if container.allocated_resources_status:
                if part == "ephemeralContainerStatuses":
                    detail = "must not be specified in container status"
                    errors.append(forbidden(f"{where}.allocatedResourcesStatus", detail))
                else:
                    spec = next((c for c in containers if c.name == container.name), None)
                    _check_health(container, spec, f"{where}.allocatedResourcesStatus", errors)


def _check_user(user: Any, path: str, errors: list[FieldError]) -> None:
    check_id(user.uid, f"{path}.uid", errors)
    check_id(user.gid, f"{path}.gid", errors)
    for index, group in enumerate(user.supplemental_groups):
        check_id(group, f"{path}.supplementalGroups[{index}]", errors)


def _check_health(status: ContainerStatus, container: Container | None, path: str, errors: list[FieldError]) -> None:
    for index, allocated in enumerate(status.allocated_resources_status):
        if container is not None:
            _check_allocated(allocated.name, container, f"{path}[{index}].name", errors)
        seen: set[str] = set()
        for position, resource in enumerate(allocated.resources):
            where = f"{path}[{index}].resources[{position}]"
            if resource.health not in _HEALTH:
                errors.append(not_supported(f"{where}.health", resource.health or "", _HEALTH))
            if resource.resource_id in seen:
                errors.append(duplicate(f"{where}.resourceID", resource.resource_id))
            seen.add(resource.resource_id)


def _check_allocated(name: str, container: Container, path: str, errors: list[FieldError]) -> None:
    if name.startswith("claim:"):
        known = {f"claim:{c.name}/{c.request}" if c.request else f"claim:{c.name}" for c in container.resources.claims}
        detail = (
            "must match one of the container's resource claims in a format 'claim:<claimName>/<request>' or "
            "'claim:<claimName>' if request is empty"
        )
    else:
        known = set(container.resources.requests)
        detail = "must match one of the container's resource requests"
    if name not in known:
        errors.append(invalid(path, name, detail))

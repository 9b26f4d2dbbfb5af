"""Checks of containers: regular, init and ephemeral."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from tiphys.api import names
from tiphys.api.field_errors import (
    FieldError,
    duplicate,
    forbidden,
    invalid,
    not_found,
    not_supported,
    refuse,
    required,
    too_long,
)
from tiphys.api.types.core_v1 import (
    Container,
    ContainerPort,
    ContainerRestartRule,
    EphemeralContainer,
    PodSpec,
    Volume,
    VolumeDevice,
    VolumeMount,
)
from tiphys.api.validation.environment import check_environment, check_environment_sources
from tiphys.api.validation.formats import check_descending_path
from tiphys.api.validation.probes import check_lifecycle, check_liveness_probe, check_readiness_probe, check_stop_signal
from tiphys.api.validation.resources import check_requirements
from tiphys.api.validation.security import check_container_security

AnyContainer = Container | EphemeralContainer

PULL_POLICIES: Final = ("Always", "IfNotPresent", "Never")
PROTOCOLS: Final = ("SCTP", "TCP", "UDP")
_MESSAGE_POLICIES: Final = ("File", "FallbackToLogsOnError")
_RESTART_POLICIES: Final = ("Always", "Never", "OnFailure")
_PROPAGATIONS: Final = ("Bidirectional", "HostToContainer", "None")
_RESIZABLE: Final = ("cpu", "memory")
_RESIZE_POLICIES: Final = ("NotRequired", "RestartContainer")
_NOT_FOR_INIT: Final = "may not be set for init containers without restartPolicy=Always"
_NOT_FOR_EPHEMERAL: Final = "cannot be set for an Ephemeral Container"
_RESTART_ACTIONS: Final = ("Restart", "RestartAllContainers")
_RESTART_RULES_MAXIMUM: Final = 20
_EXIT_CODES_MAXIMUM: Final = 255


@dataclass(slots=True)
class PodScope:
    """What containers of one pod are checked against."""

    spec: PodSpec
    volumes: dict[str, Volume]
    claims: frozenset[str]
    errors: list[FieldError]
    names_files: bool = False
    """Whether a variable comes from a file of a volume."""
    is_windows: bool = False
    """Whether anything says something that only Windows has."""


def check_containers(scope: PodScope, path: str) -> None:
    """The regular containers, of which there is at least one."""
    containers, errors = scope.spec.containers, scope.errors
    if not containers:
        errors.append(required(path))
        return
    seen: set[str] = set()
    ports = 0
    for index, container in enumerate(containers):
        where = f"{path}[{index}]"
        _check_common(container, scope, where)
        if container.name in seen:
            errors.append(duplicate(f"{where}.name", container.name))
        seen.add(container.name)
        _check_life(container, scope, where)
        if container.restart_policy is not None or container.restart_policy_rules:
            _check_restart(container, where, errors)
        ports += len(container.ports)
    if ports:
        check_host_ports(containers, path, errors)


def check_init_containers(scope: PodScope, path: str) -> None:
    """Containers that run before the others, or (restartPolicy Always) beside them."""
    errors = scope.errors
    seen = {container.name for container in scope.spec.containers}
    for index, container in enumerate(scope.spec.init_containers):
        where = f"{path}[{index}]"
        _check_common(container, scope, where)
        if container.restart_policy is not None or container.restart_policy_rules:
            _check_init_restart(container, where, errors)
        if container.name in seen:
            errors.append(duplicate(f"{where}.name", container.name))
        elif container.name:
            seen.add(container.name)
        if container.ports:
            check_host_ports((container,), path, errors)
        if container.restart_policy == "Always":
            _check_life(container, scope, where)
            continue
        for value, name in (
            (container.lifecycle, "lifecycle"),
            (container.liveness_probe, "livenessProbe"),
            (container.readiness_probe, "readinessProbe"),
            (container.startup_probe, "startupProbe"),
        ):
            if value is not None:
                errors.append(forbidden(f"{where}.{name}", _NOT_FOR_INIT))


def check_ephemeral_containers(scope: PodScope, path: str) -> None:
    """Containers added to a running pod to look at it."""
    errors = scope.errors
    others = {c.name for c in (*scope.spec.containers, *scope.spec.init_containers)}
    seen = set(others)
    for index, container in enumerate(scope.spec.ephemeral_containers):
        where = f"{path}[{index}]"
        _check_common(container, scope, where)
        check_image_text(container, where, errors)
        if container.name in seen:
            errors.append(duplicate(f"{where}.name", container.name))
        seen.add(container.name)
        target = container.target_container_name
        if target and target not in others:
            errors.append(not_found(f"{where}.targetContainerName", target))
        for value, name in (
            (container.ports or None, "ports"),
            (_any_resources(container), "resources"),
            (container.resize_policy or None, "resizePolicy"),
            (container.restart_policy, "restartPolicy"),
            (container.restart_policy_rules or None, "restartPolicyRules"),
            (container.liveness_probe, "livenessProbe"),
            (container.readiness_probe, "readinessProbe"),
            (container.startup_probe, "startupProbe"),
            (container.lifecycle, "lifecycle"),
        ):
            if value is not None:
                errors.append(forbidden(f"{where}.{name}", _NOT_FOR_EPHEMERAL))
        for position, mount in enumerate(container.volume_mounts):
            place = f"{where}.volumeMounts[{position}]"
            if mount.sub_path:
                errors.append(forbidden(f"{place}.subPath", _NOT_FOR_EPHEMERAL))
            if mount.sub_path_expr:
                errors.append(forbidden(f"{place}.subPathExpr", _NOT_FOR_EPHEMERAL))


def _any_resources(container: AnyContainer) -> bool | None:
    resources = container.resources
    return True if resources.limits or resources.requests or resources.claims else None


def check_image_text(container: AnyContainer, path: str, errors: list[FieldError]) -> None:
    """Pods' images, not those of templates, are free of blanks around them."""
    image = container.image
    if image and (image[0].isspace() or image[-1].isspace()):
        errors.append(invalid(f"{path}.image", image, "must not have leading or trailing whitespace"))


def _check_life(container: Container, scope: PodScope, path: str) -> None:
    errors = scope.errors
    if container.lifecycle is not None:
        grace = scope.spec.termination_grace_period_seconds
        check_lifecycle(container.lifecycle, grace, f"{path}.lifecycle", errors)
        if container.lifecycle.stop_signal is not None:
            check_stop_signal(container.lifecycle.stop_signal, scope.spec.os, f"{path}.lifecycle.stopSignal", errors)
    if container.liveness_probe is not None:
        check_liveness_probe(container.liveness_probe, f"{path}.livenessProbe", errors)
    if container.readiness_probe is not None:
        check_readiness_probe(container.readiness_probe, f"{path}.readinessProbe", errors)
    if container.startup_probe is not None:
        check_liveness_probe(container.startup_probe, f"{path}.startupProbe", errors)


def _check_common(container: AnyContainer, scope: PodScope, path: str) -> None:
    errors = scope.errors
    if not container.name:
        errors.append(required(f"{path}.name"))
    else:
        messages = names.dns_label(container.name)
        if messages:
            refuse(messages, container.name, f"{path}.name", errors)
    if not container.image:
        errors.append(required(f"{path}.image"))
    if container.termination_message_policy not in _MESSAGE_POLICIES:
        policy = container.termination_message_policy or ""
        errors.append(not_supported(f"{path}.terminationMessagePolicy", policy, _MESSAGE_POLICIES))
    if container.ports:
        _check_ports(container.ports, f"{path}.ports", errors)
    if container.env and check_environment(container.env, f"{path}.env", errors):
        scope.names_files = True
    if container.env_from:
        check_environment_sources(container.env_from, f"{path}.envFrom", errors)
    if container.volume_mounts:
        _check_mounts(container, scope.volumes, f"{path}.volumeMounts", errors)
    if container.volume_devices:
        _check_devices(container, scope.volumes, f"{path}.volumeDevices", errors)
    if container.image_pull_policy not in PULL_POLICIES:
        errors.append(not_supported(f"{path}.imagePullPolicy", container.image_pull_policy or "", PULL_POLICIES))
    resources = container.resources
    if resources.limits or resources.requests or resources.claims:
        check_requirements(resources, scope.claims, f"{path}.resources", errors)
    if container.resize_policy:
        _check_resize(container, scope.spec, f"{path}.resizePolicy", errors)
    if container.security_context is not None:
        host_users = scope.spec.host_users is not False
        check_container_security(container.security_context, f"{path}.securityContext", errors, host_users=host_users)
        if container.security_context.windows_options is not None:
            scope.is_windows = True


def _check_ports(ports: tuple[ContainerPort, ...], path: str, errors: list[FieldError]) -> None:
    seen: set[str] = set()
    for index, port in enumerate(ports):
        if port.name:
            messages = names.port_name(port.name)
            if messages:
                refuse(messages, port.name, f"{path}[{index}].name", errors)
            elif port.name in seen:
                errors.append(duplicate(f"{path}[{index}].name", port.name))
            seen.add(port.name)
        if port.container_port == 0:
            errors.append(required(f"{path}[{index}].containerPort"))
        elif not 1 <= port.container_port <= 65535:
            refuse(
                names.port_number(port.container_port), port.container_port, f"{path}[{index}].containerPort", errors
            )
        if port.host_port and not 1 <= port.host_port <= 65535:
            refuse(names.port_number(port.host_port), port.host_port, f"{path}[{index}].hostPort", errors)
        if port.protocol not in PROTOCOLS:
            errors.append(not_supported(f"{path}[{index}].protocol", port.protocol or "", PROTOCOLS))


def check_host_ports(containers: tuple[Container, ...], path: str, errors: list[FieldError]) -> None:
    """No two containers want the same port of the host."""
    taken: set[str] = set()
    for index, container in enumerate(containers):
        for position, port in enumerate(container.ports):
            if port.host_port:
                key = f"{port.protocol}/{port.host_ip or ''}/{port.host_port}"
                if key in taken:
                    errors.append(duplicate(f"{path}[{index}].ports[{position}].hostPort", key))
                taken.add(key)


def _check_mounts(container: AnyContainer, volumes: dict[str, Volume], path: str, errors: list[FieldError]) -> None:
    devices = container.volume_devices
    taken: set[str] = set()
    for index, mount in enumerate(container.volume_mounts):
        if not mount.name:
            errors.append(required(f"{path}[{index}].name"))
        if mount.name not in volumes:
            errors.append(not_found(f"{path}[{index}].name", mount.name))
        if not mount.mount_path:
            errors.append(required(f"{path}[{index}].mountPath"))
        if mount.mount_path in taken:
            errors.append(invalid(f"{path}[{index}].mountPath", mount.mount_path, "must be unique"))
        taken.add(mount.mount_path)
        for device in devices:
            if device.name == mount.name:
                detail = "must not already exist in volumeDevices"
                errors.append(invalid(f"{path}[{index}].name", mount.name, detail))
            if device.device_path == mount.mount_path:
                detail = "must not already exist as a path in volumeDevices"
                errors.append(invalid(f"{path}[{index}].mountPath", mount.mount_path, detail))
        if mount.sub_path or mount.sub_path_expr or mount.mount_propagation or mount.recursive_read_only:
            _check_mount_options(mount, container, path, f"{path}[{index}]", errors)


def _check_mount_options(
    mount: VolumeMount, container: AnyContainer, path: str, where: str, errors: list[FieldError]
) -> None:
    # Upstream's paths of these fields lack the mount's index, but where one is about two fields.
    if mount.sub_path:
        check_descending_path(mount.sub_path, f"{path}.subPath", errors)
    if mount.sub_path_expr:
        if mount.sub_path:
            detail = "subPathExpr and subPath are mutually exclusive"
            errors.append(invalid(f"{where}.subPathExpr", mount.sub_path_expr, detail))
        check_descending_path(mount.sub_path_expr, f"{path}.subPathExpr", errors)
    if mount.mount_propagation is not None:
        if mount.mount_propagation not in _PROPAGATIONS:
            errors.append(not_supported(f"{path}.mountPropagation", mount.mount_propagation, _PROPAGATIONS))
        elif mount.mount_propagation == "Bidirectional" and not (
            container.security_context is not None and container.security_context.privileged
        ):
            detail = "Bidirectional mount propagation is available only to privileged containers"
            errors.append(forbidden(f"{path}.mountPropagation", detail))
    mode = mount.recursive_read_only
    if mode is not None and mode != "Disabled":
        if mode not in ("Enabled", "IfPossible"):
            errors.append(not_supported(f"{path}.recursiveReadOnly", mode, ("Disabled", "Enabled", "IfPossible")))
            return
        if not mount.read_only:
            errors.append(forbidden(f"{path}.recursiveReadOnly", "may only be specified when readOnly is true"))
        if mount.mount_propagation not in (None, "None"):
            detail = "may only be specified when mountPropagation is None or not specified"
            errors.append(forbidden(f"{path}.recursiveReadOnly", detail))


def _check_devices(container: AnyContainer, volumes: dict[str, Volume], path: str, errors: list[FieldError]) -> None:
    mounted = {mount.name for mount in container.volume_mounts}
    mount_paths = {mount.mount_path for mount in container.volume_mounts}
    names_seen: set[str] = set()
    paths_seen: set[str] = set()
    for index, device in enumerate(container.volume_devices):
        where = f"{path}[{index}]"
        if not device.name:
            errors.append(required(f"{where}.name"))
        if device.name in names_seen:
            errors.append(invalid(f"{where}.name", device.name, "must be unique"))
        _check_device_volume(device, volumes.get(device.name), where, errors)
        if not device.device_path:
            errors.append(required(f"{where}.devicePath"))
        if device.device_path in paths_seen:
            errors.append(invalid(f"{where}.devicePath", device.device_path, "must be unique"))
        if ".." in device.device_path.split("/"):
            errors.append(invalid(f"{where}.devicePath", device.device_path, "can not contain backsteps ('..')"))
        else:
            paths_seen.add(device.device_path)
        if device.name:
            names_seen.add(device.name)
        if device.name in mounted:
            errors.append(invalid(f"{where}.name", device.name, "must not already exist in volumeMounts"))
        if device.device_path in mount_paths:
            detail = "must not already exist as a path in volumeMounts"
            errors.append(invalid(f"{where}.devicePath", device.device_path, detail))


def _check_device_volume(device: VolumeDevice, volume: Volume | None, path: str, errors: list[FieldError]) -> None:
    if volume is None:
        errors.append(not_found(f"{path}.name", device.name))
    elif volume.persistent_volume_claim is None and volume.ephemeral is None:
        detail = "can only use volume source type of PersistentVolumeClaim or Ephemeral for block mode"
        errors.append(invalid(f"{path}.name", device.name, detail))


def _check_resize(container: AnyContainer, spec: PodSpec, path: str, errors: list[FieldError]) -> None:
    seen: set[str] = set()
    for index, policy in enumerate(container.resize_policy):
        if policy.resource_name in seen:
            errors.append(duplicate(f"{path}[{index}]", policy.resource_name))
        seen.add(policy.resource_name)
        if not policy.resource_name:
            errors.append(required(path))
        elif policy.resource_name not in _RESIZABLE:
            errors.append(not_supported(path, policy.resource_name, _RESIZABLE))
        if not policy.restart_policy:
            errors.append(required(path))
        elif policy.restart_policy not in _RESIZE_POLICIES:
            errors.append(not_supported(path, policy.restart_policy, _RESIZE_POLICIES))
        if spec.restart_policy == "Never" and policy.restart_policy != "NotRequired":
            detail = "must be 'NotRequired' when `restartPolicy` is 'Never'"
            errors.append(invalid(path, policy.restart_policy, detail))


def _check_init_restart(container: Container, path: str, errors: list[FieldError]) -> None:
    if container.restart_policy is not None:
        _check_restart(container, path, errors)
    else:
        errors.append(required(f"{path}.restartPolicy", "must specify restartPolicy when restart rules are used"))


def _check_restart(container: Container, path: str, errors: list[FieldError]) -> None:
    policy = container.restart_policy
    if policy is not None and policy not in _RESTART_POLICIES:
        errors.append(not_supported(f"{path}.restartPolicy", policy, _RESTART_POLICIES))
    rules = container.restart_policy_rules
    if not rules:
        return
    if policy is None:
        errors.append(required(f"{path}.restartPolicy", "must specify restartPolicy when restart rules are used"))
    if len(rules) > _RESTART_RULES_MAXIMUM:
        errors.append(too_long(f"{path}.restartPolicyRules", _RESTART_RULES_MAXIMUM))
    for index, rule in enumerate(rules):
        _check_restart_rule(rule, f"{path}.restartPolicyRules[{index}]", errors)


def _check_restart_rule(rule: ContainerRestartRule, path: str, errors: list[FieldError]) -> None:
    if rule.action not in _RESTART_ACTIONS:
        # Upstream's list of what there is leaves out the younger action.
        errors.append(not_supported(f"{path}.action", rule.action, _RESTART_ACTIONS[:1]))
    codes: Any = rule.exit_codes
    if codes is None:
        errors.append(required(f"{path}.exitCodes", "must be specified"))
        return
    if codes.operator not in ("In", "NotIn"):
        errors.append(not_supported(f"{path}.exitCodes.operator", codes.operator, ("In", "NotIn")))
    if len(codes.values) > _EXIT_CODES_MAXIMUM:
        errors.append(too_long(f"{path}.exitCodes.values", _EXIT_CODES_MAXIMUM))

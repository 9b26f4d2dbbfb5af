"""Checks of security contexts, and of what an operating system does not have."""

from __future__ import annotations

import re
from typing import Any, Final

from tiphys.api.field_errors import FieldError, duplicate, forbidden, invalid, not_supported, required, too_long
from tiphys.api.types.core_v1 import (
    AppArmorProfile,
    Container,
    EphemeralContainer,
    PodSecurityContext,
    PodSpec,
    SeccompProfile,
    SecurityContext,
    Sysctl,
)
from tiphys.api.validation.formats import check_descending_path, check_id
from tiphys.api.validation.windows import check_windows_options

_PROFILES: Final = ("Localhost", "RuntimeDefault", "Unconfined")
_PROFILE_MAXIMUM: Final = 4095
_SYSCTL_MAXIMUM: Final = 253
_SYSCTL: Final = r"([a-z0-9]([-_a-z0-9]*[a-z0-9])?[\./])*[a-z0-9]([-_a-z0-9]*[a-z0-9])?"
_match_sysctl: Final = re.compile(_SYSCTL).fullmatch
_match_ipc_sysctl: Final = re.compile(r"(kernel\.(shm|msg)|fs\.mqueue\.).*|kernel\.sem").fullmatch
_NOT_WINDOWS: Final = "cannot be set for a windows pod"
_WINDOWS_POD_FIELDS: Final = (
    ("seccomp_profile", "seccompProfile"),
    ("fs_group", "fsGroup"),
    ("fs_group_change_policy", "fsGroupChangePolicy"),
    ("sysctls", "sysctls"),
)
_WINDOWS_USER_FIELDS: Final = (
    ("run_as_user", "runAsUser"),
    ("run_as_group", "runAsGroup"),
    ("supplemental_groups", "supplementalGroups"),
    ("supplemental_groups_policy", "supplementalGroupsPolicy"),
    ("se_linux_change_policy", "seLinuxChangePolicy"),
)
_WINDOWS_CONTAINER_FIELDS: Final = (
    ("app_armor_profile", "appArmorProfile"),
    ("se_linux_options", "seLinuxOptions"),
    ("seccomp_profile", "seccompProfile"),
    ("capabilities", "capabilities"),
    ("read_only_root_filesystem", "readOnlyRootFilesystem"),
    ("privileged", "privileged"),
    ("allow_privilege_escalation", "allowPrivilegeEscalation"),
    ("proc_mount", "procMount"),
    ("run_as_user", "runAsUser"),
    ("run_as_group", "runAsGroup"),
)


def check_pod_security(spec: PodSpec, context: PodSecurityContext, path: str, errors: list[FieldError]) -> None:
    """The context all containers of a pod share."""
    if context.fs_group is not None:
        check_id(context.fs_group, f"{path}.fsGroup", errors)
    if context.run_as_user is not None:
        check_id(context.run_as_user, f"{path}.runAsUser", errors)
    if context.run_as_group is not None:
        check_id(context.run_as_group, f"{path}.runAsGroup", errors)
    for index, group in enumerate(context.supplemental_groups):
        check_id(group, f"{path}.supplementalGroups[{index}]", errors)
    if spec.share_process_namespace and spec.host_pid:
        errors.append(
            invalid(f"{path}.shareProcessNamespace", True, "ShareProcessNamespace and HostPID cannot both be enabled")
        )
    if context.sysctls:
        _check_sysctls(spec, context.sysctls, f"{path}.sysctls", errors)
    _check_choice(context.fs_group_change_policy, ("Always", "OnRootMismatch"), f"{path}.fsGroupChangePolicy", errors)
    if context.seccomp_profile is not None:
        _check_seccomp(context.seccomp_profile, f"{path}.seccompProfile", errors)
    if context.windows_options is not None:
        check_windows_options(context.windows_options, f"{path}.windowsOptions", errors)
    if context.app_armor_profile is not None:
        _check_app_armor(context.app_armor_profile, f"{path}.appArmorProfile", errors)
    _check_choice(context.supplemental_groups_policy, ("Merge", "Strict"), f"{path}.supplementalGroupsPolicy", errors)
    _check_choice(context.se_linux_change_policy, ("MountOption", "Recursive"), f"{path}.seLinuxChangePolicy", errors)


def _check_choice(value: str | None, supported: tuple[str, ...], path: str, errors: list[FieldError]) -> None:
    if value is not None and value not in supported:
        errors.append(not_supported(path, value, supported))


def _check_sysctls(spec: PodSpec, sysctls: tuple[Sysctl, ...], path: str, errors: list[FieldError]) -> None:
    seen: set[str] = set()
    for index, sysctl in enumerate(sysctls):
        where = f"{path}[{index}].name"
        if not sysctl.name:
            errors.append(required(where))
        elif len(sysctl.name) > _SYSCTL_MAXIMUM or not _match_sysctl(sysctl.name):
            detail = f"must have at most {_SYSCTL_MAXIMUM} characters and match regex ^{_SYSCTL}$"
            errors.append(invalid(where, sysctl.name, detail))
        elif sysctl.name in seen:
            errors.append(duplicate(where, sysctl.name))
        if spec.host_network and sysctl.name.replace("/", ".").startswith("net."):
            errors.append(invalid(where, sysctl.name, "may not be specified when 'hostNetwork' is true"))
        elif spec.host_ipc and _match_ipc_sysctl(sysctl.name.replace("/", ".")):
            errors.append(invalid(where, sysctl.name, "may not be specified when 'hostIPC' is true"))
        seen.add(sysctl.name)


def _check_seccomp(profile: SeccompProfile, path: str, errors: list[FieldError]) -> None:
    if not profile.type:
        errors.append(required(f"{path}.type", "type is required when seccompProfile is set"))
    elif profile.type not in _PROFILES:
        errors.append(not_supported(f"{path}.type", profile.type, _PROFILES))
    if profile.type == "Localhost":
        if profile.localhost_profile is None:
            detail = "must be set when seccomp type is Localhost"
            errors.append(required(f"{path}.localhostProfile", detail))
        else:
            check_descending_path(profile.localhost_profile, f"{path}.localhostProfile", errors)
    elif profile.localhost_profile is not None:
        detail = "can only be set when seccomp type is Localhost"
        value = {"Type": profile.type, "LocalhostProfile": profile.localhost_profile}
        errors.append(invalid(f"{path}.localhostProfile", value, detail))


def _check_app_armor(profile: AppArmorProfile, path: str, errors: list[FieldError]) -> None:
    where = f"{path}.localhostProfile"
    if not profile.type:
        errors.append(required(f"{path}.type", "type is required when appArmorProfile is set"))
    elif profile.type not in _PROFILES:
        errors.append(not_supported(f"{path}.type", profile.type, _PROFILES))
    elif profile.type == "Localhost":
        name = profile.localhost_profile
        if not name:
            errors.append(required(where, "must be set when AppArmor type is Localhost"))
        elif name.strip() != name:
            errors.append(invalid(where, name, "must not be padded with whitespace"))
        if name and len(name.encode()) > _PROFILE_MAXIMUM:
            errors.append(too_long(where, _PROFILE_MAXIMUM))
    elif profile.localhost_profile is not None:
        detail = "can only be set when AppArmor type is Localhost"
        errors.append(invalid(where, profile.localhost_profile, detail))


def check_container_security(
    context: SecurityContext, path: str, errors: list[FieldError], *, host_users: bool
) -> None:
    """One container's context."""
    if context.run_as_user is not None:
        check_id(context.run_as_user, f"{path}.runAsUser", errors)
    if context.run_as_group is not None:
        check_id(context.run_as_group, f"{path}.runAsGroup", errors)
    _check_choice(context.proc_mount, ("Default", "Unmasked"), f"{path}.procMount", errors)
    if context.proc_mount == "Unmasked" and host_users:
        errors.append(invalid(f"{path}.procMount", context.proc_mount, "`hostUsers` must be false to use `Unmasked`"))
    if context.seccomp_profile is not None:
        _check_seccomp(context.seccomp_profile, f"{path}.seccompProfile", errors)
    if context.allow_privilege_escalation is False:
        if context.privileged:
            detail = "cannot set `allowPrivilegeEscalation` to false and `privileged` to true"
            errors.append(invalid(path, context, detail))
        if context.capabilities is not None and "CAP_SYS_ADMIN" in context.capabilities.add:
            detail = "cannot set `allowPrivilegeEscalation` to false and `capabilities.Add` CAP_SYS_ADMIN"
            errors.append(invalid(path, context, detail))
    if context.windows_options is not None:
        check_windows_options(context.windows_options, f"{path}.windowsOptions", errors)
    if context.app_armor_profile is not None:
        _check_app_armor(context.app_armor_profile, f"{path}.appArmorProfile", errors)


def check_os(spec: PodSpec, path: str, errors: list[FieldError]) -> None:
    """Nothing is asked of an operating system that it does not have."""
    assert spec.os is not None
    if not spec.os.name:
        errors.append(required(f"{path}.os.name"))
    elif spec.os.name == "windows":
        _check_windows(spec, path, errors)
    elif spec.os.name == "linux":
        _check_linux(spec, path, errors)
    else:
        errors.append(not_supported(f"{path}.os", spec.os.name, ("linux", "windows")))


def containers_by_path(spec: PodSpec, path: str) -> list[tuple[str, Container | EphemeralContainer]]:
    """All containers of a pod and their paths, in the order upstream visits them."""
    found: list[tuple[str, Container | EphemeralContainer]] = []
    found.extend((f"{path}.initContainers[{i}]", c) for i, c in enumerate(spec.init_containers))
    found.extend((f"{path}.containers[{i}]", c) for i, c in enumerate(spec.containers))
    found.extend((f"{path}.ephemeralContainers[{i}]", c) for i, c in enumerate(spec.ephemeral_containers))
    return found


def _check_linux(spec: PodSpec, path: str, errors: list[FieldError]) -> None:
    where = "securityContext.windowsOptions"
    detail = "windows options cannot be set for a linux pod"
    if spec.security_context is not None and spec.security_context.windows_options is not None:
        errors.append(forbidden(f"{path}.{where}", detail))
    for place, container in containers_by_path(spec, path):
        if container.security_context is not None and container.security_context.windows_options is not None:
            errors.append(forbidden(f"{place}.{where}", detail))


def _check_windows(spec: PodSpec, path: str, errors: list[FieldError]) -> None:
    context = spec.security_context or PodSecurityContext()
    where = f"{path}.securityContext"
    _forbid(context, _WINDOWS_CONTAINER_FIELDS[:2], where, errors)
    if spec.host_users is not None:
        errors.append(forbidden(f"{path}.hostUsers", _NOT_WINDOWS))
    if spec.host_pid:
        errors.append(forbidden(f"{path}.hostPID", _NOT_WINDOWS))
    if spec.host_ipc:
        errors.append(forbidden(f"{path}.hostIPC", _NOT_WINDOWS))
    _forbid(context, _WINDOWS_POD_FIELDS, where, errors)
    if spec.share_process_namespace is not None:
        errors.append(forbidden(f"{path}.shareProcessNamespace", _NOT_WINDOWS))
    _forbid(context, _WINDOWS_USER_FIELDS, where, errors)
    for place, container in containers_by_path(spec, path):
        if container.security_context is not None:
            _forbid(container.security_context, _WINDOWS_CONTAINER_FIELDS, f"{place}.securityContext", errors)


def _forbid(context: Any, fields: tuple[tuple[str, str], ...], path: str, errors: list[FieldError]) -> None:
    for attribute, name in fields:
        value = getattr(context, attribute)
        if value is not None and value != ():
            errors.append(forbidden(f"{path}.{name}", _NOT_WINDOWS))

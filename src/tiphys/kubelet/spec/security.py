"""securityContext, of pod and container, as the runtime is told it."""

from __future__ import annotations

from typing import Final

from tiphys.api.types.core_v1 import AppArmorProfile, Pod, SeccompProfile, SecurityContext
from tiphys.api.types.core_v1 import SELinuxOptions as ApiSELinuxOptions
from tiphys.cri.types import (
    ContainerSecurity,
    Image,
    NamespaceMode,
    NamespaceOptions,
    ProfileType,
    SandboxSecurity,
    SecurityProfile,
    SELinuxOptions,
)
from tiphys.kubelet.lifecycle.state import AnyContainer
from tiphys.kubelet.spec.environment import ConfigError

MASKED_PATHS: Final = (
    "/proc/asound",
    "/proc/acpi",
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/sys/firmware",
    "/sys/devices/virtual/powercap",
)
READONLY_PATHS: Final = ("/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger")


def namespaces(pod: Pod, target_id: str = "") -> NamespaceOptions:
    """Whose namespaces a container of the pod shares; `target_id` is the container an ephemeral one looks at."""
    spec = pod.spec
    pid = NamespaceMode.CONTAINER
    if target_id:
        pid = NamespaceMode.TARGET
    elif spec.host_pid:
        pid = NamespaceMode.NODE
    elif spec.share_process_namespace:
        pid = NamespaceMode.POD
    return NamespaceOptions(
        network=NamespaceMode.NODE if spec.host_network else NamespaceMode.POD,
        pid=pid,
        ipc=NamespaceMode.NODE if spec.host_ipc else NamespaceMode.POD,
        target_id=target_id,
    )


def supplemental_groups(pod: Pod, extra: tuple[int, ...] = ()) -> tuple[int, ...]:
    """The pod's supplementalGroups and fsGroup."""
    context = pod.spec.security_context
    if context is None:
        return extra
    groups = [*context.supplemental_groups, *extra]
    if context.fs_group is not None:
        groups.append(context.fs_group)
    return tuple(dict.fromkeys(groups))


def sandbox_security(pod: Pod) -> SandboxSecurity:
    context = pod.spec.security_context
    every = (*pod.spec.init_containers, *pod.spec.containers)
    privileged = any(c.security_context is not None and bool(c.security_context.privileged) for c in every)
    return SandboxSecurity(
        namespaces=namespaces(pod),
        privileged=privileged,
        run_as_user=context.run_as_user if context else None,
        # A group without a user is refused by runtimes.
        run_as_group=context.run_as_group if context and context.run_as_user is not None else None,
        supplemental_groups=supplemental_groups(pod),
        seccomp=_seccomp(None, context.seccomp_profile) if context and context.seccomp_profile else SecurityProfile(),
        selinux=_selinux(context.se_linux_options if context else None),
    )


def container_security(
    pod: Pod, container: AnyContainer, image: Image | None, target_id: str = ""
) -> ContainerSecurity:
    """Raises ConfigError when the container must not run as root and would."""
    own = container.security_context or SecurityContext()
    shared = pod.spec.security_context
    user = own.run_as_user if own.run_as_user is not None else (shared.run_as_user if shared else None)
    group = own.run_as_group if own.run_as_group is not None else (shared.run_as_group if shared else None)
    username = ""
    if user is None and image is not None:
        # Named here, so that the runtime and the check below agree on who it is.
        user = image.uid
        username = image.username if user is None else ""
        if user is None and not username:
            user = 0
    _refuse_root(pod, container, own, user, username)
    privileged = bool(own.privileged)
    unmasked = own.proc_mount == "Unmasked"
    capabilities = own.capabilities
    return ContainerSecurity(
        privileged=privileged,
        add_capabilities=tuple(capabilities.add) if capabilities else (),
        drop_capabilities=tuple(capabilities.drop) if capabilities else (),
        namespaces=namespaces(pod, target_id),
        run_as_user=None if username else user,
        run_as_group=group,
        run_as_username=username,
        readonly_rootfs=bool(own.read_only_root_filesystem),
        supplemental_groups=supplemental_groups(pod),
        no_new_privileges=own.allow_privilege_escalation is False,
        masked_paths=() if privileged or unmasked else MASKED_PATHS,
        readonly_paths=() if privileged or unmasked else READONLY_PATHS,
        seccomp=None if privileged else _seccomp(own.seccomp_profile, shared.seccomp_profile if shared else None),
        apparmor=_apparmor(own.app_armor_profile or (shared.app_armor_profile if shared else None)),
        selinux=_selinux(own.se_linux_options or (shared.se_linux_options if shared else None)),
    )


def _refuse_root(pod: Pod, container: AnyContainer, own: SecurityContext, user: int | None, username: str) -> None:
    shared = pod.spec.security_context
    wanted = own.run_as_non_root if own.run_as_non_root is not None else (shared.run_as_non_root if shared else None)
    if not wanted:
        return
    meta = pod.metadata
    where = f'(pod: "{meta.name}_{meta.namespace}({meta.uid})", container: {container.name})'
    if username:
        raise ConfigError(
            f"container has runAsNonRoot and image has non-numeric user ({username}), "
            f"cannot verify user is non-root {where}"
        )
    if user == 0:
        explicit = own.run_as_user == 0 or (shared is not None and shared.run_as_user == 0)
        if explicit:
            raise ConfigError(f"container's runAsUser breaks non-root policy {where}")
        raise ConfigError(f"container has runAsNonRoot and image will run as root {where}")


_PROFILE_TYPES: Final = {
    "RuntimeDefault": ProfileType.RUNTIME_DEFAULT,
    "Unconfined": ProfileType.UNCONFINED,
    "Localhost": ProfileType.LOCALHOST,
}


def _seccomp(own: SeccompProfile | None, shared: SeccompProfile | None) -> SecurityProfile:
    profile = own or shared
    if profile is None:
        return SecurityProfile(ProfileType.UNCONFINED)
    return SecurityProfile(_PROFILE_TYPES[profile.type], profile.localhost_profile or "")


def _apparmor(profile: AppArmorProfile | None) -> SecurityProfile | None:
    if profile is None:
        return None
    return SecurityProfile(_PROFILE_TYPES[profile.type], profile.localhost_profile or "")


def _selinux(options: ApiSELinuxOptions | None) -> SELinuxOptions | None:
    if options is None:
        return None
    return SELinuxOptions(options.user or "", options.role or "", options.type or "", options.level or "")

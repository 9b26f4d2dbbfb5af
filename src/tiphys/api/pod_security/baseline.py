"""The controls of level baseline: nothing of the host's, no privileges beyond a container's usual ones."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Final

from tiphys.api.field_errors import quote
from tiphys.api.pod_security.containers import AnyContainer, Violation, containers, of_pod, own, quoted, which
from tiphys.api.types.core_v1 import PodSpec, SELinuxOptions

Check = Callable[[PodSpec, Mapping[str, str]], Violation | None]

_APP_ARMOR_PREFIX: Final = "container.apparmor.security.beta.kubernetes.io/"
_CAPABILITIES: Final = frozenset(
    (
        *("AUDIT_WRITE", "CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "KILL", "MKNOD", "NET_BIND_SERVICE", "SETFCAP"),
        *("SETGID", "SETPCAP", "SETUID", "SYS_CHROOT"),
    )
)
_SELINUX_TYPES: Final = frozenset(("", "container_t", "container_init_t", "container_kvm_t", "container_engine_t"))
_SYSCTLS: Final = frozenset(
    (
        "kernel.shm_rmid_forced",
        "net.ipv4.ip_local_port_range",
        "net.ipv4.ip_local_reserved_ports",
        "net.ipv4.ip_unprivileged_port_start",
        "net.ipv4.ping_group_range",
        "net.ipv4.tcp_fin_timeout",
        "net.ipv4.tcp_keepalive_intvl",
        "net.ipv4.tcp_keepalive_probes",
        "net.ipv4.tcp_keepalive_time",
        "net.ipv4.tcp_rmem",
        "net.ipv4.tcp_syncookies",
        "net.ipv4.tcp_wmem",
    )
)


def _app_armor(spec: PodSpec, annotations: Mapping[str, str]) -> Violation | None:
    bad: list[str] = []
    profile = of_pod(spec).app_armor_profile
    if profile is not None and profile.type == "Unconfined":
        bad.append('pod must not set AppArmor profile type to "Unconfined"')
    names = []
    for container in containers(spec):
        profile = own(container).app_armor_profile
        if profile is not None and profile.type == "Unconfined":
            names.append(container.name)
    if names:
        bad.append(f'{which(names)} must not set AppArmor profile type to "Unconfined"')
    for key, value in sorted(annotations.items()):
        allowed = value in ("", "runtime/default") or value.startswith("localhost/")
        if key.startswith(_APP_ARMOR_PREFIX) and not allowed:
            bad.append(f"annotation {key}={quote(value)}")
    if not bad:
        return None
    return Violation("forbidden AppArmor profile" + ("" if len(bad) == 1 else "s"), ", ".join(bad))


def _capabilities(spec: PodSpec, _: Mapping[str, str]) -> Violation | None:
    names, added = [], set()
    for container in containers(spec):
        capabilities = own(container).capabilities
        bad = {one for one in (capabilities.add if capabilities else ()) if one not in _CAPABILITIES}
        if bad:
            names.append(container.name)
            added |= bad
    if not names:
        return None
    text = f"{which(names)} must not include {quoted(sorted(added))} in securityContext.capabilities.add"
    return Violation("non-default capabilities", text)


def _host_namespaces(spec: PodSpec, _: Mapping[str, str]) -> Violation | None:
    set_ = (("hostNetwork", spec.host_network), ("hostPID", spec.host_pid), ("hostIPC", spec.host_ipc))
    bad = [f"{name}=true" for name, value in set_ if value]
    return Violation("host namespaces", ", ".join(bad)) if bad else None


def _host_path_volumes(spec: PodSpec, _: Mapping[str, str]) -> Violation | None:
    names = [volume.name for volume in spec.volumes if volume.host_path is not None]
    return Violation("hostPath volumes", which(names, "volume")) if names else None


def _host_ports(spec: PodSpec, _: Mapping[str, str]) -> Violation | None:
    names, ports = [], set()
    for container in containers(spec):
        used = {port.host_port for port in container.ports if port.host_port}
        if used:
            names.append(container.name)
            ports |= used
    if not names:
        return None
    verb = "uses" if len(names) == 1 else "use"
    noun = "hostPort" if len(ports) == 1 else "hostPorts"
    return Violation("hostPort", f"{which(names)} {verb} {noun} {', '.join(map(str, sorted(ports)))}")


def _probe_hosts(spec: PodSpec, _: Mapping[str, str]) -> Violation | None:
    names, hosts = [], set()
    for container in containers(spec):
        used = set(_hosts_of(container))
        if used:
            names.append(container.name)
            hosts |= used
    if not names:
        return None
    verb = "uses" if len(names) == 1 else "use"
    noun = "host" if len(hosts) == 1 else "hosts"
    return Violation(
        "probe or lifecycle host", f"{which(names)} {verb} probe or lifecycle {noun} {quoted(sorted(hosts))}"
    )


def _hosts_of(container: AnyContainer) -> Iterator[str]:
    """Where its probes and hooks go beside the pod itself."""
    handlers = [container.liveness_probe, container.readiness_probe, container.startup_probe]
    lifecycle = container.lifecycle
    hooks = [lifecycle.post_start, lifecycle.pre_stop] if lifecycle is not None else []
    for handler in (*handlers, *hooks):
        for action in (handler.http_get, handler.tcp_socket) if handler is not None else ():
            if action is not None and action.host:
                yield action.host


def _privileged(spec: PodSpec, _: Mapping[str, str]) -> Violation | None:
    names = [container.name for container in containers(spec) if own(container).privileged]
    return Violation("privileged", f"{which(names)} must not set securityContext.privileged=true") if names else None


def _proc_mount(spec: PodSpec, _: Mapping[str, str]) -> Violation | None:
    if spec.host_users is False:  # root inside is nobody outside
        return None
    found = {c.name: own(c).proc_mount or "Default" for c in containers(spec)}
    bad = {name: kind for name, kind in found.items() if kind != "Default"}
    if not bad:
        return None
    kinds = quoted(sorted(set(bad.values())))
    return Violation("procMount", f"{which(list(bad))} must not set securityContext.procMount to {kinds}")


def _selinux(spec: PodSpec, _: Mapping[str, str]) -> Violation | None:
    bad: list[str] = []
    types: set[str] = set()
    user = role = False
    setters: list[str] = []

    def look(options: SELinuxOptions | None) -> bool:
        nonlocal user, role
        if options is None:
            return False
        wrong_type = (options.type or "") not in _SELINUX_TYPES
        if wrong_type:
            types.add(options.type or "")
        user, role = user or bool(options.user), role or bool(options.role)
        return wrong_type or bool(options.user) or bool(options.role)

    if look(of_pod(spec).se_linux_options):
        setters.append("pod")
    names = [container.name for container in containers(spec) if look(own(container).se_linux_options)]
    if names:
        setters.append(which(names))
    if not setters:
        return None
    if types:
        bad.append(f"type{'' if len(types) == 1 else 's'} {quoted(sorted(types))}")
    if user:
        bad.append("user may not be set")
    if role:
        bad.append("role may not be set")
    text = f"{' and '.join(setters)} set forbidden securityContext.seLinuxOptions: {'; '.join(bad)}"
    return Violation("seLinuxOptions", text)


def _seccomp(spec: PodSpec, _: Mapping[str, str]) -> Violation | None:
    bad = []
    profile = of_pod(spec).seccomp_profile
    if profile is not None and profile.type == "Unconfined":
        bad.append("pod")
    names = []
    for container in containers(spec):
        profile = own(container).seccomp_profile
        if profile is not None and profile.type == "Unconfined":
            names.append(container.name)
    if names:
        bad.append(which(names))
    if not bad:
        return None
    text = f'{" and ".join(bad)} must not set securityContext.seccompProfile.type to "Unconfined"'
    return Violation("seccompProfile", text)


def _sysctls(spec: PodSpec, _: Mapping[str, str]) -> Violation | None:
    bad = [sysctl.name for sysctl in of_pod(spec).sysctls if sysctl.name not in _SYSCTLS]
    return Violation("forbidden sysctls", ", ".join(bad)) if bad else None


def _windows_host_process(spec: PodSpec, _: Mapping[str, str]) -> Violation | None:
    bad = []
    options = of_pod(spec).windows_options
    if options is not None and options.host_process:
        bad.append("pod")
    names = []
    for container in containers(spec):
        options = own(container).windows_options
        if options is not None and options.host_process:
            names.append(container.name)
    if names:
        bad.append(which(names))
    text = f"{' and '.join(bad)} must not set securityContext.windowsOptions.hostProcess=true"
    return Violation("hostProcess", text) if bad else None


CONTROLS: Final[dict[str, Check]] = {
    "appArmorProfile": _app_armor,
    "capabilities": _capabilities,
    "hostNamespaces": _host_namespaces,
    "hostPathVolumes": _host_path_volumes,
    "hostPorts": _host_ports,
    "hostProbesAndHostLifecycle": _probe_hosts,
    "privileged": _privileged,
    "procMount": _proc_mount,
    "seLinuxOptions": _selinux,
    "seccompProfile": _seccomp,
    "sysctls": _sysctls,
    "windowsHostProcess": _windows_host_process,
}
"""In the order of messages."""

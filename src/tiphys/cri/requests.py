"""Our values to CRI v1 messages."""

from __future__ import annotations

from typing import Any

from cri_api.v1 import api_pb2

from tiphys.cri.types import (
    AuthConfig,
    ContainerConfig,
    ContainerSecurity,
    NamespaceOptions,
    Resources,
    SandboxConfig,
    SandboxSecurity,
    SecurityProfile,
    SELinuxOptions,
)

pb: Any = api_pb2  # the stubs want enum members where the wire takes numbers


def _optional_int(value: int | None) -> Any:
    return None if value is None else pb.Int64Value(value=value)


def _profile(profile: SecurityProfile | None) -> Any:
    if profile is None:
        return None
    return pb.SecurityProfile(profile_type=int(profile.type), localhost_ref=profile.localhost_ref)


def _selinux(options: SELinuxOptions | None) -> Any:
    if options is None:
        return None
    return pb.SELinuxOption(user=options.user, role=options.role, type=options.type, level=options.level)


def _namespaces(options: NamespaceOptions) -> Any:
    return pb.NamespaceOption(
        network=int(options.network), pid=int(options.pid), ipc=int(options.ipc), target_id=options.target_id
    )


def resources(value: Resources) -> Any:
    return pb.LinuxContainerResources(
        cpu_period=value.cpu_period_microseconds,
        cpu_quota=value.cpu_quota_microseconds,
        cpu_shares=value.cpu_shares,
        memory_limit_in_bytes=value.memory_limit_bytes,
        memory_swap_limit_in_bytes=value.memory_swap_limit_bytes,
        oom_score_adj=value.oom_score_adj,
        cpuset_cpus=value.cpuset_cpus,
        cpuset_mems=value.cpuset_mems,
        hugepage_limits=[pb.HugepageLimit(page_size=s, limit=n) for s, n in value.hugepage_limits.items()],
        unified=dict(value.unified),
    )


def _sandbox_security(value: SandboxSecurity) -> Any:
    return pb.LinuxSandboxSecurityContext(
        namespace_options=_namespaces(value.namespaces),
        selinux_options=_selinux(value.selinux),
        run_as_user=_optional_int(value.run_as_user),
        run_as_group=_optional_int(value.run_as_group),
        readonly_rootfs=value.readonly_rootfs,
        supplemental_groups=value.supplemental_groups,
        privileged=value.privileged,
        seccomp=_profile(value.seccomp),
        apparmor=_profile(value.apparmor),
    )


def sandbox_config(value: SandboxConfig) -> Any:
    dns = value.dns
    return pb.PodSandboxConfig(
        metadata=pb.PodSandboxMetadata(
            name=value.name, uid=value.uid, namespace=value.namespace, attempt=value.attempt
        ),
        hostname=value.hostname,
        log_directory=value.log_directory,
        dns_config=None
        if dns is None
        else pb.DNSConfig(servers=dns.servers, searches=dns.searches, options=dns.options),
        port_mappings=[
            pb.PortMapping(
                protocol=int(p.protocol), container_port=p.container_port, host_port=p.host_port, host_ip=p.host_ip
            )
            for p in value.port_mappings
        ],
        labels=dict(value.labels),
        annotations=dict(value.annotations),
        linux=pb.LinuxPodSandboxConfig(
            cgroup_parent=value.cgroup_parent,
            security_context=_sandbox_security(value.security),
            sysctls=dict(value.sysctls),
            overhead=None if value.overhead is None else resources(value.overhead),
            resources=None if value.resources is None else resources(value.resources),
        ),
    )


def _apparmor_name(profile: SecurityProfile | None) -> str:
    """The older field of the same meaning, which containerd before 1.7 reads alone."""
    if profile is None:
        return ""
    return ("runtime/default", "unconfined", f"localhost/{profile.localhost_ref}")[int(profile.type)]


def _container_security(value: ContainerSecurity) -> Any:
    capabilities = pb.Capability(add_capabilities=value.add_capabilities, drop_capabilities=value.drop_capabilities)
    return pb.LinuxContainerSecurityContext(
        capabilities=capabilities,
        privileged=value.privileged,
        namespace_options=_namespaces(value.namespaces),
        selinux_options=_selinux(value.selinux),
        run_as_user=_optional_int(value.run_as_user),
        run_as_group=_optional_int(value.run_as_group),
        run_as_username=value.run_as_username,
        readonly_rootfs=value.readonly_rootfs,
        supplemental_groups=value.supplemental_groups,
        no_new_privs=value.no_new_privileges,
        masked_paths=value.masked_paths,
        readonly_paths=value.readonly_paths,
        seccomp=_profile(value.seccomp),
        apparmor=_profile(value.apparmor),
        apparmor_profile=_apparmor_name(value.apparmor),
    )


def container_config(value: ContainerConfig) -> Any:
    return pb.ContainerConfig(
        metadata=pb.ContainerMetadata(name=value.name, attempt=value.attempt),
        image=pb.ImageSpec(image=value.image, user_specified_image=value.user_specified_image),
        command=value.command,
        args=value.args,
        working_dir=value.working_dir,
        envs=[pb.KeyValue(key=k, value=v) for k, v in value.envs],
        mounts=[
            pb.Mount(
                container_path=m.container_path,
                host_path=m.host_path,
                readonly=m.readonly,
                selinux_relabel=m.selinux_relabel,
                propagation=int(m.propagation),
                recursive_read_only=m.recursive_read_only,
            )
            for m in value.mounts
        ],
        devices=[
            pb.Device(container_path=d.container_path, host_path=d.host_path, permissions=d.permissions)
            for d in value.devices
        ],
        labels=dict(value.labels),
        annotations=dict(value.annotations),
        log_path=value.log_path,
        stdin=value.stdin,
        stdin_once=value.stdin_once,
        tty=value.tty,
        linux=pb.LinuxContainerConfig(
            resources=resources(value.resources), security_context=_container_security(value.security)
        ),
        stop_signal=pb.Signal.Value(value.stop_signal) if value.stop_signal else 0,
    )


def auth_config(value: AuthConfig | None) -> Any:
    if value is None:
        return None
    return pb.AuthConfig(
        username=value.username,
        password=value.password,
        auth=value.auth,
        server_address=value.server_address,
        identity_token=value.identity_token,
        registry_token=value.registry_token,
    )

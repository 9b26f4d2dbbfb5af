"""CRI v1 messages to our values."""

from __future__ import annotations

from typing import Any

from cri_api.v1 import api_pb2 as pb

from tiphys.cri.types import (
    Container,
    ContainerEvent,
    ContainerState,
    ContainerStats,
    ContainerStatus,
    ContainerUser,
    EventType,
    FilesystemUsage,
    Image,
    Mount,
    MountPropagation,
    NamespaceMode,
    NamespaceOptions,
    Resources,
    RuntimeCondition,
    RuntimeStatus,
    Sandbox,
    SandboxState,
    SandboxStatus,
)

_CONTAINER_STATES = (
    ContainerState.CREATED,
    ContainerState.RUNNING,
    ContainerState.EXITED,
    ContainerState.UNKNOWN,
)
_EVENT_TYPES = (EventType.CREATED, EventType.STARTED, EventType.STOPPED, EventType.DELETED)


def _optional(message: Any, name: str) -> int | None:
    """The value of a wrapped number, None when the runtime left it out."""
    return int(getattr(message, name).value) if message.HasField(name) else None


def sandbox(message: Any) -> Sandbox:
    """From a PodSandbox or a PodSandboxStatus: both carry these."""
    metadata = message.metadata
    return Sandbox(
        id=message.id,
        name=metadata.name,
        namespace=metadata.namespace,
        uid=metadata.uid,
        attempt=metadata.attempt,
        state=SandboxState.READY if message.state == 0 else SandboxState.NOT_READY,
        created_at_nanoseconds=message.created_at,
        labels=dict(message.labels),
        annotations=dict(message.annotations),
        runtime_handler=message.runtime_handler,
    )


def sandbox_status(response: Any) -> SandboxStatus:
    message = response.status
    addresses = (message.network.ip, *(p.ip for p in message.network.additional_ips))
    options = message.linux.namespaces.options
    return SandboxStatus(
        sandbox=sandbox(message),
        ips=tuple(address for address in addresses if address),
        namespaces=NamespaceOptions(
            network=NamespaceMode(options.network),
            pid=NamespaceMode(options.pid),
            ipc=NamespaceMode(options.ipc),
            target_id=options.target_id,
        ),
        info=dict(response.info),
    )


def container(message: Any) -> Container:
    return Container(
        id=message.id,
        sandbox_id=message.pod_sandbox_id,
        name=message.metadata.name,
        attempt=message.metadata.attempt,
        image=message.image.image,
        image_ref=message.image_ref,
        state=_CONTAINER_STATES[message.state],
        created_at_nanoseconds=message.created_at,
        labels=dict(message.labels),
        annotations=dict(message.annotations),
    )


def _resources(message: Any) -> Resources:
    return Resources(
        cpu_period_microseconds=message.cpu_period,
        cpu_quota_microseconds=message.cpu_quota,
        cpu_shares=message.cpu_shares,
        memory_limit_bytes=message.memory_limit_in_bytes,
        memory_swap_limit_bytes=message.memory_swap_limit_in_bytes,
        oom_score_adj=message.oom_score_adj,
        cpuset_cpus=message.cpuset_cpus,
        cpuset_mems=message.cpuset_mems,
        hugepage_limits={limit.page_size: limit.limit for limit in message.hugepage_limits},
        unified=dict(message.unified),
    )


def container_status(message: Any) -> ContainerStatus:
    user = message.user.linux if message.HasField("user") else None
    return ContainerStatus(
        id=message.id,
        name=message.metadata.name,
        attempt=message.metadata.attempt,
        state=_CONTAINER_STATES[message.state],
        created_at_nanoseconds=message.created_at,
        started_at_nanoseconds=message.started_at,
        finished_at_nanoseconds=message.finished_at,
        exit_code=message.exit_code,
        image=message.image.image,
        image_ref=message.image_ref,
        image_id=message.image_id or message.image_ref,
        reason=message.reason,
        message=message.message,
        log_path=message.log_path,
        labels=dict(message.labels),
        annotations=dict(message.annotations),
        mounts=tuple(
            Mount(
                container_path=m.container_path,
                host_path=m.host_path,
                readonly=m.readonly,
                selinux_relabel=m.selinux_relabel,
                propagation=MountPropagation(m.propagation),
                recursive_read_only=m.recursive_read_only,
            )
            for m in message.mounts
        ),
        resources=_resources(message.resources.linux) if message.resources.HasField("linux") else None,
        user=None if user is None else ContainerUser(user.uid, user.gid, tuple(user.supplemental_groups)),
        stop_signal=pb.Signal.Name(message.stop_signal) if message.stop_signal else "",
    )


def container_stats(message: Any) -> ContainerStats:
    return ContainerStats(
        id=message.attributes.id,
        name=message.attributes.metadata.name,
        labels=dict(message.attributes.labels),
        timestamp_nanoseconds=max(message.cpu.timestamp, message.memory.timestamp),
        cpu_usage_nanoseconds=_optional(message.cpu, "usage_core_nano_seconds"),
        memory_working_set_bytes=_optional(message.memory, "working_set_bytes"),
        memory_usage_bytes=_optional(message.memory, "usage_bytes"),
        memory_rss_bytes=_optional(message.memory, "rss_bytes"),
        memory_page_faults=_optional(message.memory, "page_faults"),
        memory_major_page_faults=_optional(message.memory, "major_page_faults"),
        writable_layer_bytes=_optional(message.writable_layer, "used_bytes"),
        writable_layer_inodes=_optional(message.writable_layer, "inodes_used"),
    )


def image(message: Any) -> Image:
    return Image(
        id=message.id,
        repo_tags=tuple(message.repo_tags),
        repo_digests=tuple(message.repo_digests),
        size_bytes=message.size,
        uid=_optional(message, "uid"),
        username=message.username,
        pinned=message.pinned,
    )


def filesystem(message: Any) -> FilesystemUsage:
    return FilesystemUsage(
        mountpoint=message.fs_id.mountpoint,
        used_bytes=message.used_bytes.value,
        inodes_used=message.inodes_used.value,
        timestamp_nanoseconds=message.timestamp,
    )


def runtime_status(response: Any) -> RuntimeStatus:
    return RuntimeStatus(
        conditions=tuple(
            RuntimeCondition(type=c.type, status=c.status, reason=c.reason, message=c.message)
            for c in response.status.conditions
        ),
        handlers=tuple(handler.name for handler in response.runtime_handlers),
        info=dict(response.info),
    )


def event(message: Any) -> ContainerEvent:
    return ContainerEvent(
        type=_EVENT_TYPES[message.container_event_type],
        container_id=message.container_id,
        created_at_nanoseconds=message.created_at,
        sandbox_id=message.pod_sandbox_status.id,
    )

"""A pod's status, from what its lifecycle remembers. Upstream's phases, reasons and words."""

from __future__ import annotations

from tiphys.api.types.core_v1 import (
    Container,
    ContainerState,
    ContainerStateRunning,
    ContainerStateTerminated,
    ContainerStateWaiting,
    ContainerStatus,
    ContainerUser,
    HostIP,
    LinuxContainerUser,
    Pod,
    PodIP,
    PodStatus,
    VolumeMountStatus,
)
from tiphys.kubelet.lifecycle import times
from tiphys.kubelet.lifecycle.conditions import conditions
from tiphys.kubelet.lifecycle.qos import qos_class
from tiphys.kubelet.lifecycle.restart import restarts
from tiphys.kubelet.lifecycle.state import ContainerState as State
from tiphys.kubelet.lifecycle.state import Exit, PodState, Role, Stage, Step

RUNTIME_SCHEME = "containerd://"


def start_time_of(pod: Pod) -> float:
    """When a kubelet first saw the pod, as its API status tells; 0.0 when none has."""
    return times.parse(pod.status.start_time)


def build(state: PodState, now: float, host_ips: tuple[str, ...]) -> PodStatus:
    """The whole status; fields that are not the kubelet's are left as the API has them."""
    if state.refusal is not None:
        return _refused(state)
    current = phase(state)
    ips = _ips(state, host_ips)
    shown = state.ending if state.ending is not None and state.stage is Stage.TERMINATED else None
    before = state.pod.status
    return PodStatus(
        phase=current,
        reason=(shown.reason or None) if shown else None,
        message=(shown.message or None) if shown else None,
        observed_generation=state.pod.metadata.generation,
        conditions=conditions(state, current, now),
        host_ip=host_ips[0] if host_ips else None,
        host_ips=tuple(HostIP(ip=ip) for ip in host_ips),
        pod_ip=ips[0] if ips else None,
        pod_ips=tuple(PodIP(ip=ip) for ip in ips),
        start_time=times.render(state.start_time),
        init_container_statuses=_statuses(state, Role.INIT, Role.SIDECAR),
        container_statuses=_statuses(state, Role.MAIN),
        ephemeral_container_statuses=_statuses(state, Role.EPHEMERAL),
        qos_class=before.qos_class or qos_class(state.pod),
        nominated_node_name=before.nominated_node_name,
        resource_claim_statuses=before.resource_claim_statuses,
    )


def _refused(state: PodState) -> PodStatus:
    reason, message = state.refusal or ("", "")
    return PodStatus(
        phase="Failed",
        reason=reason,
        message=f"Pod was rejected: {message}",
        observed_generation=state.pod.metadata.generation,
        start_time=times.render(state.start_time),
        qos_class=state.pod.status.qos_class or qos_class(state.pod),
        conditions=state.pod.status.conditions,
    )


def _ips(state: PodState, host_ips: tuple[str, ...]) -> tuple[str, ...]:
    if state.sandbox is None:
        return ()
    if state.pod.spec.host_network:
        return host_ips
    return state.sandbox.ips


def phase(state: PodState) -> str:
    """Pending, Running, Succeeded or Failed."""
    if state.refusal is not None:
        return "Failed"
    ended = state.stage in (Stage.TERMINATED, Stage.FORGOTTEN)
    mains = state.by_role(Role.MAIN)
    if ended:
        if state.ending is not None and state.ending.failed:
            return "Failed"
        if all(c.exit is not None and c.exit.code == 0 for c in mains):
            return "Succeeded"
        if all(c.exit is not None for c in mains) or any(
            c.exit is not None and c.exit.code != 0 for c in state.containers.values()
        ):
            return "Failed"
        # Deleted before it ran: nothing has failed.
        return "Failed" if any(c.exit is not None for c in mains) else "Pending"
    if not state.initialized and state.by_role(Role.INIT, Role.SIDECAR):
        return "Pending"
    if any(c.exit is None and c.last_exit is None and c.step is not Step.RUNNING and not _stopping(c) for c in mains):
        return "Pending"
    return "Running"


def _stopping(container: State) -> bool:
    return container.step is Step.STOPPING


def _statuses(state: PodState, *roles: Role) -> tuple[ContainerStatus, ...]:
    return tuple(_status(state, c) for c in state.by_role(*roles))


def _status(state: PodState, container: State) -> ContainerStatus:
    current, last = _states(state, container)
    # The count is of instances that came to be: while the next one has none yet, it does not count.
    count = container.attempt if container.id or not container.attempt else container.attempt - 1
    running = container.step in (Step.RUNNING, Step.STOPPING)
    has_started = running and container.started
    ready = container.ready
    if container.role is Role.INIT:
        has_started = False if not running else container.started
        ready = container.exit is not None and container.exit.code == 0
    elif container.role is Role.EPHEMERAL:
        ready = False
    known_id = container.id or (container.last_exit.id if container.last_exit else "")
    return ContainerStatus(
        name=container.name,
        state=current,
        last_state=last,
        ready=ready,
        started=has_started,
        restart_count=count,
        image=container.image or container.spec.image or "",
        image_id=container.image_id,
        container_id=f"{RUNTIME_SCHEME}{known_id}" if known_id else None,
        resources=container.applied if running and isinstance(container.spec, Container) else None,
        allocated_resources=container.spec.resources.requests if running else {},
        user=_user(container) if running else None,
        volume_mounts=tuple(
            VolumeMountStatus(
                name=m.name,
                mount_path=m.mount_path,
                read_only=m.read_only,
                recursive_read_only="Disabled" if m.read_only and not m.recursive_read_only else m.recursive_read_only,
            )
            for m in container.spec.volume_mounts
        ),
    )


def _user(container: State) -> ContainerUser | None:
    if container.user is None:
        return None
    uid, gid, groups = container.user
    return ContainerUser(linux=LinuxContainerUser(uid=uid, gid=gid, supplemental_groups=groups))


def _states(state: PodState, container: State) -> tuple[ContainerState, ContainerState]:
    """(state, lastState)"""
    last = _terminated(container.last_exit)
    if container.step in (Step.RUNNING, Step.STOPPING):
        running = ContainerStateRunning(started_at=times.render(container.started_at))
        return ContainerState(running=running), last
    if container.exit is not None:
        if container.waiting_reason and restarts(state, container) and state.stage is Stage.ACTIVE:
            return _waiting(container.waiting_reason, container.waiting_message), _terminated(container.exit)
        return _terminated(container.exit), last
    if container.waiting_reason:
        return _waiting(container.waiting_reason, container.waiting_message), last
    blocked = (
        container.role is not Role.EPHEMERAL and not state.initialized and bool(state.by_role(Role.INIT, Role.SIDECAR))
    )
    return _waiting("PodInitializing" if blocked else "ContainerCreating", ""), last


def _waiting(reason: str, message: str) -> ContainerState:
    return ContainerState(waiting=ContainerStateWaiting(reason=reason, message=message or None))


def _terminated(exited: Exit | None) -> ContainerState:
    if exited is None:
        return ContainerState()
    return ContainerState(
        terminated=ContainerStateTerminated(
            exit_code=exited.code,
            reason=exited.reason or None,
            message=exited.message or None,
            started_at=times.render(exited.started_at) if exited.started_at else None,
            finished_at=times.render(exited.finished_at) if exited.finished_at else None,
            container_id=f"{RUNTIME_SCHEME}{exited.id}" if exited.id else None,
        )
    )

"""A pod on its way down: containers, then the sandbox, then what the node kept for it, then the API object.

Source: the Kubernetes documentation, "Termination of Pods" and "Sidecar Containers": main containers are stopped
together; sidecars after them, in reverse order of their start; SIGKILL follows when the grace period is over.
"""

from __future__ import annotations

from typing import Final

from tiphys.kubelet.lifecycle.events import ProbeKind
from tiphys.kubelet.lifecycle.instructions import (
    CleanUp,
    ConfirmDeletion,
    Forget,
    Instruction,
    PublishStatus,
    Record,
    StopContainer,
    StopProbes,
    StopSandbox,
)
from tiphys.kubelet.lifecycle.progress import DEFAULT_GRACE_SECONDS, stop
from tiphys.kubelet.lifecycle.restart import restarts
from tiphys.kubelet.lifecycle.state import (
    ContainerState,
    Ending,
    PodState,
    Role,
    SandboxStep,
    Stage,
    Step,
    VolumeStep,
)

SIDECAR_MINIMUM_SECONDS: Final = 2.0
DEADLINE_MESSAGE: Final = "Pod was active on the node longer than the specified deadline"


def begin_if_due(state: PodState, now: float, out: list[Instruction], wakes: list[float]) -> None:
    """Start to terminate if the pod was deleted, is past its deadline, or has nothing left to run."""
    if state.deleted:
        begin(state, now, deletion_grace_seconds(state), out)
        return
    deadline = state.pod.spec.active_deadline_seconds
    if deadline is not None:
        if now >= state.start_time + deadline:
            out.append(Record("Normal", "DeadlineExceeded", DEADLINE_MESSAGE))
            grace = _spec_grace_seconds(state)
            begin(state, now, grace, out, reason="DeadlineExceeded", message=DEADLINE_MESSAGE, failed=True)
            return
        wakes.append(state.start_time + deadline)
    if _finished(state):
        begin(state, now, _spec_grace_seconds(state), out)


def _finished(state: PodState) -> bool:
    """Whether no container that counts will run again: all main ones ended, or an init container failed for good."""
    for container in state.by_role(Role.INIT):
        if container.exit is not None and container.exit.code != 0 and not restarts(state, container):
            return True
    mains = state.by_role(Role.MAIN)
    return bool(mains) and all(c.step is Step.EXITED and not restarts(state, c) for c in mains)


def _spec_grace_seconds(state: PodState) -> int:
    grace = state.pod.spec.termination_grace_period_seconds
    return DEFAULT_GRACE_SECONDS if grace is None else grace


def deletion_grace_seconds(state: PodState) -> int:
    """What the deletion asked for; at least a second, so that a stop signal is worth sending."""
    grace = state.pod.metadata.deletion_grace_period_seconds
    return max(_spec_grace_seconds(state) if grace is None else grace, 1)


def begin(
    state: PodState,
    now: float,
    grace_seconds: float,
    out: list[Instruction],
    *,
    reason: str = "",
    message: str = "",
    failed: bool = False,
    disruption: bool = False,
) -> None:
    """Enter TERMINATING; no-op when the pod is already ending."""
    if state.stage not in (Stage.SETTING_UP, Stage.ACTIVE):
        return
    state.stage = Stage.TERMINATING
    state.ending = Ending(reason, message, failed, disruption)
    state.kill_deadline = now + grace_seconds
    kinds = (ProbeKind.STARTUP, ProbeKind.LIVENESS)
    for container in state.containers.values():
        asked = tuple(k for k in kinds if k.value in container.probing)
        if asked:
            container.probing.difference_update(k.value for k in asked)
            out.append(StopProbes(container.name, asked))


def advance(state: PodState, now: float, out: list[Instruction], wakes: list[float]) -> None:
    """Ask for every step of the way down that can be taken now."""
    if state.stage is Stage.TERMINATING:
        if state.deleted:
            state.kill_deadline = min(state.kill_deadline, now + deletion_grace_seconds(state))
        _stop_containers(state, now, out, wakes)
        if any(c.alive for c in state.containers.values()):
            return
        state.stage = Stage.TERMINATED
        if not state.deleted:
            out.append(PublishStatus(urgent=True))
    if state.stage is Stage.TERMINATED and not _torn_down(state, now, out, wakes):
        return
    if state.stage in (Stage.TERMINATED, Stage.REFUSED):
        if state.gone:
            state.stage = Stage.FORGOTTEN
            out.append(Forget())
        elif state.deleted and not state.confirmed:
            state.confirmed = True
            out.append(ConfirmDeletion())


def _stop_containers(state: PodState, now: float, out: list[Instruction], wakes: list[float]) -> None:
    ordinary = state.by_role(Role.MAIN, Role.EPHEMERAL, Role.INIT)
    remaining = max(state.kill_deadline - now, 0.0)
    for container in ordinary:
        _stop(state, container, now, remaining, out, wakes)
    if any(c.alive for c in ordinary):
        return
    for sidecar in reversed(state.by_role(Role.SIDECAR)):
        if sidecar.alive:
            _stop(state, sidecar, now, max(remaining, SIDECAR_MINIMUM_SECONDS), out, wakes)
            return


def _stop(
    state: PodState,
    container: ContainerState,
    now: float,
    grace_seconds: float,
    out: list[Instruction],
    wakes: list[float],
) -> None:
    if container.step is Step.RUNNING:
        if now < container.retry_at:
            wakes.append(container.retry_at)
            return
        stop(state, container, now, out, f"Stopping container {container.name}", grace_seconds)
    elif container.step is Step.STOPPING and now + grace_seconds < container.stop_by - 0.5:
        # The grace has been cut short since: overtake the stop under way.
        container.stop_by = now + grace_seconds
        out.append(StopContainer(container.name, container.id, grace_seconds, pre_stop=False))


def _torn_down(state: PodState, now: float, out: list[Instruction], wakes: list[float]) -> bool:
    """Give sandbox and volumes back; True when nothing but logs is left."""
    if state.sandbox_step in (SandboxStep.READY, SandboxStep.LOST) and state.sandbox is not None:
        state.sandbox_step = SandboxStep.STOPPING
        out.append(StopSandbox(state.sandbox.id))
    if state.sandbox_step not in (SandboxStep.NONE, SandboxStep.STOPPED):
        return False
    if state.volumes in (VolumeStep.PREPARING, VolumeStep.CLEANING):
        return False
    if state.volumes is not VolumeStep.CLEAN:
        if now < state.cleanup_retry_at:
            wakes.append(state.cleanup_retry_at)
            return False
        state.volumes = VolumeStep.CLEANING
        out.append(CleanUp())
        return False
    return True

"""A pod on its way up, and kept up: volumes, sandbox, init containers in order, then the main ones."""

from __future__ import annotations

from tiphys.kubelet.lifecycle.events import ProbeKind
from tiphys.kubelet.lifecycle.instructions import (
    Instruction,
    PrepareVolumes,
    PublishStatus,
    PullImage,
    Record,
    RemoveContainer,
    StartContainer,
    StartSandbox,
    StopContainer,
    StopProbes,
)
from tiphys.kubelet.lifecycle.restart import note_restart, restart_due_at, restarts
from tiphys.kubelet.lifecycle.state import ContainerState, PodState, Role, SandboxStep, Step, VolumeStep

DEFAULT_GRACE_SECONDS = 30


def advance(state: PodState, now: float, out: list[Instruction], wakes: list[float]) -> None:
    """Ask for every step that can be taken now; note in `wakes` when to look again."""
    if state.volumes is VolumeStep.NONE:
        if now < state.volumes_retry_at:
            wakes.append(state.volumes_retry_at)
            return
        state.volumes = VolumeStep.PREPARING
        out.append(PrepareVolumes())
    if state.volumes is not VolumeStep.READY:
        return
    if state.sandbox_step is SandboxStep.READY:
        _advance_containers(state, now, out, wakes)
    elif state.sandbox_step in (SandboxStep.NONE, SandboxStep.LOST):
        _renew_sandbox(state, now, out, wakes)


def _renew_sandbox(state: PodState, now: float, out: list[Instruction], wakes: list[float]) -> None:
    """Start the first sandbox, or another after the last one died and its containers are down."""
    running = [c for c in state.containers.values() if c.alive]
    for container in running:
        if container.step is Step.RUNNING:
            stop(state, container, now, out, f"Stopping container {container.name}", 0)
    if running:
        return
    if now < state.sandbox_retry_at:
        wakes.append(state.sandbox_retry_at)
        return
    replaces = state.sandbox.id if state.sandbox is not None else ""
    if replaces and not state.sandbox_backoff_seconds:
        out.append(Record("Normal", "SandboxChanged", "Pod sandbox changed, it will be killed and re-created."))
    out.append(StartSandbox(state.next_sandbox_attempt, replaces))
    state.next_sandbox_attempt += 1
    state.sandbox_step = SandboxStep.STARTING
    state.initialized = False
    for container in state.by_role(Role.INIT):
        if container.step is Step.EXITED:
            _begin_again(container, out)


def _advance_containers(state: PodState, now: float, out: list[Instruction], wakes: list[float]) -> None:
    for container in state.by_role(Role.EPHEMERAL):
        _drive(state, container, now, out, wakes)
    if not state.initialized:
        if not _initialize(state, now, out, wakes):
            return
        state.initialized = True
        out.append(PublishStatus())
    for container in state.by_role(Role.SIDECAR):
        _drive(state, container, now, out, wakes)
    for container in state.by_role(Role.MAIN):
        _drive(state, container, now, out, wakes)
        if container.step in (Step.PULLING, Step.STARTING) or (
            container.step is Step.RUNNING and not container.hooked and not container.condemned
        ):
            break  # one starts after the other, its postStart hook included


def _initialize(state: PodState, now: float, out: list[Instruction], wakes: list[float]) -> bool:
    """Take the init containers one step further; True when all have done their part."""
    for container in state.by_role(Role.INIT, Role.SIDECAR):
        if container.role is Role.INIT and container.exit is not None and container.exit.code == 0:
            continue
        _drive(state, container, now, out, wakes)
        if container.role is Role.INIT or not (container.step is Step.RUNNING and container.started):
            return False
    return True


def _drive(state: PodState, container: ContainerState, now: float, out: list[Instruction], wakes: list[float]) -> None:
    """Take one container a step towards running, if it should run and may now."""
    if container.step is Step.RUNNING:
        if container.condemned and now >= container.retry_at:
            stop(state, container, now, out, container.condemned, _grace_seconds(state))
        elif container.condemned:
            wakes.append(container.retry_at)
        return
    if container.step is Step.EXITED and container.exit is not None:
        if not restarts(state, container):
            return
        due = 0.0 if container.renew else max(restart_due_at(container, container.exit), container.retry_at)
        if now < due:
            _announce_crash(state, container, out)
            wakes.append(due)
            return
        note_restart(container, container.exit, now)
        _begin_again(container, out)
    if container.step is not Step.WAITING:
        return
    if now < container.retry_at:
        _flip(container, now, out, wakes)
        wakes.append(container.retry_at)
        return
    if not container.image_ref:
        container.step = Step.PULLING
        out.append(PullImage(container.name))
    elif state.sandbox is not None:
        container.step = Step.STARTING
        container.starting = container.spec.resources
        out.append(
            StartContainer(
                container.name, container.attempt, container.image_ref, state.sandbox.id, state.sandbox.attempt
            )
        )


def _begin_again(container: ContainerState, out: list[Instruction]) -> None:
    """Put the exited instance behind and wait to start the next. One dead instance is kept, for its logs."""
    container.last_exit, container.exit = container.exit, None
    out.extend(RemoveContainer(old) for old in container.dead_ids)
    container.dead_ids = [container.id] if container.id else []
    container.step = Step.WAITING
    container.id = ""
    container.attempt += 1
    container.image_ref = ""
    container.renew = False
    container.waiting_reason = container.waiting_message = ""
    container.user = None


def _announce_crash(state: PodState, container: ContainerState, out: list[Instruction]) -> None:
    """Say once a wait that the container is held back."""
    if container.crash_announced:
        return
    container.crash_announced = True
    meta = state.pod.metadata
    pod_name = f"{meta.name}_{meta.namespace}({meta.uid})"
    seconds = int(container.crash_backoff_seconds)
    if not container.waiting_reason:
        shown = f"{seconds // 60}m{seconds % 60}s" if seconds >= 60 else f"{seconds}s"
        container.waiting_reason = "CrashLoopBackOff"
        container.waiting_message = f"back-off {shown} restarting failed container={container.name} pod={pod_name}"
    text = f"Back-off restarting failed container {container.name} in pod {pod_name}"
    out.append(Record("Warning", "BackOff", text, container.name))
    out.append(PublishStatus(urgent=True))


def _flip(container: ContainerState, now: float, out: list[Instruction], wakes: list[float]) -> None:
    """ErrImagePull reads ImagePullBackOff after a while, as it does upstream."""
    if not container.flip_at:
        return
    if now < container.flip_at:
        wakes.append(container.flip_at)
        return
    container.flip_at = 0.0
    text = f'Back-off pulling image "{container.spec.image}"'
    container.waiting_message = f"{text}: {container.waiting_reason}: {container.waiting_message}"
    container.waiting_reason = "ImagePullBackOff"
    out.append(Record("Normal", "BackOff", text, container.name))
    out.append(Record("Warning", "Failed", "Error: ImagePullBackOff", container.name))
    out.append(PublishStatus(urgent=True))


def _grace_seconds(state: PodState) -> int:
    grace = state.pod.spec.termination_grace_period_seconds
    return DEFAULT_GRACE_SECONDS if grace is None else grace


def condemn(
    state: PodState,
    container: ContainerState,
    now: float,
    out: list[Instruction],
    reason: str,
    grace_seconds: int | None = None,
) -> None:
    """Stop a running instance that must not go on; what follows is its restart policy's."""
    container.condemned = reason
    stop(state, container, now, out, reason, _grace_seconds(state) if grace_seconds is None else grace_seconds)


def stop(
    state: PodState,
    container: ContainerState,
    now: float,
    out: list[Instruction],
    message: str,
    grace_seconds: float,
) -> None:
    """Ask for a running instance's end."""
    container.step = Step.STOPPING
    container.stop_by = now + grace_seconds
    kinds = tuple(k for k in (ProbeKind.STARTUP, ProbeKind.LIVENESS) if k.value in container.probing)
    if kinds:
        container.probing.difference_update(k.value for k in kinds)
        out.append(StopProbes(container.name, kinds))
    out.append(Record("Normal", "Killing", message, container.name))
    out.append(StopContainer(container.name, container.id, grace_seconds, pre_stop=True))


def image_changed(state: PodState, container: ContainerState, now: float, out: list[Instruction]) -> None:
    """The spec names another image: the running instance gives way to one of it."""
    if container.step is Step.RUNNING and container.role is not Role.EPHEMERAL:
        container.renew = True
        condemn(state, container, now, out, f"Container {container.name} definition changed, will be restarted")
    elif container.step is Step.WAITING:
        container.retry_at = container.flip_at = container.pull_backoff_seconds = 0.0
